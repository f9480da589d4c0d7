"""Truths about every object of our schemas, read from the catalogue, so that a new one cannot be forgotten.

What Supabase's database linter asks, too, stands in test_linter_rules.py; who may reach what, in tests/access/.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from stack.database import Database

OURS = "n.nspname in ('public', 'export_engine')"


@pytest.fixture
def query(unchanged_database: Database) -> Iterator[Any]:
    with unchanged_database.connect("postgres") as connection:
        yield lambda statement: [row[0] for row in connection.execute(statement.encode())]


def test_every_definer_function_says_why(query: Any) -> None:
    """Whoever reads the comment of a function that runs with the owner's rights learns the reason."""
    assert (
        query(
            f"select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
            f" where {OURS} and p.prosecdef and coalesce(obj_description(p.oid, 'pg_proc'), '') !~ 'Definer, (because|to be)'"
        )
        == []
    )


@pytest.mark.parametrize(
    ("kind", "statement"),
    [
        (
            "table or view",
            (
                f"select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where {OURS}"
                " and c.relkind in ('r', 'v', 'p') and obj_description(c.oid, 'pg_class') is null"
            ),
        ),
        (
            "function",
            (
                f"select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace where {OURS}"
                " and obj_description(p.oid, 'pg_proc') is null"
            ),
        ),
        (
            "schema",
            "select nspname from pg_namespace n where n.nspname = 'export_engine' and obj_description(n.oid, 'pg_namespace') is null",
        ),
        (
            "nullable column of the engine",
            (
                "select c.relname || '.' || a.attname from pg_attribute a join pg_class c on c.oid = a.attrelid"
                " join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'public' and c.relkind = 'r' and c.relname like 'export\\_%'"
                " and a.attnum > 0 and not a.attisdropped and not a.attnotnull and a.attname !~ '_at$|^file_|^content_type$|^delete|_count$|^error_detail$'"
                " and col_description(c.oid, a.attnum) is null"
            ),
        ),
    ],
)
def test_everything_is_commented(query: Any, kind: str, statement: str) -> None:
    """Admins read comments in the dashboard: no object is without one, nor a column whose null means something."""
    assert query(statement) == [], kind


def test_every_constraint_is_named_by_us(query: Any) -> None:
    """Errors are told apart by constraint name, so none is left to chance: table, meaning, kind."""
    assert (
        query(
            "select k.conname from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'public' and k.contype in ('c', 'f', 'p', 'u')"
            " and k.conname !~ ('^' || c.relname || '_(pkey|.+_(key|fkey|check))$')"
        )
        == []
    )


def test_no_function_is_overloaded(query: Any) -> None:
    """The data API calls by name; two functions of one name are ambiguous."""
    assert (
        query(
            f"select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace where {OURS} group by n.nspname, p.proname having count(*) > 1"
        )
        == []
    )


def test_every_update_and_delete_has_a_where(query: Any) -> None:
    """Hosted sessions refuse an update or delete without where, also inside functions."""
    import re

    bodies = query(
        f"select p.prosrc from pg_proc p join pg_namespace n on n.oid = p.pronamespace where {OURS}"
    )
    statements = [
        statement
        for body in bodies
        for statement in re.findall(
            r"(?:^|\s)((?:update\s+public\.|delete\s+from\s+public\.)[^;]*?)(?:;|\n\s*\)\s*,|$)",
            body,
        )
    ]

    assert len(statements) > 10, "the pattern finds the engine's updates"
    assert [statement for statement in statements if not re.search(r"\bwhere\b", statement)] == []


def test_40001_is_never_raised(query: Any) -> None:
    """The data API of older projects repeats a 40001 without end."""
    assert (
        query(
            f"select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace where {OURS}"
            " and p.prosrc ~ '40001|serialization_failure'"
        )
        == []
    )


def test_nothing_depends_on_an_extension(query: Any) -> None:
    """The migrations need no extension."""
    assert query("select extname from pg_extension where extname <> 'plpgsql'") == []


def test_no_api_role_has_a_right_on_a_sequence(query: Any) -> None:
    """Numbers are drawn by the engine's functions only."""
    assert (
        query(
            "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " cross join (values ('anon'), ('authenticated'), ('service_role')) as r (rolname)"
            f" where {OURS} and c.relkind = 'S' and has_sequence_privilege(r.rolname, c.oid, 'usage, select, update')"
        )
        == []
    )


def test_no_api_role_creates_objects(query: Any) -> None:
    """A role of the data API makes nothing in our schemas, so nothing of hers is ever found before ours."""
    assert (
        query(
            "select r.rolname || ' in ' || n.nspname from pg_namespace n cross join (values ('anon'), ('authenticated'), ('service_role')) as r (rolname)"
            f" where {OURS} and has_schema_privilege(r.rolname, n.oid, 'create')"
        )
        == []
    )


def test_the_private_schema_is_closed_to_the_anonymous(query: Any) -> None:
    """Who has no token does not even find the engine's schema."""
    assert query("select has_schema_privilege('anon', 'export_engine', 'usage')") == [False]


def test_the_migrations_leave_the_default_grants_alone(query: Any) -> None:
    """The database is the adopter's: only what a new project has is there, and nothing for the engine's schema."""
    assert query(
        "select distinct coalesce(n.nspname, 'everywhere') from pg_default_acl d left join pg_namespace n on n.oid = d.defaclnamespace"
    ) == ["public"]


def test_every_policy_is_for_named_roles(query: Any) -> None:
    """A policy for the role public would be asked, and cost, for whoever comes by; ours name whom they are for."""
    assert (
        query(
            "select policyname from pg_policies where (schemaname = 'public' or (schemaname, tablename) = ('storage', 'objects'))"
            " and not roles <@ array['anon', 'authenticated']::name[]"
        )
        == []
    )


def test_no_policy_opens_a_table_to_writing(query: Any) -> None:
    """Users write through functions: a policy that permits is for reading."""
    assert (
        query(
            "select policyname from pg_policies where permissive = 'PERMISSIVE' and cmd <> 'SELECT'"
        )
        == []
    )


def test_definer_functions_belong_to_the_role_of_migrations(query: Any) -> None:
    """What runs with the owner's rights never runs with a superuser's."""
    assert (
        query(
            f"select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace where {OURS}"
            " and p.prosecdef and pg_get_userbyid(p.proowner) <> 'postgres'"
        )
        == []
    )
