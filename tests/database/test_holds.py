"""Holds: what automatic triggers pass by, and an export by hand takes."""

from typing import Any
from uuid import UUID

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import (
    Bookkeeper,
    begin_by_itself,
    pages_of_two,
    refusal,
    standing_holds,
)
from tests.database.worker import Worker
from tests.organisation import Organisation, begin, call, complete

AUTOMATIC = ["webhook", "schedule", "sweep"]


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def service(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_service()


@pytest.fixture
def admin(organisation: Organisation) -> Bookkeeper:
    return Bookkeeper(organisation.as_user(organisation.add_member("admin", "Ingrid Vik")))


def hold(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper, count: int
) -> list[UUID]:
    """Claims, oldest first, that a voided run left held."""
    claims = organisation.add_claims(count)
    run = complete(organisation, begin(coordinator, organisation))["run"]
    admin.void(run["run_id"])
    assert standing_holds(organisation) == dict.fromkeys(claims, "voided")
    return claims


def status_of(reader: psycopg.Connection, claim_id: UUID) -> tuple[Any, ...]:
    [row] = reader.execute(
        "select export_status, run_number, reason_code, reason_field, reason_message"
        " from public.claim_export_status where claim_id = %s",
        [claim_id],
    ).fetchall()
    return row


@pytest.mark.parametrize("trigger", AUTOMATIC)
def test_automatic_triggers_pass_held_claims_by(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    admin: Bookkeeper,
    trigger: str,
) -> None:
    """What is held is not in the run, and is not counted as skipped; the hold stands."""
    held = hold(organisation, coordinator, admin, 2)
    wanted = organisation.add_claims(2)

    begun = begin_by_itself(organisation, trigger)

    assert [m["claim_id"] for m in begun["claims"]] == [str(claim_id) for claim_id in wanted]
    assert (begun["run"]["skipped_count"], begun["last_page"]) == (0, True)
    assert standing_holds(organisation) == dict.fromkeys(held, "voided")


def test_claims_that_are_edited_still_count_as_skipped(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Held ones are not skipped, edited ones are, in the same page."""
    hold(organisation, coordinator, admin, 2)
    edited, wanted = organisation.add_claims(2)
    editor = organisation.database.connect(autocommit=False)
    editor.execute("select from public.expense_claims where id = %s for update", [edited])

    begun = begin_by_itself(organisation, "schedule")

    assert [m["claim_id"] for m in begun["claims"]] == [str(wanted)]
    assert begun["run"]["skipped_count"] == 1


def test_pages_that_are_held_are_passed_by(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """Whole held pages, at the front and in between, neither end the run nor join it."""
    claims = organisation.add_claims(9)
    voided = begin(coordinator, organisation)
    admin.void(complete(organisation, voided)["run"]["run_id"])
    lifted = [claims[3], claims[8]]
    with organisation.database.connect(autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        owner.execute(
            "update public.export_holds set lifted_at = now(), lifted_by = 'test' where claim_id = any (%s)",
            [lifted],
        )
    pages_of_two(organisation)

    begun = begin_by_itself(organisation, "schedule")
    worker = Worker.of(organisation, service, begun)
    # A page without members moves on each time it is asked for.
    pages = [worker.reserve(begun["claims"][-1]["position"])]
    while not pages[-1]["run"]["sealed_at"]:
        pages.append(worker.reserve(begun["claims"][-1]["position"]))
    members = worker.reserve_all()

    assert [m["claim_id"] for m in begun["claims"]] == [str(lifted[0])]
    assert [m["claim_id"] for m in members] == [str(claim_id) for claim_id in lifted]
    assert worker.complete(members)["run"]["skipped_count"] == 0
    assert set(standing_holds(organisation)) == set(claims) - set(lifted)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_nothing_but_held_claims_is_nothing_to_export(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper, count: int
) -> None:
    """Full and half-full pages that are held make no run and use no number."""
    hold(organisation, coordinator, admin, count)
    pages_of_two(organisation)

    answer = begin_by_itself(organisation, "schedule")

    assert (answer["outcome"], answer["skipped_count"]) == ("nothing_to_export", 0)
    assert organisation.execute("select count(*) from public.export_runs") == [(1,)]
    assert begin(coordinator, organisation)["run"]["run_number"] == 2


def test_export_by_hand_takes_held_claims_and_lifts_the_holds(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """A person's export takes them; each hold stays as history that names the run."""
    held = hold(organisation, coordinator, admin, 2)
    wanted = organisation.add_claims(1)

    begun = begin(coordinator, organisation)

    assert {m["claim_id"] for m in begun["claims"]} == {str(c) for c in [*held, *wanted]}
    assert organisation.execute(
        "select count(*), count(lifted_at), min(lifted_by), max(lifted_by), min(reason), min(held_by)"
        " from public.export_holds"
    ) == [(2, 2, "run 2", "run 2", "Run 1 was voided.", "Ingrid Vik")]


def test_repository_takes_held_claims(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """Whoever names the claims means them."""
    [held, other] = hold(organisation, coordinator, admin, 2)
    run = call(
        service,
        "create_export_run",
        p_organization_id=organisation.id,
        p_triggered_by=None,
        p_format="xledger_gl02b",
    )

    call(
        service,
        "update_export_run_status",
        p_run_id=run["run_id"],
        p_status="processing",
        p_claim_ids=[held],
    )

    assert standing_holds(organisation) == {other: "voided"}


def test_begin_that_comes_to_nothing_lifts_no_hold(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """A claim that would only be left out again stays held, for nobody took it."""
    [claim_id] = organisation.add_claims(1)
    admin.void(complete(organisation, begin(coordinator, organisation))["run"]["run_id"])
    begun = begin(coordinator, organisation)
    with organisation.as_service() as service:
        Worker.of(organisation, service, begun).fail([claim_id])
    with organisation.database.connect(autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        owner.execute(
            "insert into public.export_holds (organization_id, claim_id, cause, reason, held_by)"
            " values (%s, %s, 'by_hand', 'Test.', 'Test')",
            [organisation.id, claim_id],
        )

    assert begin(coordinator, organisation)["outcome"] == "nothing_to_export"
    assert standing_holds(organisation) == {claim_id: "by_hand"}


def test_dashboard_says_held_with_the_reason(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """A held claim is listed as held, by cause and in words; once it is in a run again, as that."""
    [claim_id] = hold(organisation, coordinator, admin, 1)
    assert status_of(coordinator, claim_id) == (
        "held",
        1,
        "held_voided",
        None,
        "Run 1 was voided.",
    )

    begun = begin(coordinator, organisation)
    assert status_of(coordinator, claim_id) == ("reserved", 2, None, None, None)
    run = complete(organisation, begun)["run"]
    assert status_of(coordinator, claim_id) == ("exported", 2, None, None, None)

    admin.confirm(run["run_id"], "refused", [{"voucher_number": 2}])
    assert status_of(coordinator, claim_id) == (
        "held",
        2,
        "held_refused",
        None,
        "Voucher 2 of run 2 was refused.",
    )


def test_claim_is_held_again_and_again(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Every hold is a row of its own, and at most one stands."""
    hold(organisation, coordinator, admin, 1)
    for _ in range(3):
        run = complete(organisation, begin(coordinator, organisation))["run"]
        admin.void(run["run_id"])

    assert organisation.execute(
        "select reason, lifted_by from public.export_holds order by held_at"
    ) == [
        ("Run 1 was voided.", "run 2"),
        ("Run 2 was voided.", "run 3"),
        ("Run 3 was voided.", "run 4"),
        ("Run 4 was voided.", None),
    ]


@pytest.mark.parametrize(
    "edit",
    [
        (
            "insert into public.export_holds (organization_id, cause, reason, held_by)"
            " select id, 'by_hand', 'x', 'x' from public.organizations"
        ),
        "update public.export_holds set lifted_at = now(), lifted_by = 'x'",
        "delete from public.export_holds",
        "truncate public.export_holds",
    ],
)
def test_holds_are_written_by_functions_only(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
    edit: str,
) -> None:
    """The owner is refused in words, API roles by their rights, and the hold stands."""
    held = hold(organisation, coordinator, admin, 1)

    assert refusal(lambda: organisation.execute(edit)) == ("PT403", "history_is_protected")
    for connection in (service, admin.connection):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(edit.encode())
    assert standing_holds(organisation) == dict.fromkeys(held, "voided")


def test_other_organisations_see_no_hold(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Staff of the organisation reads its holds; claimants and strangers read none."""
    hold(organisation, coordinator, admin, 2)
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    readers = {
        "coordinator": coordinator,
        "admin": admin.connection,
        "member": organisation.as_user(organisation.add_member("member")),
        "stranger": other.as_user(other.add_member("admin")),
    }

    assert {
        who: reader.execute("select count(*) from public.export_holds").fetchone()
        for who, reader in readers.items()
    } == {"coordinator": (2,), "admin": (2,), "member": (0,), "stranger": (0,)}


def test_holds_of_one_organisation_hinder_no_other(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """The other organisation's automatic export takes all of its claims."""
    hold(organisation, coordinator, admin, 1)
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    wanted = other.add_claims(2)

    assert [m["claim_id"] for m in begin_by_itself(other, "schedule")["claims"]] == [
        str(claim_id) for claim_id in wanted
    ]
