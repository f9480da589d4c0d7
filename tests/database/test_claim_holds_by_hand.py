"""Claims that an admin holds: automatic triggers pass them by, an export by hand takes them, its failure holds them again."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

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
from tests.database.holding import hold, hold_claims, lift
from tests.database.worker import Worker
from tests.organisation import Organisation, begin, call, complete

MISSING = "The receipt is missing."


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
def admin(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member("admin", "Ingrid Vik"))


def history(organisation: Organisation, claim_id: UUID) -> list[tuple[Any, ...]]:
    """Every hold that ever stood on the claim: cause, reason, by whom, lifted by what."""
    return organisation.execute(
        "select cause, reason, held_by, lifted_by from public.export_holds where claim_id = %s order by held_at",
        claim_id,
    )


def test_held_claims_are_passed_by_until_an_export_by_hand(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """The schedule takes the others; the coordinator's tap takes them all, and the history names her run."""
    held, free = organisation.add_claims(2)

    assert hold_claims(admin, [held]) == {"recorded": 1, "held_before": 0, "in_run": []}
    taken = complete(organisation, begin_by_itself(organisation, "schedule"))
    by_hand = begin(coordinator, organisation)

    assert set(organisation.live_memberships()) == {held, free}
    assert taken["run"]["claim_count"] == 1
    assert [m["claim_id"] for m in by_hand["claims"]] == [str(held)]
    assert history(organisation, held) == [("by_hand", MISSING, "Ingrid Vik", "run 2")]


def test_held_claim_shows_its_reason(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """In the dashboard and in the app, as the admin wrote it."""
    claim_id, other = organisation.add_claims(2)
    hold_claims(admin, [claim_id, other])

    assert coordinator.execute(
        "select export_status, reason_code, reason_message from public.claim_export_status"
        " where claim_id = %s",
        [claim_id],
    ).fetchall() == [("held", "held_by_hand", MISSING)]
    [claim] = call(coordinator, "get_claim_status", p_claim_ids=[claim_id])["claims"]
    assert (claim["state"], claim["reason"]["code"], claim["reason"]["message"]) == (
        "held",
        "held_by_hand",
        MISSING,
    )
    [[number]] = organisation.execute(
        "select claim_number from public.expense_claims where id = %s", claim_id
    )
    assert coordinator.execute(
        "select what, claim_number, cause, reason, held_by from public.export_holds_standing where claim_id = %s",
        [claim_id],
    ).fetchall() == [("claim", number, "by_hand", MISSING, "Ingrid Vik")]
    assert coordinator.execute(
        "select kind, what, how_many from public.export_needs_attention"
    ).fetchall() == [("held_claims", "Claims on hold: by_hand.", 2)]


def test_advice_of_a_standing_hold_works_as_it_is(
    organisation: Organisation, admin: psycopg.Connection, service: psycopg.Connection
) -> None:
    """What the list says to do can be pasted into the SQL editor."""
    hold_claims(admin, organisation.add_claims(1))
    hold(service, organisation, actor="Ola")

    advice = organisation.execute("select what_to_do from public.export_holds_standing")
    for [sentence] in advice:
        organisation.execute(sentence[sentence.index("select lift") :].removesuffix("."))

    assert (
        organisation.execute("select lifted_by from public.export_holds")
        == [("<who you are>",)] * 2
    )


def test_held_claims_keep_nobody_from_a_dead_workers_run(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: psycopg.Connection,
) -> None:
    """The organisation is not on hold: the sweep is handed its run, and may take it over."""
    organisation.add_claims(1)
    run_id = begin(coordinator, organisation)["run"]["run_id"]
    hold_claims(admin, organisation.add_claims(1))
    organisation.expire_lease()

    found = call(service, "find_stalled_export_runs", p_limit=10)["runs"]

    assert [run["run_id"] for run in found] == [run_id]
    resumed = call(
        service,
        "take_over_export_run",
        p_organization_id=organisation.id,
        p_invocation_id=uuid4(),
    )
    assert complete(organisation, resumed)["run"]["status"] == "completed"


def test_holding_again_adds_nothing(
    organisation: Organisation, admin: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Claims that are held stay held for the first reason; the same claim twice in a call is one."""
    first, second = organisation.add_claims(2)
    hold_claims(admin, [first])

    answer = hold_claims(service, [first, second, second], "Another.", "Ola")

    assert answer == {"recorded": 1, "held_before": 1, "in_run": []}
    assert history(organisation, first) == [("by_hand", MISSING, "Ingrid Vik", None)]
    assert history(organisation, second) == [("by_hand", "Another.", "Ola", None)]


@pytest.mark.parametrize("state", ["reserved", "exported"])
def test_claims_in_a_run_are_named_and_left_there(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    admin: psycopg.Connection,
    state: str,
) -> None:
    """The others are held; what a run has already is not, and the admin is told which."""
    [taken] = organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    if state == "exported":
        complete(organisation, begun)
    [free] = organisation.add_claims(1)

    answer = hold_claims(admin, [taken, free])

    assert answer == {"recorded": 1, "held_before": 0, "in_run": [str(taken)]}
    assert standing_holds(organisation) == {free: "by_hand"}


def test_unknown_and_foreign_claims_answer_alike_and_nothing_is_held(
    organisation: Organisation, admin: psycopg.Connection, service: psycopg.Connection
) -> None:
    """All or none: a claim that one may not know of is not there."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    [own], [foreign] = organisation.add_claims(1), other.add_claims(1)

    for wrong in (foreign, uuid4(), None):
        assert refusal(partial(hold_claims, admin, [own, wrong])) == ("PT404", "claims_not_found")
    assert refusal(partial(hold_claims, service, [uuid4()], actor="Ola")) == (
        "PT404",
        "claims_not_found",
    )
    assert standing_holds(organisation) == standing_holds(other) == {}
    hold_claims(service, [own, foreign], actor="Ola")
    assert (standing_holds(organisation), standing_holds(other)) == (
        {own: "by_hand"},
        {foreign: "by_hand"},
    )
    assert lift(admin, organisation, [own, foreign])["lifted"] == 1
    assert standing_holds(other) == {foreign: "by_hand"}


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("member", ("PT404", "claims_not_found")),
        ("coordinator", ("PT403", "not_allowed")),
        ("accountant", ("PT403", "not_allowed")),
    ],
)
def test_only_admins_hold_claims(
    organisation: Organisation,
    admin: psycopg.Connection,
    role: str,
    expected: tuple[str, str],
) -> None:
    """Staff may not, and claimants do not learn what there is; nor do they lift."""
    [claim_id] = organisation.add_claims(1)
    user = organisation.as_user(organisation.add_member(role))

    assert refusal(lambda: hold_claims(user, [claim_id])) == expected
    hold_claims(admin, [claim_id])
    assert refusal(lambda: lift(user, organisation, [claim_id])) == ("PT403", "not_allowed")
    assert standing_holds(organisation) == {claim_id: "by_hand"}


