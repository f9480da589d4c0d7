"""What admins and the app read: today's runs, held locks, stuck runs, the class of every claim, what needs attention."""

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from stack.database import Database
from tests.organisation import Organisation, begin, call, complete, store_file, summary_of


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member("coordinator", "Kåre Åsen"))


def rows(connection: psycopg.Connection, statement: str) -> list[tuple[Any, ...]]:
    return connection.execute(statement.encode()).fetchall()


def test_overview_reads_like_a_sentence(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """One line per run with names instead of ids."""
    organisation.add_claim()
    complete(organisation, begin(coordinator, organisation))

    assert rows(
        coordinator,
        "select organization, run_number, status, triggered_by, claim_count, totals from public.export_run_overview",
    ) == [("Blindeforbundet", 1, "completed", "Kåre Åsen", 1, {"NOK": "406.00"})]
    assert rows(coordinator, "select run_number from public.export_runs_today") == [(1,)]


def test_held_lock_and_stuck_run(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A held lock shows its run; when the lease is over the run is stuck, with what to do."""
    organisation.add_claim()
    begin(coordinator, organisation)
    held = "select run_number, is_live from public.export_locks_held"
    stuck = "select run_number, status, what_to_do from public.export_runs_stuck"
    assert (rows(coordinator, held), rows(coordinator, stuck)) == ([(1, True)], [])

    organisation.expire_lease()

    assert rows(coordinator, held) == [(1, False)]
    assert rows(coordinator, stuck) == [
        (1, "processing", "Its worker is silent. The next sweep or trigger takes it over.")
    ]
    assert rows(coordinator, "select kind from public.export_needs_attention") == [("stuck_run",)]


def test_every_claim_is_in_exactly_one_class(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Exported, reserved, left out and pending sum to all approved claims, by count and by amount."""
    exported, left_out = organisation.add_claim(), organisation.add_claim()
    first = begin(coordinator, organisation)
    run_id = first["run"]["run_id"]
    reason = {
        "claim_id": str(left_out),
        "code": "no_account_for_expense_type",
        "field": "lines[0]",
        "message": "No account.",
    }
    with organisation.as_service() as service:
        call(
            service,
            "complete_export_run",
            p_run_id=run_id,
            p_fencing_token=1,
            p_file=store_file(organisation, run_id),
            p_summary=summary_of(
                [claim for claim in first["claims"] if claim["claim_id"] == str(exported)]
            ),
            p_left_out=[reason],
        )
    organisation.add_claim(status="submitted")
    unapproved_since = exported
    organisation.execute(
        "update public.expense_claims set status = 'submitted', approved_at = null where id = %s",
        unapproved_since,
    )
    pending = organisation.add_claim()

    found = dict(
        rows(coordinator, "select claim_id, export_status from public.claim_export_status")
    )

    assert found == {exported: "exported", left_out: "left_out", pending: "pending"}
    attention = (
        "select kind, what, how_many, what_to_do like 'Mend%%' from public.export_needs_attention"
    )
    assert rows(coordinator, attention) == [
        (
            "left_out_claims",
            "Claims left out: no_account_for_expense_type (lines[0]). No account.",
            1,
            True,
        ),
        ("changed_after_export", "Claims were changed after they were exported.", 1, False),
    ]
    begin(coordinator, organisation)
    assert dict(
        rows(coordinator, "select claim_id, export_status from public.claim_export_status")
    ) == {
        exported: "exported",
        left_out: "reserved",
        pending: "reserved",
    }


def test_totals_of_a_run_equal_the_sum_of_its_members(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """I4: the run's totals are the sum of its live members."""
    for amount in ("0.01", "99999.99", "12.30"):
        organisation.add_claim([("receipt", amount)])
    run = complete(organisation, begin(coordinator, organisation))["run"]

    [[total]] = rows(
        coordinator, "select sum(amount) from public.export_run_claims where released_at is null"
    )

    assert Decimal(run["totals"]["NOK"]) == total == Decimal("100012.30")


def test_failed_run_needs_attention(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A run that failed within a week is listed with its code."""
    organisation.add_claim()
    begun = begin(coordinator, organisation)
    with organisation.as_service() as service:
        call(
            service,
            "fail_export_run",
            p_run_id=begun["run"]["run_id"],
            p_fencing_token=begun["fencing_token"],
            p_error_code="configuration_invalid",
            p_error_detail={},
            p_left_out=[],
        )

    assert rows(coordinator, "select kind, what from public.export_needs_attention") == [
        ("failed_run", "Run 1 failed: configuration_invalid.")
    ]
