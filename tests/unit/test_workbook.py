"""The XLSX writer, read back by a reader of somebody else, and by the letters of its XML."""

import io
import re
import zipfile
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree as ET

import openpyxl
import pytest

from exporters.workbook import MOST_CHARACTERS, Column, Style, Styled, Value, Workbook

CREATED = "2026-11-21T10:00:00Z"


def written(rows: Iterable[Iterable[Value | Styled]], *, most_rows: int = 1_048_576) -> bytes:
    """A workbook of one table."""
    content = bytearray()
    workbook = Workbook(content.extend, most_rows=most_rows)
    table = workbook.table("Rows", [Column("A", 10), Column("B", 10), Column("C", 10)], place=0)
    for row in rows:
        table.append(row)
    table.close()
    workbook.close(title="T", author="A", created=CREATED)
    return bytes(content)


def read(content: bytes) -> Any:
    """All of it, as openpyxl understands it."""
    return openpyxl.load_workbook(io.BytesIO(content))


def cells_of(content: bytes, part: str = "xl/worksheets/sheet1.xml") -> str:
    """The XML of a sheet."""
    return zipfile.ZipFile(io.BytesIO(content)).read(part).decode()


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1740.50", "1740.50"),
        ("-0.01", "-0.01"),
        ("999999999999.99", "999999999999.99"),
        ("-999999999999.99", "-999999999999.99"),
        ("0.10", "0.10"),
        ("1E+3", "1000"),
    ],
)
def test_an_amount_stands_in_the_file_as_it_is(amount: str, text: str) -> None:
    """A number's text is its decimals, digit for digit, and a reader gets the same amount."""
    content = written([(Decimal(amount),)])

    assert f"<v>{text}</v>" in cells_of(content)
    cell = read(content)["Rows"]["A2"]
    assert cell.data_type == "n"
    assert Decimal(str(cell.value)) == Decimal(amount)
    assert cell.number_format == "#,##0.00"


@pytest.mark.parametrize(
    "text",
    ["=1+1", "@x", "+4712345678", "-1", '=HYPERLINK("http://x")', "007", "<b>&amp;", "  wide  "],
)
def test_text_is_text(text: str) -> None:
    """What looks like a formula, a number or markup is a string cell with these very letters."""
    cell = read(written([(text,)]))["Rows"]["A2"]

    assert (cell.value, cell.data_type) == (text, "s")
    assert "<f>" not in cells_of(written([(text,)]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x00b", "a␀b"),
        ("a\x0bb\x1f", "a␋b␟"),
        ("a\x7f", "a␡"),
        ("a\ufffeb", "a�b"),
        ("a\ud800b", "a�b"),
        ("a\rb", "a␍b"),
        ("a\r\nb\tc", "a\nb\tc"),
        ("æøå 🚕", "æøå 🚕"),
    ],
)
def test_what_xml_cannot_hold_is_shown(text: str, shown: str) -> None:
    """No character is dropped without a trace, and none makes the file unreadable."""
    assert read(written([(text,)]))["Rows"]["A2"].value == shown


def test_an_escape_of_the_format_is_not_taken_for_one() -> None:
    """Spreadsheet programs read _x0041_ as A, unless its first character is escaped itself."""
    assert ">_x005F_x0041_ _y<" in cells_of(written([("_x0041_ _y",)]))


def test_a_text_longer_than_a_cell_is_cut_visibly() -> None:
    text = read(written([("x" * 40_000,)]))["Rows"]["A2"].value

    assert (len(text), text[-2:]) == (MOST_CHARACTERS, "x…")


def test_a_cell_is_measured_as_spreadsheet_programs_do() -> None:
    """A character beyond the first 65,536 counts twice, and none is cut in half."""
    text = read(written([("🚕" * 20_000,)]))["Rows"]["A2"].value

    assert (len(text), text[-2:]) == (16_384, "🚕…")
    assert read(written([("é" * 20_000,)]))["Rows"]["A2"].value == "é" * 20_000


def test_dates_are_dates_and_counts_are_numbers() -> None:
    sheet = read(written([(date(2026, 2, 28), 7, None)]))["Rows"]

    assert (sheet["A2"].value.date(), sheet["A2"].is_date) == (date(2026, 2, 28), True)
    assert (sheet["B2"].value, sheet["C2"].value) == (7, None)


def test_a_full_sheet_continues_on_a_further_one() -> None:
    """No row is lost at the limit, and every sheet has its headings."""
    workbook = read(written([(str(number),) for number in range(7)], most_rows=4))

    assert workbook.sheetnames == ["Rows", "Rows 2", "Rows 3"]
    rows = [[row[0].value for row in sheet.iter_rows()] for sheet in workbook]
    assert rows == [["A", "0", "1", "2"], ["A", "3", "4", "5"], ["A", "6"]]
    assert [sheet.auto_filter.ref for sheet in workbook] == ["A1:C4", "A1:C4", "A1:C2"]


def test_headings_stay_in_sight_and_can_be_filtered() -> None:
    sheet = read(written([("x",)]))["Rows"]

    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("A2", "A1:C2")
    assert sheet["A1"].font.b
    assert sheet.column_dimensions["A"].width == 10


def test_tabs_stand_in_their_places_whatever_was_written_first() -> None:
    content = bytearray()
    workbook = Workbook(content.extend)
    for place, name in ((2, "Last"), (0, "First"), (1, "Second")):
        workbook.table(name, [Column("A", 10)], place=place).close()
    workbook.close(title="T", author="A & B", created=CREATED)

    found = read(bytes(content))
    assert found.sheetnames == ["First", "Second", "Last"]
    assert (found.properties.creator, found.properties.created.year) == ("A & B", 2026)


def test_the_same_rows_give_the_same_bytes() -> None:
    rows = [("æ", Decimal("1.00"), date(2026, 1, 1)), (Styled("x", Style.TITLE), 2)]

    assert written(rows) == written(rows)


def test_every_part_is_wellformed_and_plain_to_every_reader() -> None:
    """All parts are XML, none needs the 64-bit form of archives, and all have a type."""
    archive = zipfile.ZipFile(io.BytesIO(written([("x",)])))
    types = archive.read("[Content_Types].xml").decode()

    for part in archive.infolist():
        ET.fromstring(archive.read(part))  # noqa: S314  # our own
        assert not part.extra
        assert part.date_time == (1980, 1, 1, 0, 0, 0)
    named = set(re.findall(r'PartName="/([^"]+)"', types))
    assert named == {
        name for name in archive.namelist() if name.startswith(("xl/", "docProps/"))
    } - {"xl/_rels/workbook.xml.rels"}
