"""Acceptance of Finance files by constraint; every file is read with the csv module."""

import csv
import hashlib
import io
import re
from collections import defaultdict
from datetime import date
from decimal import Decimal

import pytest

from exporters.claim import Member
from exporters.layout import Layout
from exporters.registry import configuration_problems
from exporters.run_renderer import MembersOutOfOrderError
from tests.golden.case import FOLDER
from tests.unit.claim_factory import (
    Document,
    claim,
    dynamics_document,
    member,
    members,
    one_line_claim,
    posting_rules,
    render,
    render_claims,
)
from tests.unit.hostile_claims import HOSTILE, hostile_members, many_lines
from tests.unit.identity_numbers import SYNTHETIC

Record = dict[str, str]

HEADER = (
    b"JOURNALBATCHNUMBER,LINENUMBER,JOURNALNAME,DESCRIPTION,POSTINGLAYER,ACCOUNTTYPE,"
    b"ACCOUNTDISPLAYVALUE,TRANSDATE,VOUCHER,CURRENCYCODE,DEBITAMOUNT,CREDITAMOUNT,TEXT,DOCUMENT,"
    b"DOCUMENTDATE\r\n"
)
NUMBERS = {"LINENUMBER", "DEBITAMOUNT", "CREDITAMOUNT"}


def finance(subledger: str = "claimant", **settings: object) -> Document:
    """Make a configuration of this format."""
    return dynamics_document(
        format="dynamics_fo_csv",
        settings={"journal_name": "Utlegg", **settings},
        posting_rules=posting_rules(subledger=subledger),
    )


def with_columns(*changes: Document, without: str | None = None) -> Document:
    """Make a configuration whose layout has other columns, by their names."""
    layout = Layout.shipped("dynamics_fo_csv").model_dump(mode="json")
    columns = {column["name"]: column for column in layout["columns"]}
    for change in changes:
        columns[change["name"]] = {**columns.get(change["name"], {}), **change}
    columns.pop(without or "", None)
    return {**finance(), "layout": {**layout, "columns": list(columns.values())}}


def _generated() -> bytes:
    rendered = render(finance(), [hostile_members()])
    assert rendered.left_out == []
    return rendered.data


FILES = {
    "generated": _generated(),
    "golden": (FOLDER / "dynamics" / "finance_general_journal.csv").read_bytes(),
    "ledger only": render(finance("none"), [hostile_members()]).data,
}
DATA = pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())


def records(data: bytes) -> list[Record]:
    """Read by RFC 4180, as a strict importer would."""
    text = io.StringIO(data.decode("utf-8"), newline="")
    return list(csv.DictReader(text, strict=True))


def vouchers(data: bytes) -> dict[str, list[Record]]:
    grouped: dict[str, list[Record]] = defaultdict(list)
    for record in records(data):
        grouped[record["VOUCHER"]].append(record)
    return grouped


def amount(record: Record) -> Decimal:
    return Decimal(record["DEBITAMOUNT"]) - Decimal(record["CREDITAMOUNT"])


def messages(document: Document) -> list[str]:
    return [problem.message for problem in configuration_problems(document)]


@DATA
def test_f01_the_bytes_are_strict_utf8(data: bytes) -> None:
    text = data.decode("utf-8", "strict")

    assert not text.startswith("\ufeff")
    assert "\ufffd" not in text


def test_f01_norwegian_letters_survive() -> None:
    data = render_claims(finance(), one_line_claim(description="æøåÆØÅ")).data

    assert records(data)[0]["TEXT"] == "2026-0001 æøåÆØÅ"


@DATA
def test_f02_every_record_ends_with_the_line_end(data: bytes) -> None:
    assert data.endswith(b"\r\n")
    assert not re.search(rb"[\x00-\x1f\x7f]", data.replace(b"\r\n", b""))
    assert not re.search(r"[\x80-\x9f\u2028\u2029]", data.decode())
    assert b"\r\n\r\n" not in data


@DATA
def test_f03_every_row_has_the_columns_of_the_header(data: bytes) -> None:
    assert data.startswith(HEADER)
    rows = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    assert {len(row) for row in rows} == {HEADER.count(b",") + 1}


