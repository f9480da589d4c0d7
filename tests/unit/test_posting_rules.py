from datetime import date
from decimal import Decimal

import pytest

from exporters.claim import Claim
from exporters.configuration import FrozenConfiguration
from exporters.posting_rules import PostingRules
from exporters.problem import ClaimUnusable, ConfigurationInvalid
from exporters.registry import configuration_problems
from exporters.settings import ExporterSettings
from exporters.voucher import JournalLine, UnbalancedVoucherError, Voucher
from tests.unit.claim_factory import (
    RUN,
    Document,
    claim,
    claim_line,
    dynamics_document,
    member,
    posting_rules,
    xledger_document,
)


def _voucher(document: Document, *, kind: str = "entry", **settings: object) -> Voucher:
    configuration = FrozenConfiguration.from_document(xledger_document())
    rules = PostingRules(
        configuration.posting_rules,
        ExporterSettings.from_document(settings),
        RUN,
    )
    return rules.voucher(member(document, kind=kind), Claim.from_document(document))


def test_a_claim_becomes_one_debit_per_line_and_one_payable_credit() -> None:
    """Expenses are debited on their accounts, and the total is credited to the claimant."""
    voucher = _voucher(claim())

    assert [
        (line.side, line.line_number, line.account_code, line.amount, line.subledger_number)
        for line in voucher.lines
    ] == [
        ("expense", 1, "7100", Decimal("530.00"), None),
        ("expense", 2, "7130", Decimal("120.00"), None),
        ("payable", 0, "2990", Decimal("-650.00"), "10023"),
    ]
    assert voucher.posting_date == date(2026, 10, 5)
    assert voucher.lines[0].document_date == date(2026, 9, 30)


def test_a_reversal_is_the_entry_with_other_signs() -> None:
    """Every amount changes its sign, and the claim's own number stays on every line."""
    entry, reversal = _voucher(claim()), _voucher(claim(), kind="reversal")

    assert [-line.amount for line in entry.lines] == [line.amount for line in reversal.lines]
    assert {line.claim.claim_number for line in reversal.lines} == {"2026-0001"}


@pytest.mark.parametrize(
    ("kind", "settings", "due_date"),
    [
        ("entry", {}, None),
        ("entry", {"due_days": 0}, date(2026, 10, 5)),
        ("entry", {"due_days": 14, "posting_date": "export"}, date(2026, 10, 20)),
        ("reversal", {"due_days": 14}, None),
    ],
)
def test_only_what_is_owed_falls_due(
    kind: str,
    settings: Document,
    due_date: date | None,
) -> None:
    """The payable line of an entry is due so many days after its posting date."""
    assert _voucher(claim(), kind=kind, **settings).lines[-1].due_date == due_date


def test_texts_are_filled_once_and_never_evaluated() -> None:
    """A placeholder in a claimant's own text stays as it was typed."""
    document = claim(lines=[claim_line(description="{purpose} {0.__class__}")], total="530.00")
    template = "{claim_number}/{line_number} {expense_type} {quantity}{unit} {description}"

    voucher = _voucher(document, line_text=template, payable_text="{run_number}:{voucher_number}")

    assert voucher.lines[0].text == "2026-0001/1 mileage 100.0km {purpose} {0.__class__}"
    assert voucher.lines[1].text == "7:1001"


@pytest.mark.parametrize("template", ["{description.__class__}", "{", "{unknown}", "{0}", "a}b"])
def test_a_text_with_an_unknown_placeholder_is_refused(template: str) -> None:
    """Only the listed placeholders may stand in braces."""
    problems = configuration_problems(dynamics_document(settings={"line_text": template}))

    assert [(problem.code, problem.field) for problem in problems] == [
        ("setting_invalid", "settings.line_text"),
    ]


def test_the_payable_text_cannot_speak_of_one_line() -> None:
    """A line's placeholder in the payable text is refused."""
    settings = {"payable_text": "{claim_number} {description}"}

    assert configuration_problems(dynamics_document(settings=settings))


