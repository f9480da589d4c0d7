import json
import random

import pytest

from exporters.claim import Claim
from exporters.national_identity_number import holds_identity_number, identity_number_problems
from functions.problem_sentences import who_must_act, why
from tests.unit.claim_factory import (
    Document,
    claim,
    claim_line,
    dynamics_document,
    member,
    render,
    render_claims,
    xledger_document,
)
from tests.unit.identity_numbers import SYNTHETIC, number_born, with_check_digits

BOTH = pytest.mark.parametrize("configuration", [xledger_document(), dynamics_document()])

KINDS = {
    "ordinary": number_born(1, 1, 90),
    "d_number": number_born(41 + 16, 5, 72),
    "tax administration's": number_born(17, 85, 72),
    "NAV's": number_born(17, 45, 72),
    "synthetic d_number": number_born(71, 92, 99),
    "leap day": number_born(29, 2, 0),
}


@pytest.mark.parametrize("number", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize(
    "form", ["{0}", "{1} {2}", "{1}\u00a0{2}", "fnr.{0}", "Kari ({1} {2}), Alta", "ø{0}ø"]
)
def test_a_national_identity_number_is_found(number: str, form: str) -> None:
    """Every kind, with and without a blank, wherever it stands in a text."""
    assert holds_identity_number(form.format(number, number[:6], number[6:]))


@pytest.mark.parametrize("place", range(11))
def test_a_mistyped_digit_is_no_number(place: int) -> None:
    """Both check digits count: a number with one other digit is none."""
    for digit in set("0123456789") - {SYNTHETIC[place]}:
        assert not holds_identity_number(f"{SYNTHETIC[:place]}{digit}{SYNTHETIC[place + 1 :]}")


@pytest.mark.parametrize(
    "text",
    [
        "86011117947",
        "NO9386011117947",
        f"1{SYNTHETIC}",
        f"{SYNTHETIC}0",
        f"{SYNTHETIC[:6]}  {SYNTHETIC[6:]}",
        f"{SYNTHETIC[:6]}\n{SYNTHETIC[6:]}",
        f"{SYNTHETIC[:5]} {SYNTHETIC[5:]}",
        f"{SYNTHETIC[:10]}",
        "",
    ],
)
def test_other_digits_are_left_alone(text: str) -> None:
    """Bank accounts, longer and shorter rows, and rows that are broken elsewhere."""
    assert not holds_identity_number(text)


@pytest.mark.parametrize(("day", "month"), [(0, 85), (32, 85), (40, 85), (72, 85), (17, 0), (17, 13), (17, 40), (17, 53), (17, 80), (17, 93), (31, 84), (30, 82)])  # fmt: skip
def test_the_date_must_be_in_the_calendar(day: int, month: int) -> None:
    """Right check digits under a day that does not exist make no number."""
    assert not holds_identity_number(number_born(day, month, 72))


def test_few_bank_accounts_are_mistaken() -> None:
    """Eleven digits with a bank account's own check digit are a date with both of ours once in fifty."""
    dice = random.Random(20261121)  # noqa: S311 - the same accounts each time
    weights = (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)
    accounts: list[str] = []
    while len(accounts) < 20_000:
        ten = f"{dice.randrange(10**10):010}"
        last = (11 - sum(int(d) * w for d, w in zip(ten, weights, strict=True)) % 11) % 11
        if last < 10:
            accounts.append(f"{ten}{last}")

    assert sum(map(holds_identity_number, accounts)) / len(accounts) < 0.025


def _with(**changes: object) -> Document:
    return claim(7, **changes)


FIELDS = {
    "purpose": _with(purpose=f"Møte med {SYNTHETIC}"),
    "claimant.name": _with(claimant={"name": f"Åse {SYNTHETIC}", "number": "1"}),
    "claimant.number": _with(claimant={"name": "Åse", "number": SYNTHETIC}),
    "dimensions.project": _with(dimensions={"project": SYNTHETIC}),
    "lines[2].description": _with(
        lines=[claim_line(), claim_line(2, expense_type="toll", amount="120.00", description=SYNTHETIC)]
    ),
    "lines[1].unit": _with(total="530.00", lines=[claim_line(unit=SYNTHETIC)]),
    "lines[1].dimensions.region": _with(
        total="530.00", lines=[claim_line(dimensions={"region": SYNTHETIC})]
    ),
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("field", FIELDS)
def test_a_claim_with_a_number_is_left_out_and_the_number_not_told(
    configuration: Document, field: str
) -> None:
    """The claim is in no file, the field is named, and no word of the reason holds the number."""
    rendered = render_claims(configuration, claim(1), FIELDS[field], claim(9))

    [left_out] = rendered.left_out
    assert (left_out.code, left_out.field) == ("national_identity_number", field)
    assert SYNTHETIC not in left_out.message
    assert SYNTHETIC.encode() not in rendered.data
    assert rendered.renderer.summary().claim_count == 2


def test_every_field_with_a_number_is_named() -> None:
    """Whoever corrects the claim learns of all its fields at once."""
    document = _with(
        purpose=SYNTHETIC, claimant={"name": f"{SYNTHETIC[:6]} {SYNTHETIC[6:]}", "number": None}
    )

    problems = identity_number_problems(Claim.from_document(document))

    assert [problem.field for problem in problems] == ["purpose", "claimant.name"]


def test_numbers_that_the_app_gave_are_not_judged() -> None:
    """A claim number of random characters would keep its claim out for ever."""
    document = _with(claim_number=f"2026-{SYNTHETIC}a")

    assert identity_number_problems(Claim.from_document(document)) == ()


def test_what_is_in_the_books_can_be_taken_back() -> None:
    """A reversal of a claim that was exported before the rule is rendered: only that corrects the books."""
    rendered = render(xledger_document(), [[member(FIELDS["purpose"], kind="reversal")]])

    assert rendered.left_out == []
    assert rendered.renderer.summary().claim_count == 1


def test_the_claimant_is_told_to_remove_it() -> None:
    """In both languages; a number in the claimant's own number is the administrator's to correct."""
    assert "fødselsnummer" in why("national_identity_number").nb
    assert "national identity number" in why("national_identity_number").en
    assert "must remove" in who_must_act("national_identity_number", "purpose").en
    assert "må fjerne" in who_must_act("national_identity_number", "lines[1].description").nb
    assert "administrator" in who_must_act("national_identity_number", "claimant.number").en


def test_a_number_over_two_fields_is_none() -> None:
    """Six digits at the end of one field and five at the start of the next are two numbers."""
    document = _with(purpose=SYNTHETIC[:6], claimant={"name": SYNTHETIC[6:], "number": None})

    assert identity_number_problems(Claim.from_document(document)) == ()
    assert with_check_digits(SYNTHETIC[:9]) == SYNTHETIC
    assert SYNTHETIC not in json.dumps(document)


NUMBER = KINDS["tax administration's"]
MASK: Document = {"identity_numbers": "mask"}


@pytest.mark.parametrize("number", KINDS.values(), ids=KINDS.keys())
def test_a_number_can_be_masked_instead(number: str) -> None:
    """In every text for people, and counted; the rest of the text stays."""
    hostile = claim(
        purpose=f"Reise for {number}",
        claimant={"name": f"Kari {number[:6]} {number[6:]}", "number": "7"},
        lines=[claim_line(description=f"fnr.{number}, Alta")],
        total="530.00",
    )
    settings = {**MASK, "line_text": "{claim_number} {description} {purpose}"}
    rendered = render_claims(xledger_document(settings=settings), hostile, claim(2))

    text = rendered.data.decode()
    assert rendered.left_out == []
    assert number not in text
    assert number[6:] not in text
    assert "2026-0001 fnr.***********, Alta Reise for ***********" in text
    assert "2026-0001 Kari ***********" in text
    assert [
        (one.code, one.count, one.first_claim_number) for one in rendered.renderer.notices()
    ] == [("identity_number_masked", 1, "2026-0001")]


def test_a_number_that_only_looks_like_one_is_not_masked() -> None:
    other = str(int(NUMBER) + 1)
    rendered = render_claims(
        xledger_document(settings=MASK | {"line_text": "{claim_number} {purpose}"}),
        claim(purpose=f"Konto {other}"),
    )

    assert other in rendered.data.decode()
    assert rendered.renderer.notices() == ()


@pytest.mark.parametrize(
    "changes",
    [{"claimant": {"name": "Kari", "number": NUMBER}}, {"dimensions": {"department": NUMBER}}],
)
def test_a_code_is_never_masked(changes: Document) -> None:
    rendered = render_claims(xledger_document(settings=MASK), claim(**changes))

    assert rendered.codes == ["national_identity_number"]


def test_a_masked_claim_is_masked_when_it_is_taken_back() -> None:
    hostile = claim(purpose=f"Reise for {NUMBER}")
    configuration = xledger_document(
        settings=MASK | {"reversal_line_text": "{claim_number} {purpose}"}
    )
    rendered = render(configuration, [[member(hostile, kind="reversal")]])

    assert NUMBER not in rendered.data.decode()
    assert "***********" in rendered.data.decode()
