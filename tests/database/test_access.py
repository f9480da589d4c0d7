"""Who sees and changes what: row-level security and grants, under the roles of the data API."""

import json
from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from stack.database import Database
from stack.hosted_platform import DefaultGrants
from stack.migrations import apply_migrations
from tests.database.bookkeeper import Bookkeeper, vouchers
from tests.database.documents import record_documents
from tests.organisation import Organisation, begin, call, complete

ENGINE_TABLES = [
    "export_run_pages",
    "export_targets",
    "export_posting_rules",
    "export_counters",
    "export_runs",
    "export_run_claims",
    "export_locks",
    "export_run_events",
    "export_confirmations",
    "export_holds",
    "export_deleted_runs",
    "export_erasures",
    "export_reconciliations",
    "export_number_gaps",
    "export_claim_changes",
    "export_configuration_checks",
    "export_run_documents",
    "export_documents_due",
    "export_delivery_containers",
    "export_deliveries",
]
READABLE = [
    "export_run_pages",
    "export_run_breakdown",
    "organizations",
    "organization_members",
    "expense_claims",
    "expense_claim_lines",
    "export_targets",
    "export_posting_rules",
    "export_runs",
    "export_run_claims",
    "export_locks",
    "export_run_events",
    "export_confirmations",
    "export_holds",
    "export_run_overview",
    "export_runs_today",
    "claim_export_status",
    "export_holds_standing",
    "export_reconciliations",
    "export_reconciliation_latest",
    "export_number_gaps",
    "export_claim_changes",
    "export_changed_claims",
    "export_configuration_checks",
    "export_configuration_problems",
    "export_run_documents",
    "export_documents_due",
    "export_delivery_containers",
    "export_deliveries",
]
STAFF = ["coordinator", "accountant", "admin"]


@pytest.fixture(params=["old", "new"])
def organisation(
    request: pytest.FixtureRequest, unmigrated_database: Callable[[DefaultGrants], Database]
) -> Organisation:
    """An organisation with a completed run and a refused voucher, in a database of either kind of default grants."""
    database = unmigrated_database(request.param)
    apply_migrations(database)
    organisation = Organisation.create(database)
    organisation.add_claims(2)
    done = complete(
        organisation, begin(organisation.as_user(organisation.add_member()), organisation)
    )
    record_documents(organisation, done["run"]["run_id"])
    # A second run, whose documents nobody made yet.
    organisation.add_claim()
    complete(
        organisation,
        begin(organisation.as_user(organisation.add_member()), organisation),
        content_hash="b" * 64,
    )
    add_delivery(organisation)
    accountant = Bookkeeper(organisation.as_user(organisation.add_member("accountant")))
    accountant.confirm(done["run"]["run_id"], "refused", vouchers(2))
    organisation.execute("update public.expense_claims set purpose = 'Rettet'")
    organisation.execute("update public.export_counters set last_value = last_value + 1")
    organisation.execute("select public.reconcile_exports(%s)", organisation.id)
    organisation.execute(
        "select public.record_configuration_check(%s, 'xledger', repeat('a', 64), '2', '[{\"field\": \"layout\"}]')",
        organisation.id,
    )
    return organisation


def add_delivery(organisation: Organisation) -> None:
    """A voucher that a run in doubt may have sent over an API."""
    organisation.execute(
        "update public.export_targets set delivery = 'business_central', connection = '{\"company\": \"HLF\"}'"
    )
    organisation.add_claims(1)
    begun = begin(organisation.as_user(organisation.add_member()), organisation)
    run_id, token = begun["run"]["run_id"], begun["fencing_token"]
    with organisation.as_service() as service:
        call(service, "open_delivery", p_run_id=run_id, p_fencing_token=token, p_container="EX1")
        deliveries = [{"voucher_number": 9, "document_number": "HLF9", "state": "intended"}]
        call(
            service,
            "record_deliveries",
            p_run_id=run_id,
            p_fencing_token=token,
            p_deliveries=json.dumps(deliveries),
        )
        call(
            service,
            "doubt_export_run",
            p_run_id=run_id,
            p_fencing_token=token,
            p_error_code="delivery_unavailable",
            p_error_detail="{}",
        )
    organisation.execute("update public.export_targets set delivery = 'file', connection = '{}'")


