"""Checks any file against a layout: its dialect, its cells, and whether its vouchers add up.

Made for a sample that the accountant knows to be good, and for files that somebody changed.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from exporters.cell_check import amount_of, check_cells, unfilled
from exporters.column_source import PathSource, SignSource, shown_paths
from exporters.file_reading import Record, read_file
from exporters.finding import Finding
from exporters.json_key import JsonKey
from exporters.layout import Column, JsonDialect, Layout

_LEAST_LINES: Final = 2
_LEAST_COLUMNS_OF_SIDES: Final = 2
_VOUCHER_NUMBERS: Final = ("voucher.number", "voucher.document_number")


def check_file(content: bytes, layout: Layout, fixed: Mapping[str, str]) -> Iterator[Finding]:
    """Give every finding, in the order of the file; those of vouchers where a voucher ends.

    `fixed` are the texts that columns have on every line, by their names: what settings decide.
    """
    vouchers = _Vouchers(layout)
    records = 0
    for read in read_file(content, layout, fixed):
        if isinstance(read, Finding):
            yield read
            continue
        records += 1
        found = [
            *check_cells(read.line, read.values, layout, _fixed_of(read, layout, fixed)),
            *vouchers.side_problems(read),
        ]
        yield from found
        yield from vouchers.take(read, is_sound=not found)
    yield from vouchers.end()
    if not records:
        yield Finding(0, "", "no_records", "The file holds no record.")


def _fixed_of(record: Record, layout: Layout, fixed: Mapping[str, str]) -> Mapping[str, str]:
    """Leave out what stands in an entry of a list that the record does not have."""
    if not isinstance(layout.dialect, JsonDialect):
        return fixed
    return {
        name: text
        for name, text in fixed.items()
        if record.values.get(name) or JsonKey.parse(name).entry is None
    }


class _Vouchers:
    """Sums lines until the voucher number changes."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._number = _column_showing(layout, _VOUCHER_NUMBERS)
        self._date = _column_showing(layout, ("voucher.posting_date",))
        self._amounts = _amount_columns(layout)
        self._sign = next((c for c in layout.columns if isinstance(c.source, SignSource)), None)
        self._seen: set[str] = set()
        self._lines: list[Record] = []
        self._is_sound = True

    def take(self, record: Record, *, is_sound: bool) -> Iterator[Finding]:
        if self._number is None:
            return
        if self._lines and self._key(record) != self._key(self._lines[0]):
            yield from self.end()
        self._lines.append(record)
        self._is_sound = self._is_sound and is_sound

    def end(self) -> Iterator[Finding]:
        lines, self._lines = self._lines, []
        if lines and self._number is not None:
            yield from self._judge(lines, self._number)
        self._is_sound = True

    def side_problems(self, record: Record) -> Iterator[Finding]:
        """Say it when a line is a debit and a credit, or neither."""
        if len(self._amounts) < _LEAST_COLUMNS_OF_SIDES:
            return
        texts = {c.name: unfilled(c, record.values[c.name]) for c in self._amounts}
        amounts = [amount_of(c, texts[c.name], self._layout) for c in self._amounts]
        if sum(1 for amount in amounts if amount) != 1:
            names = " and ".join(texts)
            message = f"Exactly one of {names} must have an amount other than zero."
            yield Finding(record.line, next(iter(texts)), "one_side", message)

    def _key(self, record: Record) -> str:
        return record.values[self._number.name].strip() if self._number else ""

    def _judge(self, lines: list[Record], number: Column) -> Iterator[Finding]:
        key, last = self._key(lines[0]), lines[-1].line
        if key in self._seen:
            message = f"The lines of the voucher {key} are not together."
            yield Finding(lines[0].line, number.name, "voucher_not_together", message)
        self._seen.add(key)
        if len({record.document for record in lines}) > 1:
            message = f"The voucher {key} is split over two documents."
            yield Finding(last, number.name, "voucher_split", message)
        if len(lines) < _LEAST_LINES:
            message = f"The voucher {key} has one line only."
            yield Finding(last, number.name, "voucher_of_one_line", message)
        if self._date and len({record.values[self._date.name] for record in lines}) > 1:
            message = f"The voucher {key} has more than one date."
            yield Finding(last, self._date.name, "voucher_of_two_dates", message)
        # A line that cannot be read would only make the sum wrong a second time.
        if self._is_sound and (total := sum(map(self._amount, lines), Decimal(0))):
            message = f"The voucher {key} is out by {total}."
            yield Finding(last, self._amounts[0].name, "voucher_unbalanced", message)

    def _amount(self, record: Record) -> Decimal:
        total = Decimal(0)
        for column in self._amounts:
            text = unfilled(column, record.values[column.name])
            total += amount_of(column, text, self._layout) or Decimal(0)
        return -total if self._is_credit(record) else total

    def _is_credit(self, record: Record) -> bool:
        form = self._amounts[0].amount_form
        if form is None or not form.loses_the_side or self._sign is None:
            return False
        source = self._sign.source
        text = record.values[self._sign.name].strip()
        return isinstance(source, SignSource) and text == source.credit.strip()


def _column_showing(layout: Layout, paths: tuple[str, ...]) -> Column | None:
    return next(
        (c for c in layout.columns if any(path in paths for path in shown_paths(c.source))), None
    )


def _amount_columns(layout: Layout) -> list[Column]:
    """One column that shows every amount, or else those of debits and of credits."""
    amounts = [
        column
        for column in layout.columns
        if isinstance(column.source, PathSource) and column.source.path == "line.amount"
    ]
    return [column for column in amounts if column.shows_every_amount][:1] or amounts
