"""A spreadsheet workbook (XLSX) of tables, written row by row through XlsxWriter.

XlsxWriter keeps the rows in temporary files, as XML that is not compressed, until the end: twice
those of the largest sheet. Where functions run, temporary files are memory; who writes many rows
must bound them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

MOST_ROWS: Final = 1_048_576
"""Of one sheet, header included; no spreadsheet program takes more."""

MOST_CHARACTERS: Final = 32_767
"""Of one cell."""

CONTENT_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_A4: Final = 9
_EVERYWHERE: Final = "A1:XFD1048576"
_DATE: Final = "yyyy\\-mm\\-dd"
# What XML cannot hold, shown: control characters by their pictures, the rest by the mark for it.
_UNSPEAKABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")

Value = str | int | Decimal | date | None


class Style(Enum):
    """How a cell looks."""

    PLAIN = "plain"
    HEADING = "heading"
    AMOUNT = "amount"
    DATE = "date"
    COUNT = "count"
    TITLE = "title"
    LABEL = "label"
    FACT = "fact"
    FACT_DATE = "fact_date"


_LOOKS: Final[Mapping[Style, Mapping[str, object]]] = {
    Style.HEADING: {"bold": True, "bg_color": "#DCE6F1"},
    Style.AMOUNT: {"num_format": "#,##0.00"},
    Style.DATE: {"num_format": _DATE},
    Style.COUNT: {"num_format": "0"},
    Style.TITLE: {"bold": True, "font_size": 15},
    Style.LABEL: {"bold": True},
    Style.FACT: {"align": "left"},
    Style.FACT_DATE: {"align": "left", "num_format": _DATE},
}


class Styled(NamedTuple):
    """A value that does not look as its kind does."""

    value: Value
    style: Style


@dataclass(frozen=True)
class Column:
    """`width` is in characters."""

    heading: str
    width: int


class Sheet:
    """One sheet while it is written; made by `Workbook.sheet`."""

    def __init__(self, page: Any, formats: Mapping[Style, Any], width: int) -> None:  # noqa: ANN401  # XlsxWriter has no types for others
        self._page = page
        self._formats = formats
        self._last_column = width - 1
        self.row_count = 0

    def append(self, values: Iterable[Value | Styled]) -> None:
        """Write the next row; None leaves its cell empty."""
        for column, value in enumerate(values):
            if value is not None:
                self._write(column, value)
        self.row_count += 1

    def filter(self) -> None:
        """Let people filter the rows, now that they are all there."""
        self._page.autofilter(0, 0, self.row_count - 1, self._last_column)

    def _write(self, column: int, value: Value | Styled) -> None:
        style = None
        if isinstance(value, Styled):
            value, style = value
        look = self._formats.get(style or _usual(value))
        if isinstance(value, str):
            self._page.write_string(self.row_count, column, _spoken(value), look)
        elif isinstance(value, date):
            self._page.write_datetime(self.row_count, column, value, look)
        elif value is None:
            self._page.write_blank(self.row_count, column, None, look)
        else:
            self._page.write_number(self.row_count, column, value, look)


class Table:
    """Rows under headings that stay in sight, on as many sheets as they need."""

    def __init__(
        self, workbook: "Workbook", name: str, columns: Sequence[Column], *, place: int
    ) -> None:
        self._workbook = workbook
        self._name = name
        self._columns = columns
        self._place = place
        self._sheet_count = 0
        self._sheet = self._next_sheet()

    def append(self, values: Iterable[Value | Styled]) -> None:
        """Write the next row, on a further sheet when this one is full."""
        if self._sheet.row_count >= self._workbook.most_rows:
            self.close()
            self._sheet = self._next_sheet()
        self._sheet.append(values)

    def close(self) -> None:
        """End the sheet."""
        self._sheet.filter()

    def _next_sheet(self) -> Sheet:
        self._sheet_count += 1
        number = f" {self._sheet_count}" if self._sheet_count > 1 else ""
        widths = [column.width for column in self._columns]
        sheet = self._workbook.sheet(
            f"{self._name}{number}", widths, place=self._place, has_headings=True
        )
        sheet.append(Styled(column.heading, Style.HEADING) for column in self._columns)
        return sheet


class Workbook:
    """Sheets are written in any order; `place` says where each stands among the tabs.

    `discard` it in the end, come what may: that removes the temporary files.
    """

    def __init__(self, write: Callable[[bytes], object], *, most_rows: int = MOST_ROWS) -> None:
        # A seventh of a second and 13 MiB, which a function that makes no sheet does without.
        import xlsxwriter  # noqa: PLC0415

        self.most_rows = most_rows
        self._directory = TemporaryDirectory(prefix="export-sheet-")
        options = {
            "constant_memory": True,
            "tmpdir": self._directory.name,
            "strings_to_formulas": False,
            "strings_to_numbers": False,
            "strings_to_urls": False,
        }
        # The stream cannot be gone back in: its hash is taken on the way.
        self._book = xlsxwriter.Workbook(_Stream(write), options)
        self._formats = {style: self._book.add_format(look) for style, look in _LOOKS.items()}
        self._places: dict[str, int] = {}

    def table(self, name: str, columns: Sequence[Column], *, place: int) -> Table:
        """Begin a table; close it when all its rows are there."""
        return Table(self, name, columns, place=place)

    def sheet(self, name: str, widths: Sequence[int], *, place: int, has_headings: bool) -> Sheet:
        """Begin a sheet."""
        page = self._book.add_worksheet(name)
        self._places[name] = place
        page.set_landscape()
        page.set_paper(_A4)
        page.fit_to_pages(1, 0)
        # Account and claim numbers are texts on purpose.
        page.ignore_errors({"number_stored_as_text": _EVERYWHERE})
        if has_headings:
            page.freeze_panes(1, 0)
        for column, width in enumerate(widths):
            page.set_column(column, column, width)
        return Sheet(page, self._formats, len(widths))

    def close(self, *, title: str, author: str, created: datetime) -> None:
        """Put the tabs in their places and write the file."""
        self._book.worksheets_objs.sort(key=lambda page: self._places[page.name])
        for index, page in enumerate(self._book.worksheets_objs):
            page.index = index
        self._book.set_properties({"title": title, "author": author, "created": created})
        self._book.close()

    def discard(self) -> None:
        """Remove the temporary files, whether or not the file was written."""
        for page in self._book.worksheets_objs:
            page.row_data_fh.close()
        self._directory.cleanup()


class _Stream:
    """All that an archive needs to be written, without a way back."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        self._write(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""


def _usual(value: Value) -> Style:
    match value:
        case Decimal():
            return Style.AMOUNT
        case date():
            return Style.DATE
        case int():
            return Style.COUNT
    return Style.PLAIN


def _spoken(text: str) -> str:
    if text.isalnum() and len(text) * 2 <= MOST_CHARACTERS:
        return text
    text = _UNSPEAKABLE.sub(_picture, text.replace("\r\n", "\n"))
    if text.startswith("<r>") and text.endswith("</r>"):
        # XlsxWriter would take it for XML of its own.
        text += " "
    # Counted as UTF-16: at most two for a character.
    return _cut(text) if len(text) * 2 > MOST_CHARACTERS else text


def _cut(text: str) -> str:
    units = text.encode("utf-16-le")
    if len(units) <= MOST_CHARACTERS * 2:
        return text
    return units[: (MOST_CHARACTERS - 1) * 2].decode("utf-16-le", "ignore") + "…"


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < ord(" "):
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"  # noqa: PLR2004  # DEL
