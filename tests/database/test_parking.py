"""A run that only uses up workers is set aside with its claims; one that gets on, or is not to blame, never is."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.whole_history import whole_history
from tests.database.worker import Worker
from tests.organisation import Organisation, begin, call

MOST_ATTEMPTS = 5


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


def next_attempt(organisation: Organisation, coordinator: psycopg.Connection) -> dict[str, Any]:
    """The lease runs out, and the next trigger comes."""
    organisation.expire_lease()
    return begin(coordinator, organisation)


def use_up_attempts(
    organisation: Organisation, coordinator: psycopg.Connection, key: str | None = None
) -> dict[str, Any]:
    """Begin a run and let every worker die until the next takeover must park it; return the last answer."""
    answer = begin(coordinator, organisation, key=key)
    for _ in range(MOST_ATTEMPTS - 1):
        answer = next_attempt(organisation, coordinator)
        assert answer["outcome"] == "resumed"
    organisation.expire_lease()
    return answer


def sweep(organisation: Organisation, service: psycopg.Connection) -> dict[str, Any]:
    return call(
        service,
        "take_over_export_run",
        p_organization_id=organisation.id,
        p_invocation_id=uuid4(),
    )


def manual_run(
    service: psycopg.Connection, organisation: Organisation, claim_ids: list[UUID]
) -> dict[str, Any]:
    """A run that was recorded by hand and holds its claims."""
    run = call(
        service,
        "create_export_run",
        p_organization_id=organisation.id,
        p_triggered_by=None,
        p_format="xledger_gl02b",
        p_origin="manual",
    )
    return set_status(service, run, "processing", claim_ids)


def set_status(
    service: psycopg.Connection,
    run: dict[str, Any],
    status: str,
    claim_ids: list[UUID],
    **more: object,
) -> dict[str, Any]:
    return call(
        service,
        "update_export_run_status",
        p_run_id=run["run_id"],
        p_status=status,
        p_claim_ids=claim_ids,
        **more,
    )


def count_of_fruitless_attempts(organisation: Organisation) -> int:
    [[attempts]] = organisation.execute("select attempts_without_progress from public.export_runs")
    return int(attempts)


def test_trigger_parks_a_run_after_five_fruitless_attempts(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """The sixth worker is not given the run: it is parked, its claims stay live in it, and the lock is free."""
    claims = organisation.add_claims(2)
    run = use_up_attempts(organisation, coordinator)["run"]

    answer = begin(coordinator, organisation)

    assert (answer["outcome"], answer["parked_run"]["run_id"]) == (
        "nothing_to_export",
        run["run_id"],
    )
    assert (answer["parked_run"]["status"], answer["parked_run"]["error_code"]) == (
        "parked",
        "no_progress",
    )
    assert answer["parked_run"]["attempt"] == MOST_ATTEMPTS
    assert organisation.live_memberships() == {
        claim_id: [(UUID(run["run_id"]), "parked")] for claim_id in claims
    }
    assert organisation.execute("select run_id, holder_id from public.export_locks") == [
        (None, None)
    ]


def test_sweep_parks_a_run_too_and_names_it(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Parking needs no person: the sweep's takeover does it, also when the target is switched off, and says which run."""
    organisation.add_claims(1)
    run = use_up_attempts(organisation, coordinator)["run"]
    organisation.execute("update public.export_targets set is_enabled = false")

    answer = sweep(organisation, service)

    assert (answer["outcome"], answer["run"]["run_id"], answer["run"]["status"]) == (
        "nothing_to_resume",
        run["run_id"],
        "parked",
    )
    assert sweep(organisation, service) == {"outcome": "nothing_to_resume", "run": None}


