from pathlib import Path

import pytest

from stack.migrations import is_storage_policy, read_migrations, split_statements


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("select 1; select 2", ["select 1;", "select 2"]),
        ("select ';'; select 2;", ["select ';';", "select 2;"]),
        ("select 'it''s;'; select 2;", ["select 'it''s;';", "select 2;"]),
        (r"select e'\';'; select 2;", [r"select e'\';';", "select 2;"]),
        ('select 1 as ";"; select 2;', ['select 1 as ";";', "select 2;"]),
        ("-- a; b\nselect 1;", ["-- a; b\nselect 1;"]),
        ("/* a; b */ select 1;", ["/* a; b */ select 1;"]),
        ("do $$ begin; end $$; select 2;", ["do $$ begin; end $$;", "select 2;"]),
        ("do $a$ select $$;$$; $a$;", ["do $a$ select $$;$$; $a$;"]),
        ("select 1;\n-- the end\n", ["select 1;"]),
    ],
)
def test_a_script_is_split_where_a_statement_ends(script: str, statements: list[str]) -> None:
    """Only a semicolon outside strings, names, comments and function bodies ends a statement."""
    assert list(split_statements(script)) == statements


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ('create policy "Staff reads" on storage.objects for select using (true)', True),
        ("-- why\ncreate policy p on storage.buckets using (true)", True),
        ("/* why */ DROP POLICY IF EXISTS p ON storage.objects", True),
        ("alter policy p on storage.objects using (false)", True),
        ("comment on policy p on storage.objects is 'x'", True),
        ("create policy p on public.objects using (true)", False),
        ("create policy p on storage.migrations using (true)", False),
        ("alter table storage.objects enable row level security", False),
        ("-- create policy p on storage.objects using (true)\nselect 1", False),
        ("comment on table storage.objects is 'x'", False),
    ],
)
def test_only_policies_on_storage_tables_are_lent_to_postgres(
    statement: str, expected: object
) -> None:
    """Handling policies on objects and buckets is all that role postgres may do there."""
    assert is_storage_policy(statement) is expected


def test_migrations_are_read_in_order_and_other_files_skipped(tmp_path: Path) -> None:
    """A migration is a file named by digits and a name; the digits give the order."""
    for name in ("20_second.sql", "10_first.sql", "seed.sql", "30_notes.md"):
        (tmp_path / name).touch()
    assert [(one.version, one.name) for one in read_migrations(tmp_path)] == [
        ("10", "first"),
        ("20", "second"),
    ]
