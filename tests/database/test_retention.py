"""How long history is kept: every way to lose a run, its file or its claims before the date is closed."""

from collections.abc import Iterator

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import Bookkeeper
from tests.organisation import Organisation, begin, call, complete

REFUSED = {
    "history_is_protected",
    "claim_has_history",
    "retention_not_over",
    psycopg.errors.InsufficientPrivilege.sqlstate,
    psycopg.errors.ForeignKeyViolation.sqlstate,
}


@pytest.fixture
def organisation(database: Database) -> Organisation:
    """An organisation with a run that was exported and booked, and one that was voided."""
    organisation = Organisation.create(database)
    coordinator = organisation.as_user(organisation.add_member())
    accountant = Bookkeeper(organisation.as_user(organisation.add_member("accountant")))
    admin = Bookkeeper(organisation.as_user(organisation.add_member("admin")))
    organisation.add_claim()
    wrong = complete(organisation, begin(coordinator, organisation), content_hash="b" * 64)
    admin.void(wrong["run"]["run_id"])
    done = complete(organisation, begin(coordinator, organisation))
    accountant.confirm(done["run"]["run_id"], "booked")
    return organisation


def everything(organisation: Organisation) -> dict[str, int]:
    """How many rows there are of each kind that must be kept."""
    tables = (
        "public.export_runs",
        "public.export_run_claims",
        "public.export_run_events",
        "public.export_confirmations",
        "public.export_holds",
        "public.export_locks",
        "public.export_counters",
        "public.expense_claims",
        "storage.objects",
    )
    return {table: organisation.execute(f"select count(*) from {table}")[0][0] for table in tables}


def callers(organisation: Organisation) -> Iterator[psycopg.Connection]:
    """An admin of the organisation, the service key, and the owner in the SQL editor."""
    yield organisation.as_user(organisation.add_member("admin"))
    yield organisation.as_service()
    yield organisation.database.connect("postgres")


def attempt(caller: psycopg.Connection, way: str) -> str | None:
    """Do it; the stable code of the refusal, or the state that Postgres gives."""
    try:
        caller.execute(way.encode())
    except psycopg.Error as error:
        return error.diag.message_detail if error.sqlstate == "PT403" else error.sqlstate
    return "done"


FILES = [
    "delete from storage.objects where bucket_id = 'exports'",
    "update storage.objects set name = 'elsewhere.csv' where bucket_id = 'exports'",
]


def _ways() -> list[str]:
    tables = [
        "export_runs",
        "export_run_claims",
        "export_run_events",
        "export_confirmations",
        "export_holds",
        "export_locks",
        "export_counters",
        "expense_claims",
    ]
    return [
        *(f"delete from public.{table}" for table in tables),
        *(f"truncate public.{table} cascade" for table in tables),
        "truncate public.organizations cascade",
        "delete from public.organizations",
        "update public.expense_claims set id = gen_random_uuid()",
        "delete from storage.buckets where id = 'exports'",
        (
            "insert into public.export_deleted_runs (run_id, confirmation, reason, deleted_by)"
            " select id, 'Blindeforbundet ' || run_number, 'tidy up', 'Owner' from public.export_runs"
        ),
        (
            "select public.hard_delete_export_run(id, 'Blindeforbundet ' || run_number, 'tidy up', 'Owner')"
            " from public.export_runs"
        ),
    ]


@pytest.mark.parametrize("way", _ways())
def test_nothing_goes_before_its_date(organisation: Organisation, way: str) -> None:
    """By a user, by the service key, by the owner, also with the engine's own mark: refused, and all is there."""
    before = everything(organisation)
    for caller in callers(organisation):
        for mark in ("off", "on"):
            caller.execute("select set_config('export_engine.writing', %s, false)", [mark])
            assert attempt(caller, way) in REFUSED
            assert everything(organisation) == before


