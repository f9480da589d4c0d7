"""Business Central's data exchange definition of a layout, which an administrator imports once.

It tells the import of a general journal which column of the file fills which field. What it says
is what the layout says, so the file and its definition cannot drift apart. Meaning and numbers of
the attributes are those of the base application's source (import and export of definitions,
XMLport 1225; reading of files, XMLport 1220; filling of fields, codeunit 1201).
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from exporters.journal_fields import (
    ACCOUNT_NO,
    ACCOUNT_TYPE,
    AMOUNT,
    CREDIT_AMOUNT,
    DEBIT_AMOUNT,
    DOCUMENT_NO,
    FIELDS,
    LONGEST_CELL,
    POSTING_DATE,
    field_problems,
)
from exporters.layout import Column, ColumnType, DelimitedDialect, Layout, NoHeader, TargetField
from exporters.problem import ConfigurationInvalid, Problem, ProblemCode

_TABLE: Final = 81
_PAYROLL_IMPORT: Final = 2
_VARIABLE_TEXT: Final = 1
_READ_FILE: Final = 1220
_HANDLE_DATA: Final = 1240
_FILL_FIELDS: Final = 1247

_SEPARATORS: Final[Mapping[str, int]] = {"\t": 1, ";": 2, ",": 3, "|": 5}
_CUSTOM: Final = 5
_ENCODINGS: Final[Mapping[str, int]] = {"utf-8": 1, "windows-1252": 3}
_LINE_SEPARATORS: Final[Mapping[str, int]] = {"crlf": 0, "lf": 2}
_DATA_TYPES: Final[Mapping[ColumnType, int]] = {
    "text": 0,
    "code": 0,
    "integer": 0,
    "date": 1,
    "amount": 2,
}
# A definition must name a culture. With a decimal comma not nb-NO: newer versions of its data have
# a minus of their own, and the file has the plain one.
_CULTURES: Final[Mapping[str, str]] = {".": "en-US", ",": "da-DK"}
_DATE_CULTURE: Final = "en-US"
_LONGEST_NAME: Final = 100
_LONGEST_CONSTANT: Final = 30

# Setting the account empties or fills these, and setting the posting date sets the document date:
# whoever is set later wins.
_BEFORE: Final = (
    (ACCOUNT_TYPE, frozenset({ACCOUNT_NO})),
    (ACCOUNT_NO, frozenset(FIELDS) - {ACCOUNT_TYPE, ACCOUNT_NO, POSTING_DATE, DOCUMENT_NO, 77}),
    (POSTING_DATE, frozenset({AMOUNT, DEBIT_AMOUNT, CREDIT_AMOUNT, 38, 76, 128})),
)


class _Mapped(NamedTuple):
    """A column that fills a field, and its place in the file."""

    place: int
    column: Column
    field: TargetField


def exchange_definition(layout: Layout, fixed: Mapping[str, str], code: str) -> str:
    """Write the definition of a layout; `fixed` are the texts that settings put on every line.

    Raises:
        ConfigurationInvalid: with everything in the layout that a definition cannot say.
    """
    dialect = layout.dialect
    problems = tuple(_problems(layout))
    if problems or not isinstance(dialect, DelimitedDialect):
        raise ConfigurationInvalid(problems)
    constants = {**_constants(layout), **fixed}
    if too_long := [name for name, text in constants.items() if len(text) > _LONGEST_CONSTANT]:
        message = f"A constant has at most {_LONGEST_CONSTANT} characters: {', '.join(too_long)}."
        raise ConfigurationInvalid((_problem("layout.columns", message),))
    lines = [
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>',
        "<root>",
        f"  <DataExchDef{_attributes(_head(layout, dialect, code))}>",
        f"    <DataExchLineDef{_attributes(_line_head(layout, code))}>",
        *(
            f"      <DataExchColumnDef{_attributes(_column(place, column, dialect, constants))} />"
            for place, column in enumerate(layout.columns, 1)
        ),
        f'      <DataExchMapping TableId="{_TABLE}" Name="" MappingCodeunit="{_FILL_FIELDS}">',
        *(
            f"        <DataExchFieldMapping{_attributes(_field(mapped))} />"
            for mapped in _mapped(layout)
        ),
        "      </DataExchMapping>",
        "    </DataExchLineDef>",
        "  </DataExchDef>",
        "</root>",
    ]
    return "\n".join(lines) + "\n"


def _mapped(layout: Layout) -> list[_Mapped]:
    return [
        _Mapped(place, column, column.target_field)
        for place, column in enumerate(layout.columns, 1)
        if column.target_field is not None
    ]


def _constants(layout: Layout) -> dict[str, str]:
    return {
        column.name: column.source.value
        for column in layout.columns
        if column.source.kind == "constant"
    }


def _name(layout: Layout) -> str:
    return f"{layout.name}, version {layout.version}"


def _head(layout: Layout, dialect: DelimitedDialect, code: str) -> dict[str, object]:
    separator = _SEPARATORS[dialect.delimiter]
    return {
        "Code": code,
        "Name": _name(layout),
        "Type": _PAYROLL_IMPORT,
        "ReadingWritingXMLport": _READ_FILE,
        "ExternalDataHandlingCodeunit": _HANDLE_DATA,
        "HeaderLines": None if isinstance(dialect.header, NoHeader) else 1,
        "ColumnSeparator": separator,
        "CustomColumnSeparator": dialect.delimiter if separator == _CUSTOM else None,
        "FileEncoding": _ENCODINGS[dialect.encoding],
        "FileType": _VARIABLE_TEXT,
        "LineSeparator": _LINE_SEPARATORS[dialect.line_end],
    }


def _line_head(layout: Layout, code: str) -> dict[str, object]:
    count = len(layout.columns)
    return {"LineType": 0, "Code": code, "Name": code, "ColumnCount": count}


def _column(
    place: int, column: Column, dialect: DelimitedDialect, constants: Mapping[str, str]
) -> dict[str, object]:
    culture = {"date": _DATE_CULTURE, "amount": _CULTURES[dialect.decimal_mark]}.get(column.type)
    return {
        "ColumnNo": place,
        "Name": column.name,
        "Show": "false",
        "DataType": _DATA_TYPES[column.type],
        "DataFormat": _date_format(column.format),
        "DataFormattingCulture": culture,
        "Length": column.limit,
        "Constant": constants.get(column.name),
        "TextPaddingRequired": "false",
        "Justification": 0,
    }


def _date_format(pattern: str | None) -> str | None:
    """Write it as .NET does: small letters are minutes there, a bare / is the culture's sign."""
    return None if pattern is None else pattern.replace("mm", "MM").replace("/", "'/'")


