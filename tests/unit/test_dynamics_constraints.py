"""Acceptance of Business Central files by constraint; every file is read with the csv module."""

import csv
import io
import re
from collections import defaultdict
from datetime import date
from decimal import Decimal

import pytest

from exporters.registry import configuration_problems
from exporters.run_renderer import MembersOutOfOrderError
from tests.golden.case import cases
from tests.unit.claim_factory import (
    Document,
    claim,
    claim_line,
    dynamics_document,
    member,
    members,
    one_line_claim,
    posting_rules,
    render,
    render_claims,
)
from tests.unit.identity_numbers import SYNTHETIC

Record = dict[str, str]

HEADER = (
    b"AccountNo;PostingDate;DocumentNo;ExternalDocumentNo;Description;Amount;Dim1;Dim2;"
    b"DocumentDate;VatNumber;Comment\r\n"
)
WIDTHS = {
    "AccountNo": 20,
    "DocumentNo": 20,
    "ExternalDocumentNo": 35,
    "Description": 100,
    "Dim1": 20,
    "Dim2": 20,
    "VatNumber": 20,
    "Comment": 250,
}
CODES = ("AccountNo", "DocumentNo", "ExternalDocumentNo", "Dim1", "Dim2", "VatNumber")
HOSTILE = '=cmd|"/c calc"!A1;b\r\nc\td\x00e\x85f\u2029🚕 æøåÆØÅ'


def _generated() -> bytes:
    entries = members(
        claim(1, dimensions={"department": "oslo", "project": "p2"}),
        claim(2, purpose=HOSTILE * 20, claimant={"name": HOSTILE * 9, "number": None}),
        one_line_claim(3, description="🚕" * 120, total="999999999999.99"),
        one_line_claim(4, description=HOSTILE, total="-0.01"),
        claim(5, claim_number="hlf-2026-5"),
    )
    reversal = member(claim(1), 6, kind="reversal")
    rendered = render(dynamics_document(), [[*entries, reversal]])
    assert rendered.left_out == []
    return rendered.data


FILES = {
    "generated": _generated(),
    **{
        case.name: case.expected_file.read_bytes()
        for case in cases()
        if case.content["configuration"]["format"] == "dynamics_bc_csv"
    },
}

DATA = pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())


def records(data: bytes) -> list[Record]:
    """Read with the csv module, without quoting, exactly as a strict importer would."""
    text = io.StringIO(data.decode("utf-8"), newline="")
    return list(csv.DictReader(text, delimiter=";", quoting=csv.QUOTE_NONE, strict=True))


def vouchers(data: bytes) -> dict[str, list[Record]]:
    """Group the records by document number."""
    grouped: dict[str, list[Record]] = defaultdict(list)
    for record in records(data):
        grouped[record["DocumentNo"]].append(record)
    return grouped


@DATA
def test_f01_the_bytes_are_strict_utf8(data: bytes) -> None:
    """The file is UTF-8 without a byte order mark and without a replacement character."""
    text = data.decode("utf-8", "strict")

    assert "\ufffd" not in text
    assert not text.startswith("\ufeff")


def test_f01_norwegian_letters_survive() -> None:
    """The letters æøåÆØÅ come back as they were."""
    data = render_claims(dynamics_document(), one_line_claim(description="æøåÆØÅ")).data

    assert records(data)[0]["Description"] == "2026-0001 æøåÆØÅ"


def test_f01_a_replacement_character_is_left_out() -> None:
    """A text that was damaged before it came here is not passed on."""
    rendered = render_claims(dynamics_document(), one_line_claim(description="Bod\ufffd"))

    assert [(entry.code, entry.field) for entry in rendered.left_out] == [
        ("forbidden_character", "lines[1].description"),
    ]


@DATA
def test_f02_every_record_ends_with_the_line_end(data: bytes) -> None:
    """Every record ends with CR LF, the last one too, and no other control character is there."""
    assert data.endswith(b"\r\n")
    assert not re.search(rb"[\x00-\x1f\x7f]", data.replace(b"\r\n", b""))
    assert not re.search(r"[\x80-\x9f\u2028\u2029]", data.decode())
    assert b"\r\n\r\n" not in data