def test_files_are_kept(organisation: Organisation) -> None:
    """Not even as the storage server deletes: refused for the service key and the owner, and users find no such row."""
    before = everything(organisation)
    user, *others = callers(organisation)
    for caller in (user, *others):
        caller.execute("select set_config('storage.allow_delete_query', 'true', false)")

    for way in FILES:
        assert attempt(user, way) == "done"
        assert [attempt(caller, way) for caller in others] == ["history_is_protected"] * 2

    assert everything(organisation) == before


def test_people_leave_and_history_stays(organisation: Organisation) -> None:
    """Deleting every login takes the memberships of people along, and no row of history, with their names as they were."""
    before = everything(organisation)
    names = organisation.execute(
        "select triggered_by_name from public.export_runs order by run_number"
    )

    organisation.execute("delete from auth.users")

    assert organisation.execute("select count(*) from public.organization_members") == [(0,)]
    assert everything(organisation) == before
    assert names == organisation.execute(
        "select triggered_by_name from public.export_runs order by run_number"
    )
    assert names == [("Kåre Åsen",)] * 2


def test_soft_delete_removes_nothing(organisation: Organisation) -> None:
    """A run that was taken out of the lists is as whole as before, and its claims are not free."""
    before = everything(organisation)
    with organisation.as_service() as service:
        for (run_id,) in organisation.execute("select id from public.export_runs"):
            call(
                service, "delete_export_run", p_run_id=run_id, p_deleted_by=None, p_reason="a test"
            )

    after = everything(organisation)

    assert {**after, "public.export_run_events": 0} == {**before, "public.export_run_events": 0}
    assert after["public.export_run_events"] == before["public.export_run_events"] + 2
    assert organisation.execute("select export_status from public.claim_export_status") == [
        ("exported",)
    ]


@pytest.mark.parametrize(
    ("exported_on", "kept_until"),
    [
        ("2026-01-01", "2031-12-31"),
        ("2026-10-31", "2031-12-31"),
        ("2026-12-31", "2031-12-31"),
        ("2027-01-01", "2032-12-31"),
    ],
)
def test_a_run_is_kept_five_years_after_its_year(
    database: Database, exported_on: str, kept_until: str
) -> None:
    """31 December of the fiscal year and five years, whatever day of the year it was."""
    assert Organisation(database).execute(
        "select export_engine.retention_ends(gen_random_uuid(), %s)::text", exported_on
    ) == [(kept_until,)]


def test_another_fiscal_year_is_one_function(organisation: Organisation) -> None:
    """An organisation whose year ends in June replaces one function; what is told follows, and is never too early."""
    organisation.execute(
        "create or replace function export_engine.fiscal_year_end(p_organization_id uuid, p_day date) returns date"
        " language sql stable set search_path = '' as $$"
        " select make_date(extract(year from p_day + interval '6 months')::integer, 6, 30) $$"
    )

    assert organisation.execute(
        "select export_engine.retention_ends(gen_random_uuid(), d::date)::text"
        " from unnest(array['2026-06-30', '2026-07-01']) as d"
    ) == [("2031-12-31",), ("2032-12-31",)]


def test_every_run_says_how_long_it_is_kept(organisation: Organisation) -> None:
    """In the dashboard, and in every answer about a run."""
    accountant = organisation.as_user(organisation.add_member("accountant"))

    told = accountant.execute(
        "select r.export_date, v.kept_until from public.export_run_overview v"
        " join public.export_runs r on r.id = v.run_id"
    ).fetchall()
    runs = call(accountant, "get_export_history", p_organization_id=organisation.id)["runs"]

    assert [kept.isoformat() for _, kept in told] == [
        f"{exported.year + 5}-12-31" for exported, _ in told
    ]
    assert {run["kept_until"] for run in runs} == {kept.isoformat() for _, kept in told}
    assert len(runs) == 2


def test_claims_that_never_were_in_a_run_may_go(organisation: Organisation) -> None:
    """The law binds what it must, and no more."""
    fresh = organisation.add_claim(status="draft")
    with organisation.as_service() as service:
        gone = service.execute("delete from public.expense_claims where id = %s", [fresh]).rowcount

    assert gone == 1
