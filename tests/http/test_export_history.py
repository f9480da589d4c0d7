"""GET /export_history on the real stack: the runs of an organisation, page by page."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from tests.http.app_user import AppUser
from tests.organisation import APPROVED_AT, Organisation, call

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
        ({"cursor": ""}, "cursor"),
        ({"cursor": "x" * 201}, "cursor"),
        ({"status": "done"}, "status"),
        ({"trigger": "magic"}, "trigger"),
        ({"target": "x; drop"}, "target"),
        ({"triggered_by": "Kari"}, "triggered_by"),
        ({"period_from": "October"}, "period_from"),
        ({"period_from": "2026-11-01", "period_to": "2026-10-01"}, "period_from"),
        ({"include_deleted": "yes"}, "include_deleted"),
        ({"nonsense": "x"}, "nonsense"),
    ],
)
def test_a_wrong_page_is_refused_by_name(
    coordinator: AppUser, organisation: Organisation, page: dict[str, object], field: str
) -> None:
    """Limits out of range, things that are no numbers and unknown parameters are 400 by name."""
    answer = coordinator.history(organisation, **page)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_a_cursor_leads_from_page_to_page(coordinator: AppUser, organisation: Organisation) -> None:
    """next_cursor continues after the page, is null at the end, and goes with no offset and no other filter."""
    for day in range(3):
        organisation.add_claim(approved_at=APPROVED_AT + timedelta(days=day))
        coordinator.trigger(organisation)
    first = coordinator.history(organisation, limit=2, trigger="user").json()
    cursor = first["next_cursor"]

    second = coordinator.history(organisation, limit=2, trigger="user", cursor=cursor).json()
    with_offset = coordinator.history(organisation, trigger="user", cursor=cursor, offset=0)
    other_filter = coordinator.history(organisation, cursor=cursor)

    assert [run["run_number"] for run in second["runs"]] == [1]
    assert (second["next_cursor"], second["offset"]) == (None, None)
    assert (with_offset.status_code, with_offset.json()["code"]) == (400, "cursor_with_offset")
    assert (other_filter.status_code, other_filter.json()["code"]) == (400, "invalid_cursor")


def test_the_history_is_filtered(coordinator: AppUser, organisation: Organisation) -> None:
    """Several statuses, and each filter by its name; deleted runs come on request."""
    organisation.add_claim([("helicopter", "10.00")])
    coordinator.trigger(organisation)
    organisation.add_claim()
    done = coordinator.trigger(organisation).json()["run"]["run_id"]

    def found(*wanted: tuple[str, str]) -> list[int]:
        answer = coordinator.door.get(
            "/export_history",
            params=[("organization_id", str(organisation.id)), *wanted],
            headers=coordinator.login,
        )
        return [run["run_number"] for run in answer.json()["runs"]]

    assert found(("status", "failed")) == [1]
    assert found(("status", "failed"), ("status", "completed")) == [2, 1]
    assert found(("target", "dynamics")) == []
    assert found(("triggered_by", str(coordinator.account.user_id)), ("trigger", "user")) == [2, 1]
    assert found(("period_from", "2026-10-31"), ("period_to", "2026-12-31")) == [2, 1]
    assert found(("period_from", "2026-11-01")) == []
    with organisation.as_service() as service:
        call(service, "delete_export_run", p_run_id=done, p_deleted_by=None, p_reason="by mistake")
    assert found() == [1]
    assert found(("include_deleted", "true")) == [2, 1]


def test_only_staff_sees_the_history(new_user: NewUser, organisation: Organisation) -> None:
    """Accountants and admins see it; a plain member and a stranger are refused alike."""
    allowed = [new_user(role, organisation) for role in ("accountant", "admin")]
    refused = [new_user("member", organisation), new_user()]

    assert {user.history(organisation).status_code for user in allowed} == {200}
    answers = [user.history(organisation) for user in refused]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.content for answer in answers}) == 1