@DATA
def test_f03_every_row_has_the_columns_of_the_header(data: bytes) -> None:
    """The header is the profile's byte for byte, and every row has eleven cells."""
    assert data.startswith(HEADER)
    assert {line.count(b";") for line in data.split(b"\r\n")[:-1]} == {10}


@DATA
def test_f04_no_cell_holds_a_quote(data: bytes) -> None:
    """No quote character is in the file, so no importer can take one for quoting."""
    assert b'"' not in data


@DATA
def test_f05_no_text_begins_like_a_formula(data: bytes) -> None:
    """No cell but the amount begins with a sign that a spreadsheet runs."""
    cells = [cell for record in records(data) for name, cell in record.items() if name != "Amount"]

    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r\n-", " =", "\x00@"])
def test_f05_a_formula_is_defused_and_a_number_is_not(start: str) -> None:
    """A text that begins like a formula gets an apostrophe; a negative amount stays a number."""
    configuration = dynamics_document(settings={"line_text": "{description}"})

    record = records(
        render_claims(configuration, one_line_claim(total="-5.00", description=f"{start}1+1")).data,
    )[0]

    assert record["Description"] == "'" + start.strip(" \x00\t\r\n") + "1+1"
    assert record["Amount"] == "-5.00"


def test_f05_a_code_that_begins_like_a_formula_is_left_out() -> None:
    """A code cannot be given an apostrophe, so the claim is left out."""
    rendered = render_claims(dynamics_document(), claim(claim_number="=1"))

    assert rendered.codes == ["forbidden_character"]


def test_f06_the_same_input_gives_the_same_file() -> None:
    """Two renderings are byte for byte the same."""
    assert _generated() == FILES["generated"]


def test_f07_the_order_of_a_claims_lines_changes_nothing() -> None:
    """Lines are written in the order of their numbers."""
    forwards = render_claims(dynamics_document(), claim())
    backwards = render_claims(dynamics_document(), claim(lines=claim()["lines"][::-1]))

    assert forwards.data == backwards.data


@DATA
def test_f08_money_has_two_decimals(data: bytes) -> None:
    """Every amount has a period and two decimals, no exponent and no sign on zero."""
    amounts = [record["Amount"] for record in records(data)]

    assert all(re.fullmatch(r"-?\d+\.\d{2}", amount) for amount in amounts)
    assert "-0.00" not in amounts


@DATA
def test_f09_dates_are_real_and_iso(data: bytes) -> None:
    """Posting and document dates are calendar dates as yyyy-mm-dd."""
    for record in records(data):
        for name in ("PostingDate", "DocumentDate"):
            assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", record[name])
            date.fromisoformat(record[name])


def test_f07_members_in_another_order_are_refused() -> None:
    """The order of claims is the run's: a page that comes twice or too early is refused."""
    with pytest.raises(MembersOutOfOrderError):
        render(dynamics_document(), [members(claim(1), claim(2))[::-1]])


def test_f10_an_empty_run_gives_no_file() -> None:
    """Without claims there is not even a header, and the count says why."""
    rendered = render(dynamics_document(), [[]])

    assert rendered.data == b""
    assert rendered.renderer.summary().claim_count == 0


def test_f11_each_claim_of_the_run_is_in_the_file_once() -> None:
    """Every line has a reference of its own, and the claims are the members."""
    rendered = render_claims(dynamics_document(), claim(1), claim(2), one_line_claim(3))

    references = [record["ExternalDocumentNo"] for record in records(rendered.data)]
    assert len(references) == len(set(references))
    assert {reference.rpartition("-")[0] for reference in references} == {
        "2026-0001",
        "2026-0002",
        "2026-0003",
    }
    with pytest.raises(MembersOutOfOrderError):
        render(dynamics_document(), [[member(claim(1)), member(claim(1))]])


