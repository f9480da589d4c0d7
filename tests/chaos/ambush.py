"""Waiting for a request of a certain kind, to strike its sender at the worst moment."""

import asyncio
import threading
from typing import Literal

Moment = Literal["before", "after"]
"""Before it goes on to its target, or after that did what it asks, before the sender knows."""

_LONGEST_HOLD = 1.0
_TICK = 0.001


class Ambush:
    """One thread waits, the network springs it and holds the request until the blow has landed."""

    def __init__(self, step: str, moment: Moment) -> None:
        self._step = step
        self._moment = moment
        self._sprung = threading.Event()
        self._ended = threading.Event()
        self._door: str | None = None

    def wait(self, seconds: float) -> str | None:
        """The name of the door that the request came through; None when none came."""
        self._sprung.wait(seconds)
        return self._door

    def end(self) -> None:
        """Let the request go, if one was caught, and catch no other."""
        self._ended.set()

    def awaits(self, step: str, moment: Moment) -> bool:
        """Whether this is what it waits for."""
        is_over = self._ended.is_set() or self._sprung.is_set()
        return (step, moment) == (self._step, self._moment) and not is_over

    async def spring(self, door: str | None) -> None:
        """Called by the network for a request that is awaited."""
        if self._sprung.is_set():
            return
        self._door = door
        self._sprung.set()
        for _ in range(round(_LONGEST_HOLD / _TICK)):
            if self._ended.is_set():
                return
            await asyncio.sleep(_TICK)
