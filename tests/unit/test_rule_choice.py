"""Which account an expense gets: by type, dimensions and person, and never by chance."""

from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exporters.claim import Claim
from exporters.configuration import FrozenConfiguration
from exporters.posting_rules import PostingRules
from exporters.problem import ClaimUnusable
from exporters.registry import configuration_problems
from exporters.settings import ExporterSettings
from exporters.voucher import Voucher
from tests.unit.claim_factory import (
    RUN,
    Document,
    claim,
    claim_line,
    member,
    one_line_claim,
    xledger_document,
)

PAYABLE: Document = {"side": "payable", "account_code": "2990", "subledger": "none"}


def rule(account: str, expense_type: str | None = "mileage", /, **changes: object) -> Document:
    """Make an expense rule; `department="410"` and the like are its conditions."""
    known = {"tax_percent", "tax_account_code", "dimensions", "tax_code"}
    return {
        "side": "expense",
        "expense_type": expense_type,
        "account_code": account,
        "conditions": {name: value for name, value in changes.items() if name not in known},
        **{name: value for name, value in changes.items() if name in known},
    }


def voucher(document: Document, *rules: Document, kind: str = "entry") -> Voucher:
    payables = [] if any(one["side"] == "payable" for one in rules) else [PAYABLE]
    configuration = FrozenConfiguration.from_document(
        xledger_document(posting_rules=[*rules, *payables])
    )
    made = PostingRules(configuration.posting_rules, ExporterSettings.from_document({}), RUN)
    return made.voucher(member(document, kind=kind), Claim.from_document(document))


def accounts(document: Document, *rules: Document) -> list[str]:
    return [line.account_code for line in voucher(document, *rules).lines[:-1]]


MILEAGE = one_line_claim()


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([rule("7100")], "7100"),
        ([rule("7100"), rule("7199", None)], "7100"),
        ([rule("7199", None)], "7199"),
        ([rule("7100"), rule("7101", department="410")], "7101"),
        ([rule("7100"), rule("7101", department="999")], "7100"),
        ([rule("7100"), rule("7199", None, department="410")], "7100"),
        ([rule("7101", department="999"), rule("7199", None)], "7199"),
        ([rule("7101", department="410"), rule("7102", department="410", project="P1")], "7102"),
        ([rule("7101", department="410"), rule("7103", claimant="10023", project="P1")], "7103"),
        ([rule("7100"), rule("7104", claimant="10023")], "7104"),
    ],
)
def test_the_most_special_rule_that_holds_is_taken(rules: list[Document], expected: str) -> None:
    document = {**MILEAGE, "dimensions": {"department": "410", "project": "P1"}}

    assert accounts(document, *rules) == [expected]
    assert accounts(document, *reversed(rules)) == [expected], "the order says nothing"


def test_a_lines_dimension_goes_before_its_claims() -> None:
    lines = [claim_line(1, dimensions={"department": "500"}), claim_line(2)]
    document = claim(lines=lines, total="1060.00", dimensions={"department": "410"})

    assert accounts(document, rule("7100"), rule("7150", department="500")) == ["7150", "7100"]


def test_two_rules_that_hold_alike_leave_the_claim_out() -> None:
    document = {**MILEAGE, "dimensions": {"department": "410", "project": "P1"}}

    with pytest.raises(ClaimUnusable) as unusable:
        voucher(document, rule("7101", department="410"), rule("7102", project="P1"))

    (problem,) = unusable.value.problems
    assert (problem.code, problem.field) == (
        "ambiguous_posting_rule",
        "lines[1].expense_type",
    )
    assert "7101, 7102" in problem.message


def test_what_is_owed_follows_conditions_too() -> None:
    staff = {**PAYABLE, "account_code": "2930", "conditions": {"claimant": "10023"}}

    made = voucher(MILEAGE, rule("7100"), PAYABLE, staff)
    assert made.lines[-1].account_code == "2930"
    other = {**MILEAGE, "claimant": {"name": "Ola", "number": "7"}}
    assert voucher(other, rule("7100"), PAYABLE, staff).lines[-1].account_code == "2990"


def test_the_same_conditions_twice_are_refused_before_any_claim() -> None:
    document = xledger_document(
        posting_rules=[rule("7101", department="410"), rule("7102", department="410"), PAYABLE]
    )

    (problem,) = configuration_problems(document)
    assert problem.code == "posting_rule_invalid"
    assert "mileage where department 410" in problem.message


TAXED = rule("6860", tax_percent="25", tax_account_code="2710", dimensions={"department": "100"})


def test_tax_is_split_from_the_gross_amount() -> None:
    made = voucher(one_line_claim(total="125.00"), TAXED)

    assert [(line.account_code, line.amount, line.line_number) for line in made.lines] == [
        ("6860", Decimal("100.00"), 1),
        ("2710", Decimal("25.00"), 1),
        ("2990", Decimal("-125.00"), 0),
    ]


def test_a_tax_line_is_on_the_rules_own_dimensions_and_nobodys_account() -> None:
    """Tax is not the claimant's, nor her department's."""
    split = {**TAXED, "subledger": "claimant"}
    net, tax, _ = voucher(one_line_claim(total="125.00"), split).lines

    assert (net.subledger_number, net.dimensions) == ("10023", {"department": "410"})
    assert (tax.subledger_number, tax.dimensions) == (None, {"department": "100"})


@example(gross=Decimal("0.01"), percent="100", is_credit=False)
@example(gross=Decimal("0.01"), percent="100", is_credit=True)
@given(
    gross=st.decimals("0.01", "99999999.99", places=2),
    percent=st.sampled_from(["25", "15", "12", "11.11", "0.01", "100"]),
    is_credit=st.booleans(),
)
def test_a_split_loses_nothing_and_a_reversal_mirrors_it(
    gross: Decimal,
    percent: str,
    is_credit: bool,  # noqa: FBT001 - drawn
) -> None:
    document = one_line_claim(total=str(-gross if is_credit else gross))
    split = rule("6860", tax_percent=percent, tax_account_code="2710")

    entry, reversal = voucher(document, split), voucher(document, split, kind="reversal")

    assert sum(line.amount for line in entry.lines[:-1]) == (-gross if is_credit else gross)
    assert [-line.amount for line in entry.lines] == [line.amount for line in reversal.lines]
    assert len({line.amount > 0 for line in entry.lines[:-1]}) == 1, "net and tax have one sign"
    tax = abs(entry.lines[1].amount) if len(entry.lines) == 3 else Decimal(0)
    assert (
        abs(tax * (100 + Decimal(percent)) - gross * Decimal(percent))
        <= (100 + Decimal(percent)) * Decimal("0.005")
        or tax == 0
    )
