"""Every code that can reach a caller has its words in both languages."""

import re
import string
from collections.abc import Iterator
from http import HTTPStatus
from operator import attrgetter
from pathlib import Path
from uuid import uuid4

import pytest

from exporters.problem import ProblemCode
from functions.error_catalogue import CATALOGUE, FIELD_SENTENCES, UNKNOWN_CODE
from functions.errors import FieldProblem, InvalidRequest, Refused, Unavailable
from functions.language import Language, Sentence
from functions.problem import problem_response
from functions.problem_sentences import known_codes, who_must_act, why

CHECKOUT = Path(__file__).parents[2]
SQL_REFUSAL = re.compile(r"refuse\(\s*(\d{3}),\s*'([a-z_]+)'")
OUR_CODE = re.compile(
    r"(?:Refused|InvalidRequest|Unavailable|RunFailed|_failed)\(\s*\"([a-z_]+)\"", re.DOTALL
)
FIELD_CODE = re.compile(r"FieldProblem\([^)]*?\"([a-z_]+)\"\)", re.DOTALL)


def sql_codes() -> Iterator[tuple[int, str]]:
    """Status and code of every refusal in the migrations."""
    for path in (CHECKOUT / "supabase" / "migrations").glob("*.sql"):
        for status, code in SQL_REFUSAL.findall(path.read_text(encoding="utf-8")):
            yield int(status), code


def our_source() -> str:
    """All of functions/ as one text."""
    return "\n".join(
        path.read_text(encoding="utf-8") for path in (CHECKOUT / "functions").glob("*.py")
    )


def sentences() -> Iterator[Sentence]:
    """Every sentence about errors."""
    for entry in (*CATALOGUE.values(), UNKNOWN_CODE):
        yield entry.detail
        yield entry.action
    yield from FIELD_SENTENCES.values()
    for code in (*ProblemCode, "a third party's own"):
        yield why(code)
        for field in ("purpose", "claimant.number", "claim_number", "lines[1].account_code"):
            yield who_must_act(code, field)


def test_every_refusal_of_the_database_has_words_and_the_same_status() -> None:
    """A code that a migration raises is in the catalogue with the status it is raised with."""
    told = {code: status for status, code in sql_codes() if status != 500}

    assert len(told) > 30
    assert {code: CATALOGUE[code].status for code in told if code in CATALOGUE} == told


def test_every_code_of_ours_has_words() -> None:
    """Whatever functions/ raises or names in a field problem is in the catalogue."""
    source = our_source()
    codes, field_codes = set(OUR_CODE.findall(source)), set(FIELD_CODE.findall(source))

    assert codes
    assert codes - set(CATALOGUE) == set()
    assert field_codes
    assert field_codes - set(FIELD_SENTENCES) == set()


def test_every_problem_code_of_the_exporters_has_words() -> None:
    """No claim is left out for a reason that nobody can read."""
    assert known_codes() == {str(code) for code in ProblemCode}


VALUE_CODES = [
    "required_value_missing",
    "value_too_long",
    "forbidden_character",
    "text_not_encodable",
]


@pytest.mark.parametrize("code", VALUE_CODES)
@pytest.mark.parametrize(
    ("field", "who"),
    [
        ("purpose", "Whoever submitted the claim"),
        ("claimant.name", "Whoever submitted the claim"),
        ("lines[12].description", "Whoever submitted the claim"),
        ("lines[1].unit", "Whoever submitted the claim"),
        ("claimant.number", "An administrator must"),
        ("claim_number", "An administrator must correct the value or the set-up"),
        ("voucher_number", "An administrator must correct the value or the set-up"),
        ("dimensions.project", "An administrator must correct the value or the set-up"),
        ("lines[1].dimensions.project", "An administrator must correct the value or the set-up"),
        ("account_code", "An administrator must correct the posting rules"),
        ("lines[2].tax_code", "An administrator must correct the posting rules"),
    ],
)
def test_only_texts_are_the_claimants_to_correct(code: str, field: str, who: str) -> None:
    """The claimant is asked for texts, an administrator for every number and code."""
    assert who_must_act(code, field).en.startswith(who)


def test_a_persons_number_is_registered_or_corrected() -> None:
    """A missing number is to be registered, one that does not fit is to be corrected."""
    assert "register" in who_must_act("required_value_missing", "claimant.number").en
    assert "correct" in who_must_act("value_too_long", "claimant.number").en


def test_the_field_changes_nothing_for_other_problems() -> None:
    """An amount of zero is the claimant's to correct, whatever field is named."""
    assert who_must_act("zero_amount_line", "lines[1].amount").en.startswith("Whoever submitted")


@pytest.mark.parametrize(
    "sentence",
    sorted(set(sentences()), key=attrgetter("en")),
    ids=lambda sentence: sentence.en[:30],
)
def test_every_sentence_is_whole_in_both_languages(sentence: Sentence) -> None:
    """Both languages are there, differ, end as sentences and need no values."""
    for text in (sentence.nb, sentence.en):
        assert text.strip() == text
        assert text.endswith(".")
        assert [name for _, name, _, _ in string.Formatter().parse(text) if name] == []
    assert sentence.nb != sentence.en or "Content-Type" in sentence.en


def test_an_unknown_code_of_a_newer_database_keeps_code_and_status() -> None:
    """The caller still gets the database's status and code, with general words."""
    response = problem_response(Refused("from_the_future", status=409), Language.ENGLISH)

    assert response.status_code == 409
    assert b'"code":"from_the_future"' in bytes(response.body)


def test_a_transient_error_says_when_to_come_back() -> None:
    """503 carries Retry-After, and the run if one began."""
    run_id = uuid4()

    response = problem_response(
        Unavailable("storage_unavailable", run_id=run_id, retry_after=60), Language.NORWEGIAN
    )

    assert (response.status_code, response.headers["retry-after"]) == (503, "60")
    assert str(run_id).encode() in bytes(response.body)


@pytest.mark.parametrize("code", CATALOGUE)
@pytest.mark.parametrize("language", Language)
def test_every_code_renders(code: str, language: Language) -> None:
    """Each code makes a problem with its own status, a phrase and a sentence."""
    response = problem_response(Refused(code), language)

    assert response.status_code == CATALOGUE[code].status
    assert HTTPStatus(response.status_code).phrase.encode() in bytes(response.body)
    assert response.headers["content-type"] == "application/json"


def test_a_field_name_is_shown_within_bounds() -> None:
    """A name that a caller made up does not make the answer arbitrarily long."""
    error = InvalidRequest("invalid_request", [FieldProblem("x" * 10_000, "unknown_field")])

    assert len(bytes(problem_response(error, Language.ENGLISH).body)) < 1_000


def test_a_status_that_nobody_knows_is_answered_as_500() -> None:
    """A newer database may answer any PTxyz; the last edge still answers."""
    response = problem_response(Refused("from_the_future", status=499), Language.ENGLISH)

    assert response.status_code == 500