@DATA
def test_f04_cells_are_the_same_for_every_reader_of_rfc_4180(data: bytes) -> None:
    """Written again by the csv module, the file is the same byte for byte."""
    rows = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    again = io.StringIO(newline="")
    csv.writer(again, lineterminator="\r\n").writerows(rows)

    assert again.getvalue().encode() == data


def test_f04_quotes_and_commas_in_a_text_come_back() -> None:
    data = render_claims(finance(), one_line_claim(description='a, "b"')).data

    assert records(data)[0]["TEXT"] == '2026-0001 a, "b"'


@DATA
def test_f05_no_text_begins_like_a_formula(data: bytes) -> None:
    cells = [
        cell for record in records(data) for name, cell in record.items() if name not in NUMBERS
    ]

    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_f05_a_formula_is_defused() -> None:
    configuration = finance(line_text="{description}")
    data = render_claims(configuration, one_line_claim(description="=1+1")).data

    assert records(data)[0]["TEXT"] == "'=1+1"


def test_f06_the_same_input_gives_the_same_file() -> None:
    assert hashlib.sha256(_generated()).digest() == hashlib.sha256(FILES["generated"]).digest()


def test_f07_the_order_of_lines_and_claims_is_the_runs() -> None:
    """A claim's lines are put in order, and members in another order are refused."""
    backwards = claim(lines=claim()["lines"][::-1])
    assert render_claims(finance(), claim()).data == render_claims(finance(), backwards).data

    with pytest.raises(MembersOutOfOrderError):
        render(finance(), [hostile_members()[::-1]])


@DATA
def test_f08_money_has_two_decimals_and_no_sign(data: bytes) -> None:
    cells = [record[name] for record in records(data) for name in ("DEBITAMOUNT", "CREDITAMOUNT")]

    assert all(re.fullmatch(r"\d+\.\d{2}", cell) for cell in cells)


@DATA
def test_f09_dates_are_real_and_iso(data: bytes) -> None:
    for record in records(data):
        for name in ("TRANSDATE", "DOCUMENTDATE"):
            assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", record[name])
            date.fromisoformat(record[name])


def test_f10_an_empty_run_gives_no_file() -> None:
    rendered = render(finance(), [[]])

    assert rendered.data == b""
    assert rendered.renderer.summary().claim_count == 0


def test_f11_each_claim_is_in_the_file_once() -> None:
    rendered = render(finance(), [hostile_members()])

    claims = [record["DOCUMENT"] for record in records(rendered.data)]
    assert len(claims) == len(set(claims))
    assert {claim.rpartition("-")[0] for claim in claims} == {
        str(entry.document["claim_number"]) for entry in hostile_members()
    }
    with pytest.raises(MembersOutOfOrderError):
        render(finance(), [[member(claim(1)), member(claim(1))]])


def test_f12_what_the_run_tells_can_be_counted_in_the_file() -> None:
    rendered = render(finance(), [hostile_members()])
    read = records(rendered.data)
    summary, groups = rendered.renderer.summary(), rendered.renderer.breakdown().groups()

    assert (summary.line_count, summary.voucher_count) == (len(read), len(vouchers(rendered.data)))
    assert sum(group.debit for group in groups) == sum(Decimal(r["DEBITAMOUNT"]) for r in read)
    assert sum(group.credit for group in groups) == sum(Decimal(r["CREDITAMOUNT"]) for r in read)
    layout = rendered.renderer.layout
    assert (layout["name"], layout["version"]) == ("dynamics_fo_csv", 1)


@pytest.mark.parametrize("field", ["description", "purpose"])
def test_f13_no_identity_number_leaves_the_house(field: str) -> None:
    document = (
        one_line_claim(description=f"Følge {SYNTHETIC}")
        if field == "description"
        else claim(purpose=f"Følge {SYNTHETIC}")
    )
    rendered = render_claims(finance(), document)

    assert rendered.codes == ["national_identity_number"]
    assert SYNTHETIC.encode() not in rendered.data


@DATA
def test_v01_every_voucher_sums_to_zero(data: bytes) -> None:
    for lines in vouchers(data).values():
        assert sum(map(amount, lines)) == 0


@DATA
def test_v02_every_voucher_has_one_date(data: bytes) -> None:
    assert {len({line["TRANSDATE"] for line in lines}) for lines in vouchers(data).values()} == {1}


