"""The platform's scheduler: calls the sweep every second or so, and does not care how it ends."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence

import httpx

_SECONDS_BETWEEN = 0.7
_PATIENCE = 15.0


class Sweeper:
    """`said` counts the answers."""

    def __init__(self, living: Callable[[], Sequence[str]]) -> None:
        self._living = living
        self.said: Counter[str] = Counter()

    def sweep_until(self, stop: threading.Event) -> None:
        """Each living sweep in turn."""
        number = 0
        with httpx.Client(timeout=_PATIENCE) as client:
            while not stop.wait(_SECONDS_BETWEEN):
                doors = self._living()
                if doors:
                    self._sweep(client, doors[number % len(doors)])
                number += 1

    def _sweep(self, client: httpx.Client, door: str) -> None:
        try:
            self.said[str(client.post(door).status_code)] += 1
        except httpx.TransportError as fault:
            self.said[type(fault).__name__] += 1
