from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from stack.database import API_ROLES, Database
from stack.hosted_platform import DefaultGrants
from stack.migrations import apply_migrations

NewDatabase = Callable[[DefaultGrants], Database]


def _migration(directory: Path, statements: str) -> Path:
    (directory / "20260101000000_probe.sql").write_text(statements)
    return directory


def test_migrations_run_as_the_role_of_a_hosted_project(database: Database) -> None:
    """Role postgres bypasses row-level security, is no superuser and owns what migrations make."""
    with database.connect("postgres") as postgres:
        rights = postgres.execute(
            "select rolsuper, rolbypassrls, rolcreaterole from pg_roles"
            " where rolname = current_user"
        ).fetchone()
        assert rights == (False, True, True)
        strangers = postgres.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace"
            " and pg_get_userbyid(relowner) <> 'postgres'"
        ).fetchall()
        assert strangers == []


@pytest.mark.parametrize(
    "statement",
    [
        "alter table storage.objects enable row level security",
        "create table auth.mine (id int)",
        "create table storage.mine (id int)",
        "create function storage.mine() returns int return 1",
        "alter database postgres set app.x = 'y'",
        "create policy p on auth.users using (true)",
        "delete from storage.buckets where false",
    ],
)
def test_what_a_hosted_project_refuses_is_refused(
    unmigrated_database: NewDatabase, tmp_path: Path, statement: str
) -> None:
    """A migration that only a superuser could run fails here too, and leaves nothing behind."""
    database = unmigrated_database("new")
    script = f"create table public.before (id int); {statement};"
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        apply_migrations(database, _migration(tmp_path, script))
    with database.connect("postgres") as postgres:
        assert postgres.execute("select to_regclass('public.before')").fetchone() == (None,)


def test_what_a_hosted_project_allows_is_allowed(
    unmigrated_database: NewDatabase, tmp_path: Path
) -> None:
    """Buckets, storage policies, triggers and references to users are open to migrations."""
    database = unmigrated_database("new")
    script = """
    insert into storage.buckets (id, name) values ('files', 'files');
    create policy "p" on storage.objects for select using (auth.uid() is not null);
    comment on policy "p" on storage.objects is 'why';
    alter policy "p" on storage.objects using (auth.role() = 'authenticated');
    drop policy "p" on storage.objects;
    create function public.act() returns trigger language plpgsql as $$ begin return new; end $$;
    create trigger act after insert on storage.objects for each row execute function public.act();
    create table public.profiles (id uuid primary key references auth.users (id));
    """
    assert apply_migrations(database, _migration(tmp_path, script)) == ["20260101000000"]
    assert apply_migrations(database, tmp_path) == []
    with database.connect("postgres") as postgres:
        history = postgres.execute(
            "select name, cardinality(statements) from supabase_migrations.schema_migrations"
        ).fetchall()
        assert history == [("probe", 8)]


def _privileges(database: Database, role: str) -> tuple[object, ...]:
    with database.connect("postgres") as postgres:
        row = postgres.execute(
            "select has_table_privilege(%(role)s, 'public.made', 'select'),"
            " has_table_privilege(%(role)s, 'public.made', 'truncate'),"
            " has_sequence_privilege(%(role)s, 'public.made_id_seq', 'usage'),"
            " has_function_privilege(%(role)s, 'public.make()', 'execute')",
            {"role": role},
        ).fetchone()
    assert row is not None
    return row


@pytest.mark.parametrize("role", API_ROLES)
@pytest.mark.parametrize(
    ("default_grants", "expected"),
    [("old", (True, True, True, True)), ("new", (False, True, False, True))],
)
def test_new_objects_are_as_open_as_in_a_hosted_project(
    unmigrated_database: NewDatabase,
    tmp_path: Path,
    default_grants: DefaultGrants,
    expected: tuple[bool, ...],
    role: str,
) -> None:
    """Old projects give all to the API roles; new ones leave TRUNCATE, and EXECUTE to PUBLIC."""
    database = unmigrated_database(default_grants)
    script = """
    create table public.made (id serial);
    create function public.make() returns int return 1;
    """
    apply_migrations(database, _migration(tmp_path, script))
    assert _privileges(database, role) == expected


@pytest.mark.parametrize("role", API_ROLES)
def test_a_connection_as_an_api_role_is_like_the_data_api(database: Database, role: str) -> None:
    """The session has the role, the claims and the time limits of a request, and no more."""
    claims = {"sub": "6f1e0e5e-0000-4000-8000-000000000001"}
    with database.connect(role, claims=claims) as connection:
        row = connection.execute(
            "select current_user, session_user, auth.uid()::text, auth.role(),"
            " current_setting('statement_timeout'), current_setting('lock_timeout')"
        ).fetchone()
    limit = "3s" if role == "anon" else "8s"
    assert row == (role, "authenticator", claims["sub"], role, limit, "8s")