@DATA
def test_v03_every_voucher_has_a_debit_and_a_credit(data: bytes) -> None:
    for lines in vouchers(data).values():
        assert {amount(line) > 0 for line in lines} == {True, False}
        assert all(map(amount, lines))


@DATA
def test_v04_a_voucher_holds_one_claim(data: bytes) -> None:
    for lines in vouchers(data).values():
        assert len({line["DOCUMENT"].rpartition("-")[0] for line in lines}) == 1


def test_v05_the_credit_is_the_claims_total() -> None:
    payable = records(render_claims(finance(), claim(total="650.00")).data)[-1]

    assert (payable["ACCOUNTDISPLAYVALUE"], payable["CREDITAMOUNT"]) == ("10023", "650.00")


@pytest.mark.parametrize(
    ("settings", "document", "code"),
    [
        ({}, one_line_claim(expense_type="per_diem"), "no_account_for_expense_type"),
        ({"accounts": ["7100"]}, one_line_claim(), "account_not_allowed"),
        ({"dimension_values": {"department": ["420"]}}, claim(), "dimension_not_allowed"),
    ],
)
def test_v06_unmapped_and_unknown_codes_are_left_out(
    settings: Document, document: Document, code: str
) -> None:
    assert render_claims(finance(**settings), document).codes == [code]


def test_v07_nothing_is_posted_in_a_closed_period() -> None:
    assert render_claims(finance(closed_until="2026-10-05"), claim()).codes == ["period_closed"]
    moved = render_claims(finance(closed_until="2026-10-05", closed_period="move"), claim())
    assert {record["TRANSDATE"] for record in records(moved.data)} == {"2026-10-06"}


@DATA
def test_v08_the_currency_is_kroner(data: bytes) -> None:
    assert {record["CURRENCYCODE"] for record in records(data)} == {"NOK"}
    assert render_claims(finance(), claim(currency="SEK")).codes == ["currency_not_supported"]


def test_v09_large_vouchers_are_told() -> None:
    """Ten lines are advised; more are imported, but slowly."""
    rendered = render_claims(finance(), many_lines(1, 10), many_lines(2, 11), many_lines(3, 12))

    assert [(n.code, n.count, n.first_claim_number) for n in rendered.renderer.notices()] == [
        ("voucher_long", 2, "2026-0002")
    ]


def test_v10_tax_is_gross_unless_the_layout_has_a_column_for_it() -> None:
    rules = posting_rules(subledger="claimant", tax_code="1")
    settings = {"tax_policy": "explicit", "journal_name": "Utlegg"}
    gross = {**finance(), "posting_rules": rules, "settings": settings}
    assert [problem.code for problem in configuration_problems(gross)] == ["layout_invalid"]

    tax = {"name": "ITEMSALESTAXGROUP", "source": {"kind": "path", "path": "line.tax_code"}}
    with_tax = {**gross, "layout": with_columns(tax)["layout"]}
    read = records(render_claims(with_tax, claim()).data)
    assert [record["ITEMSALESTAXGROUP"] for record in read] == ["1", "1", ""]

    rules[0]["subledger"] = "claimant"
    assert render_claims(with_tax, claim()).codes == ["tax_code_not_allowed"]


@DATA
def test_o01_the_columns_that_finance_needs_are_there(data: bytes) -> None:
    names = data.split(b"\r\n", 1)[0].decode().split(",")

    assert {
        "JOURNALBATCHNUMBER",
        "LINENUMBER",
        "JOURNALNAME",
        "ACCOUNTDISPLAYVALUE",
        "TRANSDATE",
        "VOUCHER",
        "CURRENCYCODE",
        "DEBITAMOUNT",
        "CREDITAMOUNT",
    } <= set(names)
    assert all(name == name.upper() for name in names)


def test_o01_a_layout_without_one_of_them_is_refused() -> None:
    assert "Finance needs the column JOURNALNAME." in messages(with_columns(without="JOURNALNAME"))
    small = {"name": "Text2", "source": {"kind": "path", "path": "claim.purpose"}}
    assert messages(with_columns(small)) == [
        "The column Text2 must be named in capital letters, as in the entity."
    ]
    assert messages(finance(header="none")) == [
        "Finance finds columns by their names, so the header must be the names."
    ]


