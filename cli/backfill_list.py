"""The list of claims that were exported by hand: CSV or XLSX, read with bounds, not guessed."""

import csv
import hashlib
import io
import re
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final
from uuid import UUID
from xml.etree.ElementTree import ParseError

from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

MOST_BYTES: Final = 20_000_000
MOST_BYTES_UNPACKED: Final = 200_000_000
MOST_ROWS: Final = 200_000
MOST_COLUMNS: Final = 50
_LAST_ROW_OF_A_SHEET: Final = 1_048_576
LONGEST_CELL: Final = 200
LONGEST_NUMBER: Final = {"claim_number": 50, "voucher_number": 100, "file_name": 200}
FIRST_DAY: Final = date(2000, 1, 1)

CSV_TYPE: Final = "text/csv"
XLSX_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

# Header cells, in lower case and with _ for anything that is no letter, by what they mean.
_HEADERS: Final = {
    "claim_id": "claim_id",
    "krav_id": "claim_id",
    "claim_number": "claim_number",
    "kravnummer": "claim_number",
    "utleggsnummer": "claim_number",
    "exported_on": "exported_on",
    "eksportert": "exported_on",
    "eksportdato": "exported_on",
    "file_name": "file_name",
    "filnavn": "file_name",
    "voucher_number": "voucher_number",
    "bilagsnummer": "voucher_number",
}
_REQUIRED: Final = ("exported_on", "file_name")
_CLAIM_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ISO_DATE: Final = re.compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})")
_NORWEGIAN_DATE: Final = re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})")
# A long number that a spreadsheet shows, and saves, as 1,23E+11: its last digits are gone.
_ROUNDED: Final = re.compile(r"\d([.,]\d+)?E\+\d+", re.IGNORECASE)
# How a careful person keeps the leading zeros of a number in a spreadsheet: ="00123".
_KEPT_TEXT: Final = re.compile(r'="([^"]*)"')
_NOT_A_WORKBOOK: Final = (
    zipfile.BadZipFile,
    zlib.error,
    InvalidFileException,
    ParseError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)

Cells = Sequence[object]


class UnreadableList(Exception):  # noqa: N818  # a state that the command reports
    """The list as a whole cannot be used; `code` is stable, `action` says what to do."""

    def __init__(self, code: str, sentence: str, action: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.action = action


@dataclass(frozen=True)
class ListRow:
    """One claim. `line` is what the person sees: the line of the CSV, the row of the sheet."""

    line: int
    claim_id: UUID | None
    claim_number: str | None
    exported_on: date
    file_name: str
    voucher_number: str | None


@dataclass(frozen=True)
class MalformedRow:
    """A row that cannot be read, and why."""

    line: int
    problem: str


@dataclass(frozen=True)
class ClaimList:
    """A list as it was read, once: `content` is what is judged, hashed and stored."""

    name: str
    content: bytes
    sha256: str
    content_type: str
    rows: tuple[ListRow, ...]
    malformed: tuple[MalformedRow, ...]
    ignored_columns: tuple[str, ...]

    @property
    def suffix(self) -> str:
        """As the list is stored."""
        return "xlsx" if self.content_type == XLSX_TYPE else "csv"


class _Malformed(Exception):  # noqa: N818  # ends the reading of one row
    """The sentence is for the report."""


def read_list(path: Path) -> ClaimList:
    """Raises UnreadableList; a row that cannot be read is only reported."""
    content = _content(path)
    is_workbook = content.startswith(b"PK\x03\x04")
    lines = _workbook_lines(content) if is_workbook else _csv_lines(_text(content))
    header, ignored = _header(next(lines, (1, ()))[1])
    rows: list[ListRow] = []
    malformed: list[MalformedRow] = []
    for number, cells in lines:
        if len(rows) + len(malformed) >= MOST_ROWS:
            raise UnreadableList(
                "list_too_long", f"The list has more than {MOST_ROWS} rows.", "Split it."
            )
        try:
            rows.append(_row(number, header, cells))
        except _Malformed as problem:
            malformed.append(MalformedRow(number, str(problem)))
    if not rows and not malformed:
        raise UnreadableList("list_empty", "The list has no rows below its header.", "Fill it in.")
    return ClaimList(
        path.name,
        content,
        hashlib.sha256(content).hexdigest(),
        XLSX_TYPE if is_workbook else CSV_TYPE,
        tuple(rows),
        tuple(malformed),
        ignored,
    )


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UnreadableList(
            "list_unreadable", f"{path} cannot be opened: {error.strerror}.", "Check the path."
        ) from error
    if len(content) > MOST_BYTES:
        raise UnreadableList(
            "list_too_large", f"The list is larger than {MOST_BYTES // 1_000_000} MB.", "Split it."
        )
    return content


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableList(
            "list_encoding",
            f"The list is not UTF-8 (byte {error.start}): æ, ø and å could not be told apart.",
            "Save it as CSV UTF-8, or as .xlsx.",
        ) from error
    if "\0" in text:
        raise UnreadableList(
            "list_encoding", "The list is no CSV text.", "Save it as CSV UTF-8, or as .xlsx."
        )
    return text


def _csv_lines(text: str) -> Iterator[tuple[int, Cells]]:
    """Each record with the line that it begins on; empty ones are passed by."""
    # newline="": a quoted cell keeps its own line ends, and lines are counted as an editor does.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    line = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise UnreadableList(
            "list_unreadable", f"Line {line} is no CSV: {error}.", "Check its quotes."
        ) from error


