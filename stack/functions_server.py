"""The functions under functions-framework, as they run when deployed, on a port of this machine."""

import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from stack.program import Program

CHECKOUT = Path(__file__).parent.parent


class FunctionsServer:
    """One entry point of functions/main.py, served below `url`.

    Not told whether it is async: functions-framework finds that out, here and when deployed.
    """

    def __init__(  # noqa: PLR0913 - what a deployment is made of
        self,
        directory: Path,
        port: int,
        environment: Mapping[str, str],
        *,
        target: str = "api",
        python: str = sys.executable,
        checkout: Path = CHECKOUT,
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._program = Program(
            "The functions server",
            # -P: without the current directory on the path, as when deployed.
            [python, "-P", "-m", "functions_framework"],
            log=directory / "functions.log",
            directory=checkout,
            environment={
                "FUNCTION_TARGET": target,
                "FUNCTION_SOURCE": str(checkout / "functions" / "main.py"),
                "HOST": "127.0.0.1",
                "PORT": str(port),
                # functions-framework puts only the directory of main.py on the path.
                "PYTHONPATH": str(checkout),
                "PYTHONUNBUFFERED": "1",
                **environment,
            },
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
