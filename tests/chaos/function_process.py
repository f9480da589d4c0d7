"""One server of functions with its worker: hit in every way, and started again."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from stack.errors import StackError
from stack.functions_server import FunctionsServer
from stack.ports import free_port

_STARTS = 5


def strike(process: psutil.Process | None, number: signal.Signals) -> bool:
    """Send a signal; False when the process is gone, also when its number was given away since."""
    if process is None:
        return False
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return False
    return True


def children_of(process_id: int) -> list[psutil.Process]:
    """The processes that this one started; none when it is gone."""
    with contextlib.suppress(psutil.NoSuchProcess):
        children: list[psutil.Process] = psutil.Process(process_id).children()
        return children
    return []


class FunctionProcess:
    """Thread-safe. While it is being started again, blows at it miss."""

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        target: str,
        environment: Mapping[str, str],
        checkout: Path,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.name = name
        self.target = target
        self.is_up = False
        self._server = FunctionsServer(
            directory, free_port(), environment, target=target, checkout=checkout
        )
        self._changing = threading.Lock()
        self._alarms: list[threading.Timer] = []

    @property
    def url(self) -> str:
        """Where it listens, up or not."""
        return self._server.url

    def start(self) -> None:
        """Start it and return at once; `wait` tells when it serves."""
        self._server.start()

    def wait(self) -> None:
        """Wait until it serves."""
        self._server.wait_until_ready()
        self.is_up = True

    def strike_worker(self, number: signal.Signals) -> bool:
        """Send the worker a signal; False when there is none at this moment."""
        return strike(self._worker(), number)

    def freeze_worker(self, seconds: float) -> bool:
        """Stop the worker, which goes on by itself after these seconds; False as above."""
        worker = self._worker()
        if not strike(worker, signal.SIGSTOP):
            return False
        alarm = threading.Timer(seconds, strike, (worker, signal.SIGCONT))
        alarm.start()
        self._alarms.append(alarm)
        return True

    def strike_server(self, number: signal.Signals) -> bool:
        """Kill server and worker, or end the server; it starts again in the background."""
        if not self._changing.acquire(blocking=False):
            return False
        self.is_up = False
        with contextlib.suppress(ProcessLookupError):
            if number == signal.SIGKILL:
                os.killpg(self._server.pid, number)
            else:
                os.kill(self._server.pid, number)
        threading.Thread(target=self._start_again, name="restart").start()
        return True

    def calls_from(self, port: int) -> bool:
        """Whether its worker has a connection from this port."""
        worker = self._worker()
        with contextlib.suppress(psutil.Error):
            connections = worker.net_connections("tcp4") if worker is not None else []
            return any(connection.laddr.port == port for connection in connections)
        return False

    def heal(self) -> None:
        """Wake what is frozen, and wait until it serves."""
        self._wake()
        with self._changing:
            self._wake()
            self.wait()

    def stop(self) -> None:
        """Stop it for good, frozen or not."""
        self._wake()
        with self._changing:
            self._server.stop()

    def _wake(self) -> None:
        for alarm in self._alarms:
            alarm.cancel()
            alarm.join()
        self._alarms.clear()
        self.strike_worker(signal.SIGCONT)

    def _start_again(self) -> None:
        try:
            self._server.stop()
            for _ in range(_STARTS):
                self._server.start()
                try:
                    self.wait()
                except StackError:  # the port is not free yet
                    time.sleep(0.2)
                else:
                    return
        finally:
            self._changing.release()

    def _worker(self) -> psutil.Process | None:
        workers = children_of(self._server.pid)
        return workers[0] if workers else None
