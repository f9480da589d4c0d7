"""Every write after begin demands the current fencing token; complete and fail say what they did, as often as asked."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from stack.database import Database
from tests.database.voiding import void
from tests.database.whole_history import whole_history
from tests.organisation import Organisation, begin, call, complete, store_file, summary_of

Write = Callable[[psycopg.Connection, Organisation, dict[str, Any], int], dict[str, Any]]


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def service(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_service()


def _reserve(
    service: psycopg.Connection, _: Organisation, begun: dict[str, Any], token: int
) -> dict[str, Any]:
    return call(
        service,
        "reserve_export_page",
        p_run_id=begun["run"]["run_id"],
        p_fencing_token=token,
        p_after_position=0,
    )


def _renew(
    service: psycopg.Connection, _: Organisation, begun: dict[str, Any], token: int
) -> dict[str, Any]:
    return call(
        service, "renew_export_lock", p_run_id=begun["run"]["run_id"], p_fencing_token=token
    )


def _release(
    service: psycopg.Connection, _: Organisation, begun: dict[str, Any], token: int
) -> dict[str, Any]:
    return call(
        service,
        "release_export_lock",
        p_run_id=begun["run"]["run_id"],
        p_fencing_token=token,
    )


def _leave_out(
    service: psycopg.Connection, _: Organisation, begun: dict[str, Any], token: int
) -> dict[str, Any]:
    return call(
        service,
        "leave_out_export_claims",
        p_run_id=begun["run"]["run_id"],
        p_fencing_token=token,
        p_left_out=[left_out(begun["claims"][0])],
    )


def _complete(
    service: psycopg.Connection, organisation: Organisation, begun: dict[str, Any], token: int
) -> dict[str, Any]:
    run_id = begun["run"]["run_id"]
    return call(
        service,
        "complete_export_run",
        p_run_id=run_id,
        p_fencing_token=token,
        p_file=store_file(organisation, run_id),
        p_summary=summary_of(begun["claims"]),
        p_left_out=[],
    )


def _fail(
    service: psycopg.Connection, _: Organisation, begun: dict[str, Any], token: int
) -> dict[str, Any]:
    return call(
        service,
        "fail_export_run",
        p_run_id=begun["run"]["run_id"],
        p_fencing_token=token,
        p_error_code="x_failed",
        p_error_detail={},
        p_left_out=[],
    )


def _update_status(
    service: psycopg.Connection, _: Organisation, begun: dict[str, Any], token: int
) -> dict[str, Any]:
    return call(
        service,
        "update_export_run_status",
        p_run_id=begun["run"]["run_id"],
        p_status="failed",
        p_claim_ids=[],
        p_fencing_token=token,
    )


WRITES: list[Write] = [_reserve, _renew, _release, _leave_out, _complete, _fail, _update_status]


def left_out(claim: dict[str, Any]) -> dict[str, Any]:
    return {
        "claim_id": claim["claim_id"],
        "code": "no_account_for_expense_type",
        "field": "lines[1].expense_type",
        "message": "No account is set for the expense type hotel.",
    }


def state(organisation: Organisation) -> list[tuple[Any, ...]]:
    """Everything that a refused write must leave alone."""
    return organisation.execute(
        "select r.id, r.status, r.attempt, r.fencing_token, r.left_out_count, r.reserved_count, r.file_sha256, l.holder_id, l.run_id,"
        " l.fencing_token, l.expires_at, (select count(*) from public.export_run_claims m where m.released_at is null),"
        " (select count(*) from public.export_run_events)"
        " from public.export_runs r join public.export_locks l using (organization_id) order by r.run_number"
    )


@pytest.mark.parametrize("write", WRITES)
def test_stale_token_changes_nothing_and_says_so(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    write: Write,
) -> None:
    """A worker that was taken over is refused at every door, and its successor's lock is untouched."""
    organisation.add_claims(2)
    old = begin(coordinator, organisation)
    organisation.expire_lease()
    begin(coordinator, organisation)
    store_file(organisation, old["run"]["run_id"])
    before = state(organisation)

    with pytest.raises(psycopg.Error) as error:
        write(service, organisation, old, old["fencing_token"])

    assert (error.value.sqlstate, error.value.diag.message_detail) == ("PT409", "stale_token")
    assert state(organisation) == before


