"""The list of claims exported by hand: what spreadsheets make of it, and what nobody should send."""

import io
import zipfile
from collections.abc import Callable, Sequence
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

import pytest
from openpyxl import Workbook

from cli import backfill_list
from cli.backfill_list import CSV_TYPE, XLSX_TYPE, ClaimList, UnreadableList, read_list

CLAIM = "0b6c4a3e-1111-4222-8333-123456789abc"
HEADER = "claim_number;exported_on;file_name;voucher_number"
ROW = "2026-17;2026-10-31;Utlegg.csv;B-1"

Read = Callable[[str | bytes], ClaimList]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a list of this content."""

    def read(content: str | bytes) -> ClaimList:
        path = tmp_path / "liste.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_list(path)

    return read


def workbook(*rows: Sequence[object], formats: dict[str, str] | None = None) -> bytes:
    """A workbook whose first sheet has these rows; `formats` are number formats of cells."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(list(row))
    for cell, number_format in (formats or {}).items():
        sheet[cell].number_format = number_format
    book.create_sheet("Annet").append(["nothing", "of", "ours"])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def fields(claims: ClaimList) -> list[tuple[object, ...]]:
    """The rows without names."""
    assert claims.malformed == ()
    return [
        (row.line, row.claim_number, row.exported_on, row.file_name, row.voucher_number)
        for row in claims.rows
    ]


# CSV -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [";", ",", "\t"], ids=["semicolon", "comma", "tab"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
def test_dialects_are_told_by_the_header(read: Read, mark: str, end: str, bom: bytes) -> None:
    """Semicolon, comma or tab, either line end, with or without a mark of UTF-8."""
    text = end.join([HEADER, ROW, "", '"2026-18";31.10.2026;"Bø; ærlig, nå.csv";']) + end
    if mark != ";":
        text = text.replace(";", mark).replace(f"Bø{mark} ærlig", "Bø; ærlig")

    claims = read(bom + text.encode())

    assert fields(claims) == [
        (2, "2026-17", date(2026, 10, 31), "Utlegg.csv", "B-1"),
        (4, "2026-18", date(2026, 10, 31), "Bø; ærlig, nå.csv", None),
    ]
    assert (claims.content_type, claims.suffix, claims.name) == (CSV_TYPE, "csv", "liste.csv")
    assert claims.content == bom + text.encode()


@pytest.mark.parametrize(
    "header",
    [
        "Kravnummer;Eksportdato;Filnavn;Bilagsnummer",
        '"CLAIM_NUMBER"; exported-on ;File name;Voucher Number',
    ],
    ids=["norwegian", "written_freely"],
)
def test_header_names_are_forgiving(read: Read, header: str) -> None:
    """Case, blanks and hyphens do not matter, and the Norwegian words mean the same."""
    assert len(fields(read(f"{header}\n{ROW}"))) == 1


def test_other_columns_are_ignored_and_told(read: Read) -> None:
    """A list may have more columns than are needed; a mistyped name is thereby seen."""
    claims = read("Navn;claim_number;exported_on;file_name;voucher_nr\nÅse;1;2026-10-31;a.csv;B-1")

    assert claims.ignored_columns == ("navn", "voucher_nr")
    assert fields(claims) == [(2, "1", date(2026, 10, 31), "a.csv", None)]


def test_claims_are_named_by_id_too(read: Read) -> None:
    """In either case of letters."""
    [row] = read(f"claim_id,exported_on,file_name\n{CLAIM.upper()},2026-10-31,a.csv").rows

    assert (row.claim_id, row.claim_number) == (UUID(CLAIM), None)


def test_lines_are_those_of_an_editor(read: Read) -> None:
    """A quoted cell that runs over two lines does not shift the numbers after it."""
    claims = read(f'{HEADER}\n"20\n26";2026-10-31;a.csv;\n{ROW}\n')

    assert [row.line for row in claims.malformed] == [2]
    assert [row.line for row in claims.rows] == [4]


