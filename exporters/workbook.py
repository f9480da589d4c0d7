"""Writes a spreadsheet workbook (XLSX, ECMA-376) as a stream: row in, compressed bytes out.

The libraries for it were measured and left: both keep a sheet's uncompressed XML in a temporary
file until the end (266 MiB for 200,000 rows), and where functions run, temporary files are memory.
A number passes through here as its own decimal text, and the same rows give the same bytes.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import IntEnum
from itertools import count
from typing import IO, Final, NamedTuple, cast
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

MOST_ROWS: Final = 1_048_576
"""Of one sheet, header included; no spreadsheet program takes more."""

MOST_CHARACTERS: Final = 32_767
"""Of one cell."""

CONTENT_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

# Beyond 2 GiB a part of the archive would need a form that some readers offer to repair.
_MOST_BYTES: Final = 1_500_000_000
_BATCH: Final = 256
_LONGEST_NAME: Final = 31
_FIRST_DAY: Final = date(1899, 12, 30)
# The archive's own dates are no facts of the run.
_ARCHIVE_DATE: Final = (1980, 1, 1, 0, 0, 0)

_MARKUP: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# What XML cannot hold, shown: control characters by their pictures, the rest by the mark for it.
_UNSPEAKABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# Read by spreadsheet programs as one character of that number.
_ESCAPED: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)")

Value = str | int | Decimal | date | None


class Style(IntEnum):
    """How a cell looks; the number is its place in the styles part."""

    PLAIN = 0
    HEADING = 1
    AMOUNT = 2
    DATE = 3
    COUNT = 4
    TITLE = 5
    LABEL = 6
    FACT = 7
    FACT_DATE = 8


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

    def __init__(self, part: IO[bytes], letters: Sequence[str]) -> None:
        self._part = part
        self._letters = letters
        self._waiting: list[str] = []
        self.row_count = 0
        self.byte_count = 0

    def append(self, values: Iterable[Value | Styled]) -> None:
        """Write the next row; None leaves its cell empty."""
        self.row_count += 1
        row = str(self.row_count)
        cells = [
            _cell(letter + row, value)
            for letter, value in zip(self._letters, values, strict=False)
            if value is not None
        ]
        self._waiting.append(f'<row r="{row}">{"".join(cells)}</row>')
        if len(self._waiting) >= _BATCH:
            self.write_through()

    def write_through(self) -> None:
        """Hand over what waits."""
        data = "".join(self._waiting).encode()
        self._waiting.clear()
        self.byte_count += len(data)
        self._part.write(data)


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
        if self._sheet.row_count >= self._workbook.most_rows or self._is_heavy():
            self.close()
            self._sheet = self._next_sheet()
        self._sheet.append(values)

    def close(self) -> None:
        """End the sheet; the next one may begin."""
        reach = f"A1:{_letters(len(self._columns))[-1]}{self._sheet.row_count}"
        self._workbook.end_sheet(self._sheet, reach, is_filtered=True)

    def _is_heavy(self) -> bool:
        return self._sheet.byte_count > _MOST_BYTES

    def _next_sheet(self) -> Sheet:
        self._sheet_count += 1
        number = f" {self._sheet_count}" if self._sheet_count > 1 else ""
        name = f"{self._name}{number}"
        widths = [column.width for column in self._columns]
        sheet = self._workbook.begin_sheet(name, widths, place=self._place, has_headings=True)
        sheet.append(Styled(column.heading, Style.HEADING) for column in self._columns)
        return sheet


class Workbook:
    """Sheets are written one after the other; `place` says where each stands among the tabs."""

    def __init__(self, write: Callable[[bytes], object], *, most_rows: int = MOST_ROWS) -> None:
        self.most_rows = most_rows
        # The stream cannot be gone back in: its hash is taken on the way.
        self._archive = ZipFile(cast("IO[bytes]", _Stream(write)), "w", ZIP_DEFLATED)
        self._sheets: list[tuple[int, int, str]] = []
        self._numbers = count(1)

    def table(self, name: str, columns: Sequence[Column], *, place: int) -> Table:
        """Begin a table; close it before the next."""
        return Table(self, name, columns, place=place)

    def begin_sheet(
        self, name: str, widths: Sequence[int], *, place: int, has_headings: bool
    ) -> Sheet:
        """Begin a sheet; the one before must have ended."""
        number = next(self._numbers)
        self._sheets.append((place, number, name[:_LONGEST_NAME]))
        part = self._archive.open(_member(f"xl/worksheets/sheet{number}.xml"), "w")
        part.write(_sheet_start(widths, has_headings=has_headings).encode())
        return Sheet(part, _letters(len(widths)))

    def end_sheet(self, sheet: Sheet, reach: str, *, is_filtered: bool = False) -> None:
        """Write what follows the rows; `reach` is the range that they fill."""
        sheet.write_through()
        part = sheet._part  # noqa: SLF001  # a sheet is this module's
        part.write(_sheet_end(reach, is_filtered=is_filtered).encode())
        part.close()

    def close(self, *, title: str, author: str, created: str) -> None:
        """Write the parts that name the sheets; `created` is an ISO 8601 instant in UTC."""
        sheets = sorted(self._sheets)
        self._add("xl/workbook.xml", _workbook_part(sheets))
        self._add("xl/_rels/workbook.xml.rels", _workbook_relations(len(sheets)))
        self._add("xl/styles.xml", _STYLES)
        self._add("docProps/core.xml", _properties(title, author, created))
        self._add("_rels/.rels", _RELATIONS)
        self._add("[Content_Types].xml", _content_types(len(sheets)))
        self._archive.close()

    def _add(self, name: str, text: str) -> None:
        self._archive.writestr(_member(name), text)


class _Stream:
    """All that an archive needs to be written, without a way back."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        self._write(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing is kept back."""


