"""`list-claims`: what an exported file holds, as the list that `backfill` takes.

For files that a restored database has forgotten.
"""

import csv
import re
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from cli.check_file import file_rules
from cli.work import ExitCode
from exporters.cell_check import unfilled
from exporters.column_source import shown_paths
from exporters.file_reading import read_file
from exporters.finding import Finding
from exporters.layout import Column, Layout
from exporters.problem import ConfigurationInvalid

# As the engine names its files: target, export date, run number.
_OURS: Final = re.compile(r"[a-z_]+-(?P<day>\d{4}-\d{2}-\d{2})-(?P<run>\d{5,})\.\w+")
_COLUMNS: Final = ("claim_number", "exported_on", "file_name", "voucher_number")
_REFERENCE: Final = "line.reference"
_CLAIM_PATHS: Final = ("claim.claim_number", _REFERENCE)
_VOUCHER_PATHS: Final = ("voucher.document_number", "voucher.number")


class _Unlisted(Exception):  # noqa: N818  # a state that the command reports
    """The file does not say what the list needs."""


def list_claims(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="An exported file.")],
    format_name: Annotated[str, typer.Option("--format", help="For example xledger_gl02b.")],
    layout: Annotated[
        Path | None, typer.Option(exists=True, help="The run's own layout (JSON), if it had one.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(exists=True, help="The target's settings (JSON).")
    ] = None,
    exported_on: Annotated[
        str | None, typer.Option(help="Day of the export; else the one in the file's name.")
    ] = None,
) -> None:
    """Print the claims of an exported file as a list for backfill, for a database that lost them.

    Leaves 1 behind, and prints no list, when a line of the file cannot be read.
    """
    try:
        rules = file_rules(format_name, layout, settings)
        rows = list(_rows(file, rules.layout, _day(file, exported_on)))
    except ConfigurationInvalid as invalid:
        _refuse("; ".join(f"{one.field}: {one.message}" for one in invalid.problems))
    except _Unlisted as reason:
        _refuse(str(reason))
    writer = csv.writer(sys.stdout, delimiter=";", lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(rows)
    print(f"{len(rows)} claims of {file.name}.", file=sys.stderr)


def _rows(path: Path, layout: Layout, day: date) -> Iterator[tuple[str, ...]]:
    claim_number = _column(layout, _CLAIM_PATHS)
    voucher_number = _column(layout, _VOUCHER_PATHS)
    seen: set[str] = set()
    for record in read_file(path.read_bytes(), layout):
        if isinstance(record, Finding):
            raise _Unlisted(
                f"{path.name} is not in the layout {layout.name}. {_place(record)}{record.message} "
                "Check --format, --layout and --settings; check-file names everything that differs."
            )
        number = unfilled(claim_number, record.values[claim_number.name])
        if _REFERENCE in shown_paths(claim_number.source):
            number = number.rpartition("-")[0]  # the line's number comes last
        if number not in seen:
            seen.add(number)
            voucher = unfilled(voucher_number, record.values[voucher_number.name])
            yield number, day.isoformat(), path.name, voucher


def _place(finding: Finding) -> str:
    return f"Line {finding.line}: " if finding.line else ""


def _column(layout: Layout, paths: tuple[str, ...]) -> Column:
    """A column that shows nothing but one of these, the first of them that any column shows."""
    for path in paths:
        for column in layout.columns:
            if column.source.kind == "path" and path in shown_paths(column.source):
                return column
    raise _Unlisted(f"The layout has no column for {paths[0]} alone.")


def _day(path: Path, told: str | None) -> date:
    name = _OURS.fullmatch(path.name)
    if told is None and name is None:
        raise _Unlisted(f"The name {path.name} holds no day: give --exported-on.")
    try:
        return date.fromisoformat(told or (name["day"] if name else ""))
    except ValueError:
        raise _Unlisted("The day of the export is no date, such as 2026-11-21.") from None


def _refuse(reason: str) -> NoReturn:
    print(reason, file=sys.stderr)
    raise typer.Exit(ExitCode.REFUSED)
