"""Reads the records of any file by a layout, and says where the file breaks the dialect."""

import csv
import json
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from exporters.cell import CODECS, quoted
from exporters.column_source import ConstantSource
from exporters.finding import Finding
from exporters.json_key import JsonKey, Step
from exporters.layout import DelimitedDialect, JsonDialect, Layout, NoHeader, TextHeader

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_LINE_ENDS: Final = {"crlf": b"\r\n", "lf": b"\n"}


class Record(NamedTuple):
    """A line of the file: the text of each column by its name, and the document it is in."""

    line: int
    values: Mapping[str, str]
    document: int = 1


Read: TypeAlias = Iterator[Record | Finding]


def read_file(content: bytes, layout: Layout, fixed: Mapping[str, str] | None = None) -> Read:
    """Give records and findings in the order of the file; a broken line gives no record.

    `fixed` are the texts that columns have on every line: they tell entries of a list apart.
    """
    dialect = layout.dialect
    if isinstance(dialect, JsonDialect):
        return _read_json(content, _JsonColumns(layout, fixed or {}), dialect)
    return _read_delimited(content, layout, dialect)


def _whole(rule: str, message: str) -> Finding:
    return Finding(0, "", rule, message)


def _read_delimited(content: bytes, layout: Layout, dialect: DelimitedDialect) -> Read:
    if not content:
        return
    has_mark = content.startswith(_BYTE_ORDER_MARK)
    if has_mark != dialect.bom:
        is_missing = "is missing" if dialect.bom else "must not be there"
        yield _whole("byte_order_mark", f"The byte order mark {is_missing}.")
    lines = content.removeprefix(_BYTE_ORDER_MARK).split(_LINE_ENDS[dialect.line_end])
    if (lines[-1] == b"") != dialect.final_newline:
        needed = "needs a line end" if dialect.final_newline else "must have no line end"
        yield _whole("final_newline", f"The last record {needed}.")
    if lines[-1] == b"":
        lines.pop()
    for number, line in enumerate(lines, 1):
        yield from _read_line(number, line, layout, dialect)


def _read_line(number: int, line: bytes, layout: Layout, dialect: DelimitedDialect) -> Read:
    if b"\r" in line or b"\n" in line:
        yield Finding(number, "", "line_end", f"The line end is not {dialect.line_end}.")
        return
    try:
        text = line.decode(CODECS[dialect.encoding])
    except UnicodeDecodeError as error:
        message = f"Byte {error.start + 1} of the line is no {dialect.encoding}."
        yield Finding(number, "", "encoding", message)
        return
    if not text:
        yield Finding(number, "", "empty_line", "The line is empty.")
    elif number == 1 and not isinstance(dialect.header, NoHeader):
        yield from _header(text, layout, dialect)
    else:
        yield from _record(number, text, layout, dialect)


def _header(text: str, layout: Layout, dialect: DelimitedDialect) -> Read:
    expected = (
        dialect.header.text
        if isinstance(dialect.header, TextHeader)
        else dialect.delimiter.join(column.name for column in layout.columns)
    )
    in_quotes = dialect.delimiter.join(quoted(column.name) for column in layout.columns)
    if text != expected and not (dialect.quoting in {"text", "all"} and text == in_quotes):
        yield Finding(1, "", "header", "The first line is not the header of the layout.")


def _record(number: int, text: str, layout: Layout, dialect: DelimitedDialect) -> Read:
    try:
        values = _split(text, layout, dialect)
    except csv.Error as error:
        yield Finding(number, "", "quoting", f"The quotes of the line do not match: {error}.")
        return
    if len(values) != len(layout.columns):
        message = f"The line has {len(values)} fields, and the layout {len(layout.columns)}."
        yield Finding(number, "", "column_count", message)
        return
    names = (column.name for column in layout.columns)
    yield Record(number, dict(zip(names, values, strict=True)))


