"""`check-file`: does a file keep the rules of a layout?"""

import json
import sys
from itertools import islice
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.json_document import json_document
from cli.work import ExitCode
from exporters.file_check import check_file as findings_of
from exporters.finding import Finding
from exporters.layout import Layout
from exporters.layout_exporter import FileRules
from exporters.problem import ConfigurationInvalid
from exporters.registry import file_rules_of, shipped_layout_of

_MOST_FINDINGS: Final = 200


def check_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The file to check.")],
    format_name: Annotated[str, typer.Option("--format", help="For example xledger_gl02b.")],
    layout: Annotated[
        Path | None, typer.Option(exists=True, help="An own layout (JSON); else the shipped one.")
    ] = None,
    settings: Annotated[
        Path | None,
        typer.Option(
            exists=True, help="The target's settings (JSON); they decide the dialect too."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Answer JSON, for scripts.")] = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Check a file against a layout: dialect, cells, and whether its vouchers add up."""
    try:
        rules = file_rules(format_name, layout, settings)
    except ConfigurationInvalid as invalid:
        refuse_configuration(invalid)
    findings = findings_of(file.read_bytes(), rules.layout, rules.fixed)
    shown = list(islice(findings, _MOST_FINDINGS))
    has_more = next(findings, None) is not None
    if as_json:
        _print_json(shown, has_more=has_more)
    else:
        _print_table(file, rules.layout, shown, has_more=has_more)
    raise typer.Exit(ExitCode.REFUSED if shown else ExitCode.DONE)


def file_rules(format_name: str, layout: Path | None, settings: Path | None) -> FileRules:
    """Find what a file must keep, by the documents at these paths or by what is shipped.

    Raises:
        ConfigurationInvalid: with every problem of the format, the settings and the layout.
    """
    own = json_document(layout)
    if settings is not None:
        return file_rules_of(format_name, own, json_document(settings) or {})
    if own is not None:
        return FileRules(Layout.from_document(own), {})
    return FileRules(shipped_layout_of(format_name), {})


def refuse_configuration(invalid: ConfigurationInvalid) -> NoReturn:
    """Say every problem to standard error, and end."""
    for problem in invalid.problems:
        print(f"{problem.field}: {problem.message} ({problem.code})", file=sys.stderr)
    raise typer.Exit(ExitCode.NOT_SET_UP)


def _print_json(findings: list[Finding], *, has_more: bool) -> None:
    told = [
        {"line": one.line, "column": one.column, "rule": one.rule, "message": one.message}
        for one in findings
    ]
    print(json.dumps({"findings": told, "has_more": has_more}, ensure_ascii=False, indent=2))


def _print_table(path: Path, layout: Layout, findings: list[Finding], *, has_more: bool) -> None:
    console = Console(highlight=False)
    title = f"{path.name} against {layout.name}, version {layout.version}"
    if not findings:
        console.print(f"{title}: every rule is kept.", markup=False)
        return
    table = Table(title=escape(title), title_justify="left")
    table.add_column("Line", justify="right")
    for column in ("Column", "Rule", "What is wrong"):
        table.add_column(column, overflow="fold")
    for one in findings:
        line = str(one.line) if one.line else "file"
        table.add_row(line, escape(one.column), one.rule, escape(one.message))
    console.print(table)
    if has_more:
        console.print(f"There is more: these are the first {_MOST_FINDINGS}.")
