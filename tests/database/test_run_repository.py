"""The six operations of the run repository, as SQL functions."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.organisation import Organisation, begin, call, complete


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def service(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_service()


def create(
    service: psycopg.Connection, organisation: Organisation, **arguments: object
) -> dict[str, Any]:
    return call(
        service,
        "create_export_run",
        **{
            "p_organization_id": organisation.id,
            "p_triggered_by": None,
            "p_format": "xledger_gl02b",
            **arguments,
        },
    )


def update(
    service: psycopg.Connection,
    run: dict[str, Any],
    status: str,
    claim_ids: list[UUID],
    **arguments: object,
) -> dict[str, Any]:
    return call(
        service,
        "update_export_run_status",
        p_run_id=run["run_id"],
        p_status=status,
        p_claim_ids=claim_ids,
        **arguments,
    )


def refusal(error: pytest.ExceptionInfo[psycopg.Error]) -> str | None:
    return error.value.diag.message_detail


def test_create_makes_a_pending_run_and_the_format_names_the_target(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """create_export_run: status pending, target from the format, its own running number."""
    user_id = organisation.add_member(name="Kåre Åsen")

    run = create(service, organisation, p_triggered_by=user_id)

    assert (run["status"], run["target"], run["run_number"], run["attempt"]) == (
        "pending",
        "xledger",
        1,
        0,
    )
    assert (run["triggered_by"], run["triggered_by_name"]) == (str(user_id), "Kåre Åsen")
    assert create(service, organisation)["run_number"] == 2


def test_create_refuses_a_format_that_is_not_configured(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """An organisation exports in its own formats only."""
    with pytest.raises(psycopg.Error) as error:
        create(service, organisation, p_format="dynamics_bc_csv")

    assert refusal(error) == "format_not_configured"


def test_manual_run_goes_from_pending_to_completed(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """What was exported by hand is recorded with exactly its claims; the rest is released and exported later."""
    kept, released = organisation.add_claims(2)
    run = create(service, organisation, p_origin="manual")

    started = update(service, run, "processing", [kept, released])
    finished = update(
        service, started, "completed", [kept], p_fencing_token=started["fencing_token"]
    )

    assert (started["status"], started["reserved_count"]) == ("processing", 2)
    assert (finished["status"], finished["claim_count"], finished["totals"]) == (
        "completed",
        1,
        {"NOK": "100.00"},
    )
    assert organisation.live_memberships() == {kept: [(UUID(run["run_id"]), "completed")]}
    next_run = begin(organisation.as_user(organisation.add_member()), organisation)
    assert [claim["claim_id"] for claim in next_run["claims"]] == [str(released)]


def test_engine_run_is_not_completed_without_its_file(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """Completed without a stored hash is refused unless the run was exported by hand."""
    [claim_id] = organisation.add_claims(1)
    started = update(service, create(service, organisation), "processing", [claim_id])

    with pytest.raises(psycopg.Error) as error:
        update(service, started, "completed", [claim_id], p_fencing_token=started["fencing_token"])

    assert refusal(error) == "no_stored_file"


def test_run_started_by_the_repository_is_completed_by_the_guard(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A pending run that was started and abandoned is resumed by the next trigger like any other."""
    [claim_id] = organisation.add_claims(1)
    run = create(service, organisation)
    update(service, run, "processing", [claim_id])
    organisation.expire_lease()

    resumed = begin(coordinator, organisation)

    assert (resumed["outcome"], resumed["run"]["run_id"]) == ("resumed", run["run_id"])
    assert complete(organisation, resumed)["run"]["status"] == "completed"


