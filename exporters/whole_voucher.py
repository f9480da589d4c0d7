"""A voucher of the file as one, whatever number of claims shares it."""

from decimal import Decimal
from typing import Final

from exporters.voucher import JournalLine, Voucher

_NOTHING: Final = Decimal("0.00")


class WholeVoucher:
    """Takes what comes claim by claim. `claimant` is None when the claims have several."""

    def __init__(self, first: Voucher) -> None:
        self.number = first.number
        self.document_number = first.document_number
        self.posting_date = first.posting_date
        self.currency = first.currency
        self.first_claim = self.last_claim = first.lines[0].claim.claim_number
        self.claim_count = 1
        self.claimant: str | None = first.lines[0].claim.claimant.name
        self.debit = self.credit = _NOTHING
        self.add(first)

    def add(self, voucher: Voucher) -> None:
        """Count in what the next claim has in it."""
        for line in voucher.lines:
            self._count_claim(line)
            if line.amount > 0:
                self.debit += line.amount
            else:
                self.credit -= line.amount

    def _count_claim(self, line: JournalLine) -> None:
        # Claims come one after the other: the last is enough.
        if line.claim.claim_number == self.last_claim:
            return
        self.last_claim = line.claim.claim_number
        self.claim_count += 1
        if line.claim.claimant.name != self.claimant:
            self.claimant = None
