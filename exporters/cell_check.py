"""Holds the text of a cell against its column: what an exporter would never have written."""

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from exporters.cell import CellRefused, length_of, unencodable_character, value_writer_for
from exporters.column_source import ConstantSource
from exporters.finding import Finding
from exporters.layout import AmountForm, Column, Layout

_INTEGER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)")
_WHOLE: Final = AmountForm()


class CellProblem(NamedTuple):
    """A rule that a cell breaks; the message is the end of a sentence."""

    rule: str
    reason: str


def check_cells(
    line: int, values: Mapping[str, str], layout: Layout, fixed: Mapping[str, str]
) -> Iterator[Finding]:
    """Check every column of a line; `fixed` are the texts that columns have on every line."""
    for column in layout.columns:
        text = values[column.name]
        problem = _fixed_problem(column, text, fixed) or cell_problem(column, text, layout)
        if problem:
            message = f"The column {column.name} {problem.reason}."
            yield Finding(line, column.name, problem.rule, message)


def cell_problem(column: Column, text: str, layout: Layout) -> CellProblem | None:
    """Say what is wrong with one cell, if anything is."""
    if column.width is not None and len(text) != column.width:
        return CellProblem("width", f"is not {column.width} characters wide")
    value = unfilled(column, text)
    if not value:
        return CellProblem("required", "must not be empty") if column.required else None
    return _length_problem(column, value, layout) or _value_problem(column, value, layout)


def _value_problem(column: Column, value: str, layout: Layout) -> CellProblem | None:
    if column.type == "amount":
        return _amount_problem(column, value, layout)
    if column.type == "date":
        return _date_problem(column, value)
    if column.type == "integer":
        is_whole = _INTEGER.fullmatch(value)
        return None if is_whole else CellProblem("integer", "must be a whole number")
    return _text_problem(column, value, layout)


def unfilled(column: Column, text: str) -> str:
    """Take away what fills a width."""
    if column.width is None:
        return text
    if column.padding is not None and column.padding.character == "0" and text.strip():
        sign = "-" if text.startswith("-") else ""
        digits = text.removeprefix("-").lstrip("0")
        return sign + ("0" + digits if not digits[:1].isdigit() else digits)
    return text.strip(" ")


def amount_of(column: Column, text: str, layout: Layout) -> Decimal | None:
    """Read an amount as the column writes it; none if it is no amount of that form.

    Debits are positive; in a column without sign every amount is.
    """
    form = column.amount_form or _WHOLE
    if not _amount_pattern(form, layout.dialect.decimal_mark).fullmatch(text):
        return None
    digits = text.strip("-").replace(layout.dialect.decimal_mark, ".")
    amount = Decimal(digits).scaleb(-2) if form.unit == "minor" else Decimal(digits)
    is_negative = "-" in text if form.side == "both" else form.side == "credit"
    return -amount if is_negative != (form.sign == "inverted") else amount


def date_of(column: Column, text: str) -> date | None:
    """Read a date as the column writes it; none if there is no such day."""
    pattern = re.escape(column.format or "")
    for part, digits in (("yyyy", 4), ("mm", 2), ("dd", 2)):
        pattern = pattern.replace(part, f"(?P<{part}>[0-9]{{{digits}}})")
    found = re.fullmatch(pattern, text)
    if not found:
        return None
    try:
        return date(int(found["yyyy"]), int(found["mm"]), int(found["dd"]))
    except ValueError:
        return None


def _fixed_problem(column: Column, text: str, fixed: Mapping[str, str]) -> CellProblem | None:
    expected = fixed.get(column.name)
    if expected is None and isinstance(column.source, ConstantSource):
        expected = column.source.value
    if expected is None or unfilled(column, text) == expected.strip(" "):
        return None
    return CellProblem("constant", f"must be {expected!r} on every line")


def _length_problem(column: Column, text: str, layout: Layout) -> CellProblem | None:
    if column.limit is None or length_of(layout.dialect)(text) <= column.limit:
        return None
    return CellProblem("value_too_long", f"is longer than {column.limit} characters")


def _amount_problem(column: Column, text: str, layout: Layout) -> CellProblem | None:
    amount = amount_of(column, text, layout)
    if amount is None:
        return CellProblem("amount", "is no amount in the form of the layout")
    form = column.amount_form
    if not amount and (form is None or form.other_side != "zero"):
        return CellProblem("zero_amount", "must not be zero")
    return None


def _amount_pattern(form: AmountForm, mark: str) -> re.Pattern[str]:
    digits = "[0-9]+" if form.unit == "minor" else rf"[0-9]+{re.escape(mark)}[0-9]{{2}}"
    has_sign = form.side == "both" and form.sign != "omitted"
    sign = "-?" if has_sign else ""
    return re.compile(f"{digits}{sign}" if form.sign == "trailing" else f"{sign}{digits}")


def _date_problem(column: Column, text: str) -> CellProblem | None:
    if date_of(column, text) is None:
        return CellProblem("date", f"is no date in the form {column.format}")
    return None


def _text_problem(column: Column, text: str, layout: Layout) -> CellProblem | None:
    """Texts and codes are right when writing them again would change nothing."""
    try:
        written = value_writer_for(column, layout.dialect)(text, [])
    except CellRefused as refusal:
        return CellProblem(str(refusal.code), refusal.reason)
    if written != text:
        return CellProblem("altered", f"would be written as {written!r}")
    if missing := unencodable_character(text, layout.dialect):
        character, encoding = missing
        return CellProblem("text_not_encodable", f"holds {character!a}, which {encoding} lacks")
    return None
