"""Ways around the main road: manual runs, changed configuration, poison data, repeated calls in flight, stored files."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.organisation import Organisation, begin, call, complete, store_file, summary_of


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def service(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_service()


def refusal(error: pytest.ExceptionInfo[psycopg.Error]) -> str | None:
    return error.value.diag.message_detail


def manual_run(service: psycopg.Connection, organisation: Organisation) -> dict[str, Any]:
    return call(
        service,
        "create_export_run",
        p_organization_id=organisation.id,
        p_triggered_by=None,
        p_format="xledger_gl02b",
        p_origin="manual",
    )


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


def test_manual_run_never_becomes_a_file(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Claims that were booked by hand are not rendered, neither by its holder nor by whoever triggers after the lease is over."""
    [claim_id] = organisation.add_claims(1)
    started = set_status(service, manual_run(service, organisation), "processing", [claim_id])
    with pytest.raises(psycopg.Error) as error:
        call(
            service,
            "complete_export_run",
            p_run_id=started["run_id"],
            p_fencing_token=started["fencing_token"],
            p_file=store_file(organisation, started["run_id"]),
            p_summary=summary_of([]),
            p_left_out=[],
        )
    organisation.expire_lease()

    answer = begin(coordinator, organisation)

    assert refusal(error) == "run_is_manual"
    assert (answer["outcome"], answer["parked_run"]["run_id"]) == (
        "nothing_to_export",
        started["run_id"],
    )
    assert organisation.live_memberships() == {claim_id: [(UUID(started["run_id"]), "parked")]}
    [(advice,)] = organisation.execute("select what_to_do from public.export_runs_stuck")
    assert advice.startswith("Recorded by hand")


