"""The way between the functions and what they talk to, which loses, cuts, holds up and repeats what it carries.

One event loop in a thread of its own: whatever the harness does, packets travel.
"""

import asyncio
import contextlib
import json
import threading
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self
from urllib.parse import urlsplit
from uuid import UUID

from tests.chaos.ambush import Ambush, Moment
from tests.chaos.dice import dice
from tests.chaos.fenced_call import FencedCall, held_run
from tests.chaos.http_message import Message, read_request, read_response
from tests.chaos.weather import Weather

_GRANTING = frozenset(
    {
        "begin_export",
        "begin_export_as_service",
        "take_over_export_run",
        "resume_doubted_export_run",
    }
)
_GATEWAY_PAGE = (
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 24\r\n\r\n"
    b"<html>Bad gateway</html>"
)
_BROKEN = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)
_BUFFER_BYTES = 1 << 20
_REMEMBERED = 40
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Network:
    """A context manager; each `door` is an address to be used instead of the target's.

    `caller` names whoever calls from a port, where all callers share a door.
    `fenced_calls` and `carried`, what happened how often, are complete when it is left.
    """

    target: str
    weather: Weather
    fenced_calls: list[FencedCall] = field(default_factory=list)
    carried: Counter[str] = field(default_factory=Counter)
    caller: Callable[[int], str | None] | None = None
    _is_calm: bool = False
    _ambush: Ambush | None = None
    _grants: int = 0
    _organisations: dict[UUID, UUID] = field(default_factory=dict)
    _remembered: dict[UUID, deque[tuple[str, UUID, int, bytes]]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=_REMEMBERED))
    )
    _numbers: Counter[str] = field(default_factory=Counter)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _servers: list[asyncio.Server] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def door(self, name: str) -> str:
        """An address of its own for a caller, who is known by this name from then on."""
        server = asyncio.run_coroutine_threadsafe(self._listen(name), self._loop).result()
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    def lie_in_wait(self, ambush: Ambush) -> None:
        """Catch what it waits for; takes the place of an earlier ambush."""
        self._ambush = ambush

    def calm(self) -> None:
        """From now on everything arrives, once and at once."""
        self._is_calm = True

    @property
    def mishaps(self) -> int:
        """How many requests did not simply arrive, so far."""
        return self.carried.total() - self.carried["carried"]

    async def _listen(self, door: str) -> asyncio.Server:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._start(self._serve(reader, writer, door))

        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=_BUFFER_BYTES)
        self._servers.append(server)
        return server

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets the transports close

    def _start(self, work: "asyncio._CoroutineLike[None]") -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, door: str
    ) -> None:
        beyond = _Beyond(self.target)
        try:
            while (request := await read_request(reader)) is not None:
                if not await self._carry(request, writer, beyond, door):
                    break
        except _BROKEN:
            self.carried["broken connection"] += 1
        finally:
            beyond.close()
            writer.close()

    async def _carry(
        self, request: Message, writer: asyncio.StreamWriter, beyond: "_Beyond", door: str
    ) -> bool:
        """Whether the caller's connection lives on."""
        step = _step(request)
        mishap, seconds = self._mishap(step) or (None, 0.0)
        self.carried[mishap or "carried"] += 1
        self._remember(step, request)
        if mishap == "gateway_page":
            writer.write(_GATEWAY_PAGE)
            await writer.drain()
            return True
        if mishap == "delay":
            await asyncio.sleep(seconds)
        if mishap == "cut_request":
            await beyond.send(request.first_half())
        if mishap in {"refuse", "cut_request"}:
            return False
        port = writer.get_extra_info("peername")[1]
        await self._spring(step, "before", door, port)
        response = await self._forward(step, request, beyond)
        await self._spring(step, "after", door, port)
        if mishap == "cut_reply":
            return False
        writer.write(response.raw)
        await writer.drain()
        return not response.ends_connection

    async def _spring(self, step: str, moment: Moment, door: str, port: int) -> None:
        ambush = self._ambush
        if ambush is None or not ambush.awaits(step, moment):
            return
        caller = self.caller
        await ambush.spring(door if caller is None else await asyncio.to_thread(caller, port))

    def _mishap(self, step: str) -> tuple[str, float] | None:
        self._numbers[step] += 1
        return None if self._is_calm else self.weather.over(step, self._numbers[step])

    async def _forward(
        self, step: str, request: Message, beyond: "_Beyond", *, is_late: bool = False
    ) -> Message:
        held = held_run(step, request.body)
        call = None
        if held is not None:
            call = FencedCall(step, *held, datetime.now(UTC), is_late=is_late)
            self.fenced_calls.append(call)
        await beyond.send(request.raw)
        response = await beyond.answer(request.method)
        if call is not None:
            call.status = response.status
        if step in _GRANTING and response.status == 200:
            self._notice_grant(response.body)
        return response

    def _remember(self, step: str, request: Message) -> None:
        held = held_run(step, request.body)
        if held is not None and held[0] in self._organisations:
            organization_id = self._organisations[held[0]]
            self._remembered[organization_id].append((step, *held, request.raw))

    def _notice_grant(self, body: bytes) -> None:
        """A newer token was given: a packet of an earlier holder's may arrive only now."""
        told = json.loads(body)
        if told.get("outcome") not in {"started", "resumed"}:
            return
        run_id, organization_id = UUID(told["run"]["run_id"]), UUID(told["run"]["organization_id"])
        self._organisations[run_id] = organization_id
        self._grants += 1
        old = [r for r in self._remembered[organization_id] if r[2] < told["fencing_token"]]
        if self._is_calm or not old:
            return
        choice = dice(self.weather.seed, "packets", self._grants)
        for delay in self.weather.late_deliveries(self._grants):
            packets = [packet for packet in old if packet[1] == run_id] or old
            # Each kind of step alike: an old completion, which is the most usual, only repeats.
            step = choice.choice(sorted({packet[0] for packet in packets}))
            raw = choice.choice([packet[3] for packet in packets if packet[0] == step])
            self._start(self._deliver_late(step, raw, delay))

    async def _deliver_late(self, step: str, raw: bytes, delay: float) -> None:
        await asyncio.sleep(delay)
        reader = asyncio.StreamReader(limit=_BUFFER_BYTES)
        reader.feed_data(raw)
        reader.feed_eof()
        beyond = _Beyond(self.target)
        self.carried["late packet"] += 1
        with contextlib.suppress(*_BROKEN):
            request = await read_request(reader)
            if request is not None:
                await self._forward(step, request, beyond, is_late=True)
        beyond.close()


class _Beyond:
    """The connection from here to the target: opened when needed, kept as long as it holds."""

    def __init__(self, target: str) -> None:
        address = urlsplit(target)
        self._address = (address.hostname or "", address.port)
        self._streams: _Streams | None = None

    async def send(self, raw: bytes) -> None:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address, limit=_BUFFER_BYTES)
        self._streams[1].write(raw)
        await self._streams[1].drain()

    async def answer(self, method: str) -> Message:
        assert self._streams is not None
        response = await read_response(self._streams[0], method)
        if response.ends_connection:
            self.close()
        return response

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _step(request: Message) -> str:
    """The SQL function's name, `upload`, `POST journals`, or the path for anything else."""
    last = request.path.rpartition("/")[2]
    if request.path.startswith("/rest/v1/rpc/"):
        return last
    if "/api/v2.0/" in request.path:
        return f"{request.method} {last.partition('(')[0]}"
    is_upload = request.method == "POST" and request.path.startswith("/storage/v1/object/exports/")
    return "upload" if is_upload else request.path
