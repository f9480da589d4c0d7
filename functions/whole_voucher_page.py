"""The page of the verification sheet that tells each voucher in one row, for large files."""

from exporters.side_totals import SideTotals
from exporters.voucher import Voucher
from exporters.whole_voucher import WholeVoucher
from functions.sheet_words import SheetWords
from functions.workbook import Column, Workbook


class WholeVoucherPage:
    """Takes the vouchers in the file's order; those beyond a number are one row per currency."""

    def __init__(
        self, workbook: Workbook, words: SheetWords, *, place: int, most_vouchers: int
    ) -> None:
        self._words = words
        self._table = workbook.table(words.vouchers, self._columns(), place=place)
        self._rows_left = most_vouchers
        self._open: WholeVoucher | None = None
        self._rest: dict[str, SideTotals] = {}

    def add(self, voucher: Voucher) -> None:
        """Write the voucher before, unless the claim shares it."""
        if self._open is not None and self._open.number == voucher.number:
            self._open.add(voucher)
            return
        self._write()
        self._open = WholeVoucher(voucher)

    def close(self) -> None:
        """Write the last voucher and the rest, and end the page."""
        self._write()
        for currency, rest in sorted(self._rest.items()):
            nothing = (None,) * 4
            self._table.append((self._words.others, *nothing, rest.debit, rest.credit, currency))
        self._table.close()

    def _write(self) -> None:
        whole = self._open
        if whole is None:
            return
        if self._rows_left == 0:
            sides = SideTotals(whole.debit, whole.credit)
            before = self._rest.get(whole.currency)
            self._rest[whole.currency] = before + sides if before else sides
            return
        self._rows_left -= 1
        self._table.append(
            (
                str(whole.number),
                whole.document_number,
                whole.posting_date,
                _claims(whole),
                self._words.several if whole.claimant is None else whole.claimant,
                whole.debit,
                whole.credit,
                whole.currency,
            )
        )

    def _columns(self) -> list[Column]:
        words = self._words
        return [
            Column(words.voucher_number, 10),
            Column(words.document_number, 16),
            Column(words.posting_date, 12),
            Column(words.claims, 30),
            Column(words.claimant, 24),
            Column(words.debit, 14),
            Column(words.credit, 14),
            Column(words.currency, 8),
        ]


def _claims(whole: WholeVoucher) -> str:
    if whole.claim_count == 1:
        return whole.first_claim
    return f"{whole.first_claim} ... {whole.last_claim} ({whole.claim_count})"
