"""An organisation on hold: nothing of it is exported, whoever asks, and afterwards everything goes on."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import (
    Bookkeeper,
    begin_by_itself,
    complete_reversal,
    pages_of_two,
    refusal,
)
from tests.database.holding import REASON, hold, lift
from tests.database.worker import Worker
from tests.organisation import Organisation, begin, call, complete, store_file, summary_of

HELD = ("PT409", "organization_held")


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


def holds(organisation: Organisation) -> list[tuple[Any, ...]]:
    """Every hold that the organisation itself ever had: cause, reason, by whom, lifted by whom."""
    return organisation.execute(
        "select cause, reason, held_by, lifted_by from public.export_holds"
        " where organization_id = %s and claim_id is null order by held_at",
        organisation.id,
    )


def take_over(service: psycopg.Connection, organisation: Organisation) -> dict[str, Any]:
    """What the sweep asks."""
    return call(
        service,
        "take_over_export_run",
        p_organization_id=organisation.id,
        p_invocation_id=uuid4(),
    )


def stalled(service: psycopg.Connection) -> list[str]:
    """Ids of the runs that the sweep is handed."""
    return [run["run_id"] for run in call(service, "find_stalled_export_runs", p_limit=10)["runs"]]


def run_state(organisation: Organisation, run_id: str) -> tuple[Any, ...]:
    [row] = organisation.execute(
        "select status, attempt, attempts_without_progress from public.export_runs where id = %s",
        run_id,
    )
    return row


def new_run(service: psycopg.Connection, organisation: Organisation, origin: str) -> str:
    """A pending run of the repository."""
    run = call(
        service,
        "create_export_run",
        p_organization_id=organisation.id,
        p_triggered_by=None,
        p_format="xledger_gl02b",
        p_origin=origin,
    )
    return str(run["run_id"])


def set_status(
    service: psycopg.Connection, run_id: str, status: str, claim_ids: list[Any]
) -> dict[str, Any]:
    """Change a run through the repository."""
    return call(
        service,
        "update_export_run_status",
        p_run_id=run_id,
        p_status=status,
        p_claim_ids=claim_ids,
    )


def test_hold_says_who_and_why_and_stays_as_history(
    organisation: Organisation, admin: psycopg.Connection
) -> None:
    """Placed and lifted by name; the second hold is a row of its own."""
    first = hold(admin, organisation)
    assert (first["recorded"], first["hold"]["reason"], first["hold"]["held_by"]) == (
        1,
        REASON,
        "Ingrid Vik",
    )
    assert first["unfinished_run"] is None

    lifted = lift(admin, organisation)
    hold(admin, organisation, "  Once more.  ")

    assert (lifted["lifted"], lifted["hold"]["lifted_by"]) == (1, "Ingrid Vik")
    assert lifted["hold"]["hold_id"] == first["hold"]["hold_id"]
    assert holds(organisation) == [
        ("by_hand", REASON, "Ingrid Vik", "Ingrid Vik"),
        ("by_hand", "Once more.", "Ingrid Vik", None),
    ]


def test_holding_again_answers_the_hold_that_stands(
    organisation: Organisation, admin: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A second admin's hold changes nothing, and she reads whose hold it is; lifting twice is one lifting."""
    first = hold(admin, organisation)
    again = hold(service, organisation, "Something else.", "Ola, on call")

    assert (again["recorded"], again["hold"]) == (0, first["hold"])
    assert [lift(service, organisation, actor="Ola, on call")["lifted"] for _ in range(2)] == [1, 0]
    assert holds(organisation) == [("by_hand", REASON, "Ingrid Vik", "Ola, on call")]


@pytest.mark.parametrize("who", ["service", "owner"])
def test_without_a_login_one_says_who_one_is(
    organisation: Organisation, service: psycopg.Connection, who: str
) -> None:
    """The service key and the dashboard give a name."""
    connection = service if who == "service" else organisation.database.connect("postgres")

    assert refusal(lambda: hold(connection, organisation)) == ("PT400", "actor_required")
    assert hold(connection, organisation, actor="Kari, drift")["hold"]["held_by"] == "Kari, drift"
    assert refusal(lambda: lift(connection, organisation)) == ("PT400", "actor_required")
    assert lift(connection, organisation, actor="Kari, drift")["lifted"] == 1


