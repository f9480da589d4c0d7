"""Acceptance of journal lines for Business Central's API, constraint by constraint, read as JSON."""

import json
import re
from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from exporters.claim import Claim
from exporters.configuration import FrozenConfiguration
from exporters.dynamics import DynamicsJsonExporter
from exporters.layout import Layout
from exporters.posting_rules import PostingRules
from exporters.problem import ClaimUnusable
from exporters.registry import configuration_problems
from exporters.voucher import Voucher
from tests.golden.case import FOLDER
from tests.unit.claim_factory import (
    RUN,
    Document,
    claim,
    dynamics_document,
    member,
    one_line_claim,
    posting_rules,
    render,
    render_claims,
)
from tests.unit.hostile_claims import HOSTILE, hostile_members
from tests.unit.identity_numbers import SYNTHETIC

Line = dict[str, Any]

# What a journal line of the API lets its caller write, and the dimensions beside it.
WRITABLE = {
    "accountType",
    "accountNumber",
    "postingDate",
    "documentNumber",
    "externalDocumentNumber",
    "amount",
    "description",
    "comment",
    "dimensions",
}
WIDTHS = {
    "accountNumber": 20,
    "documentNumber": 20,
    "externalDocumentNumber": 35,
    "description": 100,
    "comment": 250,
}


def api(subledger: str = "claimant", **settings: object) -> Document:
    """Make a configuration of this format."""
    codes = {"department": "AVDELING", "project": "PROSJEKT"}
    return dynamics_document(
        format="dynamics_bc_json",
        settings={"dimension_codes": codes, **settings},
        posting_rules=posting_rules(subledger=subledger),
    )


def _generated() -> bytes:
    rendered = render(api(), [hostile_members()])
    assert rendered.left_out == []
    return rendered.data


FILES = {
    "generated": _generated(),
    "golden": (FOLDER / "dynamics" / "api_journal_lines.expected.json").read_bytes(),
    "ledger only": render(api("none"), [hostile_members()]).data,
}
DATA = pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())


def lines(data: bytes) -> list[Line]:
    document = json.loads(data)
    assert set(document) == {"journalLines"}
    found: list[Line] = document["journalLines"]
    return found


def vouchers(data: bytes) -> dict[str, list[Line]]:
    grouped: dict[str, list[Line]] = defaultdict(list)
    for line in lines(data):
        grouped[line["documentNumber"]].append(line)
    return grouped


@DATA
def test_f01_the_bytes_are_strict_utf8_and_one_document(data: bytes) -> None:
    assert "\ufffd" not in data.decode("utf-8", "strict")
    assert data.endswith(b"}\n")
    assert data.count(b"\n") == 1


def test_f02_hostile_text_holds_no_control_character() -> None:
    configuration = api(line_text="{claim_number} {purpose}")
    (line, *_) = lines(render_claims(configuration, claim(purpose=HOSTILE)).data)

    assert line["comment"] == '=cmd|"/c calc"!A1;b c d e f 🚕 æøåÆØÅ'
    assert line["description"] == f"2026-0001 {line['comment']}"


@DATA
def test_f03_only_the_apis_names_appear_and_every_line_has_the_needed(data: bytes) -> None:
    for line in lines(data):
        assert set(line) <= WRITABLE
        assert set(line) >= WRITABLE - {"comment", "dimensions"}
        assert "" not in line.values()
        assert None not in line.values()


def test_f06_the_same_input_gives_the_same_file() -> None:
    assert _generated() == FILES["generated"]


@DATA
def test_f08_amounts_are_text_with_two_decimals(data: bytes) -> None:
    for line in lines(data):
        assert isinstance(line["amount"], str)
        assert re.fullmatch(r"-?[0-9]+\.[0-9]{2}", line["amount"])
        assert Decimal(line["amount"])


@DATA
def test_f09_dates_are_days_without_a_time(data: bytes) -> None:
    for line in lines(data):
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", line["postingDate"])
        date.fromisoformat(line["postingDate"])


def test_f10_an_empty_run_gives_no_file() -> None:
    assert render(api(), [[]]).data == b""


def test_f11_no_two_lines_share_their_reference() -> None:
    references = [line["externalDocumentNumber"] for line in lines(_generated())]

    assert len(references) == len(set(references))


def test_f13_no_identity_number_leaves_the_house() -> None:
    assert render_claims(api(), claim(purpose=f"Følge {SYNTHETIC}")).codes == [
        "national_identity_number"
    ]


@DATA
def test_v01_v02_v03_every_document_balances_on_one_day(data: bytes) -> None:
    for found in vouchers(data).values():
        amounts = [Decimal(line["amount"]) for line in found]
        assert sum(amounts) == 0
        assert {amount > 0 for amount in amounts} == {True, False}
        assert len({line["postingDate"] for line in found}) == 1


@DATA
def test_v04_a_document_holds_one_claim(data: bytes) -> None:
    for found in vouchers(data).values():
        assert len({line["externalDocumentNumber"].rpartition("-")[0] for line in found}) == 1


