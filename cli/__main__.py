"""`python -m cli COMMAND`: what admins do beside the app and the dashboard."""

import typer

from cli.backfill_exports import backfill
from cli.confirm_exports import confirm
from cli.hold_exports import hold, release

app = typer.Typer(
    help="What admins do beside the app and the dashboard. Acts with the secret key.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _commands() -> None:
    """Make every command a sub-command, be there one or many."""


app.command()(backfill)
app.command()(confirm)
app.command()(hold)
app.command()(release)


if __name__ == "__main__":
    app(prog_name="python -m cli")
