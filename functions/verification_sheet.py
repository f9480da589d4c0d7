"""The accountant's sheet beside a file: its totals and every line, written from the same vouchers.

Memory does not grow with the run but for accounts and claimants, and these up to a limit.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from exporters.breakdown import Breakdown, BreakdownGroup
from exporters.claimant_totals import ClaimantTotals
from exporters.notice import Notice
from exporters.run_facts import RunFacts
from exporters.run_renderer import RenderSummary
from exporters.side_totals import SideTotals, side_totals
from exporters.voucher import Voucher
from functions.journal_line_page import JournalLinePage
from functions.left_out_page import LeftOutPage, LeftOutRow
from functions.sheet_words import SheetWords
from functions.whole_voucher_page import WholeVoucherPage
from functions.workbook import Column, Sheet, Style, Styled, Value, Workbook

_MOST_GROUPS: Final = 50_000
# Temporary files hold every row, and are memory where functions run: about 100 MiB for these.
MOST_LINES: Final = 50_000
_MOST_VOUCHERS: Final = 100_000
_MOST_LEFT_OUT: Final = 20_000
# In the order of the tabs.
_SUMMARY, _ACCOUNTS, _DIMENSIONS, _CLAIMANTS, _VOUCHERS, _LEFT_OUT = range(6)


class VerificationSheet:
    """Takes the vouchers, what was left out, then the facts of the run; used once.

    `line_count` is the file's: of too many lines, a voucher is told in one row. `discard` it in the
    end, come what may.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        words: SheetWords,
        shown_dimensions: tuple[str, ...],
        *,
        line_count: int,
    ) -> None:
        self._words = words
        self._names = shown_dimensions
        self._workbook = Workbook(write)
        self._breakdown = Breakdown(shown_dimensions, most_groups=_MOST_GROUPS)
        self._claimants = ClaimantTotals(most_claimants=_MOST_GROUPS)
        self._is_by_line = line_count <= MOST_LINES
        self._vouchers = self._voucher_page()
        self._left_out = LeftOutPage(
            self._workbook, words, place=_LEFT_OUT, most_claims=_MOST_LEFT_OUT
        )

    def add(self, voucher: Voucher) -> None:
        """Write a voucher that is in the file."""
        self._breakdown.add(voucher)
        self._claimants.add(voucher)
        self._vouchers.add(voucher)

    def leave_out(self, rows: Iterable[LeftOutRow]) -> None:
        """Write claims that are not in the file."""
        for row in rows:
            self._left_out.add(row)

    def finish(
        self, facts: RunFacts, summary: RenderSummary, notices: Sequence[Notice]
    ) -> dict[str, SideTotals]:
        """Write the totals and close the workbook; give debit and credit per currency."""
        self._vouchers.close()
        self._left_out.close()
        groups = self._breakdown.groups()
        sides = side_totals(groups)
        self._write_claimants()
        self._write_dimensions(groups)
        self._write_accounts(groups)
        self._write_summary(facts, summary, sides, notices)
        self._workbook.close(
            title=f"{self._words.title}: {facts.file_name}",
            author=facts.organization_name,
            created=datetime.fromisoformat(facts.completed_at_utc),
        )
        return sides

    def discard(self) -> None:
        """Remove the temporary files, whether or not the sheet was finished."""
        self._workbook.discard()

    def _voucher_page(self) -> JournalLinePage | WholeVoucherPage:
        if self._is_by_line:
            return JournalLinePage(self._workbook, self._words, self._names, place=_VOUCHERS)
        return WholeVoucherPage(
            self._workbook, self._words, place=_VOUCHERS, most_vouchers=_MOST_VOUCHERS
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
        sheet = self._workbook.sheet(
            words.summary, (28, 26, 18, 18), place=_SUMMARY, has_headings=False
        )
        sheet.append((Styled(f"{words.title}: {facts.organization_name}", Style.TITLE),))
        sheet.append(())
        for label, value in self._facts(facts, summary):
            style = Style.FACT_DATE if isinstance(value, date) else Style.FACT
            sheet.append((Styled(label, Style.LABEL), Styled(value, style)))
        self._write_control_totals(sheet, summary, sides)
        said = list(self._remarks(summary, notices))
        if said:
            sheet.append(())
            sheet.append((Styled(words.notices_title, Style.HEADING),))
            for sentence in said:
                sheet.append((sentence,))
        sheet.append(())
        sheet.append((Styled(words.checked_by, Style.LABEL),))
        sheet.append((Styled(words.checked_on, Style.LABEL),))

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
            (words.left_out_count, self._left_out.claim_count),
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

    def _remarks(self, summary: RenderSummary, notices: Sequence[Notice]) -> Iterable[str]:
        if not self._is_by_line:
            yield self._words.one_row_per_voucher.format(count=summary.line_count)
        yield from (self._said(notice) for notice in notices)

    def _said(self, notice: Notice) -> str:
        sentence = self._words.notices.get(notice.code, notice.code)
        return sentence.format(
            count=notice.count, field=notice.field, claim=notice.first_claim_number
        )


def _added(left: BreakdownGroup, right: BreakdownGroup) -> BreakdownGroup:
    return left._replace(
        debit=left.debit + right.debit,
        credit=left.credit + right.credit,
        line_count=left.line_count + right.line_count,
    )


def _sums(group: BreakdownGroup) -> tuple[Decimal, Decimal, str, int]:
    return (group.debit, group.credit, group.currency, group.line_count)
