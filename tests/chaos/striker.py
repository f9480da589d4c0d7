"""Carries out the plan of strikes, one after the other, until as many blows have landed as were planned."""

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import psutil

from stack.embedded_stack import EmbeddedStack
from stack.errors import StackError
from tests.chaos.ambush import Ambush
from tests.chaos.fault_plan import Strike
from tests.chaos.function_process import FunctionProcess, children_of, strike
from tests.chaos.network import Network

_STARTS = 20
_SECONDS_BETWEEN_STARTS = 0.2
_SECONDS_BETWEEN_TRIES = 0.1
_TRIES = 300
# Rare steps are not waited for longer: the blow then falls anywhere.
_LONGEST_WAIT = 0.7


class Striker:
    """`landed` counts the blows that hit something, by kind; `aimed` where they were to fall. What was hit is started again."""

    def __init__(
        self,
        stack: EmbeddedStack,
        processes: Sequence[FunctionProcess],
        networks: Sequence[Network],
    ) -> None:
        self._stack = stack
        self._processes = processes
        self._networks = networks
        self.landed: Counter[str] = Counter()
        self.aimed: Counter[str] = Counter()

    def carry_out(self, strikes: Sequence[Strike], stop: threading.Event) -> None:
        """All of them, in order; a blow that misses is tried at the next process."""
        for planned in strikes:
            if stop.wait(planned.pause):
                return
            self.keep_postgres_up()
            if planned.aim is None:
                self._strike(planned, None)
                continue
            ambush = Ambush(*planned.aim)
            for network in self._networks:
                network.lie_in_wait(ambush)
            prey = ambush.wait(_LONGEST_WAIT)
            self.aimed["missed" if prey is None else " ".join(planned.aim[::-1])] += 1
            self._strike(planned, prey)
            ambush.end()

    def _strike(self, planned: Strike, prey: str | None) -> None:
        victims = [process for process in self._processes if process.name == prey]
        for attempt in range(_TRIES):
            number = (planned.victim + attempt) % len(self._processes)
            victim = victims[0] if victims and attempt == 0 else self._processes[number]
            if self._land(planned, victim, attempt):
                self.landed[planned.blow] += 1
                return
            time.sleep(_SECONDS_BETWEEN_TRIES)

    def _land(self, planned: Strike, process: FunctionProcess, attempt: int) -> bool:
        blows: dict[str, Callable[[], bool]] = {
            "kill_worker": lambda: process.strike_worker(signal.SIGKILL),
            "end_worker": lambda: process.strike_worker(signal.SIGTERM),
            "stop_worker": lambda: process.freeze_worker(planned.stop_seconds),
            "kill_server": lambda: process.strike_server(signal.SIGKILL),
            "end_server": lambda: process.strike_server(signal.SIGTERM),
            "kill_api": self._kill_api,
            "kill_postgres": lambda: self._end_postgres(signal.SIGKILL),
            "quit_postgres": lambda: self._end_postgres(signal.SIGQUIT),
            "kill_backend": lambda: self._kill_backend(planned.victim + attempt),
        }
        return blows[planned.blow]()

    def _kill_api(self) -> bool:
        try:
            self._stack.supabase.kill()
        except ProcessLookupError:  # it is still coming back from the last time
            return False
        return True

    def keep_postgres_up(self) -> None:
        """Start it when it ended by itself, as it does when a recovery is killed."""
        if not psutil.pid_exists(self._stack.postgres.pid):
            self._stack.postgres.stop()
            self._start_postgres()

    def _end_postgres(self, number: signal.Signals) -> bool:
        """With its children: each is in a session of its own, and would finish what it does."""
        postgres = self._stack.postgres
        children = children_of(postgres.pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(postgres.pid, number)
        if number == signal.SIGKILL:
            for child in children:
                strike(child, signal.SIGKILL)
        postgres.stop()
        self._start_postgres()
        return True

    def _start_postgres(self) -> None:
        """On the same data; again when the dead one's shared memory is still in use."""
        for _ in range(_STARTS):
            try:
                self._stack.postgres.start()
            except StackError:
                time.sleep(_SECONDS_BETWEEN_STARTS)
            else:
                return
        raise StackError("Postgres did not come back; see its log.")

    def _kill_backend(self, victim: int) -> bool:
        backends = children_of(self._stack.postgres.pid)
        return bool(backends) and strike(backends[victim % len(backends)], signal.SIGKILL)