@pytest.mark.parametrize("write", WRITES)
def test_token_from_the_future_is_refused(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    write: Write,
) -> None:
    """Only the current token passes, not a larger one."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation)

    with pytest.raises(psycopg.Error) as error:
        write(service, organisation, begun, begun["fencing_token"] + 1)

    assert error.value.diag.message_detail == "stale_token"


@pytest.mark.parametrize("write", WRITES)
def test_expired_lease_alone_refuses_nobody(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    write: Write,
) -> None:
    """Expiry only permits a takeover: a slow worker that nobody replaced goes on."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation)
    organisation.expire_lease()
    store_file(organisation, begun["run"]["run_id"])
    before = state(organisation)

    write(service, organisation, begun, begun["fencing_token"])

    assert state(organisation) != before


@pytest.mark.parametrize("write", [_reserve, _renew, _leave_out])
def test_accepted_write_renews_the_lease(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    write: Write,
) -> None:
    """A write is a sign of life."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation)
    organisation.expire_lease()

    write(service, organisation, begun, begun["fencing_token"])

    assert organisation.execute(
        "select expires_at > clock_timestamp() + interval '50 seconds' from public.export_locks"
    ) == [(True,)]


@pytest.mark.parametrize("write", WRITES)
def test_fenced_writes_are_closed_to_users(
    organisation: Organisation, coordinator: psycopg.Connection, write: Write
) -> None:
    """A coordinator's own token reaches none of the worker's writes."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        write(coordinator, organisation, begun, begun["fencing_token"])


@pytest.mark.parametrize("write", WRITES)
def test_unknown_run_is_not_found(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    write: Write,
) -> None:
    """A run that does not exist is a 404."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    unknown = {**begun, "run": {**begun["run"], "run_id": "00000000-0000-0000-0000-000000000001"}}

    with pytest.raises(psycopg.Error) as error:
        write(service, organisation, unknown, 1)

    assert (error.value.sqlstate, error.value.diag.message_detail) == ("PT404", "run_not_found")


def test_complete_writes_file_totals_and_state_and_frees_the_lock(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """After complete the run carries its file, its claims are exported, and the next export can begin."""
    organisation.add_claim([("mileage", "350.00"), ("toll", "56.50")])
    begun = begin(coordinator, organisation)

    run = complete(organisation, begun)["run"]

    assert (run["status"], run["claim_count"], run["totals"]) == ("completed", 1, {"NOK": "406.50"})
    assert run["file"]["sha256"] == "a" * 64
    assert run["completed_at"] is not None
    assert organisation.execute(
        "select holder_id, run_id, fencing_token from public.export_locks"
    ) == [(None, None, 1)]
    assert begin(coordinator, organisation)["outcome"] == "nothing_to_export"


def test_complete_says_so_again(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A lost reply at complete is harmless: the same hash gets the same answer, with any token."""
    organisation.add_claim()
    begun = begin(coordinator, organisation)
    first = complete(organisation, begun)
    events = organisation.execute("select count(*) from public.export_run_events")

    assert complete(organisation, begun) == first
    assert complete(organisation, begun, token=0) == first
    assert organisation.execute("select count(*) from public.export_run_events") == events


