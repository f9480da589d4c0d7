"""How an export that is to come differs from those before it."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from exporters.breakdown import Breakdown
from exporters.run_renderer import RenderSummary
from functions.export_run import Breakdown as StoredBreakdown
from functions.export_run import ExportRun

_TIMES: Final = 3


@dataclass(frozen=True)
class Compared:
    """A number beside that of the last run and the median of the last few.

    `is_unusual`: more than three times the median, less than a third of it, of the other sign, or
    in a currency that none of those runs had.
    """

    now: Decimal
    last: Decimal | None
    median: Decimal | None
    is_unusual: bool


@dataclass(frozen=True)
class RunDifference:
    """What is new, against the last completed run of the target.

    New accounts and dimensions are None where that run's breakdown is not known in full.
    """

    last_run: ExportRun
    run_count: int
    claim_count: Compared
    totals: Mapping[str, Compared]
    new_accounts: tuple[str, ...] | None
    new_dimension_values: Mapping[str, tuple[str, ...]] | None


def difference(
    summary: RenderSummary,
    breakdown: Breakdown,
    runs: Sequence[tuple[ExportRun, StoredBreakdown | None]],
    *,
    is_cut: bool,
) -> RunDifference | None:
    """None without an earlier run. What `is_cut` is not called too small."""
    if not runs:
        return None
    last, last_breakdown = runs[0]
    is_known = last_breakdown is not None and not last_breakdown.cut and not breakdown.is_cut
    used = last_breakdown if is_known else None
    counts = [Decimal(run.claim_count) for run, _ in runs if run.claim_count is not None]
    return RunDifference(
        last_run=last,
        run_count=len(runs),
        claim_count=_compared(Decimal(summary.claim_count), counts[:1], counts, is_cut=is_cut),
        totals=_totals(summary, [run for run, _ in runs], is_cut=is_cut),
        new_accounts=_new_accounts(breakdown, used) if used else None,
        new_dimension_values=_new_values(breakdown, used) if used else None,
    )


def _totals(
    summary: RenderSummary, runs: Sequence[ExportRun], *, is_cut: bool
) -> dict[str, Compared]:
    before = [run.totals or {} for run in runs]
    return {
        currency: _compared(
            summary.totals.get(currency, Decimal("0.00")),
            [before[0][currency]] if currency in before[0] else [],
            [totals[currency] for totals in before if currency in totals],
            is_cut=is_cut,
        )
        for currency in sorted({*summary.totals, *before[0]})
    }


def _compared(
    now: Decimal, last: Sequence[Decimal], before: Sequence[Decimal], *, is_cut: bool
) -> Compared:
    median = statistics.median(before) if before else None
    return Compared(
        now=now,
        last=last[0] if last else None,
        median=median,
        is_unusual=median is None or _is_far(now, median, is_cut=is_cut),
    )


def _is_far(now: Decimal, median: Decimal, *, is_cut: bool) -> bool:
    if now * median < 0 or abs(now) > _TIMES * abs(median):
        return True
    return not is_cut and _TIMES * abs(now) < abs(median)


def _new_accounts(breakdown: Breakdown, used: StoredBreakdown) -> tuple[str, ...]:
    known = {group.account_code for group in used.groups}
    found = {group.account_code for group in breakdown.groups()}
    return tuple(sorted(code for code in found - known if code is not None))


def _new_values(breakdown: Breakdown, used: StoredBreakdown) -> dict[str, tuple[str, ...]]:
    known = _pairs(group.dimensions for group in used.groups)
    new = _pairs(group.dimensions for group in breakdown.groups()) - known
    names = sorted({name for name, _ in new})
    return {name: tuple(sorted(code for of, code in new if of == name)) for name in names}


def _pairs(groups: Iterable[Mapping[str, str] | None]) -> set[tuple[str, str]]:
    return {pair for dimensions in groups for pair in (dimensions or {}).items()}