def _split(text: str, layout: Layout, dialect: DelimitedDialect) -> list[str]:
    if not dialect.delimiter:
        return _at_widths(text, layout)
    if dialect.quoting == "none":
        return text.split(dialect.delimiter)
    return next(csv.reader([text], delimiter=dialect.delimiter, strict=True), [])


def _at_widths(text: str, layout: Layout) -> list[str]:
    values, start = [], 0
    for column in layout.columns:
        width = column.width or 0
        if start + width > len(text):
            break
        values.append(text[start : start + width])
        start += width
    return values if start == len(text) else [*values, text[start:]]


def _read_json(content: bytes, columns: "_JsonColumns", dialect: JsonDialect) -> Read:
    number = 0
    for document, line in enumerate(content.splitlines(), 1):
        try:
            records = _records_at(json.loads(line, parse_float=str, parse_int=str), dialect)
        except (ValueError, LookupError, TypeError):
            yield Finding(document, "", "envelope", "The line is no document of the layout.")
            continue
        if dialect.most_records is not None and len(records) > dialect.most_records:
            message = f"The document has {len(records)} records; {dialect.most_records} are taken."
            yield Finding(document, "", "too_many_records", message)
        for record in records:
            number += 1
            yield from _json_record(number, document, record, columns, dialect)


def _records_at(told: object, dialect: JsonDialect) -> list[object]:
    for key in dialect.records_at.split(".") if dialect.records_at else ():
        told = told[key] if isinstance(told, dict) else None
    if not isinstance(told, list):
        raise TypeError
    return told


def _json_record(
    number: int, document: int, record: object, columns: "_JsonColumns", dialect: JsonDialect
) -> Read:
    if dialect.record_key is not None:
        record = record.get(dialect.record_key) if isinstance(record, dict) else None
    if not isinstance(record, dict):
        yield Finding(number, "", "envelope", "The record is no object of the layout.")
        return
    values = dict(columns.flat(record, ""))
    for name in sorted(values.keys() - columns.names.keys()):
        yield Finding(number, name, "unknown_key", f"The layout has no key {name}.")
    for name in columns.missing_in_entries(values):
        yield Finding(number, name, "required", f"The column {name} must not be empty.")
    known = {name: values.get(name, "") for name in columns.names}
    yield Record(number, known, document)


class _JsonColumns:
    """The columns of a JSON layout, to find each value's by where it stands."""

    def __init__(self, layout: Layout, fixed: Mapping[str, str]) -> None:
        self.names = {column.name: JsonKey.parse(column.name) for column in layout.columns}
        self._fixed = {
            column.name: column.source.value
            for column in layout.columns
            if isinstance(column.source, ConstantSource)
        } | dict(fixed)

    def flat(self, value: object, above: str) -> Iterator[tuple[str, str]]:
        """Give the texts within an object by their names."""
        if isinstance(value, dict):
            for key, inner in value.items():
                yield from self.flat(inner, f"{above}.{key}" if above else key)
        elif isinstance(value, list):
            last = 0
            for entry in value:
                last = self._place(entry, above, last)
                yield from self.flat(entry, f"{above}[{last}]")
        else:
            yield above, "" if value is None else str(value)

    def missing_in_entries(self, values: Mapping[str, str]) -> Iterator[str]:
        """Go through the columns whose entry of a list is there without them."""
        there: set[tuple[Step, ...] | None] = {
            key.entry for name, key in self.names.items() if key.entry and values.get(name)
        }
        for name, key in self.names.items():
            if key.entry in there and not values.get(name):
                yield name

    def _place(self, entry: object, above: str, last: int) -> int:
        """Find the next place whose fixed texts the entry has; incomplete ones were left away."""
        fixed = [
            (key.entry[-1], name)
            for name, key in self.names.items()
            if key.entry and name in self._fixed and name.startswith(f"{above}[")
        ]
        for place in sorted({place for place, _ in fixed if isinstance(place, int)}):
            told = dict(self.flat(entry, f"{above}[{place}]"))
            names = [name for other, name in fixed if other == place]
            if place > last and all(told.get(name) == self._fixed[name] for name in names):
                return place
        return last + 1