def test_claims_that_cannot_be_reserved_refuse_the_whole_update(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """Unapproved, foreign, unknown and already exported claims: named, and nothing is changed."""
    [claim_id] = organisation.add_claims(1)
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    [foreign] = other.add_claims(1)
    draft = organisation.add_claim(status="draft")
    run = create(service, organisation)

    exported = organisation.add_claim()
    with organisation.as_service() as other_service:
        manual = create(other_service, organisation, p_origin="manual")
        taken = update(other_service, manual, "processing", [exported])
        update(
            other_service, taken, "completed", [exported], p_fencing_token=taken["fencing_token"]
        )

    for bad in (foreign, draft, exported, uuid4()):
        with pytest.raises(psycopg.Error) as error:
            update(service, run, "processing", [claim_id, bad])
        assert refusal(error) == "claims_not_reservable"
        assert str(bad) in str(error.value)

    assert organisation.execute("select status from public.export_runs order by run_number") == [
        ("pending",),
        ("completed",),
    ]
    assert organisation.execute(
        "select run_id from public.export_locks where organization_id = %s", organisation.id
    ) == [(None,)]


def test_final_claims_must_have_been_reserved(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """claim_ids is a subset of what the run reserved."""
    reserved, other = organisation.add_claims(2)
    started = update(
        service, create(service, organisation, p_origin="manual"), "processing", [reserved]
    )

    with pytest.raises(psycopg.Error) as error:
        update(
            service,
            started,
            "completed",
            [reserved, other],
            p_fencing_token=started["fencing_token"],
        )

    assert refusal(error) == "claims_not_in_run"


def test_failed_releases_every_claim(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """Failed keeps no claims, and says why."""
    claim_ids = organisation.add_claims(2)
    started = update(service, create(service, organisation), "processing", claim_ids)
    token = started["fencing_token"]
    with pytest.raises(psycopg.Error) as error:
        update(service, started, "failed", claim_ids, p_fencing_token=token)

    failed = update(service, started, "failed", [], p_fencing_token=token, p_error_code="given_up")

    assert refusal(error) == "claims_not_in_run"
    assert (failed["status"], failed["error_code"]) == ("failed", "given_up")
    assert organisation.live_memberships() == {}


def test_pending_run_can_be_given_up(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """A run that never began can be failed, and then deleted."""
    run = create(service, organisation)

    assert update(service, run, "failed", [])["status"] == "failed"


@pytest.mark.parametrize("status", ["pending", "completed", "voided", "parked", "nonsense"])
def test_illegal_transitions_are_refused(
    organisation: Organisation, service: psycopg.Connection, status: str
) -> None:
    """A pending run becomes processing or failed, nothing else."""
    run = create(service, organisation)

    with pytest.raises(psycopg.Error) as error:
        update(service, run, status, [])

    assert (error.value.sqlstate, refusal(error)) == ("PT409", "illegal_transition")


def test_locked_run_needs_its_token(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """While a worker is alive nobody else changes its run; afterwards anybody may end it, and the worker is fenced off."""
    [claim_id] = organisation.add_claims(1)
    started = update(service, create(service, organisation), "processing", [claim_id])
    with pytest.raises(psycopg.Error) as error:
        update(service, started, "failed", [])
    organisation.expire_lease()

    assert refusal(error) == "run_locked"
    assert update(service, started, "failed", [])["status"] == "failed"
    with pytest.raises(psycopg.Error) as zombie:
        call(
            service,
            "renew_export_lock",
            p_run_id=started["run_id"],
            p_fencing_token=started["fencing_token"],
        )
    assert refusal(zombie) == "stale_token"


def test_starting_a_run_while_another_is_unfinished_is_refused(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """One run of an organisation at a time, also through the repository."""
    organisation.add_claims(1)
    begin(coordinator, organisation)

    with pytest.raises(psycopg.Error) as error:
        update(service, create(service, organisation), "processing", [])

    assert refusal(error) == "lock_busy"


def test_of_two_concurrent_updates_one_wins(organisation: Organisation) -> None:
    """Two processes complete the same run at once: one completes it, the other is told that it is too late."""
    for _ in range(5):
        [claim_id] = organisation.add_claims(1)
        with organisation.as_service() as service:
            started = update(
                service, create(service, organisation, p_origin="manual"), "processing", [claim_id]
            )

        def finish(_: int, run: dict[str, Any] = started, kept: UUID = claim_id) -> str:
            with organisation.as_service() as service:
                try:
                    return str(
                        update(
                            service, run, "completed", [kept], p_fencing_token=run["fencing_token"]
                        )["status"]
                    )
                except psycopg.Error as error:
                    return str(error.diag.message_detail)

        with ThreadPoolExecutor(2) as pool:
            outcomes = sorted(pool.map(finish, range(2)))

        assert outcomes == ["completed", "stale_token"]


def test_history_is_newest_first_and_walks_by_offset(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """get_export_history: newest first, limit and offset, each run once, also at equal timestamps."""
    runs = [create(service, organisation)["run_id"] for _ in range(5)]
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute("update public.export_runs set created_at = '2026-10-01'")

    pages = [
        call(
            coordinator,
            "get_export_history",
            p_organization_id=organisation.id,
            p_limit=2,
            p_offset=offset,
        )["runs"]
        for offset in (0, 2, 4)
    ]

    assert [run["run_id"] for page in pages for run in page] == runs[::-1]


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (201, 0), (10, -1), (None, 0)])
def test_history_refuses_absurd_pages(
    organisation: Organisation, coordinator: psycopg.Connection, limit: int | None, offset: int
) -> None:
    """Limit is 1 to 200, offset is not negative."""
    with pytest.raises(psycopg.Error) as error:
        call(
            coordinator,
            "get_export_history",
            p_organization_id=organisation.id,
            p_limit=limit,
            p_offset=offset,
        )

    assert (error.value.sqlstate, refusal(error)) == ("PT400", "limit_out_of_range")


def test_find_runs_by_claim_id_includes_failed_and_deleted_runs(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """The search for doubles sees every run a claim was ever in, deleted ones marked."""
    [claim_id] = organisation.add_claims(1)
    failed = begin(coordinator, organisation)
    call(
        service,
        "fail_export_run",
        p_run_id=failed["run"]["run_id"],
        p_fencing_token=failed["fencing_token"],
        p_error_code="x_failed",
        p_error_detail={},
        p_left_out=[],
    )
    begun = begin(coordinator, organisation)
    complete(organisation, begun)
    call(
        service,
        "delete_export_run",
        p_run_id=begun["run"]["run_id"],
        p_deleted_by=None,
        p_reason="double entry",
    )

    runs = call(service, "find_runs_by_claim_id", p_claim_id=claim_id)["runs"]

    assert [(run["status"], run["deleted"], run["membership"]["outcome"]) for run in runs] == [
        ("failed", False, "released"),
        ("completed", True, "included"),
    ]


def test_deleting_hides_from_history_and_frees_no_claim(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Delete is soft: the run leaves the usual history, its claims stay exported."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    complete(organisation, begun)
    request = {"p_run_id": begun["run"]["run_id"], "p_deleted_by": None, "p_reason": "by mistake"}

    first = call(service, "delete_export_run", **request)
    second = call(service, "delete_export_run", **request)

    assert first["deleted"] is True
    assert second == first
    history = {"p_organization_id": organisation.id}
    assert call(coordinator, "get_export_history", **history)["runs"] == []
    assert (
        len(call(coordinator, "get_export_history", **history, p_include_deleted=True)["runs"]) == 1
    )
    assert begin(coordinator, organisation)["outcome"] == "nothing_to_export"


def test_deleting_needs_a_finished_run_and_a_reason(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """An unfinished run is not deleted, nor one without a reason."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    request = {"p_run_id": begun["run"]["run_id"], "p_deleted_by": None}
    with pytest.raises(psycopg.Error) as unfinished:
        call(service, "delete_export_run", **request, p_reason="x")
    complete(organisation, begun)
    with pytest.raises(psycopg.Error) as no_reason:
        call(service, "delete_export_run", **request, p_reason="")

    assert refusal(unfinished) == "run_unfinished"
    assert refusal(no_reason) == "reason_required"


def test_run_detail_has_events_in_order(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """get_export_run tells what happened, in order, by whom."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    complete(organisation, begun)

    detail = call(coordinator, "get_export_run", p_run_id=begun["run"]["run_id"])

    assert [event["event"] for event in detail["events"]] == [
        "created",
        "started",
        "page_reserved",
        "sealed",
        "completed",
    ]
    assert {event["actor"] for event in detail["events"]} == {"Kåre Åsen"}


def test_unknown_and_foreign_runs_get_the_same_404(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A run of another organisation does not exist for a stranger."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    stranger = other.as_user(other.add_member("admin"))
    with pytest.raises(psycopg.Error) as foreign:
        call(stranger, "get_export_run", p_run_id=begun["run"]["run_id"])
    with pytest.raises(psycopg.Error) as unknown:
        call(stranger, "get_export_run", p_run_id=uuid4())

    assert (foreign.value.sqlstate, refusal(foreign)) == ("PT404", "run_not_found")
    assert str(foreign.value) == str(unknown.value)
    assert call(stranger, "find_runs_by_claim_id", p_claim_id=begun["claims"][0]["claim_id"]) == {
        "runs": []
    }


def test_find_runs_by_claim_id_uses_one_index(organisation: Organisation) -> None:
    """The hot path is one look-up in the claim's index and never scans the memberships."""
    plan = "\n".join(
        row[0]
        for row in organisation.execute(
            "explain select m.run_id from public.export_run_claims m where m.claim_id = %s", uuid4()
        )
    )

    assert "export_run_claims_claim_id_run_id_idx" in plan or "export_run_claims_live_key" in plan


def test_completed_reversal_lets_a_claim_be_entered_again_as_the_next_generation(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A claim stays entered until the run that reverses it is completed; then it is eligible as generation 2."""
    [claim_id] = organisation.add_claims(1)
    complete(organisation, begin(coordinator, organisation))
    reversing = update(service, create(service, organisation, p_origin="manual"), "processing", [])
    owner = organisation.database.connect("postgres", autocommit=False)
    owner.execute("select export_engine.open_for_writing()")
    owner.execute(
        "insert into public.export_run_claims (run_id, position, organization_id, claim_id, kind, generation,"
        " voucher_number, document, amount, currency) select %s, 1, organization_id, claim_id, 'reversal', 1, 2,"
        " document, amount, currency from public.export_run_claims",
        [reversing["run_id"]],
    )
    owner.commit()
    entered = "select claim_id from export_engine.entered_claims"
    assert organisation.execute(entered) == [(claim_id,)]

    update(service, reversing, "completed", [claim_id], p_fencing_token=reversing["fencing_token"])

    assert organisation.execute(entered) == []
    again = begin(coordinator, organisation)
    assert [claim["generation"] for claim in again["claims"]] == [2]
    assert complete(organisation, again)["run"]["status"] == "completed"
    assert begin(coordinator, organisation)["outcome"] == "nothing_to_export"


def test_of_two_pending_runs_started_at_once_one_wins(organisation: Organisation) -> None:
    """While one run is being started, the start of another waits and is then refused: never two holders."""
    first_claim, second_claim = organisation.add_claims(2)
    with organisation.as_service() as service:
        first, second = create(service, organisation), create(service, organisation)
    starting = organisation.database.connect("service_role", autocommit=False)
    update(starting, first, "processing", [first_claim])

    def start_second() -> str:
        with organisation.as_service() as service:
            try:
                return str(update(service, second, "processing", [second_claim])["status"])
            except psycopg.Error as error:
                return str(error.diag.message_detail)

    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(start_second)
        time.sleep(0.3)
        starting.commit()

    assert late.result() == "lock_busy"
    assert organisation.execute("select run_id from public.export_locks") == [
        (UUID(first["run_id"]),)
    ]
