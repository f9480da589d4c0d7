"""Organisations do not wait for each other, whatever one of them is stuck in."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import httpx

from stack.embedded_stack import EmbeddedStack
from tests.load.measurement import Measurement
from tests.load.party import Party, many_connections
from tests.load.promise import Promise, at_most, only_answers
from tests.load.scale import Scale
from tests.organisation import OCTOBER, begin

CLAIMS = 5
TAPPERS = 25
"""More than the data API has connections: waiting ones would use them up."""
# Until the tappers wait, all of them.
SECONDS_BEFORE = 0.1
# Generous: what is looked for is waiting until a lease (60 s) or a statement's time (8 s) is over.
TIMES_SLOWER, SECONDS_SLOWER = 3, 0.5


@contextmanager
def lease_held(party: Party) -> Iterator[None]:
    """A worker that does nothing holds the organisation's lease."""
    with party.organisation.as_user(party.coordinator.user_id) as connection:
        begin(connection, party.organisation, (None, OCTOBER[1]))
    yield


@contextmanager
def lock_row_held(party: Party) -> Iterator[None]:
    """A transaction that does not end holds the organisation's lock row."""
    with party.organisation.database.connect("postgres", autocommit=False) as connection:
        connection.execute(
            "select from public.export_locks where organization_id = %s for update",
            [party.organisation.id],
        )
        yield


HOLDS: dict[str, Callable[[Party], AbstractContextManager[None]]] = {
    "lease": lease_held,
    "lock row": lock_row_held,
}


async def measure_neighbours(
    stack: EmbeddedStack, addresses: list[str], scale: Scale
) -> tuple[list[Measurement], list[Promise]]:
    """Export in rounds: alone, and while one organisation is held up in each way."""
    parties = [Party.invite(stack, f"Organisation {n}") for n in range(scale.organisations)]
    exports = {case: Measurement(f"exports, {case}") for case in ["nobody held", *HOLDS]}
    taps = {case: Measurement(f"taps at the held {case}") for case in HOLDS}
    async with many_connections() as client:
        warm_up = Measurement("warm-up")
        await export_at_once(client, addresses, parties, warm_up)
        for _ in range(scale.rounds):
            await export_at_once(client, addresses, parties, exports["nobody held"])
            for case, hold in HOLDS.items():
                held = Party.invite(stack, "Held up")
                held.organisation.add_claims(CLAIMS)
                with hold(held):
                    await export_beside(
                        client, addresses, parties, held, (exports[case], taps[case])
                    )
    return [*exports.values(), *taps.values()], promises(exports, taps)


async def export_at_once(
    client: httpx.AsyncClient, addresses: list[str], parties: list[Party], into: Measurement
) -> None:
    """Every organisation gets new claims, then all of them export at the same moment."""
    for party in parties:
        party.organisation.add_claims(CLAIMS)
    at = itertools.cycle(addresses)
    await asyncio.gather(*(party.tap(client, next(at), into) for party in parties))


async def export_beside(
    client: httpx.AsyncClient,
    addresses: list[str],
    parties: list[Party],
    held: Party,
    into: tuple[Measurement, Measurement],
) -> None:
    """The same while the coordinators of an organisation that is held up tap and tap."""
    at, ended = itertools.cycle(addresses), asyncio.Event()
    tapping = [keep_tapping(client, held, next(at), into[1], ended) for _ in range(TAPPERS)]
    tappers = asyncio.gather(*tapping)
    await asyncio.sleep(SECONDS_BEFORE)
    await export_at_once(client, addresses, parties, into[0])
    ended.set()
    await tappers


async def keep_tapping(
    client: httpx.AsyncClient, held: Party, address: str, into: Measurement, ended: asyncio.Event
) -> None:
    """Tap, and again after as many seconds as the answer says."""
    while not ended.is_set():
        answer = await held.tap(client, address, into)
        seconds = float(answer.headers.get("retry-after", 1)) if answer else 1
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), seconds)


def promises(exports: dict[str, Measurement], taps: dict[str, Measurement]) -> list[Promise]:
    """Everybody's export was done, in about the time that it takes when nobody is held."""
    alone = exports["nobody held"]
    kept = [only_answers(measurement, {201}) for measurement in exports.values()]
    kept += [only_answers(measurement, {202, 409}) for measurement in taps.values()]
    for case in HOLDS:
        for what, usual, now in (
            ("p50", alone.p50, exports[case].p50),
            ("slowest", alone.slowest, exports[case].slowest),
        ):
            bound = usual * TIMES_SLOWER + SECONDS_SLOWER
            kept.append(at_most(f"{exports[case].case} held: {what}", now, bound))
    return kept