def test_every_reason_is_told() -> None:
    """A claim with several faults is refused with all of them, in a fixed order."""
    document = claim(
        currency="EUR",
        claimant={"name": "Kari", "number": ""},
        lines=[claim_line(1, amount="0.00"), claim_line(2, expense_type="hotel")],
    )

    with pytest.raises(ClaimUnusable) as unusable:
        _voucher(document)

    assert [problem.code for problem in unusable.value.problems] == [
        "zero_amount_line",
        "total_mismatch",
        "currency_not_supported",
        "no_account_for_expense_type",
        "missing_claimant_number",
    ]


@pytest.mark.parametrize(
    "rules",
    [
        [*posting_rules(subledger="none"), posting_rules(subledger="none")[0]],
        [*posting_rules(subledger="none"), posting_rules(subledger="none")[-1]],
        [{**posting_rules(subledger="none")[0], "expense_type": ""}],
        [{**posting_rules(subledger="none")[0], "tax_percent": "25"}],
        [{**posting_rules(subledger="none")[0], "tax_account_code": "2710"}],
        [
            {
                **posting_rules(subledger="none")[0],
                "tax_percent": "25",
                "tax_account_code": "2710",
                "tax_code": "1",
            }
        ],
        [
            {
                **posting_rules(subledger="none")[-1],
                "tax_percent": "25",
                "tax_account_code": "2710",
            }
        ],
        [{**posting_rules(subledger="none")[-1], "expense_type": "mileage"}],
        [{**posting_rules(subledger="none")[0], "account_code": ""}],
        [{**posting_rules(subledger="none")[0], "side": "both"}],
    ],
    ids=[
        "twice",
        "two payables",
        "nameless",
        "a percentage without an account",
        "an account without a percentage",
        "tax twice",
        "tax of what is owed",
        "named payable",
        "no account",
        "no such side",
    ],
)
def test_posting_rules_that_leave_a_doubt_are_refused(rules: list[Document]) -> None:
    """Rules must name one account for each expense type and one for the payable side."""
    problems = configuration_problems(dynamics_document(posting_rules=rules))

    assert {problem.code for problem in problems} == {"posting_rule_invalid"}


def test_a_configuration_of_a_later_version_stays_readable() -> None:
    """Unknown parts beside the settings are ignored."""
    document = xledger_document(delivery="file")

    assert FrozenConfiguration.from_document(document).format == "xledger_gl02b"


def test_a_configuration_without_its_parts_is_refused() -> None:
    """Missing parts are named."""
    with pytest.raises(ConfigurationInvalid) as invalid:
        FrozenConfiguration.from_document({"target": "xledger"})

    assert {problem.field for problem in invalid.value.problems} == {
        "format",
        "time_zone",
        "on_problem",
    }


def _line(amount: str, currency: str = "NOK") -> JournalLine:
    return JournalLine(
        claim=Claim.from_document(claim(currency=currency)),
        side="expense",
        line_number=1,
        expense_type="mileage",
        account_code="7100",
        tax_code=None,
        amount=Decimal(amount),
        text="",
        document_date=date(2026, 1, 1),
        due_date=None,
        dimensions={},
        subledger_number=None,
    )


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [_line("0.00")],
        [_line("1.00"), _line("-1.01")],
        [_line("1.00"), _line("-1.00"), _line("0.00")],
        [_line("0.001"), _line("-0.001")],
        [_line("1.00"), _line("-1.00", "EUR")],
    ],
)
def test_a_voucher_that_does_not_balance_cannot_be_made(lines: list[JournalLine]) -> None:
    """Too few lines, a zero line, parts of a hundredth, mixed money or a difference are refused."""
    with pytest.raises(UnbalancedVoucherError):
        Voucher(
            number=1,
            document_number="1",
            kind="entry",
            posting_date=date(2026, 1, 1),
            currency="NOK",
            lines=tuple(lines),
        )


def test_a_voucher_may_hold_several_claims() -> None:
    """Lines of two claims can balance in one voucher, for one voucher per claimant or run."""
    voucher = Voucher(
        number=1,
        document_number="1",
        kind="entry",
        posting_date=date(2026, 1, 1),
        currency="NOK",
        lines=(_line("1.00"), _line("2.00"), _line("-3.00")),
    )

    assert len(voucher.lines) == 3
