"""Applies migrations as `supabase db push` does: as role postgres, a transaction for each file."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from stack.database import Database

DIRECTORY = Path(__file__).parent.parent / "supabase" / "migrations"

_FILE_NAME = re.compile(r"(\d+)_(.+)\.sql")
# A semicolon ends a statement unless it stands in one of the others.
_OPAQUE_OR_END = re.compile(
    r"--[^\n]*|/\*.*?\*/|(\$\w*\$).*?\1|\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|;",
    re.DOTALL,
)
_COMMENTS = re.compile(r"(?:\s|--[^\n]*\n?|/\*.*?\*/)*", re.DOTALL)
# The supautils extension lets postgres, who does not own these tables, handle their policies and
# nothing else.
_STORAGE_POLICY = re.compile(
    r"(?:create|alter|drop|comment\s+on)\s+policy\s+(?:if\s+exists\s+)?"
    r"(?:\w+|\"(?:[^\"]|\"\")*\")\s+on\s+storage\.(?:objects|buckets)\b",
    re.IGNORECASE,
)
_HISTORY = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
  version text not null primary key, statements text[], name text)
"""


@dataclass(frozen=True)
class Migration:
    """One file of the migrations directory."""

    version: str
    name: str
    path: Path

    def statements(self) -> list[str]:
        """Return the file's statements, comments before them included."""
        return list(split_statements(self.path.read_text(encoding="utf-8")))


def read_migrations(directory: Path = DIRECTORY) -> list[Migration]:
    """Return the migrations in order; other file names are skipped, as the Supabase CLI does."""
    matches = [(path, _FILE_NAME.fullmatch(path.name)) for path in sorted(directory.glob("*.sql"))]
    return [Migration(match[1], match[2], path) for path, match in matches if match]


def split_statements(script: str) -> Iterator[str]:
    """Split a script at its semicolons; a body in `begin atomic ... end` is not understood."""
    start = 0
    for token in _OPAQUE_OR_END.finditer(script):
        if token[0] == ";":
            yield script[start : token.end()].strip()
            start = token.end()
    rest = script[start:].strip()
    if _COMMENTS.fullmatch(rest) is None:
        yield rest


def is_storage_policy(statement: str) -> bool:
    """Whether only an owner could run this statement, but hosted Supabase lets postgres do it."""
    comments = _COMMENTS.match(statement)
    return _STORAGE_POLICY.match(statement, comments.end() if comments else 0) is not None


def apply_migrations(database: Database, directory: Path = DIRECTORY) -> list[str]:
    """Apply what is not applied yet; return the versions that were.

    Raises:
        psycopg.Error: a statement failed; its file's transaction is rolled back, a note names both.
    """
    with database.connect("supabase_admin") as connection:
        with _as_postgres(connection):
            connection.execute(_HISTORY)
        rows = connection.execute("select version from supabase_migrations.schema_migrations")
        known = {version for (version,) in rows}
        pending = [one for one in read_migrations(directory) if one.version not in known]
        for migration in pending:
            with _as_postgres(connection):
                _apply(connection, migration)
        connection.execute("notify pgrst, 'reload schema'")
    return [migration.version for migration in pending]


@contextmanager
def _as_postgres(superuser: psycopg.Connection) -> Iterator[None]:
    """Open a transaction in which role postgres acts for the superuser."""
    with superuser.transaction():
        superuser.execute("set local role postgres")
        yield


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    statements = migration.statements()
    for statement in statements:
        try:
            _execute(connection, statement)
        except psycopg.Error as error:
            error.add_note(f"in {migration.path.name}: {statement[:500]}")
            raise
    connection.execute(
        "insert into supabase_migrations.schema_migrations (version, name, statements)"
        " values (%s, %s, %s)",
        [migration.version, migration.name, statements],
    )


def _execute(connection: psycopg.Connection, statement: str) -> None:
    if not is_storage_policy(statement):
        connection.execute(statement.encode())
        return
    connection.execute("reset role")
    connection.execute(statement.encode())
    connection.execute("set local role postgres")
