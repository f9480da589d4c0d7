"""The page of the verification sheet that tells every journal line of the file."""

from collections.abc import Iterable

from exporters.voucher import JournalLine, Voucher
from functions.sheet_words import SheetWords
from functions.workbook import Column, Styled, Value, Workbook


class JournalLinePage:
    """Takes the vouchers in the file's order."""

    def __init__(
        self, workbook: Workbook, words: SheetWords, names: tuple[str, ...], *, place: int
    ) -> None:
        self._words = words
        self._names = names
        self._table = workbook.table(words.vouchers, self._columns(), place=place)

    def add(self, voucher: Voucher) -> None:
        """Write its lines."""
        for line in voucher.lines:
            self._table.append(self._row(voucher, line))

    def close(self) -> None:
        """End the page."""
        self._table.close()

    def _columns(self) -> list[Column]:
        words = self._words
        return [
            Column(words.voucher_number, 10),
            Column(words.document_number, 16),
            Column(words.kind, 13),
            Column(words.posting_date, 12),
            Column(words.document_date, 14),
            Column(words.claim_number, 18),
            Column(words.claimant_number, 12),
            Column(words.claimant, 24),
            Column(words.account, 10),
            Column(words.subledger, 12),
            *(Column(name, 14) for name in self._names),
            Column(words.tax_code, 11),
            Column(words.debit, 14),
            Column(words.credit, 14),
            Column(words.currency, 8),
            Column(words.text, 50),
        ]

    def _row(self, voucher: Voucher, line: JournalLine) -> Iterable[Value | Styled]:
        claim, amount = line.claim, line.amount
        return (
            str(voucher.number),
            voucher.document_number,
            self._words.entry if voucher.kind == "entry" else self._words.reversal,
            voucher.posting_date,
            line.document_date,
            claim.claim_number,
            claim.claimant.number,
            claim.claimant.name,
            line.account_code,
            line.subledger_number,
            *(line.dimensions.get(name) for name in self._names),
            line.tax_code,
            amount if amount > 0 else None,
            -amount if amount < 0 else None,
            voucher.currency,
            line.text,
        )