def test_letters_that_macs_write_in_two_parts_are_one(read: Read) -> None:
    """å as a and a ring is the å that the claim has."""
    [row] = read(f"{HEADER}\n17;2026-10-31;pa\u030a.csv;").rows

    assert row.file_name == "på.csv"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (";2026-10-31;a.csv;", "claim_id and claim_number are empty"),
        ("1;;a.csv;", "exported_on is no date"),
        ("1;10/31/2026;a.csv;", "exported_on is no date"),
        ("1;31.10.26;a.csv;", "exported_on is no date"),
        ("1;46326;a.csv;", "exported_on is no date"),
        ("1;2026-02-30;a.csv;", "exported_on is a day that does not exist"),
        ("1;1999-12-31;a.csv;", "exported_on is before 2000-01-01"),
        ("1;2026-10-31;;", "file_name is empty"),
        ("1;2026-10-31", "file_name is empty"),
        ("1,23E+11;2026-10-31;a.csv;", "claim_number was rounded by a spreadsheet"),
        ("1;2026-10-31;a.csv;1.2E+9", "voucher_number was rounded by a spreadsheet"),
        (f"{'1' * 51};2026-10-31;a.csv;", "claim_number is too long"),
        (f"1;2026-10-31;{'a' * 201};", "file_name is too long"),
        (f"1;2026-10-31;a.csv;{'1' * 101}", "voucher_number is too long"),
        ("1;2026-10-31;a\x07.csv;", "file_name holds characters that cannot be printed"),
    ],
    ids=range(15),
)
def test_a_row_that_cannot_be_read_is_named(read: Read, row: str, problem: str) -> None:
    """By its line, with what is wrong; the others are read."""
    claims = read(f"{HEADER}\n{row}\n{ROW}\n")

    [malformed] = claims.malformed
    assert (malformed.line, malformed.problem.startswith(problem)) == (2, True), malformed.problem
    assert [row.line for row in claims.rows] == [3]


def test_a_claim_id_that_is_none_is_named(read: Read) -> None:
    """Also when a number stands beside it."""
    claims = read("claim_id,claim_number,exported_on,file_name\n17,17,2026-10-31,a.csv")

    assert [(row.line, row.problem) for row in claims.malformed] == [(2, "claim_id is no claim id")]


def test_leading_zeros_that_a_spreadsheet_was_made_to_keep(read: Read) -> None:
    """="00123" is text in Excel, and 00123 in a CSV stays what it is."""
    claims = read(f'{HEADER}\n"=""00123""";2026-10-31;a.csv;\n00124;2026-10-31;a.csv;\n')

    assert [row.claim_number for row in claims.rows] == ["00123", "00124"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "list_header"),
        (HEADER.encode(), "list_empty"),
        (f"{HEADER}\n\n ; ; ;\n".encode(), "list_empty"),
        (f"{HEADER}\n{ROW}\n17;2026-10-31;p\xe5.csv;".encode("latin-1"), "list_encoding"),
        (f"{HEADER}\n{ROW}".encode("utf-16"), "list_encoding"),
        (f"{HEADER}\n{ROW}".encode("utf-16-le"), "list_encoding"),
        (f"claim_number;file_name\n{ROW}".encode(), "list_header"),
        (f"exported_on;file_name\n{ROW}".encode(), "list_header"),
        (f"claim_number;kravnummer;exported_on;file_name\n{ROW}".encode(), "list_header"),
        (f'{HEADER}\n17;"2026'.encode(), "list_unreadable"),
        (f"{HEADER}\n{'x' * 200_000};".encode(), "list_unreadable"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\xff" * 500, "list_encoding"),
        (b"PK\x03\x04 no workbook", "list_unreadable"),
    ],
    ids=range(13),
)
def test_a_list_that_cannot_be_used_says_why(read: Read, content: bytes, code: str) -> None:
    """One sentence, a stable code, and what to do."""
    with pytest.raises(UnreadableList) as refusal:
        read(content)

    assert refusal.value.code == code
    assert str(refusal.value)
    assert refusal.value.action


def test_a_path_that_leads_nowhere_is_said(tmp_path: Path) -> None:
    """Missing, and a directory."""
    for path in (tmp_path / "missing.csv", tmp_path):
        with pytest.raises(UnreadableList) as refusal:
            read_list(path)
        assert refusal.value.code == "list_unreadable"


# Workbooks -----------------------------------------------------------------------------------------


def test_a_workbook_is_read_as_it_looks(read: Read) -> None:
    """The first sheet; dates as dates, whole numbers as text; rows by their number in the sheet."""
    claims = read(
        workbook(
            ["Kravnummer", "Eksportdato", "Filnavn", "Bilagsnummer", "Navn"],
            [17, datetime(2026, 10, 31), "Bø på nå.csv", 77120.0, "Åse"],  # noqa: DTZ001  # as Excel
            [],
            ["00018", "2026-10-31", "a.csv", None, None],
            [2.0, date(2026, 10, 31), "a.csv", "B-2"],
        )
    )

    assert fields(claims) == [
        (2, "17", date(2026, 10, 31), "Bø på nå.csv", "77120"),
        (4, "00018", date(2026, 10, 31), "a.csv", None),
        (5, "2", date(2026, 10, 31), "a.csv", "B-2"),
    ]
    assert (claims.content_type, claims.suffix) == (XLSX_TYPE, "xlsx")
    assert claims.ignored_columns == ("navn",)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ([datetime(2026, 11, 1), date(2026, 10, 31), "a.csv"], "claim_number is not text"),  # noqa: DTZ001
        ([17.5, date(2026, 10, 31), "a.csv"], "claim_number is not text"),
        ([True, date(2026, 10, 31), "a.csv"], "claim_number is not text"),
        ([17, 46326, "a.csv"], "exported_on is no date"),
        ([17, date(2026, 10, 31), datetime(2026, 10, 31)], "file_name is not text"),  # noqa: DTZ001
        (["=1+1", date(2026, 10, 31), "a.csv"], "claim_id and claim_number are empty"),
    ],
    ids=[
        "a_date_of_a_number",
        "fraction",
        "truth",
        "a_number_of_a_date",
        "a_date_of_a_name",
        "formula",
    ],
)
def test_what_a_spreadsheet_made_of_a_cell_is_named(
    read: Read, cells: list[object], problem: str
) -> None:
    """2026-11 becomes the first of November, a date a number: nobody guesses back."""
    claims = read(workbook(["claim_number", "exported_on", "file_name"], cells))

    assert claims.rows == ()
    [malformed] = claims.malformed
    assert malformed.problem.startswith(problem), malformed.problem


