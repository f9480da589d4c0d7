"""A list from the accounting system is read as it is written, or every fault of it is named."""

import csv
import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.confirmation import ListedVoucher, Outcome
from functions.confirmation_list import (
    MOST_BYTES,
    MOST_PROBLEMS,
    MOST_ROWS,
    MalformedList,
    read_confirmation_list,
)
from functions.error_catalogue import FIELD_SENTENCES
from functions.errors import InvalidRequest

PLAIN = "voucher_number;outcome;external_number;note\n1001;booked;B17;Sjekket\n1002;refused;;\n"
READ = (
    ListedVoucher(1001, Outcome.BOOKED, "B17", "Sjekket"),
    ListedVoucher(1002, Outcome.REFUSED),
)


def read(text: str) -> tuple[ListedVoucher, ...]:
    return read_confirmation_list(text.encode()).vouchers


def faults(content: str | bytes) -> list[tuple[int, str | None, str]]:
    with pytest.raises(MalformedList) as malformed:
        read_confirmation_list(content.encode() if isinstance(content, str) else content)
    problems = malformed.value.problems
    assert all(problem.code in FIELD_SENTENCES for problem in problems)
    return [(problem.line, problem.column, problem.code) for problem in problems]


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace(";", ","),
        PLAIN.replace(";", "\t"),
        PLAIN.replace("\n", "\r\n"),
        "\ufeff" + PLAIN,
        "\n\n" + PLAIN.replace("\n", "\n\n") + ";;;\n  \n",
        PLAIN.rstrip("\n"),
        PLAIN.replace("1001", " 1001 ").replace("booked", " Booked "),
        PLAIN.replace("voucher_number", "Voucher number").replace("outcome", "OUTCOME"),
        PLAIN.replace("voucher_number", "Bilagsnummer").replace("outcome", "Utfall").replace("external_number", "Eksternt nummer")
        .replace("note", "Merknad").replace("booked", "Bokført").replace("refused", "avvist"),
        'outcome,note,voucher_number,external_number\nbooked,"Sjekket",1001,"B17"\nrefused,,1002,\n',
        PLAIN.replace("Sjekket", '"\nSjekket\r\n"'),
    ],
)  # fmt: skip
def test_a_list_is_read_in_every_usual_form(text: str) -> None:
    """Any of three delimiters and two line ends, with or without BOM, in any order, in both languages."""
    assert read(text) == READ


def test_columns_that_are_not_ours_are_ignored_and_named() -> None:
    """A list as the accounting system prints it has dates and amounts, too."""
    given_list = read_confirmation_list(
        b"Dato;voucher_number;Bel\xc3\xb8p;outcome;\n2026-11-02;7;1,50;imported;\n"
    )

    assert given_list.vouchers == (ListedVoucher(7, Outcome.IMPORTED),)
    assert given_list.ignored_columns == ("Dato", "Beløp")


def test_delimiters_and_quotes_inside_cells_stay() -> None:
    text = 'voucher_number;outcome;note\n1;booked;"a; b, ""c""\t d"\n'

    assert read(text) == (ListedVoucher(1, Outcome.BOOKED, None, 'a; b, "c" d'),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [(1, "voucher_number", "required"), (1, "outcome", "required")]),
        ("\n\nvoucher_number\n1\n", [(3, "outcome", "required")]),
        ("voucher_number;outcome\n", [(1, None, "list_is_empty")]),
        ("voucher_number;outcome\n\n;\n", [(3, None, "list_is_empty")]),
        ("voucher_number;bilagsnummer;outcome\n1;1;booked\n", [(1, "voucher_number", "repeated_field")]),
        ("voucher_number;outcome\n1;booked\n2\n3;booked;x\n", [(3, None, "other_cell_count"), (4, None, "other_cell_count")]),
        ("voucher_number;outcome\n1;booked\n\n1;refused\n", [(4, "voucher_number", "repeated_voucher")]),
        ("voucher_number;outcome\n1;paid\n;booked\n2;\n", [(2, "outcome", "not_an_outcome"), (3, "voucher_number", "required"), (4, "outcome", "required")]),
        ("voucher_number;outcome\nx;y\n", [(2, "voucher_number", "not_a_voucher_number"), (2, "outcome", "not_an_outcome")]),
        ("voucher_number;outcome;note\n1;booked;\x00\n", [(2, "note", "malformed")]),
        (f"voucher_number;outcome;note;external_number\n1;booked;{'x' * 501};{'x' * 101}\n", [(2, "external_number", "too_long"), (2, "note", "too_long")]),
        ('voucher_number;outcome\n1;booked\n2;"booked\n3;booked\n', [(3, None, "not_csv")]),
        ('voucher_number;outcome\n1;booked\n2;"boo"ked\n3;paid\n', [(3, None, "not_csv")]),
        ('"voucher_number;outcome\n1;booked\n', [(1, None, "not_csv")]),
        ('voucher_number;outcome;note\n1;booked;"a\nb\nc"\n2;paid;\n', [(5, "outcome", "not_an_outcome")]),
    ],
)  # fmt: skip
def test_every_fault_is_named_by_line_and_column(
    text: str, expected: list[tuple[int, str | None, str]]
) -> None:
    """Lines are counted as an editor counts them, blank ones and line breaks in cells included."""
    assert faults(text) == expected


