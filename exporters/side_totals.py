"""What a file books on each side."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from exporters.breakdown import BreakdownGroup

_NOTHING: Final = Decimal("0.00")


@dataclass(frozen=True)
class SideTotals:
    """What a file books in one currency."""

    debit: Decimal
    credit: Decimal

    def __add__(self, other: "SideTotals") -> "SideTotals":
        return SideTotals(self.debit + other.debit, self.credit + other.credit)


def side_totals(groups: Iterable[BreakdownGroup]) -> dict[str, SideTotals]:
    """Sum debit and credit per currency."""
    sums: dict[str, SideTotals] = {}
    for group in groups:
        before = sums.get(group.currency, SideTotals(_NOTHING, _NOTHING))
        sums[group.currency] = before + SideTotals(group.debit, group.credit)
    return dict(sorted(sums.items()))
