"""`exchange-definition`: what Business Central is told once about the files that it will import."""

from pathlib import Path
from typing import Annotated

import typer

from cli.check_file import refuse_configuration
from cli.json_document import json_document
from exporters.problem import ConfigurationInvalid
from exporters.registry import exchange_definition_of


def exchange_definition(
    format_name: Annotated[
        str, typer.Option("--format", help="The format of the files.")
    ] = "dynamics_bc_csv",
    layout: Annotated[
        Path | None, typer.Option(exists=True, help="An own layout (JSON); else the shipped one.")
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            exists=True, help="The target's settings (JSON); they decide the dialect too."
        ),
    ] = None,
) -> None:
    """Print the data exchange definition (XML) that a Business Central administrator imports."""
    try:
        definition = exchange_definition_of(
            format_name, json_document(layout), json_document(settings) or {}
        )
    except ConfigurationInvalid as invalid:
        refuse_configuration(invalid)
    # The XML says that it is UTF-8, whatever the terminal speaks.
    typer.echo(definition.encode(), nl=False)
