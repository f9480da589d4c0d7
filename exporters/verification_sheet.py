"""The accountant's sheet beside a file: its totals and every line, written from the same vouchers.

Memory does not grow with the run but for accounts and claimants, and these up to a limit.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from exporters.breakdown import Breakdown, BreakdownGroup
from exporters.claimant_totals import ClaimantTotals
from exporters.notice import Notice
from exporters.run_facts import RunFacts
from exporters.run_renderer import RenderSummary
from exporters.sheet_words import SheetWords
from exporters.voucher import JournalLine, Voucher
from exporters.workbook import MOST_ROWS, Column, Sheet, Style, Styled, Table, Value, Workbook

_MOST_GROUPS: Final = 50_000
_NOTHING: Final = Decimal("0.00")
# In the order of the tabs.
_SUMMARY, _ACCOUNTS, _DIMENSIONS, _CLAIMANTS, _VOUCHERS, _LEFT_OUT = range(6)

Cells = Iterable[Value | Styled]


class LeftOutRow(NamedTuple):
    """A claim that is not in the file; the sentences are in the sheet's language."""

    claim_number: str
    reason: str
    action: str
    field: str
    note: str
    amount: Decimal
    currency: str


@dataclass(frozen=True)
class SideTotals:
    """What a file books in one currency."""

    debit: Decimal
    credit: Decimal