def test_f12_what_the_run_tells_can_be_counted_in_the_file() -> None:
    """Layout and version, rows, vouchers, debit and credit are those of the file."""
    rendered = render_claims(
        dynamics_document(), claim(1), claim(2), one_line_claim(3, total="-1.00")
    )
    amounts = [Decimal(record["Amount"]) for record in records(rendered.data)]
    summary, groups = rendered.renderer.summary(), rendered.renderer.breakdown().groups()

    assert summary.line_count == len(amounts)
    assert summary.voucher_count == len(vouchers(rendered.data))
    assert sum(group.debit for group in groups) == sum(a for a in amounts if a > 0)
    assert sum(group.credit for group in groups) == -sum(a for a in amounts if a < 0)
    layout = rendered.renderer.layout
    assert (layout["name"], layout["version"]) == ("dynamics_bc_csv", 2)


@pytest.mark.parametrize("field", ["description", "purpose", "name"])
def test_f13_no_identity_number_leaves_the_house(field: str) -> None:
    """A claim that holds one in any text is left out by that field."""
    text = f"Følge av {SYNTHETIC}"
    document = {
        "description": one_line_claim(description=text),
        "purpose": claim(purpose=text),
        "name": claim(claimant={"name": text, "number": "7"}),
    }[field]
    rendered = render_claims(dynamics_document(), document)

    assert rendered.codes == ["national_identity_number"]
    assert SYNTHETIC.encode() not in rendered.data


@DATA
def test_v01_every_document_sums_to_zero(data: bytes) -> None:
    """The amounts under one document number sum to exactly zero."""
    for lines in vouchers(data).values():
        assert sum(Decimal(line["Amount"]) for line in lines) == 0


@DATA
def test_v02_every_document_has_one_posting_date(data: bytes) -> None:
    """The lines of a document share their posting date."""
    assert {len({line["PostingDate"] for line in lines}) for lines in vouchers(data).values()} == {
        1,
    }


@DATA
def test_v03_every_document_has_a_debit_and_a_credit(data: bytes) -> None:
    """A document has two lines or more, debit and credit, none of zero."""
    for lines in vouchers(data).values():
        signs = {Decimal(line["Amount"]) > 0 for line in lines}
        assert len(lines) >= 2
        assert signs == {True, False}
        assert all(Decimal(line["Amount"]) for line in lines)


@DATA
def test_v04_a_document_holds_one_claim(data: bytes) -> None:
    """The external numbers of a document's lines name one claim."""
    for lines in vouchers(data).values():
        claims = {line["ExternalDocumentNo"].rpartition("-")[0] for line in lines}
        assert len(claims) == 1


def test_v05_the_credit_is_the_claims_total() -> None:
    """The payable line credits exactly the approved total."""
    payable = records(render_claims(dynamics_document(), claim(total="650.00")).data)[-1]

    assert (payable["AccountNo"], payable["Amount"]) == ("2990", "-650.00")


@pytest.mark.parametrize(
    ("settings", "document", "code", "field"),
    [
        (
            {},
            one_line_claim(expense_type="per_diem"),
            "no_account_for_expense_type",
            "lines[1].expense_type",
        ),
        ({"accounts": ["7100"]}, one_line_claim(), "account_not_allowed", "lines[0].account_code"),
        (
            {"dimension_values": {"department": ["420"]}},
            claim(),
            "dimension_not_allowed",
            "lines[1].dimensions.department",
        ),
    ],
)
def test_v06_unmapped_and_unknown_codes_are_left_out(
    settings: Document,
    document: Document,
    code: str,
    field: str,
) -> None:
    """A claim whose account or dimension the company does not have is left out by its field."""
    rendered = render_claims(dynamics_document(settings=settings), document)

    assert [(entry.code, entry.field) for entry in rendered.left_out] == [(code, field)]


def test_v07_nothing_is_posted_in_a_closed_period() -> None:
    """A claim of a closed period is left out, or posted on the first open day if the setting says so."""
    closed = {"closed_until": "2026-10-05"}
    assert render_claims(dynamics_document(settings=closed), claim()).codes == ["period_closed"]

    moved = dynamics_document(settings={**closed, "closed_period": "move"})
    assert {record["PostingDate"] for record in records(render_claims(moved, claim()).data)} == {
        "2026-10-06",
    }


