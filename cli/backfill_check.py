"""What a list comes to: the database judges each row, doubles are found, the rest becomes runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import groupby
from typing import Final
from uuid import UUID

from cli.backfill_list import ClaimList, ListRow, MalformedRow
from functions.export_backfill import PAGE_ROWS, ExportBackfill, JudgedPage, JudgedRow, Verdict

DUPLICATE: Final = "duplicate"
MALFORMED: Final = "malformed"
_GOOD: Final = frozenset({Verdict.USABLE, Verdict.RESUMABLE})


@dataclass(frozen=True)
class BadRow:
    """A row that is not recorded. `detail`: the line that was first, or what is malformed."""

    line: int
    verdict: str
    claim: str | None = None
    run_number: int | None = None
    detail: str | None = None


@dataclass(frozen=True)
class PlannedRow:
    """A claim that can be recorded, and what it amounts to now."""

    listed: ListRow
    claim_id: UUID
    amount: Decimal
    currency: str


@dataclass(frozen=True)
class PlannedRun:
    """The rows of one day and one file. Rows that this list recorded before are only counted."""

    exported_on: date
    file_name: str
    rows: tuple[PlannedRow, ...]
    done_count: int
    done_run_numbers: tuple[int, ...]

    @property
    def totals(self) -> Mapping[str, Decimal]:
        """Per currency."""
        return totals_of(self.rows)


@dataclass(frozen=True)
class Plan:
    """What would be written, and what stands in the way."""

    target: str
    runs: tuple[PlannedRun, ...]
    bad_rows: tuple[BadRow, ...]


async def check_list(
    backfill: ExportBackfill,
    organization_id: UUID,
    target: str | None,
    claims: ClaimList,
    advance: Callable[[int], None],
) -> Plan:
    """Judges the whole list, page by page; writes nothing."""
    judged: list[tuple[ListRow, JudgedRow]] = []
    # A list of malformed rows only still names its target, or is told that there is none.
    for page in pages(claims.rows):
        told = await backfill.check(
            organization_id, target, claims.sha256, [_as_sent(row) for row in page]
        )
        judged.extend(_beside(page, told))
        target = told.target
        advance(len(page))
    return _plan(target or "", judged, claims.malformed)


def pages(rows: Sequence[ListRow]) -> Iterator[Sequence[ListRow]]:
    """The rows in pieces that one call may carry."""
    return (rows[start : start + PAGE_ROWS] for start in range(0, len(rows), PAGE_ROWS))


def totals_of(rows: Sequence[PlannedRow]) -> Mapping[str, Decimal]:
    """Per currency, by name."""
    totals: dict[str, Decimal] = {}
    for row in rows:
        totals[row.currency] = totals.get(row.currency, Decimal(0)) + row.amount
    return dict(sorted(totals.items()))


def bad_row(row: ListRow, judged: JudgedRow) -> BadRow:
    """How a row is reported that the database would not take."""
    return BadRow(
        row.line, judged.verdict, row.claim_number or str(row.claim_id), judged.run_number
    )


def _as_sent(row: ListRow) -> Mapping[str, object]:
    return {
        "line": row.line,
        "claim_id": row.claim_id,
        "claim_number": row.claim_number,
        "exported_on": row.exported_on,
        "file_name": row.file_name,
        "voucher_number": row.voucher_number,
    }


def _beside(page: Sequence[ListRow], told: JudgedPage) -> Iterator[tuple[ListRow, JudgedRow]]:
    judged = {row.line: row for row in told.rows}
    return ((row, judged[row.line]) for row in page)


def _plan(
    target: str, judged: Sequence[tuple[ListRow, JudgedRow]], malformed: Sequence[MalformedRow]
) -> Plan:
    bad = [BadRow(row.line, MALFORMED, detail=row.problem) for row in malformed]
    first_line: dict[UUID, int] = {}
    kept: list[tuple[ListRow, JudgedRow]] = []
    for row, verdict in judged:
        # Two rows may name the same claim by id and by number, so that only the database knows.
        first = row.line
        if verdict.claim_id is not None:
            first = first_line.setdefault(verdict.claim_id, row.line)
        if first != row.line:
            claim = row.claim_number or str(row.claim_id)
            bad.append(BadRow(row.line, DUPLICATE, claim, detail=f"line {first}"))
        elif verdict.verdict in _GOOD or verdict.verdict is Verdict.DONE:
            kept.append((row, verdict))
        else:
            bad.append(bad_row(row, verdict))
    return Plan(target, tuple(_runs(kept)), tuple(sorted(bad, key=lambda row: row.line)))


def _runs(kept: Sequence[tuple[ListRow, JudgedRow]]) -> Iterator[PlannedRun]:
    def group(pair: tuple[ListRow, JudgedRow]) -> tuple[date, str]:
        return pair[0].exported_on, pair[0].file_name

    for (exported_on, file_name), members in groupby(sorted(kept, key=group), group):
        pairs = tuple(members)
        done = [judged for _, judged in pairs if judged.verdict is Verdict.DONE]
        yield PlannedRun(
            exported_on,
            file_name,
            tuple(_planned(row, judged) for row, judged in pairs if judged.verdict in _GOOD),
            len(done),
            tuple(sorted({judged.run_number for judged in done if judged.run_number})),
        )


def _planned(row: ListRow, judged: JudgedRow) -> PlannedRow:
    if judged.claim_id is None or judged.amount is None or judged.currency is None:
        raise AssertionError  # the database says all three of a usable row
    return PlannedRow(row, judged.claim_id, judged.amount, judged.currency)