def count(connection: psycopg.Connection, table: str) -> int:
    row = connection.execute(
        sql.SQL("select count(*) from public.{}").format(sql.Identifier(table))
    ).fetchone()
    assert row is not None
    return int(row[0])


def test_staff_sees_its_organisation(organisation: Organisation) -> None:
    """Coordinator, accountant and admin read every table and view of their organisation."""
    for role in STAFF:
        user = organisation.as_user(organisation.add_member(role))
        assert {table: count(user, table) for table in READABLE if count(user, table) == 0} == {}


def test_strangers_see_nothing(organisation: Organisation) -> None:
    """An admin of another organisation sees no row of this one."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    stranger = other.as_user(other.add_member("admin"))

    for table in READABLE:
        columns = (
            "id"
            if table == "organizations"
            else "claim_id"
            if table == "expense_claim_lines"
            else "organization_id"
        )
        rows = stranger.execute(
            sql.SQL("select {} from public.{}").format(
                sql.Identifier(columns), sql.Identifier(table)
            )
        ).fetchall()
        assert {row[0] for row in rows} <= {other.id}, table


def test_members_see_their_own_claims_only(organisation: Organisation) -> None:
    """A claimant sees her claim and its lines, and nothing of the exports."""
    claimant = organisation.add_member("member")
    claim_id = organisation.add_claim()
    organisation.execute(
        "update public.expense_claims set claimant_id = %s where id = %s", claimant, claim_id
    )
    user = organisation.as_user(claimant)

    assert user.execute("select id from public.expense_claims").fetchall() == [(claim_id,)]
    assert count(user, "expense_claim_lines") == 2
    assert count(user, "claim_export_status") == 0, "she would read pending for what is exported"
    assert {
        table: count(user, table)
        for table in ["export_runs", "export_run_claims", "export_locks", "export_targets"]
    } == {
        "export_runs": 0,
        "export_run_claims": 0,
        "export_locks": 0,
        "export_targets": 0,
    }


def test_nobody_without_a_login_reads_anything(organisation: Organisation) -> None:
    """Anon has no right on any table or view, whatever the project's default grants are."""
    with organisation.database.connect("anon") as nobody:
        for table in [
            *READABLE,
            "export_counters",
            "export_runs_stuck",
            "export_needs_attention",
            "export_locks_held",
        ]:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                count(nobody, table)


@pytest.mark.parametrize("verb", ["insert", "update", "delete", "truncate"])
def test_no_api_role_writes_engine_tables(organisation: Organisation, verb: str) -> None:
    """Not even the service key writes tables: functions are the only door."""
    statements = {
        "insert": "insert into public.{} default values",
        "update": "update public.{} set organization_id = organization_id",
        "delete": "delete from public.{}",
        "truncate": "truncate public.{}",
    }
    connections = [
        organisation.database.connect("anon"),
        organisation.as_service(),
        organisation.as_user(organisation.add_member("admin")),
    ]
    for connection in connections:
        for table in ENGINE_TABLES:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql.SQL(statements[verb]).format(sql.Identifier(table)))


