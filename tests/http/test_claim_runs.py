"""GET /claim_runs on the real stack: every run that a claim is or was in."""

from collections.abc import Callable
from uuid import UUID, uuid4

import httpx
import pytest

from tests.database.voiding import void
from tests.http.app_user import AppUser
from tests.organisation import Organisation, call

NewUser = Callable[..., AppUser]


def ask(user: AppUser, claim_id: UUID | str) -> httpx.Response:
    """Ask for one claim's runs."""
    return user.door.get("/claim_runs", params={"claim_id": str(claim_id)}, headers=user.login)


def test_deleted_runs_are_included_and_marked(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """Where doubles are looked for nothing is hidden: failed, deleted and completed, oldest first."""
    claim_id = organisation.add_claim([("helicopter", "10.00")])
    failed = coordinator.trigger(organisation).json()["run_id"]
    organisation.execute(
        "update public.expense_claim_lines set expense_type = 'toll' where claim_id = %s", claim_id
    )
    done = coordinator.trigger(organisation).json()["run"]["run_id"]
    with organisation.as_service() as service:
        call(service, "delete_export_run", p_run_id=done, p_deleted_by=None, p_reason="by mistake")

    runs = ask(new_user("accountant", organisation), claim_id).json()["runs"]

    assert [(run["run_id"], run["status"], run["deleted"]) for run in runs] == [
        (failed, "failed", False),
        (done, "completed", True),
    ]
    assert [run["membership"]["outcome"] for run in runs] == ["left_out", "included"]
    assert runs[1]["href"] == f"/export_run?run_id={done}"


def test_a_voided_run_is_included_and_marked(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """A run that was taken back let its claim go, and stays in the claim's story."""
    claim_id = organisation.add_claim()
    run_id = coordinator.trigger(organisation).json()["run"]["run_id"]
    with organisation.database.connect("postgres") as owner:
        void(owner, run_id)

    [run] = ask(coordinator, claim_id).json()["runs"]

    assert (run["run_id"], run["status"]) == (run_id, "voided")
    assert run["membership"]["outcome"] == "released"


def test_nothing_to_see_is_404_for_everybody(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    """Foreign, unknown, and a claim that was in no run: the same answer to the letter."""
    claim_id = organisation.add_claim()
    coordinator.trigger(organisation)
    waiting = organisation.add_claim()

    answers = [
        ask(new_user(), claim_id),
        ask(new_user("member", organisation), claim_id),
        ask(coordinator, uuid4()),
        ask(coordinator, waiting),
    ]

    assert {answer.status_code for answer in answers} == {404}
    assert {answer.json()["code"] for answer in answers} == {"claim_not_found"}
    assert len({answer.content for answer in answers}) == 1
    assert ask(coordinator, claim_id).status_code == 200


@pytest.mark.parametrize(
    "query", ["", "claim_id=x", f"claim_id={UUID(int=1)}&claim_id={UUID(int=2)}"]
)
def test_one_claim_is_asked_for(coordinator: AppUser, query: str) -> None:
    """None, no id and two are 400 naming the field."""
    answer = coordinator.door.get(f"/claim_runs?{query}", headers=coordinator.login)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == ["claim_id"]
