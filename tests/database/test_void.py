"""void_export: a run whose file was never imported is taken back, and its claims wait for a person."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import (
    Bookkeeper,
    complete_reversal,
    effective_entries,
    pages_of_two,
    refusal,
    standing_holds,
    vouchers,
)
from tests.database.whole_history import whole_history
from tests.database.worker import Worker
from tests.organisation import Organisation, begin, call, complete

VOIDED = ("PT409", "run_is_voided")
IMPORTED = ("PT409", "run_was_imported")


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


def export(
    organisation: Organisation, coordinator: psycopg.Connection, key: str | None = None
) -> dict[str, Any]:
    run: dict[str, Any] = complete(organisation, begin(coordinator, organisation, key=key))["run"]
    return run


def stalled(service: psycopg.Connection) -> list[tuple[str, str]]:
    runs = call(service, "find_stalled_export_runs", p_limit=10)["runs"]
    return [(run["run_id"], run["status"]) for run in runs]


def continue_release(service: psycopg.Connection, run_id: str) -> dict[str, Any]:
    return call(service, "continue_export_release", p_run_id=run_id)


def test_run_that_was_not_imported_is_voided(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Its claims are free and held; file, counts and totals stay; who voided it and why is told."""
    claims = organisation.add_claims(3)
    run = export(organisation, coordinator)

    answer = admin.void(run["run_id"], "Wrong period.")

    changed = {"status", "voiding_at", "voided_at"}
    assert {k: v for k, v in answer["run"].items() if k not in changed} == {
        k: v for k, v in run.items() if k not in changed
    }
    assert (answer["run"]["status"], answer["released"]) == ("voided", True)
    assert answer["run"]["file"]["path"] == run["file"]["path"]
    assert organisation.live_memberships() == {}
    assert standing_holds(organisation) == dict.fromkeys(claims, "voided")
    assert organisation.execute(
        "select event, actor, detail from public.export_run_events where event like 'void%%' order by id"
    ) == [
        ("voiding", "Ingrid Vik", {"reason": "Wrong period."}),
        ("voided", "Ingrid Vik", {}),
    ]