def test_users_reach_only_the_functions_that_are_theirs(organisation: Organisation) -> None:
    """What a role may execute in our schemas is this list and no more, under old and new default grants."""
    with organisation.database.connect("supabase_admin") as superuser:
        rows = superuser.execute(
            "select r.rolname, n.nspname || '.' || p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
            " cross join (values ('anon'), ('authenticated'), ('service_role')) as r (rolname)"
            " where n.nspname in ('public', 'export_engine') and has_function_privilege(r.rolname, p.oid, 'execute')"
        ).fetchall()
    executable: dict[str, set[str]] = {"anon": set(), "authenticated": set(), "service_role": set()}
    for role, function in rows:
        executable[role].add(function)

    shared = {
        "export_engine.refuse",
        "export_engine.require_role",
        "export_engine.run_json",
        "public.get_export_run",
        "public.get_export_history",
        "public.find_runs_by_claim_id",
        "public.get_claim_status",
        "public.find_exports",
        "public.list_changed_claims",
        "export_engine.list_changed_claims",
        "export_engine.document_to_compare",
        "export_engine.history_cursor",
        "export_engine.run_at_cursor",
        "export_engine.check_history_filter",
        "export_engine.organizations_of_caller",
        "export_engine.caller_has_role",
        "export_engine.claim_documents",
        "export_engine.claim_facts",
        "export_engine.claims_with_number",
        "export_engine.claim_standing",
        "export_engine.claim_memberships",
        "export_engine.document_changes",
        "export_engine.run_in_short",
        "export_engine.membership_in_short",
        "export_engine.lines_of",
        "public.find_claim_at_line",
        "export_engine.left_out_causes",
        "export_engine.page_size",
        "export_engine.fiscal_year_end",
        "export_engine.retention_ends",
        "export_engine.erased_text",
        "export_engine.erased_document",
        "export_engine.comparable_document",
        "export_engine.finding_is_red",
        "export_engine.reconciliation_sentence",
        "export_engine.documents_of",
    }
    guard = {
        "begin_export_as_service",
        "take_over_export_run",
        "reserve_export_page",
        "renew_export_lock",
        "release_export_lock",
        "leave_out_export_claims",
        "complete_export_run",
        "fail_export_run",
        "create_export_run",
        "update_export_run_status",
        "delete_export_run",
        "fail_export_run_by_admin",
        "recover_export_run",
        "find_stalled_export_runs",
        "continue_export_release",
        "settle_claim_changes",
        "begin_reconciliation",
        "continue_reconciliation",
        "record_file_check",
        "next_reconciliation",
        "check_export_backfill",
        "begin_export_backfill",
        "add_export_backfill_page",
        "complete_export_backfill",
        "record_configuration_check",
        "get_export_document_source",
        "read_file_members",
        "read_left_out_members",
        "record_export_documents",
        "take_due_documents",
        "give_up_due_documents",
        "open_delivery",
        "get_export_delivery",
        "clear_delivery",
        "record_deliveries",
        "doubt_export_run",
        "resume_doubted_export_run",
        "settle_export_delivery",
    }
    assert executable["anon"] == set()
    books = {
        f"{schema}.{name}"
        for schema in ("public", "export_engine")
        for name in (
            "confirm_export",
            "confirm_export_vouchers",
            "void_export",
            "reverse_export",
            "erase_claimant",
        )
    }
    holds = {
        f"{schema}.{name}"
        for schema in ("public", "export_engine")
        for name in ("hold_exports", "hold_claims", "lift_export_hold")
    }
    books |= holds
    previews = {
        f"{schema}.{name}"
        for schema in ("public", "export_engine")
        for name in ("preview_export", "preview_export_page", "read_frozen_members")
    }
    books |= previews
    assert executable["authenticated"] == shared | books | {
        "public.begin_export",
        "export_engine.begin_export",
        "export_engine.may_read_object",
    }
    assert executable["service_role"] == shared | books | {
        f"{schema}.{name}" for schema in ("public", "export_engine") for name in guard
    }


def test_files_of_completed_runs_are_readable_by_staff_only(organisation: Organisation) -> None:
    """Storage shows staff the files of completed runs of its organisation; orphans and foreign files are not there."""
    organisation.execute(
        "insert into storage.objects (bucket_id, name) values ('exports', %s)",
        f"{organisation.id}/orphan.csv",
    )
    organisation.execute(
        "insert into storage.objects (bucket_id, name)"
        " select 'exports', format('%%s/%%s/%%s.xlsx', organization_id, id, repeat('f', 64)) from public.export_runs"
    )
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    coordinator = organisation.as_user(organisation.add_member())
    paths = organisation.execute(
        "select file_path from public.export_runs where file_path is not null union all select path from public.export_run_documents"
    )
    query = "select name from storage.objects"

    assert len(paths) == 4
    assert sorted(coordinator.execute(query).fetchall()) == sorted(paths)
    assert organisation.as_user(organisation.add_member("member")).execute(query).fetchall() == []
    assert other.as_user(other.add_member("admin")).execute(query).fetchall() == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        coordinator.execute("insert into storage.objects (bucket_id, name) values ('exports', 'x')")


def test_a_user_cannot_mark_her_own_writes_as_the_engines(organisation: Organisation) -> None:
    """Setting the engine's mark by hand opens nothing to an API role."""
    coordinator = organisation.as_user(organisation.add_member())
    coordinator.execute("select set_config('export_engine.writing', 'on', false)")

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        coordinator.execute("update public.export_runs set status = 'failed'")
