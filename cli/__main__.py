"""`.venv/bin/python -m cli COMMAND`: what admins do beside the app and the dashboard."""

import typer

from cli.backfill_exports import backfill
from cli.check_file import check_file
from cli.confirm_exports import confirm
from cli.erase_claimants import erase
from cli.exchange_definition import exchange_definition
from cli.hold_exports import hold, release
from cli.layout_schema import layout_schema
from cli.list_claims import list_claims
from cli.preview_export import preview
from cli.reconcile_exports import reconcile

app = typer.Typer(
    help="What admins do beside the app and the dashboard: the table is in README.md. "
    "Acts with the secret key.",
    no_args_is_help=True,
    # Nothing is installed outside the checkout.
    add_completion=False,
    # Lines of a docstring's paragraph are one paragraph.
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    """Make every command a sub-command, be there one or many."""


app.command()(backfill)
app.command()(check_file)
app.command()(confirm)
app.command()(erase)
app.command()(exchange_definition)
app.command()(hold)
app.command()(layout_schema)
app.command()(list_claims)
app.command()(preview)
app.command()(reconcile)
app.command()(release)


if __name__ == "__main__":
    app(prog_name=".venv/bin/python -m cli")