def _member(name: str) -> ZipInfo:
    member = ZipInfo(name, _ARCHIVE_DATE)
    member.compress_type = ZIP_DEFLATED
    # The same on every system.
    member.create_system = 3
    member.external_attr = 0o600 << 16
    return member


def _letters(number: int) -> list[str]:
    alphabet = [chr(ord("A") + place) for place in range(26)]
    return [*alphabet, *(first + second for first in alphabet for second in alphabet)][:number]


def _cell(place: str, value: Value | Styled) -> str:
    style = None
    if isinstance(value, Styled):
        value, style = value
    if isinstance(value, str):
        return (
            f'<c r="{place}"{_style(style or Style.PLAIN)} t="inlineStr"><is>'
            f'<t xml:space="preserve">{_spoken(value)}</t></is></c>'
        )
    if isinstance(value, Decimal):
        return f'<c r="{place}"{_style(style or Style.AMOUNT)}><v>{value:f}</v></c>'
    if isinstance(value, date):
        days = (value - _FIRST_DAY).days
        return f'<c r="{place}"{_style(style or Style.DATE)}><v>{days}</v></c>'
    if value is None:
        return f'<c r="{place}"{_style(style or Style.PLAIN)}/>'
    return f'<c r="{place}"{_style(style or Style.COUNT)}><v>{value}</v></c>'


def _style(style: Style) -> str:
    return f' s="{style:d}"' if style else ""


def _spoken(text: str) -> str:
    """A text cell is never read as a formula, whatever it begins with: only XML must be heeded."""
    # Counted as UTF-16: at most two for a character.
    if len(text) * 2 > MOST_CHARACTERS:
        text = _cut(text)
    if text.isalnum():
        return text
    text = _UNSPEAKABLE.sub(_picture, text.replace("\r\n", "\n"))
    return _ESCAPED.sub("_x005F_", text).translate(_MARKUP)


def _cut(text: str) -> str:
    units = text.encode("utf-16-le", "surrogatepass")
    if len(units) <= MOST_CHARACTERS * 2:
        return text
    return units[: (MOST_CHARACTERS - 1) * 2].decode("utf-16-le", "ignore") + "…"


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < ord(" "):
        return chr(0x2400 + code)
    return "\u2421" if code == 0x7F else "\ufffd"  # noqa: PLR2004  # DEL


_XML: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_SHEET_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"


