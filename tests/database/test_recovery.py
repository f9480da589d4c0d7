"""What the sweep and an admin do about runs that nobody works on: continue, recover, fail, and find them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.voiding import void
from tests.database.whole_history import whole_history
from tests.database.worker import Worker
from tests.organisation import Organisation, begin, call

MOST_ATTEMPTS = 5
WHY = {"p_reason": "Posting rules are mended.", "p_actor": "Ingrid Vik"}


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def service(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_service()


def pages_of_two(organisation: Organisation) -> None:
    organisation.execute(
        "create or replace function export_engine.page_size() returns integer language sql immutable return 2"
    )


def park(organisation: Organisation, coordinator: psycopg.Connection) -> dict[str, Any]:
    """Begin a run, let its workers die, park it; return what its last worker was told."""
    answer = begin(coordinator, organisation)
    for _ in range(MOST_ATTEMPTS - 1):
        organisation.expire_lease()
        answer = begin(coordinator, organisation)
    organisation.expire_lease()
    assert begin(coordinator, organisation)["parked_run"]["run_id"] == answer["run"]["run_id"]
    return answer


def sweep(organisation: Organisation, service: psycopg.Connection) -> dict[str, Any]:
    return call(
        service,
        "take_over_export_run",
        p_organization_id=organisation.id,
        p_invocation_id=uuid4(),
    )


def pending_run(
    service: psycopg.Connection, organisation: Organisation, origin: str = "engine"
) -> dict[str, Any]:
    return call(
        service,
        "create_export_run",
        p_organization_id=organisation.id,
        p_triggered_by=None,
        p_format="xledger_gl02b",
        p_origin=origin,
    )


def fail_by_admin(service: psycopg.Connection, run_id: str) -> dict[str, Any]:
    return call(service, "fail_export_run_by_admin", p_run_id=run_id, **WHY)


def recover(service: psycopg.Connection, run_id: str) -> dict[str, Any]:
    return call(service, "recover_export_run", p_run_id=run_id, **WHY)


def continue_release(service: psycopg.Connection, run_id: str) -> dict[str, Any]:
    return call(service, "continue_export_release", p_run_id=run_id)


def refusal(act: Callable[[], object]) -> tuple[str | None, str | None]:
    with pytest.raises(psycopg.Error) as error:
        act()
    return error.value.sqlstate, error.value.diag.message_detail


def status_of(organisation: Organisation, run_id: str) -> str:
    [[status]] = organisation.execute("select status from public.export_runs where id = %s", run_id)
    return str(status)


@pytest.mark.parametrize("successor", ["trigger", "sweep"])
def test_recovered_run_is_continued_with_the_same_members(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    successor: str,
) -> None:
    """Whoever comes next gets the same claims under the same voucher numbers, with no memory of the parking, and finishes."""
    organisation.add_claims(3)
    parked = park(organisation, coordinator)
    organisation.execute("update public.expense_claim_lines set amount = 999")

    run = recover(service, parked["run"]["run_id"])["run"]
    resumed = (
        begin(coordinator, organisation) if successor == "trigger" else sweep(organisation, service)
    )

    assert (run["status"], run["error_code"], run["error_detail"], run["parked_at"]) == (
        "processing",
        None,
        None,
        None,
    )
    assert (resumed["outcome"], resumed["run"]["run_id"]) == ("resumed", run["run_id"])
    assert resumed["claims"] == parked["claims"]
    assert resumed["fencing_token"] > parked["fencing_token"]
    done = Worker.of(organisation, service, resumed).complete(resumed["claims"])
    assert done["run"]["status"] == "completed"


def test_recovered_run_has_its_attempts_back(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Five more workers may try before the run is parked a second time, and it can be recovered again."""
    organisation.add_claims(1)
    run_id = park(organisation, coordinator)["run"]["run_id"]

    for _ in range(2):
        recover(service, run_id)
        for _ in range(MOST_ATTEMPTS):
            assert begin(coordinator, organisation)["outcome"] == "resumed"
            organisation.expire_lease()
        assert begin(coordinator, organisation)["parked_run"]["status"] == "parked"


