"""GET /export_history on the real stack: the runs of an organisation, page by page."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.http.app_user import AppUser
from tests.organisation import APPROVED_AT, Organisation

NewUser = Callable[..., AppUser]


def test_the_newest_run_comes_first(coordinator: AppUser, organisation: Organisation) -> None:
    """Runs are listed newest first, and a page continues where the one before ended."""
    for day in range(3):
        organisation.add_claim(approved_at=APPROVED_AT + timedelta(days=day))
        coordinator.trigger(organisation)

    first = coordinator.history(organisation, limit=2).json()
    second = coordinator.history(organisation, limit=2, offset=2).json()

    assert [run["run_number"] for run in first["runs"]] == [3, 2]
    assert [run["run_number"] for run in second["runs"]] == [1]
    assert (second["limit"], second["offset"]) == (2, 2)
    assert first["runs"][0]["href"].startswith("/export_run?run_id=")


def test_failed_runs_are_part_of_history(coordinator: AppUser, organisation: Organisation) -> None:
    """A run that failed stays visible with its reason."""
    organisation.add_claim([("helicopter", "10.00")])
    coordinator.trigger(organisation)

    [run] = coordinator.history(organisation).json()["runs"]

    assert (run["status"], run["error_code"]) == ("failed", "all_claims_left_out")


@pytest.mark.parametrize(
    ("page", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": 10**12}, "limit"),
        ({"offset": -1}, "offset"),
        ({"offset": "1.5"}, "offset"),
        ({"cursor": "x"}, "cursor"),
    ],
)
def test_a_wrong_page_is_refused_by_name(
    coordinator: AppUser, organisation: Organisation, page: dict[str, object], field: str
) -> None:
    """Limits out of range, things that are no numbers and unknown parameters are 400 by name."""
    answer = coordinator.history(organisation, **page)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_only_staff_sees_the_history(new_user: NewUser, organisation: Organisation) -> None:
    """Accountants and admins see it; a plain member and a stranger are refused alike."""
    allowed = [new_user(role, organisation) for role in ("accountant", "admin")]
    refused = [new_user("member", organisation), new_user()]

    assert {user.history(organisation).status_code for user in allowed} == {200}
    answers = [user.history(organisation) for user in refused]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.content for answer in answers}) == 1