@pytest.mark.parametrize(
    ("subledger", "settings", "expected"),
    [
        ("claimant", {}, ("Employee", "10023")),
        ("claimant", {"claimant_account_type": "Vendor"}, ("Vendor", "10023")),
        ("none", {}, ("G/L Account", "2990")),
    ],
)
def test_v05_the_total_is_owed_where_the_settings_say(
    subledger: str, settings: Document, expected: tuple[str, str]
) -> None:
    payable = lines(render_claims(api(subledger, **settings), claim(total="650.00")).data)[-1]

    assert (payable["accountType"], payable["accountNumber"]) == expected
    assert payable["amount"] == "-650.00"


def test_v06_an_unmapped_expense_type_is_left_out() -> None:
    assert render_claims(api(), one_line_claim(expense_type="per_diem")).codes == [
        "no_account_for_expense_type"
    ]


def test_v08_only_kroner_are_exported() -> None:
    assert render_claims(api(), claim(currency="SEK")).codes == ["currency_not_supported"]


def test_v10_a_tax_code_has_no_place_here() -> None:
    """The API takes a VAT number for something else, so amounts are gross."""
    configuration = api(tax_policy="explicit")
    configuration["posting_rules"] = posting_rules(subledger="claimant", tax_code="1")

    assert [problem.code for problem in configuration_problems(configuration)] == ["layout_invalid"]


@DATA
def test_b01_texts_fit_the_fields_of_the_api(data: bytes) -> None:
    for line in lines(data):
        for name, width in WIDTHS.items():
            assert len(line.get(name, "").encode("utf-16-le")) // 2 <= width
        for name in ("accountNumber", "documentNumber", "externalDocumentNumber"):
            assert line[name] == line[name].upper().strip()


@DATA
def test_b04_the_account_type_is_one_of_the_apis(data: bytes) -> None:
    assert {line["accountType"] for line in lines(data)} <= {"G/L Account", "Employee"}
    assert lines(data)[0]["accountType"] == "G/L Account", "the first line can be found again"


def test_b04_another_account_type_is_refused() -> None:
    problems = configuration_problems(api(claimant_account_type="Ansatt"))

    assert [problem.field for problem in problems] == ["settings.claimant_account_type"]


@DATA
def test_b05_there_is_no_document_type_and_no_balancing_account(data: bytes) -> None:
    assert not {"documentType", "balancingAccountNumber"} & {
        k for line in lines(data) for k in line
    }


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        (
            "documentNumber",
            "documentType",
            ["The API needs documentNumber.", "A journal line is not sent with documentType."],
        ),
        (
            "comment",
            "balancingAccountNumber",
            ["A journal line is not sent with balancingAccountNumber."],
        ),
        ("comment", "anExtensionsField", []),
    ],
)
def test_b05_a_layout_that_the_api_would_refuse_is_refused(
    old: str, new: str, messages: list[str]
) -> None:
    layout = Layout.shipped("dynamics_bc_json").model_dump(mode="json")
    for column in layout["columns"]:
        column["name"] = new if column["name"] == old else column["name"]
    problems = configuration_problems({**api(), "layout": layout})

    assert [problem.message for problem in problems] == messages


def test_dimensions_are_a_list_with_the_companys_codes() -> None:
    document = claim(dimensions={"department": "oslo", "project": "p2"})
    read = lines(render_claims(api(), document).data)

    assert read[0]["dimensions"] == [
        {"code": "AVDELING", "valueCode": "OSLO"},
        {"code": "PROSJEKT", "valueCode": "P2"},
    ]
    assert "dimensions" not in read[-1]


def test_a_dimension_without_a_code_of_its_own_goes_by_our_name() -> None:
    configuration = api(dimension_codes={}, dimension_order=["project", "department"])
    document = claim(dimensions={"department": "410", "project": "P2"})

    assert lines(render_claims(configuration, document).data)[0]["dimensions"] == [
        {"code": "PROJECT", "valueCode": "P2"},
        {"code": "DEPARTMENT", "valueCode": "410"},
    ]


def exporter_and_voucher(document: Document) -> tuple[DynamicsJsonExporter, Voucher]:
    configuration = FrozenConfiguration.from_document(api())
    exporter = DynamicsJsonExporter(configuration, RUN)
    rules = PostingRules(configuration.posting_rules, exporter.settings, RUN)
    return exporter, rules.voucher(member(document), Claim.from_document(document))


def test_the_records_of_a_voucher_are_those_of_the_file_with_exact_amounts() -> None:
    """Asking for them changes nothing of the file."""
    exporter, voucher = exporter_and_voucher(claim(dimensions={"department": "oslo"}))

    records = exporter.records(voucher)
    again = exporter.records(voucher)
    data = exporter.render(voucher) + exporter.finish()

    assert records == again
    assert [record["amount"] for record in records] == [
        Decimal("530.00"),
        Decimal("120.00"),
        Decimal("-650.00"),
    ]
    assert all(type(record["amount"]) is Decimal for record in records)
    as_text = [{**record, "amount": str(record["amount"])} for record in records]
    assert as_text == lines(data)


def test_the_records_of_an_unusable_voucher_are_refused() -> None:
    exporter, voucher = exporter_and_voucher(claim(claimant={"name": "Åse", "number": "1" * 21}))

    with pytest.raises(ClaimUnusable, match="longer than 20"):
        exporter.records(voucher)
