"""`reconcile`: proves of an organisation that every claim, number, run and file adds up."""

import sys
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.work import ExitCode, carry_out
from functions.errors import Defect
from functions.reconciliation import Finding, Reconciliation
from functions.services import Services

_CLASSES: Final = ("exported", "reserved", "held", "left_out", "pending")
_PHASES: Final[Mapping[str, str]] = {
    "claims": "Counting the claims",
    "runs": "Adding up the runs",
    "numbers": "Looking for numbers without a row",
    "objects": "Looking for objects without a run",
    "locks": "Looking at the lock",
    "files": "Reading the files",
    "done": "Done",
}


def reconcile(
    organization_id: Annotated[UUID, typer.Argument(help="The organisation.")],
    *,
    period_from: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="First approval date; else open."),
    ] = None,
    period_to: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], help="Last approval date; else open."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Answer JSON, for scripts.")] = False,
) -> None:
    """Prove that every claim is in one class, every run adds up and every file is as it was stored.

    Leaves 0 behind when it is green, 1 when it is red. What to do about each finding stands in
    docs/reconciliation.md.
    """
    told = carry_out(
        lambda services: _reconcile(
            services,
            organization_id,
            (_day(period_from), _day(period_to)),
            shows_progress=not json_ and sys.stderr.isatty(),
        )
    )
    print(told.model_dump_json(indent=2)) if json_ else _show(told, Console())
    raise SystemExit(ExitCode.DONE if told.is_green else ExitCode.REFUSED)


def _day(moment: datetime | None) -> date | None:
    return moment and moment.date()


async def _reconcile(
    services: Services,
    organization_id: UUID,
    period: tuple[date | None, date | None],
    *,
    shows_progress: bool,
) -> Reconciliation:
    told = None
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not shows_progress,
    ) as progress:
        task = progress.add_task("Beginning", total=None)
        async for told in services.reconciliation.walk(organization_id, *period):
            progress.update(
                task, description=f"{_PHASES.get(told.phase, told.phase)}, {_far(told)}"
            )
    if told is None:
        raise Defect("a reconciliation told nothing")
    return told


def _far(told: Reconciliation) -> str:
    return ", ".join(f"{name} {count}" for name, count in told.checked.items()) or "nothing yet"


def _show(told: Reconciliation, console: Console) -> None:
    """Classes, what was looked at, findings with the red ones first, and the verdict."""
    console.print(_classes_table(told))
    console.print(f"Looked at: {_far(told)}.", soft_wrap=True)
    if told.findings:
        console.print(_findings_table(told.findings))
    for code, count in sorted(told.finding_counts.items()):
        shown = sum(finding.code == code for finding in told.findings)
        if count > shown:
            console.print(f"{code}: {count} in all, {shown} shown.")
    if told.findings:
        console.print("What each finding means, and what to do: docs/reconciliation.md.")
    print("green" if told.is_green else "red")


def _classes_table(told: Reconciliation) -> Table:
    table = Table(title=f"{_whole(told)} ({told.time_zone})")
    table.add_column("Class")
    table.add_column("Claims", justify="right")
    table.add_column("Amount", justify="right")
    for name in _CLASSES:
        counted = told.classes.get(name)
        if counted is not None:
            table.add_row(name, str(counted.count), _sums(counted.amounts))
    table.add_section()
    table.add_row("all", str(told.whole.count), _sums(told.whole.amounts))
    return table


def _whole(told: Reconciliation) -> str:
    if told.period_from is None and told.period_to is None:
        return "All approved claims"
    first, last = told.period_from or "the beginning", told.period_to or "the end"
    return f"Claims approved from {first} to {last}"


def _findings_table(findings: tuple[Finding, ...]) -> Table:
    table = Table(title="Findings")
    table.add_column("")
    table.add_column("Code", no_wrap=True)
    table.add_column("What", overflow="fold")
    for finding in sorted(findings, key=lambda one: (not one.is_red, one.code)):
        kind = "red" if finding.is_red else "note"
        table.add_row(kind, finding.code, escape(finding.sentence))
    return table


def _sums(amounts: Mapping[str, Decimal]) -> str:
    return "\n".join(f"{amount:,.2f} {currency}" for currency, amount in sorted(amounts.items()))
