"""Vouchers: balanced accounting documents, the same for every target."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from exporters.claim import Claim

_LEAST_LINES: Final = 2
_CENT: Final = Decimal("0.01")


class UnbalancedVoucherError(ValueError):
    """A voucher that no ledger may see was about to be made: a defect, never bad input."""


class JournalLine(NamedTuple):
    """One debit (positive `amount`) or credit (negative) of a voucher.

    Each line knows its claim, so a voucher may hold the lines of several claims. `line_number` is
    the claim line's, and 0 on the payable line. `document_date` is the expense's date, on the
    payable line the approval's. `subledger_number` is the claimant's number where the posting
    rule asks for it.
    """

    claim: Claim
    side: Literal["expense", "payable"]
    line_number: int
    expense_type: str | None
    account_code: str
    tax_code: str | None
    amount: Decimal
    text: str
    document_date: date
    due_date: date | None
    dimensions: Mapping[str, str]
    subledger_number: str | None


@dataclass(frozen=True, slots=True)
class Voucher:
    """One accounting document whose lines sum to exactly zero.

    `number` is the engine's running number, `document_number` the form the target wants it in.
    `kind` says whether it enters claims or takes them back; each claim's own number stays on its
    lines, so a reversal names what it reverses.

    Raises:
        UnbalancedVoucherError: fewer than two lines, a zero line, a line in other money than the
            voucher's or finer than a hundredth, or lines that do not sum to zero.
    """

    number: int
    document_number: str
    kind: Literal["entry", "reversal"]
    posting_date: date
    currency: str
    lines: tuple[JournalLine, ...]

    def __post_init__(self) -> None:
        amounts = [line.amount for line in self.lines]
        if len(amounts) < _LEAST_LINES:
            raise UnbalancedVoucherError(f"Voucher {self.number} has fewer than two lines.")
        if not all(amounts):
            raise UnbalancedVoucherError(f"Voucher {self.number} has a line of zero.")
        if sum(amounts):
            raise UnbalancedVoucherError(f"Voucher {self.number} is out by {sum(amounts)}.")
        for line in self.lines:
            if line.claim.currency != self.currency:
                raise UnbalancedVoucherError(f"Voucher {self.number} mixes currencies.")
            if not is_exact(line.amount):
                raise UnbalancedVoucherError(f"Voucher {self.number} holds parts of a hundredth.")

    def place_of(self, line: JournalLine) -> int:
        """Count from 1; two equal lines have different places."""
        return next(place for place, other in enumerate(self.lines, 1) if other is line)


def is_exact(amount: Decimal) -> bool:
    """Tell whether an amount is a finite number of whole hundredths."""
    return amount.is_finite() and amount == amount.quantize(_CENT)
