"""Truths about every object of our schemas, read from the catalogue, so that a new one cannot be forgotten."""

from typing import Any

import pytest

from stack.database import Database

OURS = "n.nspname in ('public', 'export_engine')"


@pytest.fixture
def query(database: Database) -> Any:
    connection = database.connect("postgres")
    return lambda statement: [row[0] for row in connection.execute(statement.encode())]


def test_every_table_has_row_level_security(query: Any) -> None:
    """No table of ours is without row-level security."""
    assert (
        query(
            f"select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            f" where {OURS} and c.relkind in ('r', 'p') and not c.relrowsecurity"
        )
        == []
    )


def test_every_view_runs_with_the_readers_rights(query: Any) -> None:
    """Views are security_invoker, so that they cannot leak what row-level security hides."""
    assert (
        query(
            f"select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            f" where {OURS} and c.relkind = 'v' and not coalesce('security_invoker=true' = any (c.reloptions), false)"
        )
        == []
    )


def test_every_function_has_an_empty_search_path(query: Any) -> None:
    """A function resolves names as written, whatever the caller's search_path is."""
    assert (
        query(
            f"select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
            # An aggregate resolves nothing itself; the functions that it is made of are listed, too.
            f" where {OURS} and p.prokind <> 'a' and not coalesce('search_path=\"\"' = any (p.proconfig), false)"
        )
        == []
    )


def test_definer_functions_live_in_the_private_schema(query: Any) -> None:
    """What runs with the owner's rights is not exposed by the data API."""
    assert (
        query(
            "select p.proname from pg_proc p join pg_namespace n on n.oid = p.pronamespace"
            " where n.nspname = 'public' and p.prosecdef"
        )
        == []
    )


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


def test_every_foreign_key_is_indexed(query: Any) -> None:
    """Deleting or updating a referenced row never scans."""
    assert (
        query(
            f"select k.conname from pg_constraint k join pg_namespace n on n.oid = k.connamespace where {OURS} and k.contype = 'f'"
            " and not exists (select from pg_index i where i.indrelid = k.conrelid"
            "   and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)"
        )
        == []
    )


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


def test_bucket_is_private(query: Any) -> None:
    """The bucket of the files is not public."""
    assert query("select public from storage.buckets where id = 'exports'") == [False]


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