class VerificationSheet:
    """Takes the vouchers, then what was left out, then the facts of the run; used once."""

    def __init__(
        self,
        write: Callable[[bytes], object],
        words: SheetWords,
        shown_dimensions: tuple[str, ...],
        *,
        most_rows: int = MOST_ROWS,
    ) -> None:
        self._words = words
        self._names = shown_dimensions
        self._workbook = Workbook(write, most_rows=most_rows)
        self._breakdown = Breakdown(shown_dimensions, most_groups=_MOST_GROUPS)
        self._claimants = ClaimantTotals(most_claimants=_MOST_GROUPS)
        self._left_out_count = 0
        self._table: Table = self._workbook.table(
            words.vouchers, self._voucher_columns(), place=_VOUCHERS
        )
        self._has_all_vouchers = False

    def add(self, voucher: Voucher) -> None:
        """Write the lines of a voucher that is in the file."""
        self._breakdown.add(voucher)
        self._claimants.add(voucher)
        for line in voucher.lines:
            self._table.append(self._voucher_row(voucher, line))

    def leave_out(self, rows: Iterable[LeftOutRow]) -> None:
        """Write claims that are not in the file; no voucher comes afterwards."""
        self._end_vouchers()
        for row in rows:
            self._left_out_count += 1
            self._table.append(row)

    def finish(
        self, facts: RunFacts, summary: RenderSummary, notices: Sequence[Notice]
    ) -> dict[str, SideTotals]:
        """Write the totals and close the workbook; give debit and credit per currency."""
        self._end_vouchers()
        self._table.close()
        groups = self._breakdown.groups()
        sides = side_totals(groups)
        self._write_claimants()
        self._write_dimensions(groups)
        self._write_accounts(groups)
        self._write_summary(facts, summary, sides, notices)
        self._workbook.close(
            title=f"{self._words.title}: {facts.file_name}",
            author=facts.organization_name,
            created=facts.completed_at_utc,
        )
        return sides

    def _end_vouchers(self) -> None:
        if self._has_all_vouchers:
            return
        self._has_all_vouchers = True
        self._table.close()
        words = self._words
        columns = [
            Column(words.claim_number, 18),
            Column(words.reason, 60),
            Column(words.action, 60),
            Column(words.field, 24),
            Column(words.note, 60),
            Column(words.amount, 14),
            Column(words.currency, 8),
        ]
        self._table = self._workbook.table(words.left_out, columns, place=_LEFT_OUT)

    def _voucher_columns(self) -> list[Column]:
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

    def _voucher_row(self, voucher: Voucher, line: JournalLine) -> Cells:
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

    def _write_claimants(self) -> None:
        words = self._words
        columns = [
            Column(words.claimant_number, 20),
            Column(words.claimant, 32),
            Column(words.claims, 10),
            Column(words.voucher_count, 10),
            Column(words.amount, 16),
            Column(words.currency, 8),
        ]
        table = self._workbook.table(words.claimants, columns, place=_CLAIMANTS)
        for found in self._claimants.totals():
            name = words.others if found.name is None else found.name
            table.append(
                (
                    found.number,
                    name,
                    found.claim_count,
                    found.voucher_count,
                    found.amount,
                    found.currency,
                )
            )
        table.close()

    def _write_dimensions(self, groups: Iterable[BreakdownGroup]) -> None:
        words = self._words
        columns = [Column(words.dimension, 20), Column(words.value, 24), *self._sums_columns()]
        table = self._workbook.table(words.dimensions, columns, place=_DIMENSIONS)
        for name in self._names:
            sums: dict[tuple[str, str], BreakdownGroup] = {}
            for group in groups:
                key = (self._value_of(group, name), group.currency)
                sums[key] = _added(sums[key], group) if key in sums else group
            for (value, _), found in sorted(sums.items(), key=lambda item: item[0]):
                table.append((name, value, *_sums(found)))
        table.close()

    def _value_of(self, group: BreakdownGroup, name: str) -> str:
        if group.dimensions is None:
            return self._words.others
        return group.dimensions.get(name, self._words.without)

    def _write_accounts(self, groups: Iterable[BreakdownGroup]) -> None:
        words = self._words
        columns = [
            Column(words.account, 14),
            *(Column(name, 16) for name in self._names),
            *self._sums_columns(),
        ]
        table = self._workbook.table(words.accounts, columns, place=_ACCOUNTS)
        for group in groups:
            dimensions = group.dimensions or {}
            account = words.others if group.account_code is None else group.account_code
            table.append((account, *(dimensions.get(name) for name in self._names), *_sums(group)))
        table.close()

    def _sums_columns(self) -> list[Column]:
        words = self._words
        return [
            Column(words.debit, 16),
            Column(words.credit, 16),
            Column(words.currency, 8),
            Column(words.lines, 13),
        ]

    def _write_summary(
        self,
        facts: RunFacts,
        summary: RenderSummary,
        sides: dict[str, SideTotals],
        notices: Sequence[Notice],
    ) -> None:
        words = self._words
        sheet = self._workbook.begin_sheet(
            words.summary, (28, 26, 18, 18), place=_SUMMARY, has_headings=False
        )
        sheet.append((Styled(f"{words.title}: {facts.organization_name}", Style.TITLE),))
        sheet.append(())
        for label, value in self._facts(facts, summary):
            style = Style.FACT_DATE if isinstance(value, date) else Style.FACT
            sheet.append((Styled(label, Style.LABEL), Styled(value, style)))
        self._write_control_totals(sheet, summary, sides)
        if notices:
            sheet.append(())
            sheet.append((Styled(words.notices_title, Style.HEADING),))
            for notice in notices:
                sheet.append((self._said(notice),))
        sheet.append(())
        sheet.append((Styled(words.checked_by, Style.LABEL),))
        sheet.append((Styled(words.checked_on, Style.LABEL),))
        self._workbook.end_sheet(sheet, f"A1:D{sheet.row_count}")

    def _facts(self, facts: RunFacts, summary: RenderSummary) -> Iterable[tuple[str, Value]]:
        words = self._words
        reverses = facts.reverses_run_number
        return (
            (words.organization, facts.organization_name),
            (words.target, facts.target),
            (words.format, facts.format),
            (words.layout, facts.layout_in_short),
            (words.run_number, facts.run_number),
            *(() if reverses is None else ((words.reverses, reverses),)),
            (words.period, f"{facts.period_from or words.open_start} - {facts.period_to}"),
            (words.export_date, facts.export_date),
            (words.triggered_by, facts.triggered_by or words.system),
            (words.completed, f"{facts.completed_at} ({facts.time_zone})"),
            (words.file_name, facts.file_name),
            (words.sha256, facts.file_sha256),
            (words.size, facts.file_size),
            (words.renderer_version, facts.renderer_version),
            (words.run_id, str(facts.run_id)),
            (words.claim_count, summary.claim_count),
            (words.left_out_count, self._left_out_count),
            (words.voucher_count, summary.voucher_count),
            (words.line_count, summary.line_count),
        )

    def _write_control_totals(
        self, sheet: Sheet, summary: RenderSummary, sides: dict[str, SideTotals]
    ) -> None:
        words = self._words
        sheet.append(())
        headings = (words.control_totals, words.claims_total, words.debit, words.credit)
        sheet.append(Styled(heading, Style.HEADING) for heading in headings)
        for currency, total in summary.totals.items():
            side = sides[currency]
            sheet.append((currency, total, side.debit, side.credit))

    def _said(self, notice: Notice) -> str:
        sentence = self._words.notices.get(notice.code, notice.code)
        return sentence.format(
            count=notice.count, field=notice.field, claim=notice.first_claim_number
        )


def side_totals(groups: Iterable[BreakdownGroup]) -> dict[str, SideTotals]:
    """Sum debit and credit per currency."""
    sums: dict[str, SideTotals] = {}
    for group in groups:
        before = sums.get(group.currency, SideTotals(_NOTHING, _NOTHING))
        sums[group.currency] = SideTotals(before.debit + group.debit, before.credit + group.credit)
    return dict(sorted(sums.items()))


def _added(left: BreakdownGroup, right: BreakdownGroup) -> BreakdownGroup:
    return left._replace(
        debit=left.debit + right.debit,
        credit=left.credit + right.credit,
        line_count=left.line_count + right.line_count,
    )


def _sums(group: BreakdownGroup) -> tuple[Decimal, Decimal, str, int]:
    return (group.debit, group.credit, group.currency, group.line_count)
