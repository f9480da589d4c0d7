"""`backfill`: what was exported by hand is recorded, so that it is never exported again."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.progress import Progress

from cli.actor import Actor
from cli.backfill_check import Plan, check_list
from cli.backfill_list import ClaimList, UnreadableList, read_list
from cli.backfill_recording import Recorder, Stopped
from cli.backfill_report import BackfillReport, as_json, show
from cli.work import ExitCode, carry_out
from functions.export_backfill import ExportBackfill
from functions.services import Services


@dataclass(frozen=True)
class Wishes:
    """What was asked for on the command line."""

    organization_id: UUID
    target: str | None
    writes: bool
    skips_bad_rows: bool
    actor: str
    wait: float
    shows_progress: bool


def backfill(  # noqa: PLR0913  # the command line
    organization_id: Annotated[UUID, typer.Argument(help="Whose claims they are.")],
    claim_list: Annotated[Path, typer.Argument(metavar="LIST", help="The list, CSV or XLSX.")],
    *,
    target: Annotated[
        str | None, typer.Option(help="Accounting system; needed when there are several.")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="Write; else it is a dry run.")] = False,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Write the good rows although others are bad.")
    ] = False,
    actor: Actor,
    wait: Annotated[
        float, typer.Option(min=0, max=3600, help="How long (s) another export is waited for.")
    ] = 90,
    json_: Annotated[bool, typer.Option("--json", help="Answer JSON, for scripts.")] = False,
) -> None:
    """Record claims that were exported by hand, so that they are never exported again.

    LIST has the columns claim_id or claim_number, exported_on, file_name and, if known,
    voucher_number. Leaves 0 behind when every row is good, 1 when a row is bad.
    """
    wishes = Wishes(
        organization_id,
        target,
        write,
        skip_bad_rows,
        actor,
        wait,
        not json_ and sys.stderr.isatty(),
    )
    with _progress("Reading", None, wishes):
        claims = _read(claim_list)
    report = carry_out(lambda services: _backfill(services, claims, wishes))
    if json_:
        print(json.dumps(as_json(report), ensure_ascii=False, indent=2))
    else:
        show(report, Console())
    raise SystemExit(ExitCode.DONE if report.is_good else ExitCode.REFUSED)


def _read(path: Path) -> ClaimList:
    try:
        return read_list(path)
    except UnreadableList as error:
        print(f"{error} ({error.code})", file=sys.stderr)
        print(error.action, file=sys.stderr)
        raise SystemExit(ExitCode.REFUSED) from None


async def _backfill(services: Services, claims: ClaimList, wishes: Wishes) -> BackfillReport:
    with _progress("Checking", len(claims.rows), wishes) as advance:
        plan = await check_list(
            ExportBackfill(services.connection),
            wishes.organization_id,
            wishes.target,
            claims,
            advance,
        )
    report = BackfillReport(
        wishes.organization_id, claims, plan, plan.bad_rows, {}, is_written=False
    )
    if not wishes.writes or (plan.bad_rows and not wishes.skips_bad_rows):
        return report
    recorder = Recorder.of(
        services,
        wishes.organization_id,
        plan.target,
        claims,
        actor=wishes.actor,
        skips_bad_rows=wishes.skips_bad_rows,
        patience=wishes.wait,
    )
    with _progress("Writing", sum(len(run.rows) for run in plan.runs), wishes) as advance:
        return await _recorded(recorder, plan, replace(report, is_written=True), advance)


async def _recorded(
    recorder: Recorder, plan: Plan, report: BackfillReport, advance: Callable[[int], None]
) -> BackfillReport:
    """The report with the runs that were recorded, also when a later one was not."""
    if not any(run.rows for run in plan.runs):
        return report
    file = await recorder.store_list()
    for place, planned in enumerate(plan.runs):
        try:
            told = await recorder.record(planned, file, advance)
        except Stopped as stop:
            return _stopped(report, stop, planned.file_name)
        runs = dict(report.recorded)
        if told.run is not None:
            runs[place] = told.run
        report = replace(report, recorded=runs, bad_rows=(*report.bad_rows, *told.bad_rows))
    return report


def _stopped(report: BackfillReport, stop: Stopped, file_name: str) -> BackfillReport:
    return replace(
        report,
        bad_rows=(*report.bad_rows, *stop.bad_rows),
        stopped=f"Stopped: rows of {file_name} became bad while it was written. Nothing of that "
        "file was recorded; files before it were. Correct the list and run the command again.",
    )


@contextmanager
def _progress(what: str, rows: int | None, wishes: Wishes) -> Iterator[Callable[[int], None]]:
    with Progress(
        console=Console(stderr=True), disable=not wishes.shows_progress, transient=True
    ) as bar:
        task = bar.add_task(what, total=rows)
        yield lambda count: bar.advance(task, count)