@pytest.mark.parametrize(
    "number", ["0", "-1", "1.0", "1,0", "1e3", "100000000", "٣", "0017", "1 001", "=1"]
)
def test_what_is_no_voucher_number_is_refused(number: str) -> None:
    assert faults(f"voucher_number;outcome\n{number};booked\n") == [
        (2, "voucher_number", "not_a_voucher_number")
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (PLAIN.replace("Sjekket", "Bokført").encode("cp1252"), 2),
        (b"\xff\xfe" + PLAIN.encode("utf-16-le"), 1),
        (b"voucher_number;outcome\r\n1;booked\r\n2;bokf\xf8rt\r\n", 3),
    ],
)
def test_another_encoding_is_named_with_its_line(content: bytes, line: int) -> None:
    assert faults(content) == [(line, None, "not_utf8")]


def test_the_first_hundred_faults_are_named() -> None:
    text = "voucher_number;outcome\n" + "x;y\n" * 80

    assert len(faults(text)) == MOST_PROBLEMS


def test_faults_are_fields_of_the_answer() -> None:
    with pytest.raises(MalformedList) as malformed:
        read_confirmation_list(b"voucher_number;outcome\n1;paid\n2\n")

    assert malformed.value.code == "confirmation_list_malformed"
    assert [field.field for field in malformed.value.fields] == ["lines[2].outcome", "lines[3]"]


@pytest.mark.parametrize(
    "content",
    [
        b"voucher_number;outcome\n"
        + b"".join(b"%d;booked\n" % number for number in range(1, MOST_ROWS + 2)),
        b"voucher_number;outcome\n1;booked\n" + b"\n" * MOST_BYTES,
    ],
    ids=["rows", "bytes"],
)
def test_a_list_has_bounds(content: bytes) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_confirmation_list(content)

    assert refused.value.code == "confirmation_list_too_long"


def test_the_longest_list_is_read() -> None:
    content = b"voucher_number;outcome\n" + b"".join(
        b"%d;booked\n" % number for number in range(1, MOST_ROWS + 1)
    )

    assert len(read_confirmation_list(content).vouchers) == MOST_ROWS


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=40).map(
    lambda text: " ".join(text.split()) or None
)
VOUCHERS = st.lists(
    st.builds(ListedVoucher, st.integers(1, 99_999_999), st.sampled_from(Outcome), WORDS, WORDS),
    min_size=1,
    max_size=20,
    unique_by=lambda voucher: voucher.voucher_number,
)


@given(VOUCHERS, st.sampled_from(";,\t"), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_what_a_spreadsheet_writes_is_what_is_read(
    vouchers: list[ListedVoucher],
    delimiter: str,
    line_end: str,
    has_bom: bool,  # noqa: FBT001
) -> None:
    """Any texts, quoted as csv quotes them, come back as they were."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=line_end)
    writer.writerow(["voucher_number", "outcome", "external_number", "note"])
    for v in vouchers:
        writer.writerow([v.voucher_number, v.outcome, v.external_number, v.note])
    text = ("\ufeff" if has_bom else "") + out.getvalue()

    assert read(text) == tuple(vouchers)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """No content ends in anything but vouchers or a refusal that names a line."""
    with suppress(MalformedList):
        assert read_confirmation_list(content).vouchers