def test_without_a_login_nobody_holds_claims(organisation: Organisation) -> None:
    """No token, no rights; the service says who it is and why."""
    [claim_id] = organisation.add_claims(1)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        hold_claims(organisation.database.connect("anon"), [claim_id])
    nobody = organisation.database.connect("authenticated")
    service = organisation.as_service()

    assert refusal(lambda: hold_claims(nobody, [claim_id])) == ("PT401", "not_authenticated")
    assert refusal(lambda: hold_claims(nobody, [uuid4()])) == ("PT401", "not_authenticated")
    assert refusal(lambda: hold_claims(service, [claim_id])) == ("PT400", "actor_required")
    assert refusal(lambda: hold_claims(service, [claim_id], " ", "Ola")) == (
        "PT400",
        "reason_required",
    )
    assert standing_holds(organisation) == {}


def test_a_page_at_most(organisation: Organisation, admin: psycopg.Connection) -> None:
    """More than a page is refused, for holding and lifting, and no claims is no work."""
    claims = organisation.add_claims(3)
    pages_of_two(organisation)

    assert refusal(lambda: hold_claims(admin, claims)) == ("PT413", "too_many_claims")
    assert refusal(lambda: lift(admin, organisation, claims)) == ("PT413", "too_many_claims")
    assert hold_claims(admin, [])["recorded"] == 0
    assert hold_claims(admin, claims[:2])["recorded"] == 2
    assert lift(admin, organisation, [])["lifted"] == 0
    assert len(standing_holds(organisation)) == 2


def test_lifting_frees_the_named_claims_only(
    organisation: Organisation, admin: psycopg.Connection
) -> None:
    """Their names are in the history, the others and the organisation stay held."""
    first, second = organisation.add_claims(2)
    hold_claims(admin, [first, second])
    hold(admin, organisation)

    assert lift(admin, organisation, [first]) == {"lifted": 1, "hold": None}
    assert lift(admin, organisation, [first])["lifted"] == 0
    assert standing_holds(organisation) == {second: "by_hand", None: "by_hand"}
    assert lift(admin, organisation)["lifted"] == 1
    assert standing_holds(organisation) == {second: "by_hand"}
    taken = begin_by_itself(organisation, "schedule")
    assert [m["claim_id"] for m in taken["claims"]] == [str(first)]


