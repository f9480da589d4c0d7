"""The page of the verification sheet that tells the claims that are not in the file."""

from decimal import Decimal
from typing import Final, NamedTuple

from functions.sheet_words import SheetWords
from functions.workbook import Column, Workbook

_NOTHING: Final = Decimal("0.00")


class LeftOutRow(NamedTuple):
    """A claim that is not in the file; the sentences are in the sheet's language."""

    claim_number: str
    reason: str
    action: str
    field: str
    note: str
    amount: Decimal
    currency: str


class LeftOutPage:
    """Takes the claims one by one; those beyond a number are one row per currency."""

    def __init__(
        self, workbook: Workbook, words: SheetWords, *, place: int, most_claims: int
    ) -> None:
        self._words = words
        self._table = workbook.table(words.left_out, self._columns(), place=place)
        self._most_claims = most_claims
        self._rest: dict[str, Decimal] = {}
        self.claim_count = 0

    def add(self, row: LeftOutRow) -> None:
        """Write the next claim."""
        self.claim_count += 1
        if self.claim_count <= self._most_claims:
            self._table.append(row)
        else:
            self._rest[row.currency] = self._rest.get(row.currency, _NOTHING) + row.amount

    def close(self) -> None:
        """Write the rest and end the page."""
        for currency, amount in sorted(self._rest.items()):
            self._table.append((self._words.others, *(None,) * 4, amount, currency))
        self._table.close()

    def _columns(self) -> list[Column]:
        words = self._words
        return [
            Column(words.claim_number, 18),
            Column(words.reason, 60),
            Column(words.action, 60),
            Column(words.field, 24),
            Column(words.note, 60),
            Column(words.amount, 14),
            Column(words.currency, 8),
        ]