def test_manual_run_is_recorded_in_one_step(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """Pending -> completed in one call leaves no lease open in between."""
    [claim_id] = organisation.add_claims(1)

    done = set_status(service, manual_run(service, organisation), "completed", [claim_id])

    assert (done["status"], done["claim_count"]) == ("completed", 1)
    assert organisation.execute("select run_id from public.export_locks") == [(None,)]


@pytest.mark.parametrize(
    "change",
    [
        "update public.export_targets set is_enabled = false",
        "delete from public.export_targets",
    ],
)
def test_dead_run_is_finished_although_its_target_is_gone(
    organisation: Organisation, coordinator: psycopg.Connection, change: str
) -> None:
    """A changed configuration never strands a run that has begun."""
    organisation.add_claims(1)
    begin(coordinator, organisation)
    organisation.expire_lease()
    organisation.execute(change)

    resumed = begin(coordinator, organisation)

    assert resumed["outcome"] == "resumed"
    assert complete(organisation, resumed)["run"]["status"] == "completed"


def test_replay_does_not_depend_on_todays_configuration(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """The same key with the same request gets the same run, whatever became of the targets since."""
    organisation.add_claims(1)
    first = begin(coordinator, organisation, key="tap-1")
    complete(organisation, first)

    answers = []
    for change in (
        "update public.export_targets set is_enabled = false",
        (
            "insert into public.export_targets (organization_id, target, format)"
            " select organization_id, 'dynamics', 'dynamics_bc_csv' from public.export_targets"
        ),
        "update public.export_targets set is_enabled = true",
    ):
        organisation.execute(change)
        answers.append(begin(coordinator, organisation, key="tap-1"))

    assert [(a["outcome"], a["run"]["run_id"]) for a in answers] == [
        ("replayed", first["run"]["run_id"])
    ] * 3


def test_only_target_switched_off_says_so(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Nobody is asked to name a target when the only one is switched off."""
    organisation.execute("update public.export_targets set is_enabled = false")

    with pytest.raises(psycopg.Error) as error:
        begin(coordinator, organisation)

    assert refusal(error) == "target_disabled"


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity", "10000000000"])
def test_amounts_that_are_no_money_are_refused_when_saved(
    organisation: Organisation, amount: str
) -> None:
    """A line's amount is a number that fits."""
    with pytest.raises(psycopg.Error):
        organisation.add_claim([("receipt", amount)])


def test_absurd_sums_stop_nobody(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A claim whose sum is huge, or no number, neither stops begin nor poisons the run's totals."""
    good = organisation.add_claim([("receipt", "1.00")])
    organisation.add_claim([("receipt", "9999999999.99")] * 101)
    organisation.execute(
        "alter table public.expense_claim_lines drop constraint expense_claim_lines_amount_check"
    )
    nan = organisation.add_claim([("receipt", "NaN")])

    begun = begin(coordinator, organisation)

    totals = {claim["claim_id"]: claim["document"]["total"] for claim in begun["claims"]}
    assert (totals[str(good)], totals[str(nan)], len(totals)) == ("1.00", "0.00", 3)
    assert complete(organisation, begun)["run"]["totals"] == {"NOK": "1009999999999.99"}


def in_flight(
    organisation: Organisation, first: Callable[[psycopg.Connection], Any], again: Callable[[], Any]
) -> Any:
    """Run a call, repeat it while the first is not committed yet, commit the first; return the repeated answer."""
    slow = organisation.database.connect("service_role", autocommit=False)
    first(slow)
    with ThreadPoolExecutor(1) as pool:
        repeated = pool.submit(again)
        time.sleep(0.3)
        slow.commit()
        return repeated.result()


def test_complete_repeated_while_the_first_runs_says_so_again(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A client that repeats too early waits and is told that the run is completed."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    run_id = begun["run"]["run_id"]
    request = {
        "p_run_id": run_id,
        "p_fencing_token": begun["fencing_token"],
        "p_file": store_file(organisation, run_id),
        "p_summary": summary_of(begun["claims"]),
        "p_left_out": [],
    }

    def again() -> dict[str, Any]:
        with organisation.as_service() as service:
            return call(service, "complete_export_run", **request)

    answer = in_flight(
        organisation, lambda slow: call(slow, "complete_export_run", **request), again
    )

    assert answer["run"]["status"] == "completed"


def test_fail_repeated_while_the_first_runs_says_so_again(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """The same for fail."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    request = {
        "p_run_id": begun["run"]["run_id"],
        "p_fencing_token": begun["fencing_token"],
        "p_error_code": "x_failed",
        "p_error_detail": {},
        "p_left_out": [],
    }

    def again() -> dict[str, Any]:
        with organisation.as_service() as service:
            return call(service, "fail_export_run", **request)

    answer = in_flight(organisation, lambda slow: call(slow, "fail_export_run", **request), again)

    assert (answer["released"], answer["run"]["status"]) == (True, "failed")


@pytest.mark.parametrize("code", [None, "", "Not a code"])
def test_run_fails_for_a_stated_reason(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    code: str | None,
) -> None:
    """A failure without a code would be a riddle for the admin."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)

    with pytest.raises(psycopg.Error) as error:
        call(
            service,
            "fail_export_run",
            p_run_id=begun["run"]["run_id"],
            p_fencing_token=1,
            p_error_code=code,
            p_error_detail={},
            p_left_out=[],
        )

    assert refusal(error) == "reason_required"


def test_naming_a_claim_that_is_being_edited_waits_for_nobody(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """The organisation's lock is never held while an editor takes her time."""
    [claim_id] = organisation.add_claims(1)
    run = manual_run(service, organisation)
    editor = organisation.database.connect("postgres", autocommit=False)
    editor.execute("update public.expense_claims set purpose = 'Ny'")
    service.execute("set statement_timeout = '1s'")

    with pytest.raises(psycopg.Error) as error:
        set_status(service, run, "processing", [claim_id])

    assert refusal(error) == "claims_not_reservable"


def test_invocation_of_a_colleague_opens_nothing(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Who names another person's invocation is refused, and the column is not readable anyway."""
    organisation.add_claims(1)
    invocation = uuid4()
    begin(coordinator, organisation, invocation=invocation)
    colleague = organisation.as_user(organisation.add_member())

    with pytest.raises(psycopg.Error) as error:
        begin(colleague, organisation, invocation=invocation)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        colleague.execute("select holder_id from public.export_locks")

    assert refusal(error) == "run_locked"


def test_system_export_for_a_member_is_completed_at_the_first_attempt(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """An approver who is no coordinator may cause an automatic export: the system does the work."""
    organisation.add_claims(1)
    begun = call(
        service,
        "begin_export_as_service",
        p_organization_id=organisation.id,
        p_target=None,
        p_period_from=None,
        p_period_to="2026-10-31",
        p_idempotency_key=None,
        p_invocation_id=uuid4(),
        p_trigger="webhook",
        p_triggered_by=organisation.add_member("member", "Åse Ødegård"),
    )

    run = complete(organisation, begun)["run"]

    assert (run["status"], run["triggered_by_name"]) == ("completed", "Åse Ødegård")


def test_take_over_of_an_unknown_organisation_finds_nothing(service: psycopg.Connection) -> None:
    """There is nothing to resume where there never was an export."""
    answer = call(
        service, "take_over_export_run", p_organization_id=uuid4(), p_invocation_id=uuid4()
    )

    assert answer["outcome"] == "nothing_to_resume"


def test_repository_refuses_a_target_that_is_switched_off(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """A switched-off target gets no new runs, except records of what was exported by hand."""
    organisation.execute("update public.export_targets set is_enabled = false")

    with pytest.raises(psycopg.Error) as error:
        call(
            service,
            "create_export_run",
            p_organization_id=organisation.id,
            p_triggered_by=None,
            p_format="xledger_gl02b",
        )

    assert refusal(error) == "target_disabled"
    assert manual_run(service, organisation)["status"] == "pending"


@pytest.mark.parametrize(
    "edit",
    [
        "update storage.objects set name = 'elsewhere.csv'",
        "update storage.objects set version = 'other'",
        "select set_config('storage.allow_delete_query', 'true', true); delete from storage.objects",
    ],
)
def test_stored_file_of_a_completed_run_is_kept(
    organisation: Organisation, coordinator: psycopg.Connection, edit: str
) -> None:
    """Neither the storage browser nor the service key changes or removes it; an orphan may go."""
    organisation.add_claims(1)
    run = complete(organisation, begin(coordinator, organisation))["run"]
    with organisation.database.connect("supabase_admin", autocommit=False) as superuser:
        with pytest.raises(psycopg.Error) as error:
            superuser.execute(edit.encode())
        superuser.rollback()
        superuser.execute(
            "insert into storage.objects (bucket_id, name) values ('exports', 'orphan.csv')"
        )
        superuser.execute("select set_config('storage.allow_delete_query', 'true', true)")
        superuser.execute("delete from storage.objects where name = 'orphan.csv'")

    assert refusal(error) == "history_is_protected"
    assert organisation.execute("select name from storage.objects") == [(run["file"]["path"],)]


def test_wide_policy_of_the_adopter_does_not_open_the_bucket(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Restrictive policies hold where a project lets its users upload everywhere."""
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute(
            'create policy "Everybody uploads" on storage.objects for all to authenticated using (true) with check (true)'
        )
    organisation.add_claims(1)
    complete(organisation, begin(coordinator, organisation))

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        coordinator.execute("insert into storage.objects (bucket_id, name) values ('exports', 'x')")
    assert coordinator.execute("update storage.objects set name = 'y' returning 1").fetchall() == []


def test_run_with_a_file_of_another_size_is_not_completed(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """The bucket's own record of the size must agree."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    run_id = begun["run"]["run_id"]
    file = store_file(organisation, run_id)
    organisation.execute("update storage.objects set metadata = '{\"size\": 11}'")

    with pytest.raises(psycopg.Error) as error:
        call(
            service,
            "complete_export_run",
            p_run_id=run_id,
            p_fencing_token=1,
            p_file=file,
            p_summary=summary_of(begun["claims"]),
            p_left_out=[],
        )

    assert refusal(error) == "file_not_stored"


def test_large_failure_releases_each_page_once(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Releasing goes on by position and ends, also over claims that were left out before."""
    organisation.execute(
        "create or replace function export_engine.page_size() returns integer language sql immutable return 2"
    )
    organisation.add_claims(5)
    begun = begin(coordinator, organisation)
    token = {"p_run_id": begun["run"]["run_id"], "p_fencing_token": begun["fencing_token"]}
    for position in (2, 4):
        call(service, "reserve_export_page", **token, p_after_position=position)
    reason = {
        "claim_id": begun["claims"][1]["claim_id"],
        "code": "no_lines",
        "field": "lines",
        "message": "No.",
    }
    call(service, "leave_out_export_claims", **token, p_left_out=[reason])

    released = []
    for _ in range(3):
        answer = call(
            service,
            "fail_export_run",
            **token,
            p_error_code="x_failed",
            p_error_detail={},
            p_left_out=[],
        )
        released.append(answer["released"])

    assert released == [False, False, True]
    assert organisation.execute(
        "select outcome, count(*) from public.export_run_claims group by 1 order by 1"
    ) == [
        ("left_out", 1),
        ("released", 4),
    ]