def _field(mapped: _Mapped) -> dict[str, object]:
    _, column, field = mapped
    return {
        "ColumnNo": mapped.place,
        "FieldID": field.number,
        "Optional": None if column.required else "true",
        "Priority": field.priority,
        "Multiplier": _multiplier(column),
        # Else the text is put behind what the account or the line before has left there.
        "OverwriteValue": "true" if column.type in {"text", "code", "integer"} else None,
    }


def _multiplier(column: Column) -> str | None:
    form = column.amount_form
    if form is None:
        return None
    unit = "0.01" if form.unit == "minor" else "1"
    multiplier = f"-{unit}" if form.sign == "inverted" else unit
    return None if multiplier == "1" else multiplier


_ESCAPES: Final = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;"}
)


def _attributes(values: Mapping[str, object]) -> str:
    return "".join(
        f' {name}="{str(value).translate(_ESCAPES)}"'
        for name, value in values.items()
        if value is not None
    )


def _problems(layout: Layout) -> Iterator[Problem]:
    dialect = layout.dialect
    if not isinstance(dialect, DelimitedDialect):
        yield _problem("layout.dialect.kind", "A definition describes delimited files, not JSON.")
        return
    yield from _dialect_problems(dialect)
    if len(_name(layout)) > _LONGEST_NAME:
        yield _problem("layout.name", "The name is too long for the name of a definition.")
    for place, column in enumerate(layout.columns, 1):
        for reason in (*_column_problems(column), *field_problems(column)):
            field = f"layout.columns[{place}] ({column.name})"
            yield _problem(field, f"The column {column.name} {reason}.")
    for message in (*_field_set_problems(layout), *_order_problems(layout)):
        yield _problem("layout.columns", message)


def _problem(field: str, message: str) -> Problem:
    return Problem(ProblemCode.LAYOUT_INVALID, field, message)


def _dialect_problems(dialect: DelimitedDialect) -> Iterator[Problem]:
    at = "layout.dialect"
    if not dialect.delimiter:
        yield _problem(f"{at}.delimiter", "A definition needs a delimiter between the columns.")
    if dialect.quoting != "none":
        yield _problem(f"{at}.quoting", "A definition cannot say that values stand in quotes.")
    if dialect.encoding not in _ENCODINGS:
        known = " or ".join(_ENCODINGS)
        yield _problem(f"{at}.encoding", f"A definition knows {known}, not {dialect.encoding}.")
    if dialect.bom and isinstance(dialect.header, NoHeader):
        yield _problem(f"{at}.bom", "Without a header the mark would become part of a value.")
    if dialect.length_unit != "utf16":
        message = "Business Central counts in UTF-16 units, so length_unit must be utf16."
        yield _problem(f"{at}.length_unit", message)


def _column_problems(column: Column) -> Iterator[str]:
    if not column.name.isprintable():
        yield "has a character in its name that a definition cannot hold"
    if column.target_field is None:
        return
    if column.type in {"text", "code"} and (column.limit or LONGEST_CELL + 1) > LONGEST_CELL:
        yield f"needs a max_length of at most {LONGEST_CELL}: the rest of a cell is cut off"
    form = column.amount_form
    if form is not None and form.sign in {"trailing", "omitted"}:
        yield f"has its sign {form.sign}, which a definition cannot say"


def _field_set_problems(layout: Layout) -> Iterator[str]:
    mapped = _mapped(layout)
    counts = Counter(entry.field.number for entry in mapped)
    for number, count in sorted(counts.items()):
        if count > 1:
            yield f"More than one column fills field {number}."
    needed = {ACCOUNT_NO, POSTING_DATE, DOCUMENT_NO}
    needed |= {DEBIT_AMOUNT, CREDIT_AMOUNT} if DEBIT_AMOUNT in counts else {AMOUNT}
    for number in sorted(needed - counts.keys()):
        yield f"No column fills field {number} {FIELDS[number].name}."
    priorities = Counter(entry.field.priority for entry in mapped)
    for priority, count in sorted(priorities.items()):
        if count > 1:
            yield f"More than one column has the priority {priority}, so none of them is first."


def _order_problems(layout: Layout) -> Iterator[str]:
    priorities = {entry.field.number: entry.field.priority for entry in _mapped(layout)}
    for first, others in _BEFORE:
        for later in sorted(others & priorities.keys()):
            if first in priorities and priorities[first] < priorities[later]:
                yield (
                    f"Field {first} {FIELDS[first].name} changes field {later}"
                    f" {FIELDS[later].name}, so it needs the higher priority."
                )