def hostile_workbook(sheet: str) -> bytes:
    """A workbook whose sheet is this XML."""
    content = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook(["claim_number"]))) as honest,
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as hostile,
    ):
        for name in honest.namelist():
            text = sheet.encode() if name.endswith("sheet1.xml") else honest.read(name)
            hostile.writestr(name, text)
    return content.getvalue()


def sheet_xml(rows: str, doctype: str = "") -> str:
    return (
        f'<?xml version="1.0"?>{doctype}<worksheet xmlns='
        '"http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        f'<dimension ref="A1:A1"/><sheetData>{rows}</sheetData></worksheet>'
    )


def row_xml(number: object, *cells: str) -> str:
    written = "".join(f'<c t="inlineStr"><is><t>{cell}</t></is></c>' for cell in cells)
    return f'<row r="{number}">{written}</row>'


HEADER_XML = row_xml(1, "claim_number", "exported_on", "file_name")


def test_what_a_sheet_says_about_its_size_is_not_believed(read: Read) -> None:
    """A dimension of one cell hides no rows, and a row keeps its number after a gap."""
    claims = read(
        hostile_workbook(sheet_xml(HEADER_XML + row_xml(1000, "17", "2026-10-31", "a.csv")))
    )

    assert fields(claims) == [(1000, "17", date(2026, 10, 31), "a.csv", None)]


def test_whole_numbers_written_as_fractions_are_whole(read: Read) -> None:
    """Some programs save 17 as 17.0; Excel shows 17."""
    row = (
        '<row r="2"><c><v>17.0</v></c><c t="inlineStr"><is><t>2026-10-31</t></is></c>'
        '<c t="inlineStr"><is><t>a.csv</t></is></c></row>'
    )

    assert fields(read(hostile_workbook(sheet_xml(HEADER_XML + row)))) == [
        (2, "17", date(2026, 10, 31), "a.csv", None)
    ]


@pytest.mark.parametrize(
    "sheet",
    [
        sheet_xml(HEADER_XML + row_xml(10**12, "17", "2026-10-31", "a.csv")),
        sheet_xml(
            row_xml(1, "&a9;"),
            "<!DOCTYPE w ["
            '<!ENTITY a0 "xxxxxxxxxxxxxxxxxxxx">'
            + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
            + "]>",
        ),
        "<worksheet",
        "",
    ],
    ids=["a_row_far_away", "entities_of_entities", "cut_off", "nothing"],
)
def test_a_hostile_sheet_is_refused(read: Read, sheet: str) -> None:
    """Without an hour of work or a machine without memory."""
    with pytest.raises(UnreadableList) as refusal:
        read(hostile_workbook(sheet))
    assert refusal.value.code in {"list_unreadable", "list_header"}


def test_a_workbook_that_unpacks_to_a_mountain_is_refused(read: Read) -> None:
    """A megabyte of zip may be a gigabyte of sheet: it is not unpacked."""
    content = io.BytesIO()
    with (
        zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bomb,
        bomb.open("a.xml", "w") as part,
    ):
        for _ in range(backfill_list.MOST_BYTES_UNPACKED // 1_000_000 + 1):
            part.write(b"x" * 1_000_000)
    assert len(content.getvalue()) < 1_000_000

    with pytest.raises(UnreadableList) as refusal:
        read(content.getvalue())
    assert refusal.value.code == "list_too_large"


def test_size_and_length_are_bounded(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many bytes, too many rows; malformed ones count."""
    text = f"{HEADER}\n;;;x\n{ROW}\n{ROW}\n"
    monkeypatch.setattr(backfill_list, "MOST_ROWS", 3)
    assert len(read(text).rows) == 2
    monkeypatch.setattr(backfill_list, "MOST_ROWS", 2)
    with pytest.raises(UnreadableList) as too_long:
        read(text)
    monkeypatch.setattr(backfill_list, "MOST_BYTES", len(text) - 1)
    with pytest.raises(UnreadableList) as too_large:
        read(text)

    assert (too_long.value.code, too_large.value.code) == ("list_too_long", "list_too_large")
