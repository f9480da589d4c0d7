"""hard_delete_export_run: what may go, when, by whom, and what stays to explain the numbers."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import Bookkeeper, complete_reversal
from tests.database.worker import Worker
from tests.organisation import Organisation, begin, call, complete

LONG_AGO = "2015-06-30"
NAME = "Blindeforbundet"


@pytest.fixture
def organisation(database: Database) -> Organisation:
    """An organisation with one completed run of two claims."""
    organisation = Organisation.create(database)
    organisation.add_claims(2)
    complete(organisation, begin(organisation.as_user(organisation.add_member()), organisation))
    return organisation


@pytest.fixture
def test_database(organisation: Organisation) -> Organisation:
    """The same in a database that says that it is for tests."""
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute(
            f"alter database {organisation.database.name} set export_engine.is_test_database = 'on'"
        )
    return organisation


def runs(organisation: Organisation) -> list[Any]:
    return [
        row[0]
        for row in organisation.execute("select id from public.export_runs order by run_number")
    ]


def hard_delete(
    organisation: Organisation,
    run_id: object,
    confirmation: str | None,
    reason: str | None = "Old.",
) -> dict[str, Any]:
    """As the owner in the SQL editor."""
    [[gone]] = organisation.execute(
        "select public.hard_delete_export_run(%s, %s, %s, 'Kari Admin')",
        run_id,
        confirmation,
        reason,
    )
    return dict(gone)


def refusal(
    organisation: Organisation,
    run_id: object,
    confirmation: str | None,
    reason: str | None = "Old.",
) -> tuple[str | None, str | None]:
    with pytest.raises(psycopg.Error) as error:
        hard_delete(organisation, run_id, confirmation, reason)
    return error.value.sqlstate, error.value.diag.message_detail


def age(organisation: Organisation, exported_on: str = LONG_AGO) -> None:
    """Let the runs be as old as that, which only somebody above all triggers can."""
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute("update public.export_runs set export_date = %s", [exported_on])


def hide(organisation: Organisation) -> None:
    """Take all runs out of the lists."""
    with organisation.as_service() as service:
        for run_id in runs(organisation):
            call(service, "delete_export_run", p_run_id=run_id, p_deleted_by=None, p_reason="Old.")


def close_claims(organisation: Organisation) -> None:
    """In the app nobody asks to be paid for them any more."""
    organisation.execute("update public.expense_claims set status = 'rejected', approved_at = null")


def rows(organisation: Organisation) -> dict[str, int]:
    tables = ("export_runs", "export_run_claims", "export_run_events", "export_confirmations")
    return {
        table: organisation.execute(f"select count(*) from public.{table}")[0][0]
        for table in tables
    }


def test_an_old_run_goes_and_its_numbers_stay(organisation: Organisation) -> None:
    """Everything of it goes but one row, which tells what it was; its claims and its file may go then too."""
    [run_id] = runs(organisation)
    Bookkeeper(organisation.as_service(), "Accountant").confirm(run_id, "booked")
    age(organisation)
    hide(organisation)
    close_claims(organisation)

    gone = hard_delete(organisation, run_id, f"{NAME} 1")

    assert rows(organisation) == dict.fromkeys(rows(organisation), 0)
    assert (gone["run_number"], gone["voucher_numbers"], gone["claim_count"]) == (1, "{[1,3)}", 2)
    assert (gone["file_sha256"], gone["kept_until"]) == ("a" * 64, "2020-12-31")
    assert (gone["deleted_by"], gone["reason"], gone["status"]) == (
        "Kari Admin",
        "Old.",
        "completed",
    )
    organisation.execute("delete from public.expense_claims")
    with organisation.database.connect("postgres") as owner:
        owner.execute("select set_config('storage.allow_delete_query', 'true', false)")
        assert owner.execute("delete from storage.objects").rowcount == 1


def test_numbers_of_a_deleted_run_are_not_given_again(test_database: Organisation) -> None:
    """The next run and the next voucher go on where the deleted ones ended."""
    organisation = test_database
    [run_id] = runs(organisation)
    hard_delete(organisation, run_id, None)
    organisation.add_claim()

    begun = begin(organisation.as_user(organisation.add_member()), organisation)

    assert begun["run"]["run_number"] == 2
    assert [claim["voucher_number"] for claim in begun["claims"]] == [3, 4, 5]


def test_before_its_date_nothing_helps(organisation: Organisation) -> None:
    """Hidden, its claims closed, confirmed word by word, and with a session that calls itself a test: kept."""
    hide(organisation)
    close_claims(organisation)
    [run_id] = runs(organisation)

    assert refusal(organisation, run_id, f"{NAME} 1") == ("PT403", "retention_not_over")
    with organisation.database.connect("postgres") as owner:
        owner.execute("set export_engine.is_test_database = 'on'")
        with pytest.raises(psycopg.Error, match="is kept until"):
            owner.execute(
                "select public.hard_delete_export_run(%s, %s, 'x', 'x')", [run_id, f"{NAME} 1"]
            )


def test_the_last_day_is_a_day_of_keeping(organisation: Organisation) -> None:
    """The date is inclusive: on 31 December the run is still kept, the day after no more."""
    hide(organisation)
    close_claims(organisation)
    [run_id] = runs(organisation)
    today = "(clock_timestamp() at time zone 'Europe/Oslo')::date"
    replaced = (
        "create or replace function export_engine.retention_ends(p_organization_id uuid, p_export_date date)"
        " returns date language sql stable set search_path = '' as $$ select {} $$"
    )

    organisation.execute(replaced.format(today))
    assert refusal(organisation, run_id, f"{NAME} 1") == ("PT403", "retention_not_over")
    organisation.execute(replaced.format(f"{today} - 1"))
    assert hard_delete(organisation, run_id, f"{NAME} 1")["run_number"] == 1


def test_each_condition_is_needed(organisation: Organisation) -> None:
    """Out of the lists, no claim approved, confirmed exactly, with a reason: each refused by its own code."""
    age(organisation)
    [run_id] = runs(organisation)
    assert refusal(organisation, run_id, f"{NAME} 1") == ("PT409", "run_not_hidden")
    hide(organisation)
    assert refusal(organisation, run_id, f"{NAME} 1") == ("PT409", "claims_still_approved")
    close_claims(organisation)
    for wrong in (None, "", "yes", NAME, "1", f"{NAME} 2", f"{NAME.lower()} 1", f" {NAME} 1"):
        assert refusal(organisation, run_id, wrong) == ("PT403", "deletion_not_confirmed"), wrong
    assert refusal(organisation, run_id, f"{NAME} 1", " ") == ("PT400", "reason_required")
    assert refusal(organisation, uuid4(), f"{NAME} 1") == ("PT404", "run_not_found")

    assert rows(organisation)["export_run_claims"] == 2
    assert hard_delete(organisation, run_id, f"{NAME} 1")["run_number"] == 1


def test_an_unfinished_run_never_goes(test_database: Organisation) -> None:
    """Not even in a test database, whatever its state."""
    organisation = test_database
    hard_delete(organisation, runs(organisation)[0], None)
    begun = begin(organisation.as_user(organisation.add_member()), organisation)

    assert refusal(organisation, begun["run"]["run_id"], f"{NAME} 2") == ("PT409", "run_unfinished")
    with organisation.as_service() as service:
        call(
            service,
            "fail_export_run_by_admin",
            p_run_id=begun["run"]["run_id"],
            p_reason="x",
            p_actor="x",
        )
    assert hard_delete(organisation, begun["run"]["run_id"], None)["voucher_numbers"] == "{[3,5)}"


def test_a_reversal_goes_with_what_it_took_back(test_database: Organisation) -> None:
    """Without the reversal the vouchers that it took back would count again, so both go or none."""
    organisation = test_database
    [run_id] = runs(organisation)
    admin = Bookkeeper(organisation.as_user(organisation.add_member("admin")))
    admin.confirm(run_id, "booked")
    reversing = admin.reverse(run_id)
    complete_reversal(organisation, reversing)

    assert refusal(organisation, reversing["run"]["run_id"], None) == ("PT409", "run_is_reversal")
    hard_delete(organisation, run_id, None)

    assert rows(organisation) == dict.fromkeys(rows(organisation), 0)
    assert organisation.execute(
        "select run_number, voucher_numbers::text from public.export_deleted_runs order by run_number"
    ) == [(1, "{[1,3)}"), (2, "{[3,5)}")]


def test_a_reversal_that_may_not_go_is_named(organisation: Organisation) -> None:
    """Each run that goes with the one that was asked for is judged by itself."""
    [run_id] = runs(organisation)
    reversal = Bookkeeper(organisation.as_service(), "Kari Admin").reverse(run_id)

    with pytest.raises(psycopg.Error) as unfinished:
        hard_delete(organisation, run_id, f"{NAME} 1")
    complete_reversal(organisation, reversal)
    age(organisation)
    with organisation.as_service() as service:
        call(service, "delete_export_run", p_run_id=run_id, p_deleted_by=None, p_reason="Old.")
    with pytest.raises(psycopg.Error) as listed:
        hard_delete(organisation, run_id, f"{NAME} 1")

    assert unfinished.value.diag.message_primary == "Run 2 is processing."
    assert listed.value.diag.message_primary == "Run 2 still stands in the lists."


def test_members_go_page_by_page(test_database: Organisation) -> None:
    """A run of many pages goes in one call; a page is what one statement touches."""
    organisation = test_database
    organisation.execute(
        "create or replace function export_engine.page_size() returns integer"
        " language sql immutable set search_path = '' return 3"
    )
    hard_delete(organisation, runs(organisation)[0], None)
    organisation.add_claims(8)
    coordinator = organisation.as_user(organisation.add_member())
    with organisation.as_service() as service:
        worker = Worker.of(organisation, service, begin(coordinator, organisation))
        worker.complete(worker.reserve_all())

    assert rows(organisation)["export_run_claims"] == 10
    hard_delete(organisation, runs(organisation)[0], None)
    assert rows(organisation) == dict.fromkeys(rows(organisation), 0)


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_no_api_role_deletes(test_database: Organisation, role: str) -> None:
    """Neither through the data API nor with the engine's own mark, also in a test database."""
    [run_id] = runs(test_database)
    with test_database.database.connect(role) as caller:
        for schema in ("public", "export_engine"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                caller.execute(
                    f"select {schema}.hard_delete_export_run(%s, null, 'x', 'x')", [run_id]
                )


def test_a_tombstone_tells_the_truth_and_stays(test_database: Organisation) -> None:
    """Whoever writes one by hand cannot say what it says, nor take it away."""
    organisation = test_database
    [run_id] = runs(organisation)
    with organisation.database.connect("postgres") as owner:
        owner.execute("select set_config('export_engine.writing', 'on', false)")
        owner.execute(
            "insert into public.export_deleted_runs (run_id, run_number, kept_until, confirmation, reason, deleted_by)"
            " values (%s, 99, '1999-12-31', 'x', 'x', 'x')",
            [run_id],
        )
        for edit in (
            "update public.export_deleted_runs set run_number = 7",
            "delete from public.export_deleted_runs",
        ):
            with pytest.raises(psycopg.Error, match="written once"):
                owner.execute(edit.encode())

    assert organisation.execute("select run_number from public.export_deleted_runs") == [(1,)]


def test_a_tombstone_of_one_run_opens_no_other(test_database: Organisation) -> None:
    """Only the rows of the very run go, and only under the engine's mark."""
    organisation = test_database
    [run_id] = runs(organisation)
    organisation.add_claim()
    kept = complete(
        organisation,
        begin(organisation.as_user(organisation.add_member()), organisation),
        content_hash="b" * 64,
    )["run"]["run_id"]
    with organisation.database.connect("postgres") as owner:
        owner.execute("select set_config('export_engine.writing', 'on', false)")
        owner.execute(
            "insert into public.export_deleted_runs (run_id, confirmation, reason, deleted_by) values (%s, 'x', 'x', 'x')",
            [run_id],
        )
        for table in ("export_run_claims", "export_run_events"):
            with pytest.raises(psycopg.Error, match="not allowed"):
                owner.execute(f"delete from public.{table} where run_id = %s", [kept])
        owner.execute("select set_config('export_engine.writing', 'off', false)")
        with pytest.raises(psycopg.Error, match="not allowed"):
            owner.execute("delete from public.export_run_events where run_id = %s", [run_id])


def test_staff_reads_what_was_deleted(test_database: Organisation) -> None:
    """The explaining row is seen by staff of the organisation only."""
    organisation = test_database
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    hard_delete(organisation, runs(organisation)[0], None)
    query = "select run_number from public.export_deleted_runs"

    assert organisation.as_user(organisation.add_member("accountant")).execute(
        query
    ).fetchall() == [(1,)]
    assert organisation.as_user(organisation.add_member("member")).execute(query).fetchall() == []
    assert other.as_user(other.add_member("admin")).execute(query).fetchall() == []
