"""What a backfill found and did, for a person and as JSON. Rows are named by their line."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.backfill_check import DUPLICATE, MALFORMED, BadRow, Plan, PlannedRun, totals_of
from cli.backfill_list import ClaimList
from functions.export_backfill import Verdict
from functions.export_run import ExportRun

_SHOWN_ROWS: Final = 50
_SENTENCES: Final[Mapping[str, str]] = {
    MALFORMED: "cannot be read",
    DUPLICATE: "the claim is in the list before",
    Verdict.UNKNOWN: "there is no such claim",
    Verdict.FOREIGN: "the claim belongs to another organisation",
    Verdict.NUMBER_DIFFERS: "claim_id and claim_number are of two claims",
    Verdict.NOT_APPROVED: "the claim is not approved",
    Verdict.EXPORTED: "exported already",
    Verdict.IN_ANOTHER_RUN: "in another run now",
    Verdict.DATE_IN_FUTURE: "exported_on is in the future",
    Verdict.BEING_EDITED: "somebody is editing the claim now",
}


@dataclass(frozen=True)
class BackfillReport:
    """`recorded` holds the runs that are complete now, by their place in the plan."""

    organization_id: UUID
    claims: ClaimList
    plan: Plan
    bad_rows: tuple[BadRow, ...]
    recorded: Mapping[int, ExportRun]
    is_written: bool
    stopped: str | None = None

    @property
    def is_good(self) -> bool:
        """Whether every row of the list is recorded, or can be."""
        return not self.bad_rows and self.stopped is None


def as_json(report: BackfillReport) -> Mapping[str, object]:
    """For scripts; amounts are text."""
    claims = report.claims
    runs = report.plan.runs
    return {
        "organization_id": str(report.organization_id),
        "target": report.plan.target or None,
        "list": {"name": claims.name, "sha256": claims.sha256, "rows": _row_count(report)},
        "ignored_columns": list(claims.ignored_columns),
        "written": report.is_written,
        "stopped": report.stopped,
        "counts": {
            "usable": sum(len(run.rows) for run in runs),
            "done": sum(run.done_count for run in runs),
            "bad": len(report.bad_rows),
        },
        "totals": _amounts(totals_of([row for run in runs for row in run.rows])),
        "runs": [_run_json(run, report.recorded.get(place)) for place, run in enumerate(runs)],
        "bad_rows": [_bad_json(row) for row in report.bad_rows],
    }


def _row_count(report: BackfillReport) -> int:
    return len(report.claims.rows) + len(report.claims.malformed)


def _run_json(planned: PlannedRun, recorded: ExportRun | None) -> Mapping[str, object]:
    return {
        "exported_on": planned.exported_on.isoformat(),
        "file_name": planned.file_name,
        "claims": len(planned.rows),
        "totals": _amounts(planned.totals),
        "done": planned.done_count,
        "done_in_runs": list(planned.done_run_numbers),
        "run": None if recorded is None else _recorded_json(recorded),
    }


def _recorded_json(run: ExportRun) -> Mapping[str, object]:
    return {
        "run_id": str(run.run_id),
        "run_number": run.run_number,
        "claims": run.claim_count,
        "totals": _amounts(run.totals or {}),
    }


def _bad_json(row: BadRow) -> Mapping[str, object]:
    return {
        "line": row.line,
        "verdict": row.verdict,
        "claim": row.claim,
        "run_number": row.run_number,
        "detail": row.detail,
    }


def _amounts(totals: Mapping[str, Decimal]) -> Mapping[str, str]:
    return {currency: f"{amount:.2f}" for currency, amount in totals.items()}


def show(report: BackfillReport, console: Console) -> None:
    """Tables and one last sentence that says what to do."""
    if report.plan.runs:
        console.print(_runs_table(report))
    if report.bad_rows:
        console.print(_bad_table(report.bad_rows))
    if report.claims.ignored_columns:
        names = ", ".join(report.claims.ignored_columns)
        console.print(f"Columns that mean nothing here: {escape(names)}.")
    for sentence in _last_words(report):
        console.print(escape(sentence), soft_wrap=True)


def _runs_table(report: BackfillReport) -> Table:
    table = Table(title="Runs" if report.is_written else "Runs to be")
    for name in ("Exported on", "File", "Claims", "Amount", "Done before", "Run"):
        is_number = name in ("Claims", "Done before")
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for place, planned in enumerate(report.plan.runs):
        recorded = report.recorded.get(place)
        numbers = [*planned.done_run_numbers, *([recorded.run_number] if recorded else [])]
        table.add_row(
            planned.exported_on.isoformat(),
            escape(planned.file_name),
            str(len(planned.rows)),
            _sums(planned.totals),
            str(planned.done_count),
            ", ".join(map(str, numbers)),
        )
    return table


def _sums(totals: Mapping[str, Decimal]) -> str:
    return "\n".join(f"{amount:,.2f} {currency}" for currency, amount in totals.items())


def _bad_table(rows: Sequence[BadRow]) -> Table:
    table = Table(title="Rows that cannot be recorded")
    for name in ("Line", "Claim", "Why"):
        table.add_column(name, justify="right" if name == "Line" else "left", overflow="fold")
    for row in rows[:_SHOWN_ROWS]:
        table.add_row(str(row.line), escape(row.claim or ""), escape(_why(row)))
    if len(rows) > _SHOWN_ROWS:
        table.add_row("...", "", f"and {len(rows) - _SHOWN_ROWS} more; --json names all of them")
    return table


def _why(row: BadRow) -> str:
    sentence = _SENTENCES.get(row.verdict, "cannot be recorded")
    if row.run_number is not None:
        sentence += f", run {row.run_number}"
    if row.detail:
        sentence += f": {row.detail}"
    return f"{sentence} ({row.verdict})"


def _last_words(report: BackfillReport) -> list[str]:
    usable = sum(len(run.rows) for run in report.plan.runs)
    done = sum(run.done_count for run in report.plan.runs)
    verdicts = Counter(row.verdict for row in report.bad_rows)
    bad = "".join(f", {count} {verdict}" for verdict, count in sorted(verdicts.items()))
    summary = (
        f"{_row_count(report)} rows for {report.plan.target or 'no target'}: {usable} to record, "
        f"{done} already done by this list, {len(report.bad_rows)} bad{bad}."
    )
    return [summary, report.stopped or _what_next(report, usable)]


def _what_next(report: BackfillReport, usable: int) -> str:
    if not usable:
        return "Nothing to write."
    if report.is_written:
        claims = sum(run.claim_count or 0 for run in report.recorded.values())
        return f"Recorded {claims} claims in {len(report.recorded)} runs."
    if report.bad_rows:
        return (
            "Nothing was written. Correct the list (docs/moving-in.md says how), or write the "
            "other rows with --write --skip-bad-rows."
        )
    return "Dry run: nothing was written. Write it with --write."
