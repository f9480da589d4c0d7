import pytest

from exporters.claim import Claim
from exporters.claim_field import claim_field
from exporters.configuration import FrozenConfiguration
from exporters.posting_rules import PostingRules
from exporters.settings import ExporterSettings
from exporters.source import LINE_PATHS
from exporters.voucher import JournalLine
from tests.unit.claim_factory import (
    RUN,
    Document,
    claim,
    dynamics_document,
    member,
    one_line_claim,
    render_claims,
    xledger_document,
)

REPLACEMENT = "\ufffd"


def _lines(document: Document, **settings: object) -> tuple[JournalLine, ...]:
    rules = FrozenConfiguration.from_document(xledger_document()).posting_rules
    posting_rules = PostingRules(rules, ExporterSettings.from_document(settings), RUN)
    return posting_rules.voucher(member(document), Claim.from_document(document)).lines


def _fields(configuration: Document, document: Document, **changes: object) -> list[str]:
    return [entry.field for entry in render_claims(configuration, document, **changes).left_out]


@pytest.mark.parametrize("path", LINE_PATHS)
def test_every_path_of_a_line_has_its_field(path: str) -> None:
    """No path is without a field, and the payable line never names a claim line."""
    expense, _, payable = _lines(claim())

    assert claim_field(path, expense)
    assert not claim_field(path, payable).startswith("lines[")


@pytest.mark.parametrize(
    ("path", "on_expense", "on_payable"),
    [
        ("voucher.document_number", "voucher_number", "voucher_number"),
        ("line.reference", "claim_number", "claim_number"),
        ("line.subledger_number", "claimant.number", "claimant.number"),
        ("line.account_code", "lines[2].account_code", "account_code"),
        ("line.amount", "lines[2].amount", "total"),
        ("line.document_date", "lines[2].expense_date", "approved_on"),
        ("line.dimensions.project", "lines[2].dimensions.project", "dimensions.project"),
        ("line.text", "lines[2].description", "claimant.name"),
    ],
)
def test_a_path_leads_to_the_claims_field(path: str, on_expense: str, on_payable: str) -> None:
    """What stands on an expense line is that claim line's, on the payable line the claim's."""
    _, expense, payable = _lines(claim())

    assert claim_field(path, expense) == on_expense
    assert claim_field(path, payable) == on_payable


@pytest.mark.parametrize(
    ("template", "description", "field"),
    [
        ("{claim_number} {description}", "Bom", "lines[1].description"),
        ("{description} {purpose}", "Bom", "purpose"),
        ("{purpose}", "Bom", "purpose"),
        ("{claimant_name}", "Bom", "claimant.name"),
        ("{description}", "", "lines[1].description"),
        ("Reise", "Bom", "purpose"),
    ],
)
def test_a_text_leads_to_the_longest_field_it_shows(
    template: str,
    description: str,
    field: str,
) -> None:
    """Whoever must shorten a text is sent to what makes it long."""
    line = _lines(one_line_claim(description=description), line_text=template)[0]

    assert claim_field("line.text", line) == field


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (claim(claim_number="2026-" + "1" * 30), "claim_number"),
        (claim(claimant={"name": "Kari", "number": "1234567890"}), "claimant.number"),
        (claim(claim_number="2026;1", purpose="a;b"), "claim_number"),
        (claim(claimant={"name": "Kari;", "number": "10;3"}), "claimant.number"),
        (claim(dimensions={"department": "4;0"}), "lines[1].dimensions.department"),
        (one_line_claim(description=f"x{REPLACEMENT}"), "lines[1].description"),
        (one_line_claim(description="Taxi 🚕"), "lines[1].description"),
        (claim(claimant={"name": "Kari 🚕", "number": "10023"}), "claimant.name"),
    ],
)
def test_xledger_names_the_claims_field(document: Document, field: str) -> None:
    """A claim left out of GL02b names its own field, never the column."""
    assert _fields(xledger_document(), document) == [field]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        (claim(claim_number="2026-" + "1" * 40), "claim_number"),
        (claim(purpose=f"x{REPLACEMENT}"), "purpose"),
        (one_line_claim(dimensions={"project": "P" * 21}), "lines[1].dimensions.project"),
    ],
)
def test_dynamics_names_the_claims_field(document: Document, field: str) -> None:
    """A claim left out of the file for Business Central names its own field."""
    assert _fields(dynamics_document(), document) == [field]


def test_a_voucher_number_that_is_too_long_is_named() -> None:
    """A number that the engine gave is named as the voucher's, on no line."""
    fields = _fields(xledger_document(), claim(), voucher_number=100_000_000)

    assert fields == ["voucher_number"]


def test_a_missing_text_names_what_is_missing() -> None:
    """A required text that comes out empty names the field that was left empty."""
    configuration = dynamics_document(settings={"payable_text": "{purpose}"})

    assert _fields(configuration, claim(purpose="")) == ["purpose"]


def test_a_text_may_hold_a_character_of_another_field() -> None:
    """A character that came from the claim line's unit is sought there."""
    configuration = dynamics_document(settings={"line_text": "{claim_number} {unit}"})

    assert _fields(configuration, one_line_claim(unit=REPLACEMENT)) == ["lines[1].unit"]
