"""GET /find_export on the real stack: from what stands in the books, or on the file, to the run."""

from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest

from tests.http.app_user import AppUser
from tests.organisation import Organisation

NewUser = Callable[..., AppUser]


def find(user: AppUser, organisation: Organisation, text: str) -> httpx.Response:
    """Search in one organisation."""
    return user.door.get(
        "/find_export",
        params={"organization_id": str(organisation.id), "q": text},
        headers=user.login,
    )


def test_every_name_of_an_export_leads_to_it(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """The accountant has a voucher, a claim, a file or a hash before her, and finds run and claim."""
    claim_id = organisation.add_claim()
    run = coordinator.trigger(organisation).json()["run"]
    [[number]] = organisation.execute(
        "select claim_number from public.expense_claims where id = %s", claim_id
    )
    accountant = new_user("accountant", organisation)

    for text in (run["file"]["name"], run["file"]["sha256"], run["file"]["sha256"][:8].upper()):
        [found] = find(accountant, organisation, text).json()["runs"]
        assert (found["run_id"], found["href"]) == (
            run["run_id"],
            f"/export_run?run_id={run['run_id']}",
        )
    for text in ("1", number):
        [claim] = find(accountant, organisation, text).json()["claims"]
        assert (claim["claim_id"], claim["run"]["run_id"]) == (str(claim_id), run["run_id"])
    nothing = find(accountant, organisation, "æøå % \\ ' 🙂").json()
    assert nothing == {"runs": [], "claims": [], "has_more": False}


def test_the_search_is_for_staff(new_user: NewUser, organisation: Organisation) -> None:
    """A plain member and a stranger are refused alike, also in an organisation that does not exist."""
    nowhere = Organisation(organisation.database)
    answers = [
        find(new_user("member", organisation), organisation, "1"),
        find(new_user(), organisation, "1"),
        find(new_user(), nowhere, "1"),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
        (403, "not_allowed")
    }
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "invalid_request"),
        ("   ", "invalid_search"),
        ("x" * 201, "invalid_request"),
        ("a\x00b", "invalid_request"),
        ("a\nb", "invalid_request"),
    ],
    ids=["empty", "blank", "too long", "nul", "newline"],
)
def test_a_search_for_nothing_is_refused(
    coordinator: AppUser, organisation: Organisation, text: str, code: str
) -> None:
    """Empty, endless and unprintable texts are 400 naming the field, never a 500."""
    answer = find(coordinator, organisation, text)

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert [error["field"] for error in answer.json()["errors"]] == ["q"]


def test_the_organisation_must_be_named(coordinator: AppUser) -> None:
    """A search through nobody's books is 400 naming both fields."""
    answer = coordinator.door.get("/find_export", headers=coordinator.login)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == ["organization_id", "q"]


def test_no_login_no_search(door: httpx.Client) -> None:
    """Without a login the answer is 401."""
    answer = door.get("/find_export", params={"organization_id": str(uuid4()), "q": "1"})

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