def _sheet_start(widths: Sequence[int], *, has_headings: bool) -> str:
    pane = '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/>'
    view = pane if has_headings else ""
    columns = "".join(
        f'<col min="{place}" max="{place}" width="{width}" customWidth="1"/>'
        for place, width in enumerate(widths, 1)
    )
    return (
        f'{_XML}<worksheet xmlns="{_MAIN}">'
        '<sheetPr><pageSetUpPr fitToPage="1"/></sheetPr>'
        f'<sheetViews><sheetView workbookViewId="0">{view}</sheetView></sheetViews>'
        f"<cols>{columns}</cols><sheetData>"
    )


def _sheet_end(reach: str, *, is_filtered: bool) -> str:
    filtered = f'<autoFilter ref="{reach}"/>' if is_filtered else ""
    return (
        f"</sheetData>{filtered}"
        '<pageSetup paperSize="9" orientation="landscape" fitToHeight="0"/>'
        # Account and claim numbers are texts on purpose.
        f'<ignoredErrors><ignoredError sqref="{reach}" numberStoredAsText="1"/></ignoredErrors>'
        "</worksheet>"
    )


def _workbook_part(sheets: Sequence[tuple[int, int, str]]) -> str:
    entries = "".join(
        f'<sheet name="{_spoken(name)}" sheetId="{number}" r:id="rId{number}"/>'
        for _, number, name in sheets
    )
    return (
        f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
        '<bookViews><workbookView activeTab="0"/></bookViews>'
        f"<sheets>{entries}</sheets></workbook>"
    )


def _workbook_relations(sheet_count: int) -> str:
    sheets = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/worksheet"'
        f' Target="worksheets/sheet{number}.xml"/>'
        for number in range(1, sheet_count + 1)
    )
    styles = (
        f'<Relationship Id="rId{sheet_count + 1}" Type="{_OFFICE}/styles" Target="styles.xml"/>'
    )
    return f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">{sheets}{styles}</Relationships>'


def _content_types(sheet_count: int) -> str:
    sheets = "".join(
        f'<Override PartName="/xl/worksheets/sheet{number}.xml"'
        f' ContentType="{_SHEET_TYPE}.worksheet+xml"/>'
        for number in range(1, sheet_count + 1)
    )
    return (
        f'{_XML}<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels"'
        ' ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_SHEET_TYPE}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{_SHEET_TYPE}.styles+xml"/>'
        '<Override PartName="/docProps/core.xml"'
        ' ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>'
        f"{sheets}</Types>"
    )


def _properties(title: str, author: str, created: str) -> str:
    return (
        f'{_XML}<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties"'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/"'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f"<dc:title>{_spoken(title)}</dc:title><dc:creator>{_spoken(author)}</dc:creator>"
        f'<dcterms:created xsi:type="dcterms:W3CDTF">{created}</dcterms:created>'
        "</cp:coreProperties>"
    )


_RELATIONS: Final = (
    f'{_XML}<Relationships xmlns="{_PACKAGE}/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    '<Relationship Id="rId2"'
    f' Type="{_PACKAGE}/relationships/metadata/core-properties" Target="docProps/core.xml"/>'
    "</Relationships>"
)

_FONT: Final = '<sz val="11"/><name val="Calibri"/><family val="2"/>'
_FACT: Final = (
    'fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" applyAlignment="1">'
    '<alignment horizontal="left"/>'
)
_STYLES: Final = (
    f'{_XML}<styleSheet xmlns="{_MAIN}">'
    '<numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/></numFmts>'
    f'<fonts count="3"><font>{_FONT}</font><font><b/>{_FONT}</font>'
    '<font><b/><sz val="15"/><name val="Calibri"/><family val="2"/></font></fonts>'
    '<fills count="3"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill>'
    '<fill><patternFill patternType="solid"><fgColor rgb="FFDCE6F1"/><bgColor indexed="64"/>'
    "</patternFill></fill></fills>"
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="9">'
    '<xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="0" fontId="1" fillId="2" borderId="0" xfId="0" applyFont="1" applyFill="1"/>'
    '<xf numFmtId="4" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="1" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="0" fontId="2" fillId="0" borderId="0" xfId="0" applyFont="1"/>'
    '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>'
    f'<xf numFmtId="0" {_FACT}</xf><xf numFmtId="164" {_FACT}</xf>'
    "</cellXfs>"
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
    "</styleSheet>"
)
