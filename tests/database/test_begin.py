"""begin: every outcome, and every refusal, through the data API's roles."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from stack.database import Database
from tests.organisation import OCTOBER, Organisation, begin, call, complete


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member("coordinator", "Kåre Åsen"))


def refusal(error: pytest.ExceptionInfo[psycopg.Error]) -> tuple[str | None, str | None]:
    return error.value.sqlstate, error.value.diag.message_detail


def test_starts_a_run_with_token_configuration_and_frozen_claims(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A begin with eligible claims answers started and everything that a worker needs."""
    claim_id = organisation.add_claim([("mileage", "350.00"), ("toll", "56.50")])

    answer = begin(coordinator, organisation, key="tap-1")

    assert answer["outcome"] == "started"
    assert answer["fencing_token"] == 1
    assert answer["last_page"] is True
    assert answer["run"]["status"] == "processing"
    assert answer["run"]["run_number"] == 1
    assert answer["run"]["triggered_by_name"] == "Kåre Åsen"
    assert answer["configuration"]["format"] == "xledger_gl02b"
    assert len(answer["configuration"]["posting_rules"]) == 6
    [member] = answer["claims"]
    assert (member["position"], member["voucher_number"], member["generation"]) == (1, 1, 1)
    assert member["claim_id"] == str(claim_id)
    assert member["document"]["total"] == "406.50"
    assert [line["amount"] for line in member["document"]["lines"]] == ["350.00", "56.50"]
    assert member["document"]["approved_on"] == "2026-10-05"