@DATA
def test_o02_lines_are_numbered_from_one_without_a_gap(data: bytes) -> None:
    numbers: dict[str, list[int]] = defaultdict(list)
    for record in records(data):
        numbers[record["JOURNALBATCHNUMBER"]].append(int(record["LINENUMBER"]))

    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())


def test_o02_a_claim_that_is_left_out_leaves_no_gap() -> None:
    rendered = render_claims(finance(), claim(1), claim(2, currency="SEK"), claim(3))

    assert [record["LINENUMBER"] for record in records(rendered.data)] == list("123456")


@DATA
def test_o03_what_is_the_journals_is_the_same_on_all_its_lines(data: bytes) -> None:
    for name in ("JOURNALNAME", "DESCRIPTION", "POSTINGLAYER"):
        by_journal: dict[str, set[str]] = defaultdict(set)
        for record in records(data):
            by_journal[record["JOURNALBATCHNUMBER"]].add(record[name])
        assert {len(found) for found in by_journal.values()} == {1}


def test_o03_a_layout_that_would_change_it_on_a_line_is_refused() -> None:
    own = {"name": "DESCRIPTION", "source": {"kind": "path", "path": "claim.purpose"}}

    (message,) = messages(with_columns(own))
    assert message == (
        "The column DESCRIPTION is the same on every line of a journal, and cannot show"
        " claim.purpose."
    )


@DATA
def test_o04_debit_and_credit_of_a_voucher_are_equal(data: bytes) -> None:
    for lines in vouchers(data).values():
        assert len({line["TRANSDATE"] for line in lines}) == 1
        debit = sum(Decimal(line["DEBITAMOUNT"]) for line in lines)
        assert debit == sum(Decimal(line["CREDITAMOUNT"]) for line in lines)


@DATA
def test_o05_a_line_is_a_debit_or_a_credit(data: bytes) -> None:
    for record in records(data):
        sides = (record["DEBITAMOUNT"], record["CREDITAMOUNT"])
        assert sorted(side == "0.00" for side in sides) == [False, True]
        assert all(Decimal(side) >= 0 for side in sides)


@DATA
def test_o06_the_account_type_is_one_that_the_entity_takes(data: bytes) -> None:
    assert {record["ACCOUNTTYPE"] for record in records(data)} <= {
        "Ledger",
        "Bank",
        "Customer",
        "Vendor",
    }


def test_o06_another_account_type_is_refused() -> None:
    problems = configuration_problems(finance(claimant_account_type="Employee"))

    assert [problem.field for problem in problems] == ["settings.claimant_account_type"]


@DATA
def test_o07_ledger_accounts_have_every_segment_and_others_are_plain(data: bytes) -> None:
    for record in records(data):
        account = record["ACCOUNTDISPLAYVALUE"]
        assert account.count("-") == (3 if record["ACCOUNTTYPE"] == "Ledger" else 0)
        assert account.split("-")[0]


def test_o07_a_code_that_would_add_a_segment_leaves_the_claim_out() -> None:
    rendered = render_claims(finance(), claim(dimensions={"department": "4-10"}))

    assert [(one.code, one.field) for one in rendered.left_out] == [
        ("forbidden_character", "lines[1].dimensions.department")
    ]


def test_o07_default_dimensions_stand_on_claimants_lines_only() -> None:
    own = {
        "name": "DEFAULTDIMENSIONDISPLAYVALUE",
        "type": "code",
        "source": {
            "kind": "case",
            "by": {"kind": "path", "path": "line.account_kind"},
            "cases": {
                "ledger": {"kind": "empty"},
                "claimant": {
                    "kind": "concatenate",
                    "separator": "-",
                    "keep_places": True,
                    "parts": [
                        {"kind": "path", "path": "dimensions.1"},
                        {"kind": "path", "path": "dimensions.2"},
                    ],
                },
            },
        },
    }
    configuration = with_columns(own)
    configuration["settings"]["payable_dimensions"] = "claim"
    read = records(render_claims(configuration, claim()).data)

    assert [(r["ACCOUNTTYPE"], r["DEFAULTDIMENSIONDISPLAYVALUE"]) for r in read] == [
        ("Ledger", ""),
        ("Ledger", ""),
        ("Vendor", "410-"),
    ]


