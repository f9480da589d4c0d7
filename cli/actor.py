"""Who does something at the command line, for the history."""

import getpass
from typing import Annotated

import typer


def login_name() -> str:
    """The login of the machine; a container may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "command line"


Actor = Annotated[
    str, typer.Option(default_factory=login_name, help="Who does this, for the history.")
]
