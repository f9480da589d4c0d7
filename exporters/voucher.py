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

    Each line knows its claim. `line_number` is the claim line's, and 0 on the payable line.
    `document_date` is the expense's date, on the payable line the approval's. `subledger_number`
    is the claimant's number where the posting rule asks for it.
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
    """An accounting document, or what one claim has in it; the lines sum to exactly zero.

    Claims that share a document come one after the other, each with the document's number and
    posting date. `lines_before` counts the lines that the document has already.

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
    lines_before: int = 0

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
        """Count the document's lines from 1; two equal lines have different places."""
        first = self.lines_before + 1
        return next(place for place, other in enumerate(self.lines, first) if other is line)


def is_exact(amount: Decimal) -> bool:
    """Tell whether an amount is a finite number of whole hundredths."""
    return amount.is_finite() and amount == amount.quantize(_CENT)