def test_recovery_opens_nothing_to_old_workers(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Between recovery and takeover nobody holds the run: its last worker is refused at every door, also with the next token."""
    organisation.add_claims(2)
    worker = Worker.of(organisation, service, park(organisation, coordinator))
    recover(service, worker.run_id)
    owner = organisation.database.connect()
    before = whole_history(owner)

    for name, write in worker.writes().items():
        assert (name, refusal(write)) == (name, ("PT409", "stale_token"))

    assert whole_history(owner) == before


@pytest.mark.parametrize("is_living", [True, False])
def test_recovery_waits_for_the_run_that_has_the_lock(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    *,
    is_living: bool,
) -> None:
    """One run of an organisation at a time: recovering is refused while another is unfinished, and possible afterwards."""
    organisation.add_claims(1)
    run_id = park(organisation, coordinator)["run"]["run_id"]
    organisation.add_claims(1)
    other = Worker.of(organisation, service, begin(coordinator, organisation))
    if not is_living:
        organisation.expire_lease()

    assert refusal(lambda: recover(service, run_id)) == ("PT409", "lock_busy")
    other.complete(other.claims)

    assert recover(service, run_id)["run"]["status"] == "processing"


def test_only_a_parked_run_of_the_engine_is_recovered(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Pending, processing, completed, failed and manual runs are refused; so is a run that does not exist."""
    organisation.add_claims(1)
    pending = pending_run(service, organisation)["run_id"]
    begun = begin(coordinator, organisation)
    run_id = begun["run"]["run_id"]
    illegal = ("PT409", "illegal_transition")
    assert refusal(lambda: recover(service, pending)) == illegal
    assert refusal(lambda: recover(service, run_id)) == illegal
    Worker.of(organisation, service, begun).complete(begun["claims"])
    assert refusal(lambda: recover(service, run_id)) == illegal
    assert fail_by_admin(service, pending)["released"] is True
    assert refusal(lambda: recover(service, pending)) == illegal
    manual = pending_run(service, organisation, "manual")
    call(
        service,
        "update_export_run_status",
        p_run_id=manual["run_id"],
        p_status="processing",
        p_claim_ids=organisation.add_claims(1),
    )
    organisation.expire_lease()
    begin(coordinator, organisation)
    assert status_of(organisation, manual["run_id"]) == "parked"

    assert refusal(lambda: recover(service, manual["run_id"])) == illegal
    assert refusal(lambda: recover(service, str(uuid4()))) == ("PT404", "run_not_found")


def test_pending_run_is_failed_by_an_admin(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """A run that never began ends without claims."""
    run_id = pending_run(service, organisation)["run_id"]

    answer = fail_by_admin(service, run_id)

    assert (answer["released"], answer["run"]["status"], answer["run"]["error_code"]) == (
        True,
        "failed",
        "failed_by_admin",
    )


def test_living_worker_is_fenced_off_when_an_admin_fails_its_run(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Its claims are free, the organisation exports at once, and every later write of the worker changes nothing.

    Its own fail is answered instead of refused: the run has failed, and nothing is done.
    """
    claims = organisation.add_claims(2)
    worker = Worker.of(organisation, service, begin(coordinator, organisation, key="tap-1"))

    failed = fail_by_admin(service, worker.run_id)
    assert (failed["released"], failed["run"]["status"]) == (True, "failed")
    assert organisation.live_memberships() == {}
    again = begin(coordinator, organisation, key="tap-1")
    assert (again["outcome"], [claim["claim_id"] for claim in again["claims"]]) == (
        "started",
        [str(claim_id) for claim_id in claims],
    )
    owner = organisation.database.connect()
    before = whole_history(owner)
    writes = worker.writes()

    assert writes.pop("fail")()["run"]["error_code"] == "failed_by_admin"
    for name, write in writes.items():
        assert (name, refusal(write)) == (name, ("PT409", "stale_token"))
    assert whole_history(owner) == before


def test_worker_between_two_pages_is_fenced_off_too(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """While claims are still being let go the worker's fail is refused like everything else."""
    pages_of_two(organisation)
    organisation.add_claims(5)
    worker = Worker.of(organisation, service, begin(coordinator, organisation))
    worker.reserve_all()

    assert fail_by_admin(service, worker.run_id)["released"] is False

    owner = organisation.database.connect()
    before = whole_history(owner)
    for name, write in worker.writes().items():
        assert (name, refusal(write)) == (name, ("PT409", "stale_token"))
    assert whole_history(owner) == before


def test_parked_run_is_failed_beside_a_living_run(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """The held claims are free again, and the run that has the lock meanwhile keeps it."""
    held = organisation.add_claims(1)
    run_id = park(organisation, coordinator)["run"]["run_id"]
    other = organisation.add_claims(1)
    living = Worker.of(organisation, service, begin(coordinator, organisation))
    lock = organisation.execute("select * from public.export_locks")

    assert fail_by_admin(service, run_id)["released"] is True

    assert organisation.execute("select * from public.export_locks") == lock
    assert set(organisation.live_memberships()) == set(other)
    living.complete(living.claims)
    again = begin(coordinator, organisation)
    assert [claim["claim_id"] for claim in again["claims"]] == [str(claim_id) for claim_id in held]


def test_run_that_its_worker_is_failing_is_finished_by_an_admin(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A worker in the middle of releasing is fenced off, its reason stays, and the organisation exports at once."""
    pages_of_two(organisation)
    organisation.add_claims(6)
    worker = Worker.of(organisation, service, begin(coordinator, organisation))
    worker.reserve_all()
    assert worker.fail()["released"] is False

    halfway = fail_by_admin(service, worker.run_id)
    assert (halfway["released"], halfway["run"]["error_code"]) == (False, "configuration_invalid")
    assert refusal(worker.fail) == ("PT409", "stale_token")
    assert begin(coordinator, organisation)["outcome"] == "started"

    assert fail_by_admin(service, worker.run_id)["released"] is True
    assert status_of(organisation, worker.run_id) == "failed"


def test_failing_a_failed_run_says_so_again(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A lost reply is harmless: nothing changes and the answer is the same, for the admin and for the sweep."""
    organisation.add_claims(1)
    run_id = begin(coordinator, organisation)["run"]["run_id"]
    first = fail_by_admin(service, run_id)
    owner = organisation.database.connect()
    before = whole_history(owner)

    assert fail_by_admin(service, run_id) == first
    assert continue_release(service, run_id) == first
    assert whole_history(owner) == before


def test_completed_and_voided_runs_are_not_failed(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """What is in the books is not let go by failing it, nor by continuing to let go."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    run_id = begun["run"]["run_id"]
    illegal = ("PT409", "illegal_transition")
    assert (
        refusal(lambda: continue_release(service, pending_run(service, organisation)["run_id"]))
        == illegal
    )
    Worker.of(organisation, service, begun).complete(begun["claims"])

    assert refusal(lambda: fail_by_admin(service, run_id)) == illegal
    assert refusal(lambda: continue_release(service, run_id)) == illegal
    void(organisation.database.connect(), run_id)
    assert refusal(lambda: fail_by_admin(service, run_id)) == illegal
    assert continue_release(service, run_id)["released"], "there is nothing left to let go"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"p_reason": None}, "reason_required"),
        ({"p_reason": ""}, "reason_required"),
        ({"p_reason": "  "}, "reason_required"),
        ({"p_reason": "x" * 501}, "reason_required"),
        ({"p_actor": None}, "actor_required"),
        ({"p_actor": " "}, "actor_required"),
        ({"p_actor": "x" * 201}, "actor_required"),
    ],
)
def test_admin_says_why_and_who_she_is(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    change: dict[str, str | None],
    code: str,
) -> None:
    """Without a reason or a name nothing is failed or recovered: 400."""
    organisation.add_claims(1)
    request = {"p_run_id": begin(coordinator, organisation)["run"]["run_id"], **WHY, **change}

    assert refusal(lambda: call(service, "recover_export_run", **request)) == ("PT400", code)
    assert refusal(lambda: call(service, "fail_export_run_by_admin", **request)) == ("PT400", code)


@pytest.mark.parametrize("function", ["fail_export_run_by_admin", "continue_export_release"])
def test_unknown_run_is_not_found(service: psycopg.Connection, function: str) -> None:
    """A run that does not exist is a 404, for the admin as for the sweep."""
    why = WHY if function == "fail_export_run_by_admin" else {}

    assert refusal(lambda: call(service, function, p_run_id=uuid4(), **why)) == (
        "PT404",
        "run_not_found",
    )


def test_history_names_the_admin(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Recovered and failed by whom, and why; the end of the run is the system's."""
    organisation.add_claims(1)
    run_id = park(organisation, coordinator)["run"]["run_id"]
    recover(service, run_id)
    fail_by_admin(service, run_id)

    events = call(service, "get_export_run", p_run_id=run_id)["events"]
    told = [(event["event"], event["actor"], event["detail"].get("reason")) for event in events]
    assert told[-3:] == [
        ("recovered", "Ingrid Vik", WHY["p_reason"]),
        ("releasing", "Ingrid Vik", WHY["p_reason"]),
        ("failed", "system", None),
    ]


def test_large_failure_is_continued_by_the_sweep(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """The admin's call lets one page go, each call of the sweep another; the organisation exports meanwhile."""
    pages_of_two(organisation)
    organisation.add_claims(5)
    worker = Worker.of(organisation, service, begin(coordinator, organisation))
    worker.reserve_all()
    fail_by_admin(service, worker.run_id)
    assert len(organisation.live_memberships()) == 3
    assert begin(coordinator, organisation)["outcome"] == "started"

    answers = [continue_release(service, worker.run_id) for _ in range(3)]

    assert [(answer["released"], answer["run"]["status"]) for answer in answers] == [
        (False, "releasing"),
        (True, "failed"),
        (True, "failed"),
    ]
    assert organisation.execute(
        "select count(*) from public.export_run_claims where run_id = %s and released_at is null",
        worker.run_id,
    ) == [(0,)]


def test_release_is_not_continued_while_a_worker_lives(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """The sweep leaves a run alone that its worker is failing; when the lease is over it goes on and frees the lock."""
    pages_of_two(organisation)
    organisation.add_claims(3)
    worker = Worker.of(organisation, service, begin(coordinator, organisation))
    worker.reserve_all()
    worker.fail()
    assert refusal(lambda: continue_release(service, worker.run_id)) == ("PT409", "run_locked")
    organisation.expire_lease()

    assert continue_release(service, worker.run_id)["released"] is True
    assert organisation.execute("select run_id from public.export_locks") == [(None,)]


def test_large_run_is_let_go_in_even_pages(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """20,000 members go in ten calls of 2,000 rows each, however many are gone before, on tables that nobody analysed."""
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("alter table public.export_run_claims set (autovacuum_enabled = off)")
    organisation.execute(
        "insert into public.expense_claims (organization_id, claim_number, claimant_name, purpose, status, approved_at)"
        " select %s, n::text, 'Åse', 'Møte', 'approved', '2026-10-05'::timestamptz + n * interval '1 ms' from generate_series(1, 20000) as n",
        organisation.id,
    )
    worker = Worker.of(organisation, service, begin(coordinator, organisation))
    worker.reserve_all()

    pages = [let_go_and_count(organisation, "fail_export_run_by_admin", worker.run_id, **WHY)]
    pages += [
        let_go_and_count(organisation, "continue_export_release", worker.run_id) for _ in range(9)
    ]

    assert [page["released"] for page in pages] == [False] * 9 + [True]
    assert {page["written"] for page in pages} == {2000}
    assert max(page["read"] for page in pages) <= 22_000, (
        "each member once, and those that it lets go twice"
    )
    assert organisation.live_memberships() == {}


def let_go_and_count(
    organisation: Organisation, function: str, run_id: str, **arguments: object
) -> dict[str, int]:
    """Let one page go, and count the memberships that were read and written for it by a connection of its own."""
    with organisation.database.connect(autocommit=False) as owner:
        answer = call(owner, function, p_run_id=run_id, **arguments)
        row = owner.execute(
            "select coalesce(idx_tup_fetch, 0) + seq_tup_read, n_tup_upd from pg_stat_xact_user_tables"
            " where relname = 'export_run_claims'"
        ).fetchone()
    assert row is not None
    return {"released": answer["released"], "read": row[0], "written": row[1]}


def test_runs_without_a_living_worker_are_found_longest_silent_first(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Silent workers and abandoned failures of all organisations; not what lives, waits for a person, or is finished."""
    pages_of_two(organisation)

    def stalled_release(minutes: int) -> str:
        other = Organisation.create(organisation.database)
        user = other.as_user(other.add_member())
        other.add_claims(5)
        worker = Worker.of(other, service, begin(user, other))
        worker.reserve_all()
        fail_by_admin(service, worker.run_id)
        with organisation.database.connect("supabase_admin") as superuser:
            superuser.execute("set session_replication_role = replica")
            superuser.execute(
                "update public.export_runs set releasing_at = now() - %s * interval '1 minute' where id = %s",
                [minutes, worker.run_id],
            )
        return worker.run_id

    def silent(minutes: int | None, *, is_failing: bool = False) -> str:
        other = Organisation.create(organisation.database)
        user = other.as_user(other.add_member())
        other.add_claims(5)
        worker = Worker.of(other, service, begin(user, other))
        if is_failing:
            worker.reserve_all()
            worker.fail()
        if minutes is not None:
            other.execute(
                "update public.export_locks set acquired_at = now() - interval '1 day',"
                " expires_at = now() - %s * interval '1 minute' where organization_id = %s",
                minutes,
                other.id,
            )
        return worker.run_id

    expected = [
        (stalled_release(50), "releasing"),
        (silent(40), "processing"),
        (silent(30, is_failing=True), "releasing"),
        (stalled_release(20), "releasing"),
        (silent(10), "processing"),
    ]
    silent(None), silent(None, is_failing=True)
    organisation.add_claims(1)
    park(organisation, coordinator)
    pending_run(service, organisation)
    organisation.add_claims(1)
    finished = begin(coordinator, organisation)
    Worker.of(organisation, service, finished).complete(finished["claims"])
    organisation.add_claims(1)
    fail_by_admin(service, begin(coordinator, organisation)["run"]["run_id"])

    found = call(service, "find_stalled_export_runs")["runs"]

    assert [(run["run_id"], run["status"]) for run in found] == expected
    assert len({run["organization_id"] for run in found}) == 5
    assert call(service, "find_stalled_export_runs", p_limit=2)["runs"] == found[:2]


@pytest.mark.parametrize("limit", [None, 0, 1001])
def test_sweep_asks_for_a_sensible_number_of_runs(
    service: psycopg.Connection, limit: int | None
) -> None:
    """1 to 1,000 runs at once."""
    assert refusal(lambda: call(service, "find_stalled_export_runs", p_limit=limit)) == (
        "PT400",
        "limit_out_of_range",
    )


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("fail_export_run_by_admin", {"p_run_id": None, **WHY}),
        ("recover_export_run", {"p_run_id": None, **WHY}),
        ("find_stalled_export_runs", {}),
        ("continue_export_release", {"p_run_id": None}),
    ],
)
@pytest.mark.parametrize("role", ["anon", "coordinator", "admin"])
def test_recovery_belongs_to_the_service_key(
    organisation: Organisation, function: str, arguments: dict[str, Any], role: str
) -> None:
    """Without a token, and with any user's, admins of the organisation included, nothing of it is reachable."""
    connection = (
        organisation.database.connect("anon")
        if role == "anon"
        else organisation.as_user(organisation.add_member(role))
    )
    with connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        call(connection, function, **arguments)


def at_once(organisation: Organisation, *acts: Callable[[psycopg.Connection], str]) -> list[str]:
    """Let each act start at the same moment on a connection of its own; return what each was told."""
    barrier = Barrier(len(acts))

    def start(act: Callable[[psycopg.Connection], str]) -> str:
        with organisation.as_service() as connection:
            barrier.wait()
            try:
                return act(connection)
            except psycopg.Error as error:
                return str(error.diag.message_detail)

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(start, acts))


def test_one_of_many_sweeps_takes_a_stalled_run(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Eight sweeps that found the same run: one resumes it, the others are told that it is busy."""
    for _ in range(5):
        organisation.add_claims(2)
        begin(coordinator, organisation)
        organisation.expire_lease()
        answers: list[dict[str, Any]] = []

        def take_over(connection: psycopg.Connection, kept: list[dict[str, Any]] = answers) -> str:
            kept.append(sweep(organisation, connection))
            return str(kept[-1]["outcome"])

        outcomes = at_once(organisation, *[take_over] * 8)

        assert sorted(outcomes) == ["busy"] * 7 + ["resumed"]
        [taken] = [answer for answer in answers if answer["outcome"] == "resumed"]
        with organisation.as_service() as connection:
            Worker.of(organisation, connection, taken).complete(taken["claims"])


def test_one_of_many_sweeps_parks_a_hopeless_run(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """When the attempts are used up one sweep parks the run, once, and nobody resumes it."""
    for number in range(1, 6):
        organisation.add_claims(1)
        begin(coordinator, organisation)
        for _ in range(MOST_ATTEMPTS - 1):
            organisation.expire_lease()
            begin(coordinator, organisation)
        organisation.expire_lease()

        outcomes = at_once(
            organisation,
            *[lambda connection: str(sweep(organisation, connection)["outcome"])] * 6,
        )

        assert set(outcomes) <= {"nothing_to_resume", "busy"}
        assert "nothing_to_resume" in outcomes
        assert organisation.execute(
            "select count(*), count(distinct run_id) from public.export_run_events where event = 'parked'"
        ) == [(number, number)]


def test_admin_and_worker_at_once_one_decides(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Completing against failing by an admin: the run ends once, and the other is told that it is too late."""
    seen = set()
    for _ in range(8):
        organisation.add_claims(2)
        begun = begin(coordinator, organisation)
        run_id = begun["run"]["run_id"]

        def finish(connection: psycopg.Connection, begun: dict[str, Any] = begun) -> str:
            done = Worker.of(organisation, connection, begun).complete(begun["claims"])
            return str(done["run"]["status"])

        def give_up(connection: psycopg.Connection, run_id: str = run_id) -> str:
            return str(fail_by_admin(connection, run_id)["run"]["status"])

        outcomes = at_once(organisation, finish, give_up)

        assert outcomes in (["completed", "illegal_transition"], ["stale_token", "failed"])
        assert status_of(organisation, run_id) == (
            "completed" if outcomes[0] == "completed" else "failed"
        )
        live = {r for runs in organisation.live_memberships().values() for r, _ in runs}
        assert (UUID(run_id) in live) == (outcomes[0] == "completed")
        seen.add(outcomes[0])
    assert seen <= {"completed", "stale_token"}


def test_recovery_and_failure_of_a_parked_run_at_once(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Two admins decide differently at the same moment: failing ends the run either way, recovering is done before or refused."""
    organisation.add_claims(2)
    run_id = park(organisation, coordinator)["run"]["run_id"]

    recovered, failed = at_once(
        organisation,
        lambda connection: str(recover(connection, run_id)["run"]["status"]),
        lambda connection: str(fail_by_admin(connection, run_id)["run"]["status"]),
    )

    assert recovered in {"processing", "illegal_transition"}
    assert failed == "failed"
    assert organisation.live_memberships() == {}
    assert organisation.execute("select run_id from public.export_locks") == [(None,)]


def test_recovery_and_begin_at_once_leave_one_holder(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A recovered run and a new one never hold the organisation together: either the recovery waits or the trigger resumes."""
    user_id = organisation.add_member()
    for _ in range(6):
        organisation.add_claims(1)
        run_id = park(organisation, coordinator)["run"]["run_id"]
        organisation.add_claims(1)

        def trigger(_: psycopg.Connection) -> str:
            with organisation.as_user(user_id) as connection:
                return str(begin(connection, organisation)["outcome"])

        def give_back(connection: psycopg.Connection, run_id: str = run_id) -> str:
            return str(recover(connection, run_id)["run"]["status"])

        recovered, begun = at_once(organisation, give_back, trigger)

        assert (recovered, begun) in {
            ("processing", "resumed"),
            ("processing", "busy"),
            ("lock_busy", "started"),
        }
        with organisation.as_service() as connection:
            for unfinished in organisation.execute(
                "select id from public.export_runs where status in ('processing', 'parked')"
            ):
                fail_by_admin(connection, str(unfinished[0]))


def test_sweeps_and_admin_let_a_large_run_go_together(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """However many continue the same release at once, each member is let go once and the run fails once."""
    pages_of_two(organisation)
    organisation.add_claims(15)
    worker = Worker.of(organisation, service, begin(coordinator, organisation))
    worker.reserve_all()
    fail_by_admin(service, worker.run_id)

    def go_on(connection: psycopg.Connection) -> str:
        while not continue_release(connection, worker.run_id)["released"]:
            pass
        return "released"

    assert at_once(organisation, *[go_on] * 4) == ["released"] * 4
    assert organisation.live_memberships() == {}
    assert organisation.execute(
        "select count(*) from public.export_run_events where event = 'failed'"
    ) == [(1,)]