def test_v08_only_kroner_are_exported() -> None:
    """A claim in another currency is left out."""
    assert render_claims(dynamics_document(), claim(currency="SEK")).codes == [
        "currency_not_supported",
    ]


@pytest.mark.parametrize(
    ("settings", "tax_code", "codes", "written"),
    [
        ({}, None, [], ["", "", ""]),
        ({}, "1", ["tax_code_not_allowed"], None),
        ({"tax_policy": "explicit", "tax_codes": ["1"]}, "1", [], ["1", "1", ""]),
        ({"tax_policy": "explicit", "tax_codes": ["11"]}, "1", ["tax_code_not_allowed"], None),
        ({"tax_policy": "explicit"}, None, ["tax_code_missing"], None),
    ],
)
def test_v10_vat_is_all_gross_or_on_every_expense_line(
    settings: Document,
    tax_code: str | None,
    codes: list[str],
    written: list[str] | None,
) -> None:
    """Either no line has a VAT number, or every expense line has one of the company's."""
    rules = posting_rules(subledger="none", tax_code=tax_code)

    rendered = render_claims(dynamics_document(settings=settings, posting_rules=rules), claim())

    assert rendered.codes == codes
    if written is not None:
        assert [record["VatNumber"] for record in records(rendered.data)] == written


def test_v10_the_payable_line_never_has_a_vat_number() -> None:
    """A VAT number on the payable side leaves every claim out."""
    rules = posting_rules(subledger="none", tax_code="1")
    rules[-1]["tax_code"] = "1"
    configuration = dynamics_document(settings={"tax_policy": "explicit"}, posting_rules=rules)

    assert render_claims(configuration, claim()).codes == ["tax_code_not_allowed"]


@DATA
def test_b01_cells_fit_their_fields(data: bytes) -> None:
    """Cells fit Business Central's fields in UTF-16 units, and codes are upper case and trimmed."""
    for record in records(data):
        for name, width in WIDTHS.items():
            assert len(record[name].encode("utf-16-le")) // 2 <= width
        for name in CODES:
            assert record[name] == record[name].upper().strip()


@DATA
def test_b02_no_cell_is_longer_than_the_importer_keeps(data: bytes) -> None:
    """No cell has more than 250 characters, after which the importer cuts silently."""
    assert all(len(cell) <= 250 for record in records(data) for cell in record.values())


@DATA
def test_b03_mandatory_cells_are_filled(data: bytes) -> None:
    """Account, date, both document numbers, description and amount are never blank."""
    mandatory = (
        "AccountNo",
        "PostingDate",
        "DocumentNo",
        "ExternalDocumentNo",
        "Description",
        "Amount",
    )

    assert all(record[name].rstrip() for record in records(data) for name in mandatory)


def test_b03_a_blank_description_is_left_out() -> None:
    """A text that is blank once it is cleaned cannot be posted."""
    configuration = dynamics_document(settings={"line_text": "{description}"})

    rendered = render_claims(configuration, one_line_claim(description=" ;\t"))

    assert [(entry.code, entry.field) for entry in rendered.left_out] == [
        ("required_value_missing", "lines[1].description"),
    ]


@DATA
def test_b04_there_is_no_account_type(data: bytes) -> None:
    """No column names an account type, so every line is a ledger line."""
    assert "AccountType" not in records(data)[0]


def test_b04_a_claimant_sub_ledger_is_refused() -> None:
    """A rule that posts to a claimant's sub-ledger cannot be written, so it is refused."""
    configuration = dynamics_document(posting_rules=posting_rules(subledger="claimant"))

    assert [problem.code for problem in configuration_problems(configuration)] == [
        "layout_invalid",
    ]


@DATA
def test_b05_there_is_no_document_type(data: bytes) -> None:
    """The document type is never set."""
    assert not [name for name in records(data)[0] if "type" in name.lower()]