def test_same_invocation_gets_the_same_token_again(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A lost reply is harmless: the same invocation is told the same run, token and claims."""
    organisation.add_claims(3)
    invocation = uuid4()

    first = begin(coordinator, organisation, key="tap-1", invocation=invocation)
    second = begin(coordinator, organisation, key="tap-1", invocation=invocation)

    assert second["outcome"] == "started"
    assert (second["run"]["run_id"], second["fencing_token"]) == (
        first["run"]["run_id"],
        first["fencing_token"],
    )
    assert second["claims"] == first["claims"]


def test_same_key_while_running_is_replayed(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A retry with the key of a running export names that run and when to ask again, without a token."""
    organisation.add_claim()
    first = begin(coordinator, organisation, key="tap-1")

    retry = begin(coordinator, organisation, key="tap-1")

    assert retry["outcome"] == "replayed"
    assert retry["run"]["run_id"] == first["run"]["run_id"]
    assert 1 <= retry["retry_after"] <= 5
    assert "fencing_token" not in retry


def test_same_key_after_completion_is_replayed(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A retry with the key of a completed export gets that run, also when new claims are waiting."""
    organisation.add_claim()
    first = begin(coordinator, organisation, key="tap-1")
    complete(organisation, first)
    organisation.add_claim()

    retry = begin(coordinator, organisation, key="tap-1")

    assert retry["outcome"] == "replayed"
    assert retry["run"]["run_id"] == first["run"]["run_id"]
    assert retry["run"]["status"] == "completed"


def test_key_of_a_deleted_run_is_replayed_as_such(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A deleted run still answers to its key, marked, and is never restarted."""
    organisation.add_claim()
    first = begin(coordinator, organisation, key="tap-1")
    complete(organisation, first)
    with organisation.as_service() as service:
        call(
            service,
            "delete_export_run",
            p_run_id=first["run"]["run_id"],
            p_deleted_by=None,
            p_reason="test",
        )

    retry = begin(coordinator, organisation, key="tap-1")

    assert (retry["outcome"], retry["run"]["deleted"]) == ("replayed", True)


def test_key_with_another_request_is_refused(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """The same key with another period is a mistake of the caller: 422."""
    organisation.add_claim()
    begin(coordinator, organisation, key="tap-1")

    with pytest.raises(psycopg.Error) as error:
        begin(coordinator, organisation, ("2026-10-02", "2026-10-31"), key="tap-1")

    assert refusal(error) == ("PT422", "idempotency_key_reused")


def test_key_with_another_target_is_refused(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """What was asked for is part of the request behind a key."""
    organisation.add_claim()
    begin(coordinator, organisation, key="tap-1", target="xledger")

    with pytest.raises(psycopg.Error) as error:
        begin(coordinator, organisation, key="tap-1", target="dynamics")

    assert refusal(error) == ("PT422", "idempotency_key_reused")


def test_failed_run_lets_its_key_go(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """After a failure the same key starts a new run over the released claims."""
    organisation.add_claim()
    first = begin(coordinator, organisation, key="tap-1")
    with organisation.as_service() as service:
        call(
            service,
            "fail_export_run",
            p_run_id=first["run"]["run_id"],
            p_fencing_token=first["fencing_token"],
            p_error_code="configuration_invalid",
            p_error_detail={},
            p_left_out=[],
        )

    second = begin(coordinator, organisation, key="tap-1")

    assert second["outcome"] == "started"
    assert second["run"]["run_id"] != first["run"]["run_id"]
    assert len(second["claims"]) == 1


def test_key_is_forgotten_after_30_days(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """An old key names a new request, and the claims of the old run are still not exported again."""
    organisation.add_claim()
    first = begin(coordinator, organisation, key="tap-1")
    complete(organisation, first)
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute(
            "update public.export_runs set created_at = created_at - interval '31 days'"
        )
    organisation.add_claim()

    second = begin(coordinator, organisation, key="tap-1")

    assert second["outcome"] == "started"
    assert {claim["claim_id"] for claim in second["claims"]}.isdisjoint(
        {claim["claim_id"] for claim in first["claims"]}
    )


def test_second_coordinator_joins_the_same_scope(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A colleague who asks for the same period is told which run does it, by whom, since when."""
    organisation.add_claim()
    first = begin(coordinator, organisation, key="tap-1")
    colleague = organisation.as_user(organisation.add_member("coordinator", "Solveig Bråten"))

    answer = begin(colleague, organisation, key="tap-2")

    assert answer["outcome"] == "joined"
    assert answer["run"]["run_id"] == first["run"]["run_id"]
    assert answer["run"]["triggered_by_name"] == "Kåre Åsen"
    assert answer["run"]["processing_at"] is not None


def test_another_scope_is_busy(organisation: Organisation, coordinator: psycopg.Connection) -> None:
    """While one period is exported, another one is told when to try again."""
    organisation.add_claim()
    begin(coordinator, organisation, key="tap-1")

    answer = begin(coordinator, organisation, ("2026-09-01", "2026-09-30"), key="tap-2")

    assert answer["outcome"] == "busy"
    assert 1 <= answer["retry_after"] <= 5


def test_begin_never_waits_long_for_another_begin(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """While another begin holds the lock row, the answer is busy within the short lock time-out."""
    organisation.add_claim()
    with organisation.database.connect("postgres", autocommit=False) as other:
        other.execute(
            "select from public.export_locks where organization_id = %s for update",
            [organisation.id],
        )
        coordinator.execute("set statement_timeout = '1s'")

        answer = begin(coordinator, organisation, key="tap-1")

        assert answer == {"outcome": "busy", "run": None, "retry_after": 1}


def test_nothing_to_export_names_the_run_that_took_the_scope(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A coordinator who lost her key sees the run that took her period, not a failure."""
    organisation.add_claim()
    first = begin(coordinator, organisation, key="tap-1")
    complete(organisation, first)

    answer = begin(coordinator, organisation, key="another-key")

    assert answer["outcome"] == "nothing_to_export"
    assert answer["run"]["run_id"] == first["run"]["run_id"]
    assert answer["skipped_count"] == 0


def test_empty_period_leaves_no_run_and_no_number(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Nothing to export leaves no trace: no run, no run number, no token, a free lock."""
    answer = begin(coordinator, organisation, key="tap-1")

    assert answer == {
        "outcome": "nothing_to_export",
        "run": None,
        "parked_run": None,
        "skipped_count": 0,
        "left_out": [],
    }
    assert organisation.execute("select from public.export_runs") == []
    assert organisation.execute("select from public.export_counters") == []
    assert organisation.execute("select fencing_token, run_id from public.export_locks") == [
        (0, None)
    ]


def test_claim_that_is_being_edited_is_skipped_and_counted(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A claim that somebody holds open is left alone, reported, and stays eligible."""
    free, edited = organisation.add_claim(), organisation.add_claim()
    with organisation.database.connect("postgres", autocommit=False) as editor:
        editor.execute("update public.expense_claims set purpose = 'Ny' where id = %s", [edited])

        answer = begin(coordinator, organisation, key="tap-1")

    assert [claim["claim_id"] for claim in answer["claims"]] == [str(free)]
    assert answer["run"]["skipped_count"] == 1
    complete(organisation, answer)
    assert [c["claim_id"] for c in begin(coordinator, organisation, key="tap-2")["claims"]] == [
        str(edited)
    ]


def test_period_ends_are_inclusive_days_in_the_organisations_time_zone(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A claim approved at 23:30 Norwegian time on the last day belongs to it, one half an hour later does not."""
    from datetime import UTC, datetime

    inside = organisation.add_claim(approved_at=datetime(2026, 10, 31, 22, 30, tzinfo=UTC))
    organisation.add_claim(approved_at=datetime(2026, 10, 31, 23, 0, tzinfo=UTC))
    organisation.add_claim(approved_at=datetime(2026, 9, 30, 21, 59, tzinfo=UTC))

    answer = begin(coordinator, organisation, key="tap-1")

    assert [claim["claim_id"] for claim in answer["claims"]] == [str(inside)]


def test_open_start_takes_everything_until_the_end(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Without period_from nothing old is forgotten."""
    from datetime import UTC, datetime

    old = organisation.add_claim(approved_at=datetime(2021, 1, 1, tzinfo=UTC))

    answer = begin(coordinator, organisation, (None, "2026-10-31"), key="tap-1")

    assert [claim["claim_id"] for claim in answer["claims"]] == [str(old)]


def test_unapproved_claims_are_never_taken(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Only approved claims are exported."""
    for status in ("draft", "submitted", "rejected"):
        organisation.add_claim(status=status)

    assert begin(coordinator, organisation, key="tap-1")["outcome"] == "nothing_to_export"


def test_expired_lease_of_an_unfinished_run_is_resumed(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """After the lease is over the next trigger continues that run under a new token, with the same frozen claims."""
    organisation.add_claims(3)
    first = begin(coordinator, organisation, key="tap-1")
    organisation.expire_lease()
    organisation.execute("update public.expense_claim_lines set amount = 999")

    second = begin(coordinator, organisation, ("2026-09-01", "2026-09-30"), key="tap-2")

    assert second["outcome"] == "resumed"
    assert second["run"]["run_id"] == first["run"]["run_id"]
    assert second["fencing_token"] == first["fencing_token"] + 1
    assert second["run"]["attempt"] == 2
    assert second["claims"] == first["claims"]


def test_dead_run_in_the_middle_of_releasing_is_failed_by_the_next_begin(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A run whose worker died while it let claims go ends as failed, and the new request goes on with its own run."""
    organisation.add_claims(3)
    organisation.execute(
        "create or replace function export_engine.page_size() returns integer language sql immutable return 2"
    )
    first = begin(coordinator, organisation, key="tap-1")
    with organisation.as_service() as service:
        failing = call(
            service,
            "fail_export_run",
            p_run_id=first["run"]["run_id"],
            p_fencing_token=first["fencing_token"],
            p_error_code="x_failed",
            p_error_detail={},
            p_left_out=[],
        )
        page = call(service, "get_export_run", p_run_id=first["run"]["run_id"])
    assert failing["released"] is True
    assert page["run"]["status"] == "failed"

    again = begin(coordinator, organisation, key="tap-1")
    with organisation.as_service() as service:
        call(
            service,
            "reserve_export_page",
            p_run_id=again["run"]["run_id"],
            p_fencing_token=again["fencing_token"],
            p_after_position=2,
        )
        half = call(
            service,
            "fail_export_run",
            p_run_id=again["run"]["run_id"],
            p_fencing_token=again["fencing_token"],
            p_error_code="x_failed",
            p_error_detail={},
            p_left_out=[],
        )
    assert (half["released"], half["run"]["status"]) == (False, "releasing")
    organisation.expire_lease()

    third = begin(coordinator, organisation, key="tap-1")

    assert third["outcome"] == "started"
    assert organisation.execute("select status from public.export_runs order by run_number") == [
        ("failed",),
        ("failed",),
        ("processing",),
    ]


@pytest.mark.parametrize(
    ("period", "code"),
    [
        (("2026-10-31", "2026-10-01"), "period_reversed"),
        (("2025-10-31", "2026-10-31"), "period_too_long"),
        ((None, None), "period_missing"),
        ((None, "2500-01-01"), "period_out_of_range"),
        (("-infinity", "2026-10-31"), "period_out_of_range"),
    ],
)
def test_bad_periods_are_refused(
    organisation: Organisation, coordinator: psycopg.Connection, period: Any, code: str
) -> None:
    """A period that makes no sense is refused with its own code and 400."""
    with pytest.raises(psycopg.Error) as error:
        begin(coordinator, organisation, period, key="tap-1")

    assert refusal(error) == ("PT400", code)


def test_a_whole_year_is_allowed(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """1 January to 31 December is a period."""
    organisation.add_claim()

    assert begin(coordinator, organisation, ("2026-01-01", "2026-12-31"))["outcome"] == "started"


@pytest.mark.parametrize("key", ["", "x" * 201, "æ", "a b", "line\nbreak"])
def test_bad_keys_are_refused(
    organisation: Organisation, coordinator: psycopg.Connection, key: str
) -> None:
    """A key is 1 to 200 visible ASCII characters."""
    with pytest.raises(psycopg.Error) as error:
        begin(coordinator, organisation, key=key)

    assert refusal(error) == ("PT400", "invalid_idempotency_key")


def test_unknown_disabled_and_ambiguous_targets_are_refused(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A target must be configured, switched on, and named when there are two."""
    with pytest.raises(psycopg.Error) as unknown:
        begin(coordinator, organisation, target="visma")
    organisation.add_target("dynamics")
    with pytest.raises(psycopg.Error) as ambiguous:
        begin(coordinator, organisation)
    organisation.execute(
        "update public.export_targets set is_enabled = false where target = 'dynamics'"
    )
    with pytest.raises(psycopg.Error) as disabled:
        begin(coordinator, organisation, target="dynamics")

    assert refusal(unknown) == ("PT422", "unknown_target")
    assert refusal(ambiguous) == ("PT422", "target_required")
    assert refusal(disabled) == ("PT422", "target_disabled")


@pytest.mark.parametrize("role", ["member", "accountant"])
def test_roles_that_do_not_export_are_refused(organisation: Organisation, role: str) -> None:
    """Members and accountants of the organisation may not export."""
    user = organisation.as_user(organisation.add_member(role))

    with pytest.raises(psycopg.Error) as error:
        begin(user, organisation)

    assert refusal(error) == ("PT403", "not_allowed")


def test_strangers_cannot_tell_whether_an_organisation_exists(organisation: Organisation) -> None:
    """A foreign organisation and one that does not exist get the same answer."""
    stranger = organisation.as_user(uuid4())
    with pytest.raises(psycopg.Error) as foreign:
        begin(stranger, organisation)
    with pytest.raises(psycopg.Error) as unknown:
        begin(stranger, Organisation(organisation.database))

    assert refusal(foreign) == ("PT403", "not_allowed")
    assert str(foreign.value) == str(unknown.value)


def test_no_token_is_refused(organisation: Organisation) -> None:
    """Without a login neither form of begin is reachable, and a token without a user is nobody."""
    with (
        organisation.database.connect("anon") as nobody,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        begin(nobody, organisation)
    with (
        organisation.database.connect("authenticated") as empty,
        pytest.raises(psycopg.Error) as error,
    ):
        begin(empty, organisation)

    assert refusal(error) == ("PT401", "not_authenticated")


def test_service_form_is_closed_to_users_and_names_its_trigger(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Only the service key may begin as the system, and the run says by which trigger."""
    organisation.add_claim()
    request = {
        "p_organization_id": organisation.id,
        "p_target": None,
        "p_period_from": None,
        "p_period_to": "2026-10-31",
        "p_idempotency_key": None,
        "p_invocation_id": uuid4(),
        "p_trigger": "sweep",
        "p_triggered_by": None,
    }
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        call(coordinator, "begin_export_as_service", **request)
    with organisation.as_service() as service, pytest.raises(psycopg.Error) as wrong:
        call(service, "begin_export_as_service", **{**request, "p_trigger": "user"})
    with organisation.as_service() as service:
        answer = call(service, "begin_export_as_service", **request)

    assert refusal(wrong) == ("PT400", "unknown_trigger")
    assert (answer["outcome"], answer["run"]["trigger"], answer["run"]["triggered_by"]) == (
        "started",
        "sweep",
        None,
    )


def test_organisations_do_not_wait_for_each_other(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """While one organisation exports, another one starts at once."""
    organisation.add_claim()
    begin(coordinator, organisation, OCTOBER)
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    other.add_claim()

    answer = begin(other.as_user(other.add_member()), other)

    assert (
        answer["outcome"],
        answer["run"]["run_number"],
        answer["claims"][0]["voucher_number"],
    ) == ("started", 1, 1)