def test_file_of_a_voided_run_is_kept(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """The stored object of a voided run is neither deleted nor renamed, not even by a superuser."""
    organisation.add_claims(1)
    admin.void(export(organisation, coordinator)["run_id"])
    for edit in (
        "update storage.objects set name = 'elsewhere.csv'",
        "select set_config('storage.allow_delete_query', 'true', true); delete from storage.objects",
    ):
        with organisation.database.connect("supabase_admin", autocommit=False) as superuser:
            assert refusal(lambda edit=edit, by=superuser: by.execute(edit.encode())) == (  # type: ignore[misc]
                "PT403",
                "history_is_protected",
            )


def test_deleted_run_is_not_voided(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """Deleting hides a run and frees no claim; 409 says so, and it can still be reversed."""
    claims = organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]
    call(service, "delete_export_run", p_run_id=run_id, p_deleted_by=None, p_reason="Test.")

    assert refusal(lambda: admin.void(run_id)) == ("PT409", "run_is_deleted")
    assert effective_entries(organisation) == dict.fromkeys(claims, 1)
    complete_reversal(organisation, admin.reverse(run_id))
    assert effective_entries(organisation) == dict.fromkeys(claims, 0)


def test_key_of_a_voided_run_is_replayed_as_voided(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """A phone that retries learns that its export was taken back, and exports nothing a second time by it."""
    organisation.add_claims(1)
    run = export(organisation, coordinator, "tap-1")
    admin.void(run["run_id"])

    answer = begin(coordinator, organisation, key="tap-1")

    assert (answer["outcome"], answer["run"]["run_id"], answer["run"]["status"]) == (
        "replayed",
        run["run_id"],
        "voided",
    )


def test_next_export_enters_the_claims_as_if_for_the_first_time(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Generation 1 again, for the books never had the first, but voucher numbers of its own."""
    claims = organisation.add_claims(2)
    admin.void(export(organisation, coordinator)["run_id"])

    begun = begin(coordinator, organisation)

    assert [
        (m["claim_id"], m["kind"], m["generation"], m["voucher_number"]) for m in begun["claims"]
    ] == [(str(claims[0]), "entry", 1, 3), (str(claims[1]), "entry", 1, 4)]
    complete(organisation, begun)
    assert effective_entries(organisation) == dict.fromkeys(claims, 1)


def test_large_run_is_voided_page_by_page(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """The sweep finds it and lets page after page go; nothing of it is exported before it is let go, and all of it is held."""
    claims = organisation.add_claims(5)
    run_id = export(organisation, coordinator)["run_id"]
    pages_of_two(organisation)

    first = admin.void(run_id)
    assert (first["run"]["status"], first["released"]) == ("voiding", False)
    assert stalled(service) == [(run_id, "voiding")]
    assert standing_holds(organisation) == dict.fromkeys(claims[:2], "voided")
    taken = begin(coordinator, organisation)
    assert [m["claim_id"] for m in taken["claims"]] == [str(c) for c in claims[:2]]
    assert Worker.of(organisation, service, taken).reserve(2)["last_page"]
    assert [continue_release(service, run_id)["released"] for _ in range(2)] == [False, True]

    assert continue_release(service, run_id)["released"], "saying it again is no fault"
    assert stalled(service) == []
    assert standing_holds(organisation) == dict.fromkeys(claims[2:], "voided")
    assert set(organisation.live_memberships()) == set(claims[:2])
    assert organisation.execute(
        "select actor from public.export_run_events where event = 'voided'"
    ) == [("Ingrid Vik",)]


def test_left_out_and_refused_members_stay_as_they_are(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Voiding lets go what the run still has, and holds no claim that another run has taken."""
    left_out, refused, kept = organisation.add_claims(3)
    begun = begin(coordinator, organisation)
    with organisation.as_service() as service:
        Worker.of(organisation, service, begun).leave_out([left_out])
    run_id = complete(organisation, {**begun, "claims": begun["claims"][1:]})["run"]["run_id"]
    admin.confirm(run_id, "refused", vouchers(2))
    other = export(organisation, coordinator)

    admin.void(run_id)

    assert organisation.execute(
        "select outcome from public.export_run_claims where run_id = %s order by position", run_id
    ) == [("left_out",), ("refused",), ("released",)]
    assert {c: runs[0][0] for c, runs in organisation.live_memberships().items()} == {
        left_out: UUID(other["run_id"]),
        refused: UUID(other["run_id"]),
    }
    assert standing_holds(organisation) == {kept: "voided"}


@pytest.mark.parametrize("pages", ["one", "many"])
def test_voiding_twice_is_refused(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper, pages: str
) -> None:
    """A run that is voided, or about to be, is not voided again: 409, and nothing changes."""
    organisation.add_claims(3)
    run_id = export(organisation, coordinator)["run_id"]
    if pages == "many":
        pages_of_two(organisation)
    admin.void(run_id)
    before = whole_history(organisation.database.connect())

    assert refusal(lambda: admin.void(run_id)) == VOIDED
    assert whole_history(organisation.database.connect()) == before


def test_unfinished_and_failed_runs_are_not_voided(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """409 with the state in words: a run without a file is failed, not voided."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    told = []
    for act in (lambda: None, lambda: Worker.of(organisation, service, begun).fail()):
        act()
        with pytest.raises(psycopg.Error) as error:
            admin.void(begun["run"]["run_id"])
        told.append(
            (
                error.value.sqlstate,
                error.value.diag.message_detail,
                error.value.diag.message_primary,
            )
        )

    assert told == [
        ("PT409", "run_unfinished", "The run is processing."),
        ("PT409", "run_unfinished", "The run is failed."),
    ]


@pytest.mark.parametrize("outcome", ["imported", "booked"])
@pytest.mark.parametrize("list_", [None, vouchers(2)], ids=["run", "voucher"])
def test_imported_run_is_not_voided(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    admin: Bookkeeper,
    outcome: str,
    list_: list[dict[str, Any]] | None,
) -> None:
    """Once the accounting system has the file, or one voucher of it, the run can only be reversed: 409."""
    claims = organisation.add_claims(3)
    run_id = export(organisation, coordinator)["run_id"]
    admin.confirm(run_id, outcome, list_)

    assert refusal(lambda: admin.void(run_id)) == IMPORTED
    assert set(organisation.live_memberships()) == set(claims)


def test_run_that_was_refused_later_is_voided(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """The latest word about the whole run outweighs everything before, and a voucher imported later outweighs that."""
    organisation.add_claims(3)
    run_id = export(organisation, coordinator)["run_id"]
    admin.confirm(run_id, "imported")
    admin.confirm(run_id, "booked", vouchers(2))
    admin.confirm(run_id, "refused")
    admin.confirm(run_id, "booked", vouchers(2))
    assert refusal(lambda: admin.void(run_id)) == IMPORTED

    admin.confirm(run_id, "refused")

    assert admin.void(run_id)["run"]["status"] == "voided"


def test_run_that_is_reversed_is_not_voided(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """409 while a reversing run is under way, parked, let go or completed; after it is gone the run is voided."""
    claims = organisation.add_claims(3)
    run_id = export(organisation, coordinator)["run_id"]
    pages_of_two(organisation)
    refused = ("PT409", "run_has_reversal")

    dying = admin.reverse(run_id)
    assert refusal(lambda: admin.void(run_id)) == refused
    worker = Worker.of(organisation, service, dying)
    worker.reserve_all()
    call(
        service,
        "fail_export_run_by_admin",
        p_run_id=worker.run_id,
        p_reason="Test.",
        p_actor="Test",
    )
    assert refusal(lambda: admin.void(run_id)) == refused, "its last page is not let go yet"
    assert continue_release(service, worker.run_id)["run"]["status"] == "failed"

    answer = admin.reverse(run_id)
    members = Worker.of(organisation, service, answer).reserve_all()
    done = complete_reversal(organisation, answer, members)["run"]
    assert refusal(lambda: admin.void(run_id)) == refused
    assert not admin.void(done["run_id"])["released"]
    assert refusal(lambda: admin.void(run_id)) == refused, "it is being voided"
    assert continue_release(service, done["run_id"])["released"]

    assert not admin.void(run_id)["released"]
    assert continue_release(service, run_id)["released"]
    assert effective_entries(organisation) == {}
    assert set(standing_holds(organisation)) == set(claims)


def test_reversing_run_is_voided_until_its_claims_are_entered_again(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Before, the earlier entry counts again and nothing is held; afterwards it would count beside the next one: 409."""
    claims = organisation.add_claims(2)
    run_id = export(organisation, coordinator)["run_id"]
    first = complete_reversal(organisation, admin.reverse(run_id))["run"]
    assert admin.void(first["run_id"])["run"]["status"] == "voided"
    assert (effective_entries(organisation), standing_holds(organisation)) == (
        dict.fromkeys(claims, 1),
        {},
    )
    assert begin(coordinator, organisation)["outcome"] == "nothing_to_export"

    second = complete_reversal(organisation, admin.reverse(run_id))["run"]
    again = begin(coordinator, organisation)
    refused = ("PT409", "claims_entered_again")
    assert refusal(lambda: admin.void(second["run_id"])) == refused
    complete(organisation, again)
    assert refusal(lambda: admin.void(second["run_id"])) == refused
    assert effective_entries(organisation) == dict.fromkeys(claims, 1)

    admin.void(again["run"]["run_id"])
    assert admin.void(second["run_id"])["run"]["status"] == "voided"
    assert effective_entries(organisation) == dict.fromkeys(claims, 1)


def test_refused_reversal_does_not_free_what_was_entered_again(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """A refused voucher of a reversing run leaves the earlier entry in force, unless a later one has followed: 409."""
    claims = organisation.add_claims(2)
    run_id = export(organisation, coordinator)["run_id"]
    reversal = complete_reversal(organisation, admin.reverse(run_id))["run"]

    admin.confirm(reversal["run_id"], "refused", vouchers(3))
    assert standing_holds(organisation) == {claims[1]: "reversed"}
    again = begin(coordinator, organisation)
    assert [(m["claim_id"], m["generation"]) for m in again["claims"]] == [(str(claims[1]), 2)]

    assert refusal(lambda: admin.confirm(reversal["run_id"], "refused", vouchers(4))) == (
        "PT409",
        "claims_entered_again",
    )
    assert effective_entries(organisation) == dict.fromkeys(claims, 1)


@pytest.mark.parametrize("reason", [None, "", "  ", "x" * 501])
def test_voiding_needs_a_reason(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    admin: Bookkeeper,
    reason: str | None,
) -> None:
    """Nobody takes a run back without saying why: 400."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]

    assert refusal(lambda: admin.void(run_id, reason)) == ("PT400", "reason_required")
    assert admin.void(run_id, "x" * 500)["released"]


@pytest.mark.parametrize("caller", ["service", "owner"])
def test_voiding_without_a_login_needs_a_name(
    organisation: Organisation, coordinator: psycopg.Connection, caller: str
) -> None:
    """The service key and the owner say who they are: 400 otherwise, and the name is in the history."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]
    connection = (
        organisation.as_service() if caller == "service" else organisation.database.connect()
    )

    assert refusal(lambda: Bookkeeper(connection).void(run_id)) == ("PT400", "actor_required")
    Bookkeeper(connection, "Revisor").void(run_id)
    assert organisation.execute(
        "select distinct actor from public.export_run_events where event like 'void%%'"
    ) == [("Revisor",)]


@pytest.mark.parametrize(
    ("role", "refused"),
    [
        ("coordinator", ("PT403", "not_allowed")),
        ("accountant", ("PT403", "not_allowed")),
        ("member", ("PT404", "run_not_found")),
        ("stranger", ("PT404", "run_not_found")),
    ],
)
def test_only_an_admin_voids(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    role: str,
    refused: tuple[str, str],
) -> None:
    """Other staff may not; whoever does not see the run hears that there is none, as for an unknown id."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    user = (
        other.as_user(other.add_member("admin"))
        if role == "stranger"
        else organisation.as_user(organisation.add_member(role))
    )

    assert refusal(lambda: Bookkeeper(user).void(run_id)) == refused
    assert refusal(lambda: Bookkeeper(user).void(uuid4())) == ("PT404", "run_not_found")
    nobody = organisation.database.connect("anon")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        Bookkeeper(nobody).void(run_id)


def test_worker_that_wakes_up_is_told(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """Whoever completes the run once more hears that it is voided, every other write that it is no longer hers; nothing changes."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation)
    worker = Worker.of(organisation, service, begun)
    worker.complete(begun["claims"])
    admin.void(worker.run_id)
    before = whole_history(organisation.database.connect())

    told = {name: refusal(write) for name, write in worker.writes().items()}

    assert told == {**dict.fromkeys(worker.writes(), ("PT409", "stale_token")), "complete": VOIDED}
    assert whole_history(organisation.database.connect()) == before


def test_void_races_begin(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """A begin beside a void finds all of its claims or none; no claim ever counts twice, and in the end each counts once."""
    claims = organisation.add_claims(6)
    for _ in range(12):
        run_id = export(organisation, coordinator)["run_id"]
        start = Barrier(2)

        def race(act: Any, start: Barrier = start) -> dict[str, Any]:
            start.wait()
            answer: dict[str, Any] = act()
            return answer

        with ThreadPoolExecutor(2) as pool:
            begun = pool.submit(race, lambda: begin(coordinator, organisation))
            voided = pool.submit(race, lambda run_id=run_id: admin.void(run_id))
        assert voided.result()["released"]
        answer = begun.result()
        assert set(effective_entries(organisation).values()) <= {1}
        if answer["outcome"] == "started":
            assert len(answer["claims"]) == len(claims)
            admin.void(complete(organisation, answer)["run"]["run_id"])
        assert effective_entries(organisation) == {}
    export(organisation, coordinator)
    assert effective_entries(organisation) == dict.fromkeys(claims, 1)


def test_two_voids_at_once(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """One voids, the others are told that it is voided; every claim is held once."""
    claims = organisation.add_claims(4)
    run_id = export(organisation, coordinator)["run_id"]
    admins = [
        Bookkeeper(organisation.as_user(organisation.add_member("admin"))) for _ in range(3)
    ] + [admin]
    start = Barrier(len(admins))

    def void(who: Bookkeeper) -> str | None:
        start.wait()
        try:
            who.void(run_id)
        except psycopg.Error as error:
            return error.diag.message_detail
        return "done"

    with ThreadPoolExecutor(len(admins)) as pool:
        told = list(pool.map(void, admins))

    assert sorted(map(str, told)) == ["done", *["run_is_voided"] * 3]
    assert organisation.execute("select count(*) from public.export_holds") == [(len(claims),)]
    assert organisation.execute(
        "select count(*) from public.export_run_events where event = 'voiding'"
    ) == [(1,)]


def test_void_of_a_reversing_run_races_the_begin_that_enters_its_claims_again(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Either the reversal is voided and nothing is entered, or the claims are entered and it stays: never both."""
    claims = organisation.add_claims(4)
    run_id = export(organisation, coordinator)["run_id"]
    seen = set()
    for _ in range(12):
        reversal = complete_reversal(organisation, admin.reverse(run_id))["run"]
        start = Barrier(2)

        def void(
            reversal_id: str = reversal["run_id"], start: Barrier = start
        ) -> tuple[str | None, str | None] | None:
            start.wait()
            try:
                admin.void(reversal_id)
            except psycopg.Error as error:
                return error.sqlstate, error.diag.message_detail
            return None

        def enter(start: Barrier = start) -> dict[str, Any]:
            start.wait()
            return begin(coordinator, organisation)

        with ThreadPoolExecutor(2) as pool:
            refused, begun = pool.submit(void), pool.submit(enter)
        answer = begun.result()
        seen.add((refused.result(), answer["outcome"]))
        assert effective_entries(organisation) == dict.fromkeys(claims, 1)
        if answer["outcome"] == "started":
            run_id = complete(organisation, answer)["run"]["run_id"]
        assert effective_entries(organisation) == dict.fromkeys(claims, 1)

    assert seen <= {
        (None, "nothing_to_export"),
        (("PT409", "claims_entered_again"), "started"),
    }
