"""What a file books, per account, dimensions and currency."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from exporters.voucher import JournalLine, Voucher

MOST_GROUPS: Final = 2000
_NOTHING: Final = Decimal("0.00")

_Key = tuple[str | None, tuple[tuple[str, str], ...] | None, str]


class BreakdownGroup(NamedTuple):
    """Debit and credit of the lines that share account, dimensions and currency.

    Without account and dimensions it is the rest: what did not fit into the number of groups.
    """

    account_code: str | None
    dimensions: Mapping[str, str] | None
    currency: str
    debit: Decimal
    credit: Decimal
    line_count: int


class _Sum:
    __slots__ = ("credit", "debit", "line_count")

    def __init__(self) -> None:
        self.debit = self.credit = _NOTHING
        self.line_count = 0

    def add(self, amount: Decimal) -> None:
        self.line_count += 1
        if amount > 0:
            self.debit += amount
        else:
            self.credit -= amount


class Breakdown:
    """Sums vouchers in memory that does not grow with them, but with the groups up to a limit."""

    def __init__(
        self, shown_dimensions: tuple[str, ...], *, most_groups: int = MOST_GROUPS
    ) -> None:
        self._names = tuple(sorted(shown_dimensions))
        self._most_groups = most_groups
        self._sums: dict[_Key, _Sum] = {}
        self._rest: dict[str, _Sum] = {}

    @property
    def is_cut(self) -> bool:
        """Whether there were more groups than are kept apart."""
        return bool(self._rest)

    def add(self, voucher: Voucher) -> None:
        """Count a voucher that is in the file."""
        for line in voucher.lines:
            self._sum_of(line, voucher.currency).add(line.amount)

    def groups(self) -> tuple[BreakdownGroup, ...]:
        """Give the groups by account, dimensions and currency, the rest last."""
        kept = sorted(self._sums.items(), key=lambda item: item[0])
        rest: list[tuple[_Key, _Sum]] = [
            ((None, None, currency), self._rest[currency]) for currency in sorted(self._rest)
        ]
        return tuple(
            BreakdownGroup(
                account,
                None if dimensions is None else dict(dimensions),
                currency,
                found.debit,
                found.credit,
                found.line_count,
            )
            for (account, dimensions, currency), found in (*kept, *rest)
        )

    def _sum_of(self, line: JournalLine, currency: str) -> _Sum:
        given = line.dimensions
        dimensions = tuple((name, given[name]) for name in self._names if name in given)
        key = (line.account_code, dimensions, currency)
        found = self._sums.get(key)
        if found is None:
            if len(self._sums) >= self._most_groups:
                return self._rest.setdefault(currency, _Sum())
            found = self._sums[key] = _Sum()
        return found
