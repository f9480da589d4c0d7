"""The functions under functions-framework, as they run when deployed, on a port of this machine."""

import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from stack.program import Program

CHECKOUT = Path(__file__).parent.parent


class FunctionsServer:
    """One process that serves one entry point of functions/main.py below `url`."""

    def __init__(  # noqa: PLR0913 - what a deployment is made of
        self,
        directory: Path,
        port: int,
        environment: Mapping[str, str],
        *,
        target: str = "api",
        source: Path = CHECKOUT / "functions" / "main.py",
        python: str = sys.executable,
        checkout: Path = CHECKOUT,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [python, "-m", "functions_framework", "--asgi", "--target", target]
        command += ["--source", str(source), "--host", "127.0.0.1", "--port", str(port)]
        self._program = Program(
            "The functions server",
            command,
            log=directory / "functions.log",
            directory=checkout,
            # functions-framework puts the source file's directory on the path, not the checkout.
            environment={"PYTHONPATH": str(checkout), "PYTHONUNBUFFERED": "1", **environment},
        )

    @property
    def pid(self) -> int:
        """Process id of the server that accepts requests and forks the worker."""
        return self._program.pid

    def start(self) -> None:
        """Start the server and return at once."""
        self._program.start()

    def wait_until_ready(self) -> None:
        """Wait until the server answers."""
        self._program.wait_until_ready(self._answers)

    def stop(self) -> None:
        """Stop the server; harmless if it does not run."""
        self._program.stop()

    def kill(self) -> None:
        """End the server and its worker as a crash would."""
        self._program.kill()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/", timeout=2).status_code > 0
        except httpx.TransportError:
            return False
