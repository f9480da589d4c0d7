"""`python -m cli COMMAND`: what admins do beside the app and the dashboard."""

import typer

from cli.backfill_exports import backfill
from cli.check_file import check_file
from cli.confirm_exports import confirm
from cli.erase_claimants import erase
from cli.hold_exports import hold, release
from cli.layout_schema import layout_schema
from cli.list_claims import list_claims
from cli.reconcile_exports import reconcile

app = typer.Typer(
    help="What admins do beside the app and the dashboard. Acts with the secret key.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    """Make every command a sub-command, be there one or many."""


app.command()(backfill)
app.command()(check_file)
app.command()(confirm)
app.command()(erase)
app.command()(hold)
app.command()(layout_schema)
app.command()(list_claims)
app.command()(reconcile)
app.command()(release)


if __name__ == "__main__":
    app(prog_name="python -m cli")