def test_a_member_acts_under_her_own_name(
    organisation: Organisation, admin: psycopg.Connection
) -> None:
    """Whatever name she gives."""
    assert hold(admin, organisation, actor="Somebody else")["hold"]["held_by"] == "Ingrid Vik"
    assert lift(admin, organisation, actor="Somebody else")["hold"]["lifted_by"] == "Ingrid Vik"


@pytest.mark.parametrize("reason", [None, "", "   ", "x" * 501])
def test_hold_needs_a_reason(
    organisation: Organisation, admin: psycopg.Connection, reason: str | None
) -> None:
    """Whoever is stopped by it must be told something."""
    assert refusal(lambda: hold(admin, organisation, reason)) == ("PT400", "reason_required")
    assert holds(organisation) == []


@pytest.mark.parametrize("role", ["member", "coordinator", "accountant"])
def test_only_admins_hold_and_lift(
    organisation: Organisation, admin: psycopg.Connection, role: str
) -> None:
    """Other roles are refused, for placing and for lifting."""
    user = organisation.as_user(organisation.add_member(role))

    assert refusal(lambda: hold(user, organisation)) == ("PT403", "not_allowed")
    hold(admin, organisation)
    assert refusal(lambda: lift(user, organisation)) == ("PT403", "not_allowed")
    assert holds(organisation)[0][3] is None