@pytest.mark.parametrize("length", range(40, 110))
def test_b08_shortening_never_splits_a_character(length: int) -> None:
    """A text that is cut still encodes strictly and has lost only its end."""
    description = "x" * (length % 7) + "🚕" * length
    configuration = dynamics_document(settings={"line_text": "{description}"})

    rendered = render_claims(configuration, one_line_claim(description=description))

    shortened = records(rendered.data)[0]["Description"]
    assert description.startswith(shortened)
    assert len(shortened.encode("utf-16-le", "strict")) // 2 <= 100


def test_b08_shortening_is_reported() -> None:
    """What was shortened or replaced is counted per column, with one claim to look at."""
    long = one_line_claim(1, description="x" * 200)
    quoted = one_line_claim(2, description='"x"')

    rendered = render_claims(dynamics_document(), long, quoted, long)

    notices = [
        (notice.code, notice.field, notice.count, notice.first_claim_number)
        for notice in rendered.renderer.notices()
    ]
    assert notices == [
        ("text_shortened", "Description", 2, "2026-0001"),
        ("character_replaced", "Description", 1, "2026-0002"),
    ]


@pytest.mark.parametrize(
    ("prefix", "digits", "expected"),
    [("", 1, "1001"), ("HLF26-", 6, "HLF26-001001"), ("ABCDEFGHIJ", 10, "ABCDEFGHIJ0000001001")],
)
def test_document_numbers_follow_their_pattern(prefix: str, digits: int, expected: str) -> None:
    """The document number is the prefix and the padded voucher number."""
    settings = {"document_number_prefix": prefix, "document_number_digits": digits}

    data = render_claims(dynamics_document(settings=settings), claim()).data

    assert {record["DocumentNo"] for record in records(data)} == {expected}


@pytest.mark.parametrize(
    "settings",
    [
        {"document_number_prefix": "ABCDEFGHIJK"},
        {"document_number_prefix": "hlf"},
        {"document_number_prefix": "H F"},
        {"document_number_prefix": "H;"},
        {"document_number_digits": 11},
        {"document_number_digits": 0},
    ],
)
def test_a_document_number_that_could_not_fit_is_refused(settings: Document) -> None:
    """A prefix that is not in upper case, or leaves too little room, is refused."""
    assert configuration_problems(dynamics_document(settings=settings))


def test_dates_follow_the_policy() -> None:
    """An entry is posted on the approval date and a reversal on the export date, unless told."""
    told = {"posting_date": "export", "reversal_posting_date": "approval"}

    def posted(kind: str, settings: Document) -> str:
        data = render_claims(dynamics_document(settings=settings), claim(), kind=kind).data
        return records(data)[0]["PostingDate"]

    assert (posted("entry", {}), posted("reversal", {})) == ("2026-10-05", "2026-10-06")
    assert (posted("entry", told), posted("reversal", told)) == ("2026-10-06", "2026-10-05")


def test_dimensions_of_the_line_win_over_the_claims_over_the_rules() -> None:
    """The line's dimension wins over the claim's, which wins over the posting rule's."""
    by_rule = claim(1, dimensions={})
    by_claim = claim(2, dimensions={"department": "410"})
    by_line = one_line_claim(3, dimensions={"department": "420"})
    nothing_given = one_line_claim(4, dimensions={"department": ""})

    data = render_claims(dynamics_document(), by_rule, by_claim, by_line, nothing_given).data

    first_lines = [lines[0] for lines in vouchers(data).values()]
    assert [line["Dim1"] for line in first_lines] == ["100", "410", "420", "410"]


@pytest.mark.parametrize(("policy", "expected"), [("rule", ""), ("claim", "410")])
def test_the_payable_line_has_its_rules_dimensions_unless_told(policy: str, expected: str) -> None:
    """The payable line takes the claim's dimensions only if the setting says so."""
    configuration = dynamics_document(settings={"payable_dimensions": policy})

    assert records(render_claims(configuration, claim()).data)[-1]["Dim1"] == expected


def test_credit_lines_are_allowed() -> None:
    """A negative claim line is a credit on its expense account."""
    document = claim(lines=[claim_line(), claim_line(2, amount="-30.00")], total="500.00")

    data = render_claims(dynamics_document(), document).data

    assert [record["Amount"] for record in records(data)] == ["530.00", "-30.00", "-500.00"]
