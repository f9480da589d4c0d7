"""What a deployment to Cloud Run makes of this checkout: its files and its runtime packages."""

import compileall
import fcntl
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from stack.errors import StackError
from stack.functions_server import CHECKOUT, FunctionsServer


@dataclass(frozen=True)
class Deployment:
    """A copy of the checkout and the Python that has only requirements.txt installed."""

    directory: Path
    python: Path

    def server(self, target: str, port: int, environment: Mapping[str, str]) -> FunctionsServer:
        """Return a server for one entry point, not yet started."""
        return FunctionsServer(
            self.directory / f"log-{target}",
            port,
            environment,
            target=target,
            python=str(self.python),
            checkout=self.directory,
        )


def deploy(directory: Path) -> Deployment:
    """Copy what git would hand over, compile it as the build does, install the runtime packages.

    Raises:
        StackError: a file does not compile, which would fail the deployment.
    """
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (CHECKOUT / name).is_file():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(CHECKOUT / name, directory / name)
    if not compileall.compile_dir(directory, quiet=1):
        raise StackError("A Python file does not compile, so the build of a deployment would fail.")
    return Deployment(directory, _runtime_python())


def _runtime_python() -> Path:
    """Return a Python with requirements.txt and nothing else; built once for each state of it."""
    requirements = CHECKOUT / "requirements.txt"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    state = sha256(requirements.read_bytes() + version.encode()).hexdigest()[:12]
    home = CHECKOUT / ".local" / f"runtime-{state}"
    home.mkdir(parents=True, exist_ok=True)
    python = home / "venv" / "bin" / "python"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            _run(sys.executable, "-m", "venv", "--clear", str(home / "venv"))
            install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            _run(str(python), *install, "--require-hashes", "--requirement", str(requirements))
            (home / "complete").touch()
    return python


def _run(*command: str) -> None:
    finished = subprocess.run(command, check=False, capture_output=True, text=True)
    if finished.returncode:
        raise StackError(f"{' '.join(command)} failed:\n{finished.stderr}")
