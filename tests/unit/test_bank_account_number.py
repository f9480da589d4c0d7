import pytest

from tests.unit.claim_factory import (
    Document,
    claim,
    dynamics_document,
    member,
    one_line_claim,
    render,
    render_claims,
    xledger_document,
)
from tests.unit.identity_numbers import SYNTHETIC

# The example that Norwegian banks print: 1234.56.78903.
NUMBERS = ["12345678903", "1234.56.78903", "1234 56 78903", "1234\u00a056\u00a078903"]
FORMATS: dict[str, Document] = {
    "dynamics_bc_csv": {},
    "dynamics_bc_json": {},
    "dynamics_fo_csv": {"journal_name": "Utlegg", "line_text": "{claim_number} {purpose}"},
}


def configuration(format_name: str = "dynamics_bc_csv", **settings: object) -> Document:
    return dynamics_document(format=format_name, settings={**FORMATS[format_name], **settings})


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("number", NUMBERS)
def test_f13_no_bank_account_number_reaches_the_ledger(format_name: str, number: str) -> None:
    document = claim(
        purpose=f"Til konto {number}, takk",
        claimant={"name": f"Åse ({number})", "number": "7"},
    )
    rendered = render_claims(configuration(format_name), document)
    text = rendered.data.decode()

    assert rendered.left_out == []
    assert "78903" not in text
    assert "Til konto ***********" in text
    assert [(n.code, n.count, n.first_claim_number) for n in rendered.renderer.notices()] == [
        ("bank_account_number_masked", 1, "2026-0001")
    ]


@pytest.mark.parametrize(
    "text",
    [
        "12345678904",
        "1234.56 78903",
        "1234.5678903",
        "112345678903",
        "123456789034",
        "1234-56-78903",
    ],
)
def test_what_only_looks_like_one_stays(text: str) -> None:
    """Another check digit, other signs between, a longer row of digits."""
    rendered = render_claims(configuration(), one_line_claim(description=text))

    assert text in rendered.data.decode()
    assert rendered.renderer.notices() == ()


def test_an_identity_number_is_found_first() -> None:
    """Its check digits are those of a bank account number."""
    document = one_line_claim(description=SYNTHETIC)

    assert render_claims(configuration(), document).codes == ["national_identity_number"]
    masked = render_claims(configuration(identity_numbers="mask"), document).renderer
    assert [notice.code for notice in masked.notices()] == ["identity_number_masked"]


def test_codes_are_never_masked() -> None:
    document = claim(dimensions={"department": NUMBERS[0]}, claim_number=NUMBERS[0])

    assert render_claims(configuration(), document).data.decode().count(NUMBERS[0]) >= 3


def test_settings_keep_them() -> None:
    document = one_line_claim(description=NUMBERS[1])

    kept = render_claims(configuration(bank_account_numbers="keep"), document)
    assert NUMBERS[1] in kept.data.decode()
    assert NUMBERS[1] in render_claims(xledger_document(), document).data.decode()


def test_a_reversal_is_masked_as_the_entry_was() -> None:
    entry = claim(purpose=NUMBERS[2])
    rendered = render(configuration(), [[member(entry), member(entry, 2, kind="reversal")]])

    assert rendered.data.decode().count("***********") == 6