@DATA
def test_o08_no_offset_account_is_given(data: bytes) -> None:
    assert not [name for name in records(data)[0] if name.startswith("OFFSET")]


def test_o08_a_layout_with_an_offset_account_is_refused() -> None:
    path = {"kind": "path", "path": "line.account_code"}
    offset = {"name": "OFFSETACCOUNTDISPLAYVALUE", "source": path, "type": "code"}
    empty = {"name": "OFFSETACCOUNTTYPE"}

    assert messages(with_columns(empty)) == []
    (message,) = messages(with_columns(offset))
    assert message == (
        "The column OFFSETACCOUNTDISPLAYVALUE must be empty, because vouchers balance by their own"
        " lines."
    )


@DATA
def test_o09_cells_fit_their_fields(data: bytes) -> None:
    for record in records(data):
        assert len(record["VOUCHER"]) <= 20
        assert len(record["TEXT"].encode("utf-16-le")) // 2 <= 60
        assert len(record["JOURNALBATCHNUMBER"]) <= 10
        assert re.fullmatch(r"[A-Z]{3}", record["CURRENCYCODE"])


def test_o09_a_long_text_is_shortened_and_told() -> None:
    rendered = render_claims(finance(), one_line_claim(description="x" * 80))

    assert len(records(rendered.data)[0]["TEXT"]) == 60
    assert [notice.code for notice in rendered.renderer.notices()] == ["text_shortened"]


def test_o10_a_journal_has_ten_thousand_lines_and_whole_vouchers() -> None:
    entries = members(*(many_lines(number, 1001) for number in range(1, 12)))
    read = records(render(finance(), [entries]).data)

    journals: dict[str, list[Record]] = defaultdict(list)
    for record in read:
        journals[record["JOURNALBATCHNUMBER"]].append(record)
    assert {name: len(lines) for name, lines in journals.items()} == {"U7-1": 9009, "U7-2": 2002}
    assert [lines[0]["LINENUMBER"] for lines in journals.values()] == ["1", "1"]
    in_journals = [v for lines in journals.values() for v in {line["VOUCHER"] for line in lines}]
    assert len(in_journals) == len(set(in_journals)), "no voucher is in two journals"


def _shared(entries: list[Member]) -> list[Member]:
    """Let every three claims share a voucher."""
    return [
        entry.model_copy(update={"voucher_number": 1 + (entry.position - 1) // 3})
        for entry in entries
    ]


SHARED = {"voucher_per": "claimant", "posting_date": "export"}


def test_v01_v02_v03_o02_o04_claims_that_share_a_voucher_balance_together() -> None:
    rendered = render(finance(**SHARED), [_shared(hostile_members())])
    read = records(rendered.data)

    assert rendered.left_out == []
    assert rendered.renderer.summary().voucher_count == len(vouchers(rendered.data)) == 3
    assert [int(record["LINENUMBER"]) for record in read] == list(range(1, len(read) + 1))
    for lines in vouchers(rendered.data).values():
        assert sum(map(amount, lines)) == 0
        assert {amount(line) > 0 for line in lines} == {True, False}
        assert {line["TRANSDATE"] for line in lines} == {"2026-10-06"}


def test_v09_a_large_shared_voucher_is_told_once() -> None:
    entries = _shared(members(*(many_lines(number, 6) for number in range(1, 7))))
    rendered = render(finance(**SHARED), [entries])

    assert [(n.code, n.count, n.first_claim_number) for n in rendered.renderer.notices()] == [
        ("voucher_long", 2, "2026-0002")
    ]


def test_hostile_text_stays_in_its_cell() -> None:
    configuration = finance(line_text="{claim_number} {purpose}")
    data = render_claims(configuration, claim(purpose=HOSTILE)).data

    assert records(data)[0]["TEXT"] == '2026-0001 =cmd|"/c calc"!A1;b c d e f 🚕 æøåÆØÅ'


@pytest.mark.parametrize(
    "settings",
    [{"journal_name": "x" * 11}, {"journal_prefix": "ABCD"}, {"journal_prefix": ""}],
)
def test_a_journal_that_finance_could_not_name_is_refused(settings: Document) -> None:
    (field,) = {problem.field for problem in configuration_problems(finance(**settings))}

    assert field == f"settings.{next(iter(settings))}"