def test_parking_is_recorded_with_its_reason(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """The event says how many attempts were fruitless and where the last one stopped, and that the system did it."""
    organisation.add_claims(1)
    Worker.of(organisation, service, use_up_attempts(organisation, coordinator)).release(
        "file_not_stored"
    )
    sweep(organisation, service)

    assert organisation.execute(
        "select actor, detail from public.export_run_events where event = 'parked'"
    ) == [
        (
            "system",
            {
                "code": "no_progress",
                "attempts_without_progress": MOST_ATTEMPTS,
                "last_stop": "file_not_stored",
            },
        )
    ]
    assert organisation.execute("select error_detail ->> 'last_stop' from public.export_runs") == [
        ("file_not_stored",)
    ]


def test_held_claims_and_their_run_are_listed(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Claims of a parked run are shown as held with the reason, and the run is listed with what to do."""
    [claim_id] = organisation.add_claims(1)
    use_up_attempts(organisation, coordinator)
    begin(coordinator, organisation)

    assert coordinator.execute(
        "select claim_id, export_status, run_number, reason_code, reason_message from public.claim_export_status"
    ).fetchall() == [
        (
            claim_id,
            "held",
            1,
            "run_parked",
            "Run 1 is set aside with its claims. An admin must recover or fail it.",
        )
    ]
    [(status, what_to_do)] = coordinator.execute(
        "select status, what_to_do from public.export_runs_stuck"
    ).fetchall()
    assert status == "parked"
    assert "recover_export_run" in what_to_do
    assert coordinator.execute(
        "select kind, what, what_to_do from public.export_needs_attention"
    ).fetchall() == [("stuck_run", "Run 1 is parked.", what_to_do)]


def test_organisation_exports_its_other_claims_in_the_same_begin(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """The begin that parks a run starts one over the claims that the parked one does not hold, and it can be completed."""
    held = organisation.add_claims(2)
    use_up_attempts(organisation, coordinator)
    other = organisation.add_claims(3)

    answer = begin(coordinator, organisation)
    done = Worker.of(organisation, service, answer).complete(answer["claims"])

    assert (answer["outcome"], answer["run"]["run_number"]) == ("started", 2)
    assert [claim["claim_id"] for claim in answer["claims"]] == [str(c) for c in other]
    assert done["run"]["status"] == "completed"
    assert {c: runs[0][1] for c, runs in organisation.live_memberships().items()} == {
        **dict.fromkeys(held, "parked"),
        **dict.fromkeys(other, "completed"),
    }


def test_key_of_a_parked_run_is_replayed_as_parked(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Whoever retries with the key of the run learns that it is parked: in the begin that parks it, later, and beside a living run."""
    organisation.add_claims(1)
    run = use_up_attempts(organisation, coordinator, key="tap-1")["run"]

    answers = [begin(coordinator, organisation, key="tap-1") for _ in range(2)]
    organisation.add_claims(1)
    assert begin(coordinator, organisation, key="tap-2")["outcome"] == "started"
    answers.append(begin(coordinator, organisation, key="tap-1"))

    assert [(a["outcome"], a["run"]["run_id"], a["run"]["status"]) for a in answers] == [
        ("replayed", run["run_id"], "parked")
    ] * 3
    assert all("fencing_token" not in a and "retry_after" not in a for a in answers)


def test_nothing_to_export_names_a_parked_run_of_that_scope_only(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A period that the parked run does not touch, and another target, are not told of it."""
    organisation.add_claims(1)
    use_up_attempts(organisation, coordinator)
    begin(coordinator, organisation)
    organisation.add_target("dynamics")

    named = [
        begin(coordinator, organisation, period, target=target)["parked_run"] is not None
        for period, target in [
            (("2026-10-31", "2026-12-31"), "xledger"),
            ((None, "2026-10-01"), "xledger"),
            (("2026-11-01", "2026-11-30"), "xledger"),
            ((None, "2026-09-30"), "xledger"),
            (("2026-10-01", "2026-10-31"), "dynamics"),
        ]
    ]

    assert named == [True, True, False, False, False]


def test_attempts_that_reserve_a_page_never_park(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Fifteen workers that each reserve one more page before they die finish the run between them."""
    pages_of_two(organisation)
    wanted = organisation.add_claims(30)
    answer = begin(coordinator, organisation)
    for attempt in range(1, 15):
        Worker.of(organisation, service, answer).reserve(2 * attempt)
        answer = next_attempt(organisation, coordinator)
        assert (answer["outcome"], answer["run"]["attempt"]) == ("resumed", attempt + 1)

    worker = Worker.of(organisation, service, answer)
    members = worker.reserve_all()

    assert [member["claim_id"] for member in members] == [str(claim_id) for claim_id in wanted]
    assert worker.complete(members)["run"]["status"] == "completed"


def test_attempts_that_come_further_through_a_sealed_run_never_park(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Re-reading is progress as long as each worker comes further than any before; as far as before is none."""
    pages_of_two(organisation)
    organisation.add_claims(24)
    answer = begin(coordinator, organisation)
    Worker.of(organisation, service, answer).reserve_all()
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute("update public.export_runs set furthest_position = 0")
    for attempt in range(1, 12):
        answer = next_attempt(organisation, coordinator)
        assert (answer["outcome"], answer["run"]["attempt"]) == ("resumed", attempt + 1)
        for page in range(1, attempt + 1):
            Worker.of(organisation, service, answer).reserve(2 * page)

    for _ in range(MOST_ATTEMPTS):
        answer = next_attempt(organisation, coordinator)
        assert answer["outcome"] == "resumed"
        for page in range(1, 12):
            Worker.of(organisation, service, answer).reserve(2 * page)

    assert next_attempt(organisation, coordinator)["parked_run"]["status"] == "parked"


def test_sealing_is_progress(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A worker whose page finds nothing more seals the run, and the count begins anew."""
    pages_of_two(organisation)
    organisation.add_claims(2)
    use_up_attempts(organisation, coordinator)
    [[token]] = organisation.execute("select fencing_token from public.export_locks")
    [[run_id]] = organisation.execute("select run_id from public.export_locks")
    assert count_of_fruitless_attempts(organisation) == MOST_ATTEMPTS

    page = Worker(organisation, service, str(run_id), token, []).reserve(0)
    assert (page["last_page"], count_of_fruitless_attempts(organisation)) == (
        False,
        MOST_ATTEMPTS,
    ), "reading again what was reserved at begin is no progress"
    Worker(organisation, service, str(run_id), token, []).reserve(2)

    assert count_of_fruitless_attempts(organisation) == 0
    assert next_attempt(organisation, coordinator)["outcome"] == "resumed"


def test_leases_that_are_renewed_are_no_progress(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A worker that says it is alive, reads again and leaves the run as it was has not got on."""
    organisation.add_claims(2)
    answer = begin(coordinator, organisation)
    for _ in range(MOST_ATTEMPTS - 1):
        worker = Worker.of(organisation, service, answer)
        worker.renew()
        worker.reserve(0)
        answer = next_attempt(organisation, coordinator)
    Worker.of(organisation, service, answer).renew()

    assert next_attempt(organisation, coordinator)["outcome"] == "nothing_to_export"
    assert organisation.execute("select status from public.export_runs") == [("parked",)]


def test_blameless_attempts_do_not_count(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Twelve workers that gave up because something else was away leave the run its five attempts."""
    organisation.add_claims(1)
    for attempt in range(1, 13):
        answer = begin(coordinator, organisation)
        assert answer["run"]["attempt"] == attempt
        Worker.of(organisation, service, answer).release("storage_away", is_blameless=True)

    assert count_of_fruitless_attempts(organisation) == 0
    begin(coordinator, organisation)
    for _ in range(MOST_ATTEMPTS - 1):
        assert next_attempt(organisation, coordinator)["outcome"] == "resumed"
    assert next_attempt(organisation, coordinator)["parked_run"]["status"] == "parked"


def test_blameless_attempts_count_after_a_day_without_progress(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """What was not the run's fault for a day is its fault from then on, so that it does not stop the organisation for ever."""
    organisation.add_claims(1)
    answer = begin(coordinator, organisation)
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute("update public.export_runs set progress_at = now() - interval '25 hours'")

    for _ in range(MOST_ATTEMPTS - 1):
        Worker.of(organisation, service, answer).release("storage_away", is_blameless=True)
        answer = begin(coordinator, organisation)
        assert answer["outcome"] == "resumed"
    Worker.of(organisation, service, answer).release("storage_away", is_blameless=True)

    assert begin(coordinator, organisation)["parked_run"]["status"] == "parked"
    assert organisation.execute(
        "select distinct (detail ->> 'counts')::boolean from public.export_run_events where event = 'attempt_ended'"
    ) == [(True,)]


@pytest.mark.parametrize("is_blameless", [True, False, None])
def test_end_of_an_attempt_is_recorded_once(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    *,
    is_blameless: bool | None,
) -> None:
    """Who stopped, why, and whether it counts: one event per attempt, also when a lost reply makes the worker say it again."""
    organisation.add_claims(1)
    begin(coordinator, organisation)
    next_attempt(organisation, coordinator)
    worker = Worker.of(organisation, service, next_attempt(organisation, coordinator))
    [[name]] = organisation.execute("select distinct triggered_by_name from public.export_runs")

    for _ in range(3):
        call(
            service,
            "release_export_lock",
            p_run_id=worker.run_id,
            p_fencing_token=worker.token,
            p_code="storage_away",
            p_is_blameless=is_blameless,
        )

    counts = not is_blameless
    assert organisation.execute(
        "select actor, detail from public.export_run_events where event = 'attempt_ended'"
    ) == [(name, {"attempt": 3, "code": "storage_away", "counts": counts})]
    assert count_of_fruitless_attempts(organisation) == (3 if counts else 2)


@pytest.mark.parametrize("code", ["", "Not a code", "x" * 61])
def test_attempt_ends_with_a_code(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    code: str,
) -> None:
    """A sentence instead of a code would be a riddle for whoever counts them: 400."""
    organisation.add_claims(1)
    worker = Worker.of(organisation, service, begin(coordinator, organisation))

    with pytest.raises(psycopg.Error) as error:
        worker.release(code)

    assert (error.value.sqlstate, error.value.diag.message_detail) == ("PT400", "reason_required")


def test_workers_of_a_parked_run_are_fenced_off(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Whoever wakes up after the run was parked changes nothing and is told to stop."""
    organisation.add_claims(2)
    worker = Worker.of(organisation, service, use_up_attempts(organisation, coordinator))
    begin(coordinator, organisation)
    owner = organisation.database.connect()
    before = whole_history(owner)

    for name, write in worker.writes().items():
        with pytest.raises(psycopg.Error) as error:
            write()
        assert (name, error.value.diag.message_detail) == (name, "stale_token")

    assert whole_history(owner) == before


def test_run_recorded_by_hand_is_parked_when_its_lease_is_over(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A manual run is never handed to a worker, and stops nobody: it is set aside at once, and others are exported."""
    [by_hand] = organisation.add_claims(1)
    run = manual_run(service, organisation, [by_hand])
    [other] = organisation.add_claims(1)
    organisation.expire_lease()

    answer = begin(coordinator, organisation)

    assert (answer["outcome"], [claim["claim_id"] for claim in answer["claims"]]) == (
        "started",
        [str(other)],
    )
    parked = call(service, "get_export_run", p_run_id=run["run_id"])["run"]
    assert (parked["status"], parked["error_code"]) == ("parked", "not_finished_by_hand")
    assert organisation.live_memberships()[by_hand] == [(UUID(run["run_id"]), "parked")]


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_parked_run_recorded_by_hand_is_finished_beside_a_living_run(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    status: str,
) -> None:
    """Whoever took her time completes or fails it later, while an export runs, which goes on untouched."""
    by_hand = organisation.add_claims(2)
    run = manual_run(service, organisation, by_hand)
    organisation.add_claims(1)
    organisation.expire_lease()
    living = begin(coordinator, organisation)
    lock = organisation.execute("select * from public.export_locks")

    kept = by_hand[:1] if status == "completed" else []
    finished = set_status(service, run, status, kept)

    assert finished["status"] == status
    assert finished["claim_count"] == (1 if status == "completed" else None)
    assert organisation.execute("select * from public.export_locks") == lock
    done = Worker.of(organisation, service, living).complete(living["claims"])
    assert done["run"]["status"] == "completed"
    assert {c for c in by_hand if c in organisation.live_memberships()} == set(kept)


def test_parked_run_of_the_engine_is_not_completed_by_hand(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Only a run that was recorded by hand is completed without a file."""
    claims = organisation.add_claims(1)
    run = use_up_attempts(organisation, coordinator)["run"]
    begin(coordinator, organisation)

    with pytest.raises(psycopg.Error) as error:
        set_status(service, run, "completed", claims)

    assert error.value.diag.message_detail == "illegal_transition"
    assert set_status(service, run, "failed", [])["status"] == "failed"
