"""The XLSX writer, read back by a reader of somebody else, and by the letters of its XML."""

import io
import re
import tempfile
import time
import zipfile
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import openpyxl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from functions.workbook import MOST_CHARACTERS, Column, Style, Styled, Value, Workbook

BOOK = "xl/workbook.xml"
MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
CREATED = datetime(2026, 11, 21, 10, tzinfo=UTC)


def written(rows: Iterable[Iterable[Value | Styled]], *, most_rows: int = 1_048_576) -> bytes:
    """A workbook of one table."""
    content = bytearray()
    workbook = Workbook(content.extend, most_rows=most_rows)
    table = workbook.table("Rows", [Column("A", 10), Column("B", 10), Column("C", 10)], place=0)
    for row in rows:
        table.append(row)
    table.close()
    workbook.close(title="T", author="A", created=CREATED)
    workbook.discard()
    return bytes(content)


def read(content: bytes) -> Any:
    """All of it, as openpyxl understands it."""
    return openpyxl.load_workbook(io.BytesIO(content))


def cells_of(content: bytes | bytearray, part: str = "xl/worksheets/sheet1.xml") -> str:
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
        ("1E+3", "1E+3"),
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


@given(st.lists(st.decimals(-999_999_999_999, 999_999_999_999, places=2), max_size=40))
def test_every_amount_reads_back_equal(amounts: list[Decimal]) -> None:
    """Twelve digits and two decimals survive, in the XML and in a reader's floating point."""
    content = written([(amount,) for amount in amounts])

    assert re.findall("<v>([^<]*)</v>", cells_of(content)) == [str(amount) for amount in amounts]
    rows = read(content)["Rows"].iter_rows(min_row=2, max_col=1, values_only=True)
    assert [Decimal(str(value)) for (value,) in rows] == amounts


@pytest.mark.parametrize(
    "text",
    ["=1+1", "@x", "+4712345678", "-1", '=HYPERLINK("http://x")', "http://x", "{=1}", "007"],
)
def test_text_is_text(text: str) -> None:
    """What looks like a formula, a link or a number is a string cell with these very letters."""
    content = written([(text,)])
    cell = read(content)["Rows"]["A2"]

    assert (cell.value, cell.data_type, cell.hyperlink) == (text, "s", None)
    assert "<f>" not in cells_of(content)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="_\ufffe\uffff")))
@example("<b>&amp;")
@example("  wide  ")
def test_any_text_reads_back(text: str) -> None:
    """Letter for letter, and no text makes the XML another."""
    rows = ET.fromstring(cells_of(written([(text, "next")]))).iter(f"{MAIN}row")  # noqa: S314  # our own

    assert [[cell.findtext(f".//{MAIN}t") for cell in row] for row in rows][1:] == [[text, "next"]]


@pytest.mark.parametrize("filling", ["x", "</t></is></c>", "x" * (MOST_CHARACTERS - 7)])
def test_text_is_never_taken_for_xml(filling: str) -> None:
    """XlsxWriter writes what stands between these two as it is; a space after them stops that."""
    text = f"<r>{filling}</r>"

    shown = read(written([(text,)]))["Rows"]["A2"].value

    assert shown == (f"{text} " if len(text) < MOST_CHARACTERS else f"{text[:-1]}…")


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
    # Ten characters, and what stands beside them in a cell.
    assert sheet.column_dimensions["A"].width == 10.7109375


def test_tabs_stand_in_their_places_whatever_was_written_first() -> None:
    content = bytearray()
    workbook = Workbook(content.extend)
    for place, name in ((2, "Last"), (0, "First"), (1, "Second")):
        workbook.table(name, [Column("A", 10)], place=place).close()
    workbook.close(title="T", author="A & B", created=CREATED)
    workbook.discard()

    found = read(bytes(content))
    assert found.sheetnames == ["First", "Second", "Last"]
    assert (found.properties.creator, found.properties.created.year) == ("A & B", 2026)


def test_further_sheets_stand_beside_the_first_and_filter_their_own_rows() -> None:
    """A filter names its sheet by the place among the tabs."""
    content = bytearray()
    workbook = Workbook(content.extend, most_rows=2)
    for place, name, count in ((1, "Many", 3), (0, "First", 1)):
        table = workbook.table(name, [Column("A", 10)], place=place)
        for number in range(count):
            table.append((number,))
        table.close()
    workbook.close(title="T", author="A", created=CREATED)
    workbook.discard()

    assert read(bytes(content)).sheetnames == ["First", "Many", "Many 2", "Many 3"]
    names = re.findall(r'localSheetId="(.)" hidden="1">([^!]*)!', cells_of(content, BOOK))
    assert sorted(names) == [("0", "First"), ("1", "Many"), ("2", "'Many 2'"), ("3", "'Many 3'")]


@pytest.mark.parametrize("is_finished", [True, False])
def test_no_temporary_file_is_left(
    is_finished: bool,  # noqa: FBT001  # two cases of one test
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether the file was written or its maker failed before."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    workbook = Workbook(lambda _: None)
    workbook.table("Rows", [Column("A", 10)], place=0).append(("x" * 10_000,))
    workbook.table("More", [Column("A", 10)], place=1).append(("x",))
    assert list(tmp_path.iterdir())

    if is_finished:
        workbook.close(title="T", author="A", created=CREATED)
    workbook.discard()

    assert list(tmp_path.iterdir()) == []


def test_the_same_rows_give_the_same_bytes() -> None:
    rows = [("æ", Decimal("1.00"), date(2026, 1, 1)), (Styled("x", Style.TITLE), 2)]

    first = written(rows)
    # Another second of the clock.
    time.sleep(1.1)
    assert written(rows) == first


def test_every_part_is_wellformed_and_plain_to_every_reader() -> None:
    """All parts are XML, none needs the 64-bit form of archives, and all have a type."""
    archive = zipfile.ZipFile(io.BytesIO(written([("x",)])))
    types = archive.read("[Content_Types].xml").decode()

    for part in archive.infolist():
        ET.fromstring(archive.read(part))  # noqa: S314  # our own
        assert not part.extra
        assert part.date_time == (1980, 1, 31, 0, 0, 0)
    named = set(re.findall(r'PartName="/([^"]+)"', types))
    assert named == {
        name for name in archive.namelist() if name.startswith(("xl/", "docProps/"))
    } - {"xl/_rels/workbook.xml.rels"}
