"""One program of the stack: started, asked whether it is ready, stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from stack import keeper
from stack.errors import NotReady, ProgramEnded

READY_SECONDS = 60
POLL_SECONDS = 0.02


class Program:
    """A program under a keeper, so that it ends when this process does, even by SIGKILL."""

    def __init__(  # noqa: PLR0913 - what a process is made of
        self,
        name: str,
        command: list[str],
        *,
        log: Path,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        account: tuple[int, int] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._order = json.dumps(
            {
                "command": command,
                "log": str(log),
                "directory": str(directory),
                "stop_signal": stop_signal.name,
                "account": account,
            }
        )
        self._environment = {**os.environ, **(environment or {})}
        self._keeper: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def start(self) -> None:
        """Start the program and return at once.

        Its own session keeps Ctrl-C in a terminal from reaching it before us.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", keeper.__file__, self._order],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )
        assert self._keeper.stdout is not None  # noqa: S101 - a pipe was asked for
        first_line = self._keeper.stdout.readline()
        self._keeper.stdout.close()
        if not first_line:
            raise ProgramEnded(self.name, self.log)
        self.pid = int(first_line)

    @property
    def running(self) -> bool:
        """Whether the program was started and has not ended."""
        return self._keeper is not None and self._keeper.poll() is None

    def wait(self) -> None:
        """Wait until the program has ended."""
        keeper = self._keeper
        if keeper is not None:
            keeper.wait()
            # Of this keeper only: a supervisor may have started the program again by now.
            if keeper.stdin is not None:
                keeper.stdin.close()

    def wait_until_ready(self, ready: Callable[[], bool], *, is_restarted: bool = False) -> None:
        """Ask again and again until the answer is yes.

        Raises:
            ProgramEnded: the program ended instead, and nobody starts it again.
            NotReady: a minute has passed.
        """
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            if not (self.running or is_restarted):
                raise ProgramEnded(self.name, self.log)
            if time.monotonic() > deadline:
                message = f"{self.name} did not answer for {READY_SECONDS} s, see {self.log}"
                raise NotReady(message)
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Tell the program to stop and wait for its end; harmless if it never started."""
        self._close_input()
        self.wait()

    def kill(self) -> None:
        """End the program as a crash would, without any warning."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def _close_input(self) -> None:
        if self._keeper is not None and self._keeper.stdin is not None:
            self._keeper.stdin.close()
