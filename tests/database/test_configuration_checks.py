"""A configuration is asked about once, in every state it has been in, and before anything is reserved."""

import json
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from stack.database import Database
from tests.organisation import OCTOBER, Organisation, call

PROBLEMS = [
    {"code": "setting_missing", "field": "settings.entity_code", "message": "It is missing."}
]


@pytest.fixture
def organisation(database: Database) -> Organisation:
    organisation = Organisation.create(database)
    organisation.add_claims(2)
    return organisation


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


def begin(
    connection: psycopg.Connection, organisation: Organisation, renderer: str | None = "2"
) -> dict[str, Any]:
    return call(
        connection,
        "begin_export",
        p_organization_id=organisation.id,
        p_target=None,
        p_period_from=OCTOBER[0],
        p_period_to=OCTOBER[1],
        p_idempotency_key=None,
        p_invocation_id=uuid4(),
        p_renderer_version=renderer,
    )


def record(organisation: Organisation, asked: dict[str, Any], problems: list[Any]) -> None:
    call(
        organisation.as_service(),
        "record_configuration_check",
        p_organization_id=organisation.id,
        p_target=asked["target"],
        p_fingerprint=asked["fingerprint"],
        p_renderer_version="2",
        p_problems=json.dumps(problems),
    )


def runs(organisation: Organisation) -> int:
    ((count,),) = organisation.execute("select count(*) from public.export_runs")
    return int(count)


def test_an_unknown_configuration_reserves_nothing_and_is_told(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    asked = begin(coordinator, organisation)

    assert asked["outcome"] == "unchecked"
    assert asked["configuration"]["settings"] == {"entity_code": "10010", "voucher_type": "GL"}
    assert runs(organisation) == 0
    assert organisation.live_memberships() == {}
    ((held,),) = organisation.execute("select holder_id is not null from public.export_locks")
    assert not held, "another export need not wait"


def test_a_good_one_is_asked_about_once(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    record(organisation, begin(coordinator, organisation), [])

    assert begin(coordinator, organisation)["outcome"] == "started"


@pytest.mark.parametrize(
    "change",
    [
        "update public.export_targets set settings = settings || '{\"due_days\": 14}'",
        'update public.export_targets set layout = \'{"name": "own"}\'',
        "update public.export_targets set on_problem = 'refuse_run'",
        "update public.export_posting_rules set account_code = '7101' where expense_type = 'mileage'",
        "delete from public.export_posting_rules where side = 'payable'",
        "update public.export_posting_rules set conditions = '{\"department\": \"410\"}' where expense_type = 'toll'",
    ],
)
def test_every_edit_is_asked_about_again(
    organisation: Organisation, coordinator: psycopg.Connection, change: str
) -> None:
    first = begin(coordinator, organisation)
    record(organisation, first, [])

    organisation.execute(change)
    again = begin(coordinator, organisation)

    assert again["outcome"] == "unchecked"
    assert again["fingerprint"] != first["fingerprint"]


def test_another_renderer_asks_for_itself(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    record(organisation, begin(coordinator, organisation), [])

    assert begin(coordinator, organisation, "3")["outcome"] == "unchecked"
    assert begin(coordinator, organisation, None)["outcome"] == "started"


def test_problems_stop_every_export_and_are_shown_until_they_are_mended(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    asked = begin(coordinator, organisation)
    record(organisation, asked, PROBLEMS)
    shown = "select field, problem, code from public.export_configuration_problems"

    assert begin(coordinator, organisation)["outcome"] == "unchecked"
    assert coordinator.execute(shown.encode()).fetchall() == [
        ("settings.entity_code", "It is missing.", "setting_missing")
    ]
    urgent = b"select what, how_many from public.export_needs_attention where kind = 'configuration_invalid'"
    assert coordinator.execute(urgent).fetchall() == [
        ("Nothing can be exported to xledger: It is missing.", 1)
    ]
    record(organisation, asked, [])
    assert coordinator.execute(shown.encode()).fetchall() == []
    assert begin(coordinator, organisation)["outcome"] == "started"


def test_a_check_of_a_removed_target_is_dropped(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    asked = begin(coordinator, organisation)
    organisation.execute("delete from public.export_targets")

    record(organisation, asked, [])

    assert organisation.execute("select 1 from public.export_configuration_checks") == []


def test_only_the_service_writes_checks(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """An admin who could call her own configuration good would make the check worthless."""
    asked = begin(coordinator, organisation)

    for user in (coordinator, organisation.as_user(organisation.add_member("admin"))):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            call(
                user,
                "record_configuration_check",
                p_organization_id=organisation.id,
                p_target=asked["target"],
                p_fingerprint=asked["fingerprint"],
                p_renderer_version="2",
                p_problems="[]",
            )