def test_complete_with_another_file_is_refused(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A completed run keeps its file; other bytes are refused."""
    organisation.add_claim()
    begun = begin(coordinator, organisation)
    complete(organisation, begun)

    with pytest.raises(psycopg.Error) as error:
        complete(organisation, begun, content_hash="b" * 64)

    assert error.value.diag.message_detail == "file_mismatch"


def test_complete_of_a_voided_run_is_refused(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A worker that wakes up after its run was completed and voided is told so, whatever its file, and changes nothing."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation)
    complete(organisation, begun)
    owner = organisation.database.connect()
    void(owner, begun["run"]["run_id"])
    store_file(organisation, begun["run"]["run_id"], "b" * 64)
    before = whole_history(owner)

    for content_hash in ("a" * 64, "b" * 64):
        with pytest.raises(psycopg.Error) as error:
            complete(organisation, begun, content_hash=content_hash)
        assert (error.value.sqlstate, error.value.diag.message_detail) == ("PT409", "run_is_voided")

    assert whole_history(owner) == before
    assert len(begin(coordinator, organisation)["claims"]) == 2


def test_complete_needs_the_object_in_the_bucket(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A run whose file was never stored does not count as exported."""
    organisation.add_claim()
    begun = begin(coordinator, organisation)
    run_id = begun["run"]["run_id"]
    file = {
        "path": f"{organisation.id}/{run_id}/{'c' * 64}.csv",
        "name": "x.csv",
        "sha256": "c" * 64,
        "size": 1,
        "content_type": "text/csv",
    }
    request = {
        "p_run_id": run_id,
        "p_fencing_token": 1,
        "p_summary": summary_of(begun["claims"]),
        "p_left_out": [],
    }

    with pytest.raises(psycopg.Error) as missing:
        call(service, "complete_export_run", p_file=file, **request)
    with pytest.raises(psycopg.Error) as elsewhere:
        call(
            service,
            "complete_export_run",
            p_file={**file, "path": f"other/{run_id}/{'c' * 64}.csv"},
            **request,
        )

    assert missing.value.diag.message_detail == "file_not_stored"
    assert elsewhere.value.diag.message_detail == "file_path_mismatch"


@pytest.mark.parametrize(
    "change",
    [
        {"claim_count": 1},
        {"totals": {"NOK": "199.99"}},
        {"totals": {}},
        {"totals": {"NOK": "200.00", "EUR": "1.00"}},
        {"totals": None},
    ],
)
def test_complete_compares_counts_and_totals(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    change: dict[str, Any],
) -> None:
    """A file that does not hold what the run reserved is refused, and the run goes on."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation)
    run_id = begun["run"]["run_id"]

    with pytest.raises(psycopg.Error) as error:
        call(
            service,
            "complete_export_run",
            p_run_id=run_id,
            p_fencing_token=1,
            p_file=store_file(organisation, run_id),
            p_summary={**summary_of(begun["claims"]), **change},
            p_left_out=[],
        )

    assert error.value.diag.message_detail == "totals_mismatch"
    assert organisation.execute("select status from public.export_runs") == [("processing",)]


def test_left_out_claims_are_released_with_their_reason(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Complete releases what was left out, with code and field, and counts only the rest."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation)
    run_id, out, kept = begun["run"]["run_id"], begun["claims"][0], begun["claims"][1]

    answer = call(
        service,
        "complete_export_run",
        p_run_id=run_id,
        p_fencing_token=1,
        p_file=store_file(organisation, run_id),
        p_summary=summary_of([kept]),
        p_left_out=[left_out(out)],
    )

    assert (answer["run"]["claim_count"], answer["run"]["left_out_count"]) == (1, 1)
    [reported] = call(service, "get_export_run", p_run_id=run_id)["left_out"]
    assert reported == {**left_out(out), "claim_number": out["document"]["claim_number"]}
    organisation.execute(
        "update public.expense_claims set purpose = 'Rettet' where id = %s", out["claim_id"]
    )
    again = begin(coordinator, organisation)
    assert [claim["claim_id"] for claim in again["claims"]] == [out["claim_id"]]
    assert again["claims"][0]["voucher_number"] == 3, "a number is never given twice"


def test_only_claims_of_the_run_can_be_left_out(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A claim of another run, or none at all, is refused."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    stranger = {**left_out(begun["claims"][0]), "claim_id": "00000000-0000-0000-0000-000000000001"}

    with pytest.raises(psycopg.Error) as error:
        call(
            service,
            "leave_out_export_claims",
            p_run_id=begun["run"]["run_id"],
            p_fencing_token=1,
            p_left_out=[stranger],
        )

    assert error.value.diag.message_detail == "claims_not_in_run"


def test_all_left_out_cannot_be_completed(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """An export without claims yields no file: the run must be failed, and then lists the reasons."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    run_id = begun["run"]["run_id"]
    reasons = [left_out(begun["claims"][0])]
    with pytest.raises(psycopg.Error) as error:
        call(
            service,
            "complete_export_run",
            p_run_id=run_id,
            p_fencing_token=1,
            p_file=store_file(organisation, run_id),
            p_summary=summary_of([]),
            p_left_out=reasons,
        )
    failed = call(
        service,
        "fail_export_run",
        p_run_id=run_id,
        p_fencing_token=1,
        p_error_code="all_claims_left_out",
        p_error_detail={},
        p_left_out=reasons,
    )

    assert (error.value.sqlstate, error.value.diag.message_detail) == (
        "PT422",
        "all_claims_left_out",
    )
    assert (failed["released"], failed["run"]["status"], failed["run"]["left_out_count"]) == (
        True,
        "failed",
        1,
    )
    assert len(call(service, "get_export_run", p_run_id=run_id)["left_out"]) == 1


def test_fail_says_so_again(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A lost reply at fail is harmless."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)

    first = _fail(service, organisation, begun, 1)

    assert _fail(service, organisation, begun, 1) == first
    assert first["run"]["error_code"] == "x_failed"


def test_completed_run_cannot_fail(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Terminal is terminal: the token of a finished run opens nothing."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    complete(organisation, begun)

    with pytest.raises(psycopg.Error) as error:
        _fail(service, organisation, begun, 1)

    assert error.value.diag.message_detail == "stale_token"


def test_revoked_coordinator_does_not_complete_but_the_system_does(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    """For a living user the role is judged again at complete; a takeover by the system finishes the run."""
    user_id = organisation.add_member()
    organisation.add_claims(1)
    begun = begin(organisation.as_user(user_id), organisation)
    organisation.execute(
        "update public.organization_members set role = 'member' where user_id = %s", user_id
    )
    with pytest.raises(psycopg.Error) as error:
        complete(organisation, begun)
    organisation.expire_lease()

    resumed = call(
        service, "take_over_export_run", p_organization_id=organisation.id, p_invocation_id=user_id
    )

    assert (error.value.sqlstate, error.value.diag.message_detail) == ("PT403", "role_revoked")
    assert resumed["outcome"] == "resumed"
    assert complete(organisation, resumed)["run"]["status"] == "completed"


def test_take_over_waits_for_the_lease_and_finds_nothing_afterwards(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A living worker is left alone, a finished run is nothing to resume."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    request = {"p_organization_id": organisation.id, "p_invocation_id": begun["run"]["run_id"]}

    alive = call(service, "take_over_export_run", **request)
    complete(organisation, begun)
    finished = call(service, "take_over_export_run", **request)

    assert alive["outcome"] == "busy"
    assert finished == {"outcome": "nothing_to_resume", "run": None}


def test_same_holder_name_is_not_the_same_acquisition(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """The token tells two acquisitions by one holder apart."""
    organisation.add_claims(1)
    from uuid import uuid4

    holder = uuid4()
    first = begin(coordinator, organisation, invocation=holder)
    _fail(service, organisation, first, first["fencing_token"])
    second = begin(coordinator, organisation, invocation=holder)

    with pytest.raises(psycopg.Error) as error:
        _renew(service, organisation, second, first["fencing_token"])

    assert error.value.diag.message_detail == "stale_token"


def test_failure_names_the_run_that_took_the_scope_before(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A second tap over claims that cannot be exported still learns which run succeeded."""
    organisation.add_claims(1)
    first = complete(organisation, begin(coordinator, organisation))
    organisation.add_claims(1)
    second = begin(coordinator, organisation)

    failed = _fail(service, organisation, second, second["fencing_token"])

    assert failed["latest_run"] == first["run"]


def test_released_lease_lets_the_next_trigger_continue_at_once(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A worker that gives up need not be waited for: its run is resumed without the lease having run out."""
    organisation.add_claims(1)
    first = begin(coordinator, organisation)

    _release(service, organisation, first, first["fencing_token"])
    second = begin(coordinator, organisation)

    assert (second["outcome"], second["claims"]) == ("resumed", first["claims"])
    with pytest.raises(psycopg.Error) as error:
        _release(service, organisation, first, first["fencing_token"])
    assert error.value.diag.message_detail == "stale_token"
