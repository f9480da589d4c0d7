"""The ladder of fixtures: a server, a migrated template, a database per test, a whole stack."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis.configuration import set_hypothesis_home_dir
from psycopg import sql
from supabase import AsyncClient, AsyncClientOptions, create_async_client

from stack.database import Database
from stack.deployment import deploy
from stack.embedded_stack import EmbeddedStack
from stack.functions_server import CHECKOUT, FunctionsServer
from stack.hosted_platform import DefaultGrants, create_database, create_roles
from stack.migrations import apply_migrations
from stack.ports import free_port
from stack.postgres import PostgresServer, reachable

# Beside everything else that is written.
set_hypothesis_home_dir(CHECKOUT / ".local" / "hypothesis")

TEMPLATE = "migrated"
# httpx itself gives up after 5 s, less than the data API needs to report a time-out of its own.
CLIENT_SECONDS = 30


@dataclass(frozen=True)
class OwnDatabase(Database):
    """A database of one test; closes the connections that the test left open."""

    opened: list[psycopg.Connection] = field(default_factory=list)

    def connect(
        self,
        role: str = "postgres",
        *,
        claims: Mapping[str, Any] | None = None,
        autocommit: bool = True,
    ) -> psycopg.Connection:
        """As Database.connect."""
        connection = super().connect(role, claims=claims, autocommit=autocommit)
        self.opened.append(connection)
        return connection


def _process_is_gone(process_id: str) -> bool:
    try:
        os.kill(int(process_id), 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture(scope="session")
def scratch_directory() -> Iterator[Path]:
    """A directory of this process's own, also in parallel and simultaneous runs.

    Not pytest's own temporary directory: Postgres runs as another user when we are root, and may
    not enter that one.
    """
    parent = CHECKOUT / ".local" / "tests"
    parent.mkdir(parents=True, exist_ok=True)
    for left_over in filter(lambda path: _process_is_gone(path.name), parent.iterdir()):
        shutil.rmtree(left_over, ignore_errors=True)
    directory = parent / str(os.getpid())
    directory.mkdir()
    yield directory
    for path in (directory, reachable(directory)):
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(scratch_directory: Path) -> Iterator[PostgresServer]:
    """A server with hosted Supabase's roles and no database of ours."""
    with PostgresServer(scratch_directory / "postgres", free_port(), durable=False) as server:
        create_roles(server.database())
        yield server


@pytest.fixture(scope="session")
def template_database(postgres_server: PostgresServer) -> Database:
    """A database as hosted, with new default grants and our migrations, to be cloned by name."""
    database = create_database(postgres_server.database(), TEMPLATE)
    apply_migrations(database)
    return database


@pytest.fixture(scope="session")
def _administration(postgres_server: PostgresServer) -> Iterator[psycopg.Connection]:
    with postgres_server.database().connect("supabase_admin") as connection:
        yield connection


@pytest.fixture(scope="session")
def _numbers() -> Iterator[int]:
    return count(1)


@pytest.fixture
def database(
    template_database: Database, _administration: psycopg.Connection, _numbers: Iterator[int]
) -> Iterator[OwnDatabase]:
    """A migrated database of the test's own."""
    clone = _clone(template_database, f"test_{next(_numbers)}", _administration)
    yield clone
    _close_and_drop(clone, _administration)


@pytest.fixture(scope="session")
def unchanged_database(
    template_database: Database, _administration: psycopg.Connection
) -> Iterator[OwnDatabase]:
    """A migrated database for tests that only read, or roll back what they do."""
    clone = _clone(template_database, "unchanged", _administration)
    yield clone
    _close_and_drop(clone, _administration)


def _clone(template: Database, name: str, administration: psycopg.Connection) -> OwnDatabase:
    identifiers = sql.Identifier(name), sql.Identifier(template.name)
    administration.execute(
        sql.SQL("create database {} template {} owner postgres strategy file_copy").format(
            *identifiers
        )
    )
    return OwnDatabase(template.port, name, template.password)


@pytest.fixture
def unmigrated_database(
    postgres_server: PostgresServer, _administration: psycopg.Connection, _numbers: Iterator[int]
) -> Iterator[Callable[[DefaultGrants], OwnDatabase]]:
    """Make a database as a new project has it: with old or new default grants, no migrations."""
    made: list[OwnDatabase] = []

    def make(default_grants: DefaultGrants) -> OwnDatabase:
        name = f"test_{next(_numbers)}"
        database = create_database(postgres_server.database(), name, default_grants)
        made.append(OwnDatabase(database.port, database.name, database.password))
        return made[-1]

    yield make
    for database in made:
        _close_and_drop(database, _administration)


def _close_and_drop(database: OwnDatabase, administration: psycopg.Connection) -> None:
    for connection in database.opened:
        connection.close()
    administration.execute(
        sql.SQL("drop database {} with (force)").format(sql.Identifier(database.name))
    )


@pytest.fixture(scope="session")
def stack(scratch_directory: Path) -> Iterator[EmbeddedStack]:
    """The whole embedded stack with the functions; isolate by organisations of your own."""
    with EmbeddedStack(scratch_directory / "stack", durable=False) as stack:
        yield stack


@pytest.fixture
async def connect_client() -> AsyncIterator[Callable[..., Awaitable[AsyncClient]]]:
    """Make supabase-py clients with a connection pool each, closed when the test ends.

    Called with a stack, a key and, for a client that acts for a user, that user's access token.
    """
    async with AsyncExitStack() as open_pools:

        async def connect(
            stack: EmbeddedStack, key: str, access_token: str | None = None
        ) -> AsyncClient:
            pool = await open_pools.enter_async_context(httpx.AsyncClient(timeout=CLIENT_SECONDS))
            headers = {"Authorization": f"Bearer {access_token}"} if access_token else {}
            options = AsyncClientOptions(httpx_client=pool, headers=headers)
            return await create_async_client(stack.url, key, options)

        yield connect


@pytest.fixture(scope="session")
def deployed_functions(
    scratch_directory: Path, stack: EmbeddedStack
) -> Iterator[Callable[[str], FunctionsServer]]:
    """Serve one entry point from a clean copy, as a deployment does, next to the stack."""
    deployment = deploy(scratch_directory / "deployed")
    with ExitStack() as cleanup:

        def start(target: str) -> FunctionsServer:
            server = deployment.server(target, free_port(), stack.functions_environment)
            cleanup.callback(server.stop)
            server.start()
            server.wait_until_ready()
            return server

        yield start
