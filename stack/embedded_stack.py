"""Postgres, Supabase and the functions as one thing to start and stop."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.credentials import Credentials, load_credentials
from stack.database import Database
from stack.functions_server import FunctionsServer
from stack.hosted_platform import create_database, create_roles, roles_exist
from stack.migrations import DIRECTORY as MIGRATIONS
from stack.migrations import apply_migrations
from stack.ports import choose_ports
from stack.postgres import PostgresServer
from stack.supabase_lite import SupabaseLite
from stack.sweep_schedule import SweepSchedule

DATABASE_NAME = "supabase"


class EmbeddedStack:
    """A running stack with its data in `directory`; a context manager.

    Leaving it, or failing to enter it, leaves no process behind. A directory that was used before
    is used on: same data and keys, the same ports where they are free, new migrations applied.
    With `sweep_seconds` the sweep runs beside the functions and is called that often.
    """

    credentials: Credentials
    database: Database
    postgres: PostgresServer
    supabase: SupabaseLite
    functions: FunctionsServer

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = True,
        with_functions: bool = True,
        sweep_seconds: float | None = None,
        migrations: Path = MIGRATIONS,
    ) -> None:
        self.directory = directory.resolve()
        self._durable = durable
        self._with_functions = with_functions
        self._sweep_seconds = sweep_seconds
        self._migrations = migrations
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as cleanup:
            self._start(cleanup)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._cleanup.close()

    @property
    def url(self) -> str:
        """Address of the Supabase API, and of its dashboard."""
        return self.supabase.url

    @property
    def functions_environment(self) -> dict[str, str]:
        """Settings that point functions/settings.py at this stack."""
        return {
            "SUPABASE_URL": self.url,
            "SUPABASE_PUBLISHABLE_KEY": self.credentials.publishable_key,
            "SUPABASE_SECRET_KEY": self.credentials.secret_key,
        }

    def _start(self, cleanup: ExitStack) -> None:
        names = ["postgres", "supabase", "dashboard", "functions", "sweep"]
        ports = choose_ports(self.directory / "ports.json", names)
        self.credentials = load_credentials(self.directory / "credentials.json")
        self.postgres = PostgresServer(self.directory, ports["postgres"], durable=self._durable)
        cleanup.callback(self.postgres.stop)
        self.postgres.start()
        self.database = self._migrated_database()
        self.supabase = SupabaseLite(
            self.directory,
            {"api": ports["supabase"], "dashboard": ports["dashboard"]},
            self.database,
            self.credentials,
        )
        cleanup.callback(self.supabase.stop)
        self.supabase.start()
        if self._with_functions:
            self.functions = FunctionsServer(
                self.directory, ports["functions"], self.functions_environment
            )
            cleanup.callback(self.functions.stop)
            self.functions.start()
            self.functions.wait_until_ready()
        self.supabase.wait_until_ready()
        if self._sweep_seconds is not None:
            self._start_sweep(cleanup, ports["sweep"], self._sweep_seconds)

    def _start_sweep(self, cleanup: ExitStack, port: int, seconds: float) -> None:
        server = FunctionsServer(
            self.directory / "sweep", port, self.functions_environment, target="sweep"
        )
        cleanup.callback(server.stop)
        server.start()
        schedule = SweepSchedule(server.url, seconds)
        cleanup.callback(schedule.stop)
        schedule.start()

    def _migrated_database(self) -> Database:
        server = self.postgres.database()
        if not roles_exist(server):
            create_roles(server)
        database = self.postgres.database(DATABASE_NAME)
        with server.connect("supabase_admin") as superuser:
            exists = superuser.execute(
                "select from pg_database where datname = %s", [DATABASE_NAME]
            ).fetchone()
        if exists is None:
            create_database(server, DATABASE_NAME)
        apply_migrations(database, self._migrations)
        return database
