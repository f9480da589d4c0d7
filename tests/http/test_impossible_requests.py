"""Requests that nobody's app sends by itself: invented cursors, runs that are not there, states that do not allow it."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.http.app_user import AppUser
from tests.organisation import APPROVED_AT, Organisation, begin

NewUser = Callable[..., AppUser]


@pytest.fixture
def cursor(coordinator: AppUser, organisation: Organisation) -> str:
    """Where the second page of two runs begins."""
    for day in range(2):
        organisation.add_claim(approved_at=APPROVED_AT + timedelta(days=day))
        coordinator.trigger(organisation)
    return str(coordinator.history(organisation, limit=1).json()["next_cursor"])


def test_a_cursor_is_nobodys_invention(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation, cursor: str
) -> None:
    """Forged, cut short, lengthened, or given to another organisation: 400 invalid_cursor, in the same words."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    stranger = new_user("coordinator", other)
    bad = ["A" * 32, cursor[:-1], cursor + "A", cursor.swapcase(), cursor[::-1]]

    answers = [
        *(coordinator.history(organisation, limit=1, cursor=forged) for forged in bad),
        stranger.history(other, limit=1, cursor=cursor),
    ]

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {
        (400, "invalid_cursor")
    }
    assert len({answer.content for answer in answers}) == 1
    assert coordinator.history(organisation, limit=1, cursor=cursor).status_code == 200


def test_a_run_that_is_being_made_is_not_voided(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """409, naming the run, and the worker goes on undisturbed."""
    organisation.add_claim()
    admin = new_user("admin", organisation)
    with organisation.as_user(coordinator.account.user_id) as connection:
        run_id = begin(connection, organisation)["run"]["run_id"]

    answer = admin.door.post(
        "/void_export", json={"run_id": run_id, "reason": "Too early."}, headers=admin.login
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "run_unfinished")
    assert admin.run(run_id).json()["run"]["status"] == "processing"


def test_runs_that_are_not_there_and_runs_of_others_are_alike(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation, cursor: str
) -> None:
    """Whatever is asked of them, by an admin of another organisation: 404 in the same words."""
    assert cursor
    [run] = coordinator.history(organisation, limit=1).json()["runs"]
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    admin = new_user("admin", other)

    for name, body in (
        ("void_export", {"reason": "Not mine."}),
        ("confirm_export", {"outcome": "booked"}),
    ):
        answers = [
            admin.door.post(f"/{name}", json={"run_id": run_id, **body}, headers=admin.login)
            for run_id in (run["run_id"], str(uuid4()))
        ]
        assert {answer.status_code for answer in answers} == {404}, name
        assert {answer.json()["code"] for answer in answers} == {"run_not_found"}
    assert admin.run(run["run_id"]).content == admin.run(uuid4()).content
