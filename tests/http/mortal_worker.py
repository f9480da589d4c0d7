"""A worker whose requests are counted, so that it can be ended, or held up, at any of them."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import pytest

_ASKING: Final[ContextVar["MortalWorker | None"]] = ContextVar("asking", default=None)


class Killed(BaseException):
    """As a process that is killed: nothing is tidied up, for no request gets out any more."""


@dataclass
class MortalWorker:
    """Ends after its request number `dies_after`, or holds number `lingers_at` up until `thaw`.

    `asked` names its requests, in order, from 0. What is held up goes on its way when it is let
    go, and the worker goes on after it: a late packet and an outrun worker in one.
    """

    dies_after: int | None = None
    lingers_at: int | None = None
    asked: list[str] = field(default_factory=list)
    lingers: asyncio.Event = field(default_factory=asyncio.Event)
    thaw: asyncio.Event = field(default_factory=asyncio.Event)
    is_dead: bool = False

    async def carry(
        self, request: httpx.Request, send: Callable[[], Awaitable[httpx.Response]]
    ) -> httpx.Response:
        """Called for every request of the worker."""
        number = len(self.asked)
        if self.is_dead:
            raise Killed
        self.asked.append(f"{request.method} {request.url.path}")
        if number == self.lingers_at:
            self.lingers.set()
            await self.thaw.wait()
        response = await send()
        if number == self.dies_after:
            self.is_dead = True
        if self.is_dead:
            raise Killed
        return response

    async def work(self, job: Callable[[], Awaitable[object]]) -> None:
        """Do it; to be killed is no error."""
        _ASKING.set(self)
        try:
            await job()
        except (Killed, BaseExceptionGroup):
            if not self.is_dead:
                raise


@contextmanager
def watched_requests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every request that a MortalWorker makes through httpx, to whomever, passes by it."""
    send = httpx.AsyncClient.send

    async def watched(
        client: httpx.AsyncClient, request: httpx.Request, **options: Any
    ) -> httpx.Response:
        worker = _ASKING.get()
        if worker is None:
            return await send(client, request, **options)
        return await worker.carry(request, lambda: send(client, request, **options))

    with monkeypatch.context() as patched:
        patched.setattr(httpx.AsyncClient, "send", watched)
        yield
