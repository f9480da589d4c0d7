"""A hundred clients that retry without any pause while their organisation's export runs."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import httpx

from stack.embedded_stack import EmbeddedStack
from stack.supabase_lite import POOL_SIZE
from tests.http.fault_proxy import FaultProxy
from tests.load.connection_watch import ConnectionWatch, connection_watch
from tests.load.fleet import fleet
from tests.load.measurement import Measurement
from tests.load.party import CONNECTION_LOST, Party, many_connections
from tests.load.promise import Promise, at_most, only_answers
from tests.load.scale import Scale

UPLOAD = "POST /storage/v1/object/exports/"
CLAIMS = 300
NEIGHBOURS_CLAIMS = 5
BASELINE_EXPORTS = 5
# The run is under way for this part of the time, and done for the rest of it.
PART_UNDER_WAY = 0.6
# The data API lets a request wait 10 s for a connection; an export makes several requests.
NEIGHBOURS_BOUND = 10
# A begin waits 150 ms for the lock row and then gives its connection back.
LONGEST_WAIT = 1
ONE_IN = 50


async def measure_stampede(
    stack: EmbeddedStack, addresses: list[str], scale: Scale, directory: Path
) -> tuple[list[Measurement], list[Promise]]:
    """One run is under way and then done; a crowd asks for it all the time; a neighbour exports."""
    host, neighbour = Party.invite(stack, "Stampede"), Party.invite(stack, "Neighbour")
    host.organisation.add_claims(CLAIMS)
    first, crowd = (
        Measurement("the export itself"),
        Measurement(f"{scale.clients} retrying clients"),
    )
    alone, beside = Measurement("neighbour alone"), Measurement("neighbour beside the crowd")
    with slow_worker(stack, directory) as (address, uploading, may_upload):
        async with many_connections() as client:
            for _ in range(BASELINE_EXPORTS):
                await export_once(client, neighbour, addresses[0], alone)
            export = asyncio.create_task(host.tap(client, address, first))
            await asyncio.to_thread(uploading.wait)
            with connection_watch(stack.database) as watch:
                until = time.monotonic() + scale.seconds
                asyncio.get_running_loop().call_later(
                    scale.seconds * PART_UNDER_WAY, may_upload.set
                )
                at = cycle(addresses)
                await asyncio.gather(
                    *(
                        keep_retrying(client, host, next(at), crowd, until)
                        for _ in range(scale.clients)
                    ),
                    keep_exporting(client, neighbour, addresses, beside, until),
                )
            await export
    rows = [first, crowd, alone, beside]
    return rows, promises(host, rows, watch)


@contextmanager
def slow_worker(
    stack: EmbeddedStack, directory: Path
) -> Iterator[tuple[str, threading.Event, threading.Event]]:
    """A process whose first upload waits: address, when it waits, and the word to go on."""
    uploading, may_upload = threading.Event(), threading.Event()
    with FaultProxy(stack.url) as proxy:
        proxy.before(UPLOAD, uploading.set)
        proxy.before(UPLOAD, may_upload.wait)
        with fleet(stack, directory / "slow", 1, proxy.url) as [address]:
            try:
                yield address, uploading, may_upload
            finally:
                may_upload.set()


async def keep_retrying(
    client: httpx.AsyncClient, host: Party, address: str, into: Measurement, until: float
) -> None:
    """A client without manners: the same key again as soon as there is an answer."""
    key = str(uuid4())
    while time.monotonic() < until:
        await host.tap(client, address, into, key)


async def keep_exporting(
    client: httpx.AsyncClient,
    neighbour: Party,
    addresses: list[str],
    into: Measurement,
    until: float,
) -> None:
    """New claims, an export, new claims, an export."""
    at = cycle(addresses)
    while time.monotonic() < until:
        await export_once(client, neighbour, next(at), into)


async def export_once(
    client: httpx.AsyncClient, party: Party, address: str, into: Measurement
) -> None:
    """Export a few new claims."""
    await asyncio.to_thread(party.organisation.add_claims, NEIGHBOURS_CLAIMS)
    await party.tap(client, address, into)


def few_connections_lost(crowd: Measurement) -> Promise:
    """A server closes idle connections, now and then in the moment that one is used again.

    Whoever hears nothing repeats with the same key, as this crowd does. A worker that died would
    lose the half of them at once.
    """
    lost, asked = crowd.statuses[CONNECTION_LOST], sum(crowd.statuses.values())
    return Promise(
        f"{crowd.case}: at most one connection in {ONE_IN} lost",
        lost * ONE_IN <= asked,
        f"{lost} of {asked}",
    )


def promises(host: Party, rows: list[Measurement], watch: ConnectionWatch) -> list[Promise]:
    """One run, no fault, and always a connection left for somebody else."""
    first, crowd, alone, beside = rows
    runs = host.organisation.execute(
        "select status, claim_count from public.export_runs where organization_id = %s",
        host.organisation.id,
    )
    return [
        only_answers(first, {201}),
        only_answers(crowd, {200, 201, 202, 409, CONNECTION_LOST}),
        few_connections_lost(crowd),
        Promise(
            "the crowd saw the run under way and done",
            {200, 202} <= set(crowd.statuses),
            str(dict(crowd.statuses)),
        ),
        Promise("exactly one run", runs == [("completed", CLAIMS)], str(runs)),
        only_answers(alone, {201}),
        only_answers(beside, {201}),
        at_most("neighbour beside the crowd: slowest", beside.slowest, NEIGHBOURS_BOUND),
        Promise(
            f"no connection waits for a lock longer than {LONGEST_WAIT} s",
            watch.samples > 0 and watch.longest_wait <= LONGEST_WAIT,
            f"{watch.longest_wait:.2f} s; of {POOL_SIZE} at most {watch.busy} busy, {watch.waiting} waiting",
        ),
    ]
