"""What a file repays to whom."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final, NamedTuple

from exporters.voucher import JournalLine, Voucher

_NOTHING: Final = Decimal("0.00")

_Key = tuple[str, str | None, str]


class ClaimantTotal(NamedTuple):
    """Claims and vouchers of one claimant in one currency; without a name it is the rest."""

    number: str | None
    name: str | None
    currency: str
    claim_count: int
    voucher_count: int
    amount: Decimal


class _Sum:
    __slots__ = ("amount", "claim_count", "last_claim", "last_voucher", "voucher_count")

    def __init__(self) -> None:
        self.amount = _NOTHING
        self.claim_count = self.voucher_count = self.last_voucher = 0
        self.last_claim = ""

    def add(self, voucher: Voucher, line: JournalLine) -> None:
        # Vouchers come one after the other, and within them claim after claim: the last is enough.
        if voucher.number != self.last_voucher:
            self.last_voucher = voucher.number
            self.voucher_count += 1
        if line.claim.claim_number != self.last_claim:
            self.last_claim = line.claim.claim_number
            self.claim_count += 1
        if line.side == "expense":
            self.amount += line.amount


class ClaimantTotals:
    """Sums vouchers per claimant, up to a number of claimants; the others are one."""

    def __init__(self, *, most_claimants: int) -> None:
        self._most_claimants = most_claimants
        self._sums: dict[_Key, _Sum] = {}
        self._rest: dict[str, _Sum] = {}

    def add(self, voucher: Voucher) -> None:
        """Count a voucher that is in the file."""
        for line in voucher.lines:
            self._sum_of(line, voucher.currency).add(voucher, line)

    def totals(self) -> Iterator[ClaimantTotal]:
        """Give the claimants by name and number, the rest last."""
        for (name, number, currency), found in sorted(
            self._sums.items(), key=lambda item: (item[0][0], item[0][1] or "", item[0][2])
        ):
            yield _total(number, name, currency, found)
        for currency, found in sorted(self._rest.items(), key=lambda item: item[0]):
            yield _total(None, None, currency, found)

    def _sum_of(self, line: JournalLine, currency: str) -> _Sum:
        claimant = line.claim.claimant
        key = (claimant.name, claimant.number, currency)
        found = self._sums.get(key)
        if found is None:
            if len(self._sums) >= self._most_claimants:
                return self._rest.setdefault(currency, _Sum())
            found = self._sums[key] = _Sum()
        return found


def _total(number: str | None, name: str | None, currency: str, found: _Sum) -> ClaimantTotal:
    return ClaimantTotal(
        number, name, currency, found.claim_count, found.voucher_count, found.amount
    )