def test_strangers_and_nobody_hold_nothing(
    organisation: Organisation, admin: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A foreign organisation and one that does not exist answer an admin alike; without a login nothing is answered."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")

    for identifier in (other.id, uuid4()):
        assert refusal(partial(hold, admin, identifier)) == ("PT403", "not_allowed")
        assert refusal(partial(lift, admin, identifier)) == ("PT403", "not_allowed")
    assert refusal(lambda: hold(service, uuid4(), actor="Ola")) == (
        "PT404",
        "organization_not_found",
    )
    assert refusal(lambda: lift(service, uuid4(), actor="Ola")) == (
        "PT404",
        "organization_not_found",
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        hold(organisation.database.connect("anon"), organisation)
    user = organisation.database.connect("authenticated")
    assert refusal(lambda: hold(user, organisation)) == ("PT401", "not_authenticated")
    assert holds(other) == holds(organisation) == []


@pytest.mark.parametrize("trigger", ["user", "webhook", "schedule", "sweep", "cli"])
def test_no_begin_starts_while_held(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    admin: psycopg.Connection,
    trigger: str,
) -> None:
    """Whoever asks is refused with the admin's reason, makes no run and takes no number; afterwards it works."""
    organisation.add_claims(2)
    hold(admin, organisation)

    def ask() -> dict[str, Any]:
        if trigger == "user":
            return begin(coordinator, organisation)
        return begin_by_itself(organisation, trigger)

    with pytest.raises(psycopg.Error) as refused:
        ask()
    diagnosis = refused.value.diag
    assert (refused.value.sqlstate, diagnosis.message_detail) == HELD
    assert diagnosis.message_hint == REASON
    assert "Ingrid Vik" in (diagnosis.message_primary or "")
    assert organisation.execute("select count(*) from public.export_runs") == [(0,)]

    lift(admin, organisation)
    assert (
        ask()["outcome"],
        organisation.execute("select run_number from public.export_runs"),
    ) == (
        "started",
        [(1,)],
    )


def test_hold_of_one_organisation_hinders_no_other(
    organisation: Organisation, admin: psycopg.Connection
) -> None:
    """The other organisation exports, and its dead workers are taken over."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    other.add_claims(1)
    user = other.as_user(other.add_member())
    hold(admin, organisation)

    run_id = begin(user, other)["run"]["run_id"]
    other.expire_lease()

    assert stalled(other.as_service()) == [run_id]
    resumed = begin(user, other)
    assert resumed["outcome"] == "resumed"
    assert complete(other, resumed)["run"]["status"] == "completed"


def test_replays_answer_as_before(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """The key's own run is answered, completed or voided; another key is refused, a re-used one told so."""
    organisation.add_claims(2)
    run_id = complete(organisation, begin(coordinator, organisation, key="mine"))["run"]["run_id"]
    hold(admin, organisation)

    replay = begin(coordinator, organisation, key="mine")
    assert (replay["outcome"], replay["run"]["run_id"]) == ("replayed", run_id)
    assert refusal(lambda: begin(coordinator, organisation, key="other")) == HELD
    november = ("2026-11-01", "2026-11-30")
    assert refusal(lambda: begin(coordinator, organisation, november, key="mine")) == (
        "PT422",
        "idempotency_key_reused",
    )
    Bookkeeper(admin).void(run_id)
    assert begin(coordinator, organisation, key="mine")["run"]["status"] == "voided"


@pytest.mark.parametrize("key", ["mine", "other"])
@pytest.mark.parametrize("worker", ["alive", "dead"])
def test_unfinished_run_is_answered_with_the_hold(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    admin: psycopg.Connection,
    key: str,
    worker: str,
) -> None:
    """Neither joined nor replayed as if it were under way: it is not, and the reason says why."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation, key="mine")
    assert hold(admin, organisation)["unfinished_run"]["run_id"] == begun["run"]["run_id"]
    if worker == "dead":
        organisation.expire_lease()

    assert refusal(lambda: begin(coordinator, organisation, key=key)) == HELD
    assert run_state(organisation, begun["run"]["run_id"]) == ("processing", 1, 1)


def test_lost_reply_of_begin_is_answered_again(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """The same invocation gets its token again, so that its worker is stopped in order and lets the lease go."""
    organisation.add_claims(1)
    invocation = uuid4()
    first = begin(coordinator, organisation, invocation=invocation)
    hold(admin, organisation)

    again = begin(coordinator, organisation, invocation=invocation)

    assert again["fencing_token"] == first["fencing_token"]
    assert refusal(lambda: complete(organisation, again)) == HELD


def test_living_worker_does_not_complete(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: psycopg.Connection,
) -> None:
    """Refused with the run as it was; it lets go without blame, waits, and is completed after the hold."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation)
    worker = Worker.of(organisation, service, begun)
    hold(admin, organisation)

    assert refusal(lambda: worker.complete(worker.claims)) == HELD
    assert run_state(organisation, worker.run_id) == ("processing", 1, 1)
    worker.release("organization_held", is_blameless=True)
    assert run_state(organisation, worker.run_id) == ("processing", 1, 0)
    assert stalled(service) == []
    assert refusal(lambda: take_over(service, organisation)) == HELD
    assert run_state(organisation, worker.run_id) == ("processing", 1, 0)

    lift(admin, organisation)
    assert stalled(service) == [worker.run_id]
    resumed = take_over(service, organisation)
    assert [m["document"] for m in resumed["claims"]] == [m["document"] for m in begun["claims"]]
    assert complete(organisation, resumed)["run"]["status"] == "completed"


def test_completed_worker_is_told_so_again(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: psycopg.Connection,
) -> None:
    """A complete whose reply was lost is repeated while the organisation is held."""
    organisation.add_claims(1)
    worker = Worker.of(organisation, service, begin(coordinator, organisation))
    done = worker.complete(worker.claims)
    hold(admin, organisation)

    assert worker.complete(worker.claims) == done


def test_waiting_run_is_not_parked_however_often_one_asks(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: psycopg.Connection,
) -> None:
    """At its last attempt the run waits; the lift gives it its attempts back, and a new day of benefit of the doubt."""
    organisation.add_claims(1)
    run_id = begin(coordinator, organisation)["run"]["run_id"]
    with organisation.database.connect(autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        owner.execute(
            "update public.export_runs set attempt = 5, attempts_without_progress = 5, progress_at = now() - interval '3 days'"
            " where id = %s",
            [run_id],
        )
    hold(admin, organisation)
    organisation.expire_lease()

    for _ in range(3):
        assert refusal(lambda: take_over(service, organisation)) == HELD
        assert refusal(lambda: begin(coordinator, organisation)) == HELD
        assert refusal(lambda: begin_by_itself(organisation, "sweep")) == HELD
    assert run_state(organisation, run_id) == ("processing", 5, 5)

    lift(admin, organisation)
    resumed = take_over(service, organisation)
    worker = Worker.of(organisation, service, resumed)
    hold(admin, organisation)
    worker.release("organization_held", is_blameless=True)
    assert run_state(organisation, run_id) == ("processing", 6, 0)


def test_attempts_of_a_run_that_did_not_wait_stay_counted(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    admin: psycopg.Connection,
) -> None:
    """Lifting claims' holds, or no hold at all, gives no run its attempts back."""
    [claim_id] = organisation.add_claims(1)
    run_id = begin(coordinator, organisation)["run"]["run_id"]

    lift(admin, organisation)
    lift(admin, organisation, [claim_id])

    assert run_state(organisation, run_id) == ("processing", 1, 1)


def test_reversal_is_refused_while_held(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """No reversing run begins or completes; one that is completed is replayed; a refusal of the run itself comes first."""
    organisation.add_claims(2)
    bookkeeper = Bookkeeper(admin)
    run_id = complete(organisation, begin(coordinator, organisation))["run"]["run_id"]
    bookkeeper.confirm(run_id, "imported")
    hold(admin, organisation)

    assert refusal(lambda: bookkeeper.reverse(run_id)) == HELD
    assert organisation.execute("select count(*) from public.export_runs") == [(1,)]

    lift(admin, organisation)
    reversal = bookkeeper.reverse(run_id)
    hold(admin, organisation)
    assert refusal(lambda: complete_reversal(organisation, reversal)) == HELD
    assert refusal(lambda: bookkeeper.reverse(run_id)) == HELD
    organisation.expire_lease()
    assert refusal(lambda: bookkeeper.reverse(run_id)) == HELD

    lift(admin, organisation)
    resumed = bookkeeper.reverse(run_id)
    complete_reversal(organisation, resumed)
    hold(admin, organisation)
    assert (bookkeeper.reverse(run_id)["outcome"], resumed["outcome"]) == ("replayed", "resumed")
    assert refusal(lambda: bookkeeper.reverse(resumed["run"]["run_id"])) == (
        "PT409",
        "run_not_reversible",
    )


def test_confirming_and_voiding_go_on(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """They export nothing: an admin must be able to clear up during a hold."""
    organisation.add_claims(2)
    run_id = complete(organisation, begin(coordinator, organisation))["run"]["run_id"]
    hold(admin, organisation)

    Bookkeeper(admin).confirm(run_id, "refused", [{"voucher_number": 1}])
    assert Bookkeeper(admin).void(run_id)["released"] is True


@pytest.mark.parametrize("how", ["failing", "voiding"])
def test_letting_claims_go_goes_on(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: psycopg.Connection,
    how: str,
) -> None:
    """The sweep is handed runs that only free claims, and may take a dead worker's failing run over."""
    organisation.add_claims(5)
    begun = begin(coordinator, organisation)
    pages_of_two(organisation)
    if how == "failing":
        Worker.of(organisation, service, begun).fail()
        organisation.expire_lease()
    else:
        Bookkeeper(admin).void(complete(organisation, begun)["run"]["run_id"])
    hold(admin, organisation)
    run_id = begun["run"]["run_id"]

    assert stalled(service) == [run_id]
    if how == "failing":
        assert take_over(service, organisation)["run"]["status"] == "releasing"
    while not call(service, "continue_export_release", p_run_id=run_id)["released"]:
        pass
    assert organisation.live_memberships() == {}


def test_repository_starts_no_run_of_the_engine(
    organisation: Organisation, service: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """It may be created, and does not go on to processing; failing it is fine."""
    [claim_id] = organisation.add_claims(1)
    hold(admin, organisation)
    run_id = new_run(service, organisation, "engine")

    assert refusal(lambda: set_status(service, run_id, "processing", [claim_id])) == HELD
    assert refusal(lambda: set_status(service, run_id, "processing", [])) == HELD
    assert organisation.live_memberships() == {}
    assert set_status(service, run_id, "failed", [])["status"] == "failed"


@pytest.mark.parametrize("steps", [["completed"], ["processing", "completed"]])
def test_what_was_exported_by_hand_is_recorded_during_a_hold(
    organisation: Organisation,
    service: psycopg.Connection,
    admin: psycopg.Connection,
    steps: list[str],
) -> None:
    """Files that a restored database forgot are matched while nothing else is exported."""
    [claim_id] = organisation.add_claims(1)
    hold(admin, organisation)
    run_id = new_run(service, organisation, "manual")

    for status in steps:
        token = organisation.execute("select fencing_token from public.export_locks")[0][0]
        call(
            service,
            "update_export_run_status",
            p_run_id=run_id,
            p_status=status,
            p_claim_ids=[claim_id],
            p_fencing_token=token if status == "completed" and len(steps) > 1 else None,
        )

    assert organisation.live_memberships() == {claim_id: [(only_run(organisation), "completed")]}


def test_recording_by_hand_beside_a_run_that_waits_says_what_to_do(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: psycopg.Connection,
) -> None:
    """The waiting run has the lock and the claims; once an admin has ended it they can be recorded."""
    [claim_id] = organisation.add_claims(1)
    waiting = begin(coordinator, organisation)["run"]["run_id"]
    hold(admin, organisation)
    run_id = new_run(service, organisation, "manual")

    with pytest.raises(psycopg.Error) as refused:
        set_status(service, run_id, "completed", [claim_id])
    assert refused.value.diag.message_detail == "lock_busy"
    assert "fail_export_run_by_admin" in (refused.value.diag.message_hint or "")

    call(
        service,
        "fail_export_run_by_admin",
        p_run_id=waiting,
        p_reason="Its file is in the accounting system.",
        p_actor="Ola",
    )
    assert set_status(service, run_id, "completed", [claim_id])["status"] == "completed"


def only_run(organisation: Organisation) -> Any:
    """The id of the organisation's one run."""
    [[run_id]] = organisation.execute("select id from public.export_runs")
    return run_id


def test_manual_run_that_takes_its_time_is_not_parked_during_a_hold(
    organisation: Organisation, service: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """The sweep is not handed it and cannot take it over."""
    [claim_id] = organisation.add_claims(1)
    hold(admin, organisation)
    run_id = new_run(service, organisation, "manual")
    set_status(service, run_id, "processing", [claim_id])
    organisation.expire_lease()

    assert stalled(service) == []
    assert refusal(lambda: take_over(service, organisation)) == HELD
    assert set_status(service, run_id, "completed", [claim_id])["status"] == "completed"


def test_organisation_without_a_target_is_held_in_advance(
    database: Database,
) -> None:
    """A target that is set up during the hold exports nothing until it is lifted."""
    bare = Organisation(database, name="New")
    bare.execute("insert into public.organizations (id, name) values (%s, %s)", bare.id, "New")
    admin = bare.as_user(bare.add_member("admin"))
    hold(admin, bare)
    bare.add_target("xledger")
    bare.add_claims(1)

    assert refusal(lambda: begin(admin, bare)) == HELD
    lift(admin, bare)
    assert begin(admin, bare)["outcome"] == "started"


def raced(first: psycopg.Connection, act: Callable[[], Any], waits_for: int) -> Any:
    """Start `act` in a thread, see it wait for a lock, commit `first`, and return what `act` came to."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(act)
        with psycopg.connect(first.info.dsn, password=first.info.password, autocommit=True) as eye:
            for _ in range(500):
                waiting = eye.execute(
                    "select 1 from pg_stat_activity where pid = %s and wait_event_type = 'Lock'",
                    [waits_for],
                ).fetchone()
                if waiting or future.done():
                    break
                eye.execute("select pg_sleep(0.01)")
        assert not future.done(), "it must wait for the other transaction"
        first.commit()
        return future.result(timeout=30)


def test_hold_that_is_first_stops_the_complete_that_waits_for_it(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """The hold is placed while complete is on its way: complete waits for the hold and is refused by it."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation)
    service = organisation.as_service()
    worker = Worker.of(organisation, service, begun)
    file, summary = store_file(organisation, worker.run_id), summary_of(begun["claims"])
    holder = organisation.database.connect("postgres", autocommit=False)
    hold(holder, organisation, actor="Ola")

    def act() -> tuple[str | None, str | None]:
        return refusal(
            lambda: call(
                service,
                "complete_export_run",
                p_run_id=worker.run_id,
                p_fencing_token=worker.token,
                p_file=file,
                p_summary=summary,
                p_left_out=[],
            )
        )

    assert raced(holder, act, service.info.backend_pid) == HELD
    assert run_state(organisation, worker.run_id)[0] == "processing"


def test_first_target_waits_for_a_hold_in_the_making(database: Database) -> None:
    """An organisation without a target has no lock row yet: the hold makes it, so that nothing slips by beside it."""
    bare = Organisation(database, name="New")
    bare.execute("insert into public.organizations (id, name) values (%s, %s)", bare.id, "New")
    holder = database.connect("postgres", autocommit=False)
    hold(holder, bare, actor="Ola")
    editor = database.connect("postgres")
    target = (
        "insert into public.export_targets (organization_id, target, format, settings, time_zone)"
        " values (%s, 'dynamics', 'dynamics_bc_csv', '{}', 'Europe/Oslo')"
    )

    raced(holder, lambda: editor.execute(target, [bare.id]), editor.info.backend_pid)

    assert refusal(lambda: begin(bare.as_user(bare.add_member()), bare)) == HELD


def test_complete_that_is_first_is_waited_for_by_the_hold(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """The hold answers after the run is completed, and names no run that waits."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation)
    service = organisation.database.connect("service_role", autocommit=False)
    worker = Worker.of(organisation, service, begun)
    worker.complete(begun["claims"])

    answer = raced(service, lambda: hold(admin, organisation), admin.info.backend_pid)

    assert answer["unfinished_run"] is None
    assert run_state(organisation, worker.run_id)[0] == "completed"


@pytest.mark.parametrize("asker", ["begin", "take_over"])
def test_hold_in_the_making_lets_nobody_in(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    asker: str,
) -> None:
    """A begin or takeover beside a hold that is not committed yet is busy soon, and refused afterwards."""
    organisation.add_claims(2)
    if asker == "take_over":
        begin(coordinator, organisation)
        organisation.expire_lease()
    holder = organisation.database.connect("postgres", autocommit=False)
    hold(holder, organisation, actor="Ola")

    def ask() -> dict[str, Any]:
        if asker == "begin":
            return begin(coordinator, organisation)
        return take_over(service, organisation)

    assert ask()["outcome"] == "busy"
    holder.commit()
    assert refusal(ask) == HELD


def test_begin_that_waited_for_the_hold_is_refused(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """It looked before the hold was there, and looks again when it has the lock row."""
    organisation.add_claims(1)
    organisation.execute(
        "create or replace function export_engine.begin_patience() returns text language sql immutable return '20s'"
    )
    holder = organisation.database.connect("postgres", autocommit=False)
    hold(holder, organisation, actor="Ola")

    answer = raced(
        holder,
        lambda: refusal(lambda: begin(coordinator, organisation)),
        coordinator.info.backend_pid,
    )

    assert answer == HELD
    assert organisation.live_memberships() == {}


def test_begin_waits_for_no_lock_to_say_that_there_is_a_hold(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """A hundred phones that ask during a hold need no lock row, and are not told to come back soon."""
    organisation.add_claims(1)
    hold(admin, organisation)
    other = organisation.database.connect("postgres", autocommit=False)
    other.execute("select from public.export_locks for update")

    assert refusal(lambda: begin(coordinator, organisation)) == HELD


def test_dashboard_names_what_is_on_hold(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """Who, why and what to do, in the list of holds and in the list of what needs attention; the waiting run says so too."""
    organisation.add_claims(1)
    begin(coordinator, organisation)
    organisation.expire_lease()
    hold(admin, organisation)

    what_to_do = (
        "Nothing is exported. Settle the reason, then:"
        f" select lift_export_hold('{organisation.id}', null, '<who you are>')."
    )
    assert coordinator.execute(
        "select organization, what, claim_number, cause, reason, held_by, what_to_do"
        " from public.export_holds_standing"
    ).fetchall() == [
        ("Blindeforbundet", "organisation", None, "by_hand", REASON, "Ingrid Vik", what_to_do)
    ]
    assert coordinator.execute(
        "select kind, what, what_to_do, how_many from public.export_needs_attention order by kind"
    ).fetchall() == [
        ("held_organization", f"On hold by Ingrid Vik: {REASON}", what_to_do, 1),
        (
            "stuck_run",
            "Run 1 is processing.",
            (
                "Waits, because the organisation is on hold. It goes on after lift_export_hold;"
                " fail_export_run_by_admin ends it."
            ),
            1,
        ),
    ]

    lift(admin, organisation)
    assert admin.execute("select count(*) from public.export_holds_standing").fetchone() == (0,)
    assert coordinator.execute("select kind from public.export_needs_attention").fetchall() == [
        ("stuck_run",)
    ]
