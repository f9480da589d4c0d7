"""GET /changed_claims: what was changed after its export, with the difference."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests.http.app_user import AppUser
from tests.organisation import Organisation

NewUser = Callable[..., AppUser]


def changed(user: AppUser, organisation: Organisation, **more: Any) -> httpx.Response:
    """Ask for the list."""
    return user.door.get(
        "/changed_claims",
        params={"organization_id": str(organisation.id), **more},
        headers={**user.login, "Accept-Language": "en"},
    )


@pytest.fixture
def claims(coordinator: AppUser, organisation: Organisation) -> list[UUID]:
    """Three exported claims."""
    claims = [organisation.add_claim() for _ in range(3)]
    assert coordinator.trigger(organisation).status_code == 201
    return claims


@pytest.mark.parametrize("role", ["coordinator", "accountant", "admin"])
def test_staff_reads_what_was_changed(
    new_user: NewUser, organisation: Organisation, claims: list[UUID], role: str
) -> None:
    """Claim, run, voucher, file and difference, with what to do, in the reader's language."""
    user = new_user(role, organisation)
    assert changed(user, organisation).json() == {"claims": [], "limit": 50, "next_cursor": None}
    organisation.execute(
        "update public.expense_claim_lines set amount = 57 where line_number = 2 and claim_id = %s",
        claims[1],
    )
    organisation.execute(
        "update public.expense_claims set status = 'submitted', approved_at = null where id = %s",
        claims[0],
    )

    answer = changed(user, organisation)

    assert answer.status_code == 200, answer.text
    told = {claim["claim_id"]: claim for claim in answer.json()["claims"]}
    assert set(told) == {str(claims[0]), str(claims[1])}
    unapproved, edited = told[str(claims[0])], told[str(claims[1])]
    [[voucher]] = organisation.execute(
        "select voucher_number from public.export_run_claims where claim_id = %s", claims[1]
    )
    assert (edited["run_number"], edited["voucher_number"]) == (1, voucher)
    assert edited["file_name"].endswith(".csv")
    assert [(c["field"], c["line_number"]) for c in edited["changes"]] == [
        ("total", None),
        ("lines", 2),
    ]
    assert (edited["changes"][0]["was"], edited["changes"][0]["is"]) == ("406.00", "407.00")
    assert edited["action"].startswith("The claim was changed after the export.")
    assert (unapproved["no_longer_approved"], unapproved["changes"]) == (True, [])
    assert unapproved["action"].startswith("The claim is no longer approved.")


def test_the_list_is_walked_by_cursor(
    coordinator: AppUser, organisation: Organisation, claims: list[UUID]
) -> None:
    """Two pages, each claim once; the passport tells the same of each."""
    organisation.execute(
        "update public.expense_claims set purpose = 'Rettet' where organization_id = %s",
        organisation.id,
    )

    first = changed(coordinator, organisation, limit=2).json()
    second = changed(coordinator, organisation, limit=2, cursor=first["next_cursor"]).json()

    pages = [claim["claim_id"] for page in (first, second) for claim in page["claims"]]
    assert sorted(pages) == sorted(map(str, claims))
    assert second["next_cursor"] is None
    passport = coordinator.door.get(
        "/claim_status", params={"claim_id": pages[0]}, headers=coordinator.login
    ).json()["claims"][0]
    assert passport["changes"] == first["claims"][0]["changes"]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({"limit": "0"}, "limit_out_of_range", "limit"),
        ({"limit": "201"}, "limit_out_of_range", "limit"),
        ({"limit": "x"}, "invalid_request", "limit"),
        ({"cursor": "x"}, "invalid_cursor", "cursor"),
        ({"cursor": "A" * 24}, "invalid_cursor", "cursor"),
        ({"cursor": "ø"}, "invalid_request", "cursor"),
        ({"cursor": ""}, "invalid_request", "cursor"),
        ({"offset": "1"}, "invalid_request", "offset"),
        ({"organization_id": "7"}, "invalid_request", "organization_id"),
    ],
)
def test_a_bad_page_is_400_and_named(
    coordinator: AppUser, organisation: Organisation, query: dict[str, str], code: str, field: str
) -> None:
    answer = changed(coordinator, organisation, **query)

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_others_do_not_read_the_list(
    new_user: NewUser, door: httpx.Client, organisation: Organisation
) -> None:
    """Claimants and strangers are refused alike, for organisations that exist and others; nobody without a login."""
    unknown = {"organization_id": str(uuid4())}
    for user in (new_user("member", organisation), new_user()):
        for query in ({}, unknown):
            answer = changed(user, organisation, **query)
            assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    answer = door.get("/changed_claims", params={"organization_id": str(organisation.id)})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")