def _delimiter(text: str) -> str:
    """The one that makes most names of the header."""
    first = text.lstrip("\r\n").partition("\n")[0]
    return max(";,\t", key=lambda mark: sum(_name(cell) in _HEADERS for cell in first.split(mark)))


def _workbook_lines(content: bytes) -> Iterator[tuple[int, Cells]]:
    """Each row of the first sheet with its number; empty ones are passed by."""
    try:
        _refuse_bomb(content)
        with warnings.catch_warnings():
            # Of what this program does not look at: styles, validations, extensions.
            warnings.simplefilter("ignore")
            book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            # With bounds of ours: what a sheet says about its own size is not to be believed.
            rows: Iterable[Cells] = book.worksheets[0].iter_rows(
                max_row=_LAST_ROW_OF_A_SHEET + 1, max_col=MOST_COLUMNS, values_only=True
            )
            for number, cells in enumerate(rows, start=1):
                if number > _LAST_ROW_OF_A_SHEET:
                    raise ValueError("no sheet is so long")
                if any(cell is not None and str(cell).strip() for cell in cells):
                    yield number, cells
    except _NOT_A_WORKBOOK as error:
        raise UnreadableList(
            "list_unreadable", "The workbook cannot be read.", "Save it as .xlsx again, or as CSV."
        ) from error


def _refuse_bomb(content: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    if unpacked > MOST_BYTES_UNPACKED:
        raise UnreadableList(
            "list_too_large",
            f"The workbook is larger than {MOST_BYTES_UNPACKED // 1_000_000} MB when unpacked.",
            "Copy the rows into a new workbook, or split it.",
        )


def _name(cell: object) -> str:
    text = unicodedata.normalize("NFC", str(cell)).strip().strip('"').lower()
    return re.sub(r"\W+", "_", text)


def _header(cells: Cells) -> tuple[Mapping[int, str], tuple[str, ...]]:
    """Which column means what, and the columns that mean nothing here."""
    named = {index: _name(cell) for index, cell in enumerate(cells) if cell not in (None, "")}
    header = {index: _HEADERS[name] for index, name in named.items() if name in _HEADERS}
    missing = [name for name in _REQUIRED if name not in header.values()]
    if not {"claim_id", "claim_number"} & set(header.values()):
        missing.insert(0, "claim_id or claim_number")
    if missing:
        raise UnreadableList(
            "list_header",
            f"The first row lacks the column {', '.join(missing)}.",
            "Name the columns claim_id or claim_number, exported_on, file_name, voucher_number.",
        )
    if len(set(header.values())) < len(header):
        raise UnreadableList(
            "list_header", "Two columns of the list mean the same.", "Leave one of them out."
        )
    return header, tuple(name for name in named.values() if name not in _HEADERS)


def _row(line: int, header: Mapping[int, str], cells: Cells) -> ListRow:
    cell_of = {name: cells[index] for index, name in header.items() if index < len(cells)}
    texts = {
        name: _cell_text(name, cell_of.get(name))
        for name in ("claim_id", "claim_number", "file_name", "voucher_number")
    }
    if not (texts["claim_id"] or texts["claim_number"]):
        raise _Malformed("claim_id and claim_number are empty")
    if not texts["file_name"]:
        raise _Malformed("file_name is empty")
    return ListRow(
        line,
        _claim_id(texts["claim_id"]),
        texts["claim_number"],
        _date(cell_of.get("exported_on")),
        texts["file_name"],
        texts["voucher_number"],
    )


def _cell_text(name: str, cell: object) -> str | None:
    """A cell as its owner means it: numbers as text; None when empty."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if cell is not None and (isinstance(cell, bool) or not isinstance(cell, str | int)):
        raise _Malformed(f"{name} is not text: the spreadsheet made something else of it")
    text = unicodedata.normalize("NFC", "" if cell is None else str(cell)).strip()
    if kept := _KEPT_TEXT.fullmatch(text):
        text = kept[1].strip()
    if len(text) > LONGEST_NUMBER.get(name, LONGEST_CELL):
        raise _Malformed(f"{name} is too long")
    if not text.isprintable():
        raise _Malformed(f"{name} holds characters that cannot be printed")
    if name != "file_name" and _ROUNDED.fullmatch(text):
        raise _Malformed(f"{name} was rounded by a spreadsheet: format the column as text")
    return text or None


def _claim_id(text: str | None) -> UUID | None:
    if text is None:
        return None
    if not _CLAIM_ID.fullmatch(text):
        raise _Malformed("claim_id is no claim id")
    return UUID(text)


def _date(cell: object) -> date:
    if isinstance(cell, datetime):
        day = cell.date()
    elif isinstance(cell, date):
        day = cell
    else:
        day = _written_date(cell)
    if day < FIRST_DAY:
        raise _Malformed(f"exported_on is before {FIRST_DAY}")
    return day


def _written_date(cell: object) -> date:
    text = cell.strip() if isinstance(cell, str) else ""
    found = _ISO_DATE.fullmatch(text) or _NORWEGIAN_DATE.fullmatch(text)
    if not found:
        raise _Malformed("exported_on is no date: write 2026-10-31 or 31.10.2026")
    try:
        return date(int(found["year"]), int(found["month"]), int(found["day"]))
    except ValueError:
        raise _Malformed("exported_on is a day that does not exist") from None