def by_worker(organisation: Organisation, admin: psycopg.Connection, begun: dict[str, Any]) -> None:
    """The exporter cannot do it."""
    assert admin is not None
    worker = Worker.of(organisation, organisation.as_service(), begun)
    while not worker.fail()["released"]:
        pass


def by_admin(organisation: Organisation, admin: psycopg.Connection, begun: dict[str, Any]) -> None:
    """An admin ends the run, the sweep lets the rest go."""
    assert admin is not None
    service, run_id = organisation.as_service(), begun["run"]["run_id"]
    call(service, "fail_export_run_by_admin", p_run_id=run_id, p_reason="Wrong.", p_actor="Ola")
    while not call(service, "continue_export_release", p_run_id=run_id)["released"]:
        pass


@pytest.mark.parametrize("end", [by_worker, by_admin])
def test_claims_are_held_again_when_the_run_fails_that_lifted_their_holds(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    admin: psycopg.Connection,
    end: Callable[..., None],
) -> None:
    """Page by page, for the causes of before, and no claim that was not held; no automatic trigger takes them."""
    voided = organisation.add_claims(2)
    run = complete(organisation, begin(coordinator, organisation))["run"]
    Bookkeeper(admin).void(run["run_id"])
    by_hand, free, left = organisation.add_claims(3)
    hold_claims(admin, [by_hand, left])
    lift(admin, organisation, [left])
    begun = begin(coordinator, organisation)
    assert standing_holds(organisation) == {}
    pages_of_two(organisation)

    end(organisation, admin, begun)

    assert standing_holds(organisation) == {**dict.fromkeys(voided, "voided"), by_hand: "by_hand"}
    assert history(organisation, by_hand) == [
        ("by_hand", MISSING, "Ingrid Vik", "run 2"),
        ("by_hand", MISSING, "Ingrid Vik", None),
    ]
    taken = begin_by_itself(organisation, "schedule")
    members = Worker.of(organisation, organisation.as_service(), taken).reserve_all()
    assert {m["claim_id"] for m in members} == {str(free), str(left)}


def test_run_that_fails_holds_nothing_that_another_run_had_freed(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """A hold that was lifted before, by a person or by an earlier run, does not come back."""
    [claim_id] = organisation.add_claims(1)
    hold_claims(admin, [claim_id])
    by_worker(organisation, admin, begin(coordinator, organisation))
    assert standing_holds(organisation) == {claim_id: "by_hand"}
    lift(admin, organisation, [claim_id])

    by_worker(organisation, admin, begin(coordinator, organisation))

    assert standing_holds(organisation) == {}
    assert len(history(organisation, claim_id)) == 2


def test_claim_that_a_run_by_hand_did_not_keep_is_held_again(
    organisation: Organisation, service: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """Recorded by hand with fewer claims than were reserved: nobody has exported the others after all."""
    kept, dropped, never_held = organisation.add_claims(3)
    hold_claims(admin, [kept, dropped])
    run = call(
        service,
        "create_export_run",
        p_organization_id=organisation.id,
        p_triggered_by=None,
        p_format="xledger_gl02b",
        p_origin="manual",
    )
    update = partial(call, service, "update_export_run_status", p_run_id=run["run_id"])

    told = update(p_status="processing", p_claim_ids=[kept, dropped, never_held])
    assert standing_holds(organisation) == {}
    update(p_status="completed", p_claim_ids=[kept], p_fencing_token=told["fencing_token"])

    assert standing_holds(organisation) == {dropped: "by_hand"}
    assert history(organisation, dropped)[-1] == ("by_hand", MISSING, "Ingrid Vik", None)
    begun = begin_by_itself(organisation, "schedule")
    assert [claim["claim_id"] for claim in begun["claims"]] == [str(never_held)]


def test_claim_that_was_left_out_says_so_instead(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: psycopg.Connection,
) -> None:
    """It is not held again: who must act on it is said beside it."""
    [claim_id] = organisation.add_claims(1)
    hold_claims(admin, [claim_id])
    begun = begin(coordinator, organisation)

    Worker.of(organisation, service, begun).fail([claim_id])

    assert standing_holds(organisation) == {}
    assert coordinator.execute(
        "select export_status from public.claim_export_status"
    ).fetchone() == ("left_out",)


def test_completed_run_holds_nothing_again(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """And a void of it holds its claims for that, once."""
    [claim_id] = organisation.add_claims(1)
    hold_claims(admin, [claim_id])
    run_id = complete(organisation, begin(coordinator, organisation))["run"]["run_id"]
    assert standing_holds(organisation) == {}

    Bookkeeper(admin).void(run_id)

    assert standing_holds(organisation) == {claim_id: "voided"}
    assert len(history(organisation, claim_id)) == 2
