"""One campaign: start everything, let it be hit while people work, heal it, wait until it settles, judge."""

import asyncio
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx
from pydantic import SecretStr

from functions.services import Services
from functions.settings import Settings
from stack.embedded_stack import EmbeddedStack
from tests.chaos.admin import Admin
from tests.chaos.audit import keep_versions
from tests.chaos.book_judge import doubts
from tests.chaos.conditions import Conditions
from tests.chaos.counterparty import Counterparty
from tests.chaos.crew import Crew
from tests.chaos.dice import dice
from tests.chaos.fault_plan import plan_strikes
from tests.chaos.feeder import Feeder
from tests.chaos.fleet import Fleet
from tests.chaos.network import Network
from tests.chaos.oracle import judge
from tests.chaos.phone import USUAL_PATIENCE, Phone
from tests.chaos.population import Population
from tests.chaos.report import Report
from tests.chaos.rogue import Rogue
from tests.chaos.settling import Settling
from tests.chaos.striker import Striker
from tests.chaos.sweeper import Sweeper
from tests.chaos.weather import Weather
from tests.chaos.world import World
from tests.organisation import Organisation

if TYPE_CHECKING:
    from functions.reconciliation import Reconciliation

# Short, so that what is left half-way is taken over many times in a campaign.
_SHORT_LEASE = """
create or replace function export_engine.lease() returns interval language sql immutable
set search_path = '' return interval '2 seconds'"""
_SHORT_DOUBT = """
create or replace function export_engine.doubt_patience() returns interval language sql immutable
set search_path = '' return interval '0.3 seconds'"""
_PAGE_SIZE = """
create or replace function export_engine.page_size() returns integer language sql immutable
set search_path = '' return {}"""
_ENVIRONMENT = {"EXPORT_RENEWAL_SECONDS": "0.5", "EXPORT_RETRY_SECONDS": "1"}
_FEEDERS = 2
_SHARE_AT_ONCE = 0.05
_READING_SECONDS = 60

Tell = Callable[[float, str], None]
"""Hears how far the campaign is, from 0 to 1, and a line about it."""


class Campaign:
    """A context manager; `fight` is called once. What is written lies below `directory`."""

    def __init__(self, conditions: Conditions, directory: Path, tell: Tell) -> None:
        self._conditions = conditions
        self._directory = directory.resolve()
        self._tell = tell
        self._cleanup = ExitStack()
        self._over = threading.Event()
        self._give_up = threading.Event()
        self._is_settled = threading.Event()
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        shutil.rmtree(self._directory, ignore_errors=True)
        with ExitStack() as cleanup:
            self._start(cleanup)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    def fight(self) -> Report:
        """Until the oracle has judged.

        Raises:
            StackError: something of the stack did not come back, which is no fault of the engine's.
        """
        self._began = time.monotonic()
        try:
            crew = self._send_everybody_out()
            self._hit()
            self._tell(1.0, "healing")
            self._over.set()
            self._heal()
            self._wait_for_answers(crew)
            settled = self._settle()
            self._tell(1.0, f"settled in {settled:.0f} s, judging")
            return self._judged(settled)
        finally:
            for event in (self._over, self._give_up, self._is_settled):
                event.set()

    def reconciled(self) -> list[str]:
        """What the engine's own reconciliation finds red in each organisation, the bytes included: a second judge."""
        told = asyncio.run(self._reconcile_all())
        return [finding.sentence for one in told for finding in one.findings if finding.is_red] + [
            f"{one.organization_id} is not green" for one in told if not one.is_green
        ]

    async def _reconcile_all(self) -> "list[Reconciliation]":
        environment = self._stack.functions_environment
        services = Services.of(
            Settings(
                supabase_url=environment["SUPABASE_URL"],
                supabase_publishable_key=environment["SUPABASE_PUBLISHABLE_KEY"],
                supabase_secret_key=SecretStr(environment["SUPABASE_SECRET_KEY"]),
            )
        )
        told = []
        for organisation in self._population.organisations:
            steps = [step async for step in services.reconciliation.walk(organisation.id)]
            told.append(steps[-1])
        await services.connection.aclose()
        return told

    def _wait_for_answers(self, crew: Crew) -> None:
        deadline = threading.Timer(self._conditions.settle_seconds, self._give_up.set)
        deadline.start()
        crew.join(self._conditions.settle_seconds + USUAL_PATIENCE)
        deadline.cancel()
        deadline.join()

    def _start(self, cleanup: ExitStack) -> None:
        given = self._conditions
        self._stack = EmbeddedStack(self._directory, durable=True, with_functions=False)
        cleanup.enter_context(self._stack)
        self._prepare_database()
        self._population = Population.settle(self._stack, given.organisations)
        weather = Weather(given.seed, given.mishaps, given.late_packets, given.only_steps)
        self._network = cleanup.enter_context(Network(self._stack.url, weather))
        self._counterparties = [
            cleanup.enter_context(self._new_counterparty(organisation, number, weather))
            for number, organisation in enumerate(self._population.pushing, start=1)
        ]
        secrets = dict(counterparty.secret for counterparty in self._counterparties)
        environment = self._stack.functions_environment | _ENVIRONMENT | secrets
        counts = {"api": given.servers, "sweep": given.sweeps}
        self._fleet = Fleet(
            self._directory / "functions", counts, environment, self._network, given.checkout
        )
        cleanup.callback(self._fleet.stop)
        self._fleet.start()
        networks = [counterparty.network for counterparty in self._counterparties]
        for network in networks:
            network.caller = self._fleet.caller
        self._striker = Striker(self._stack, self._fleet.processes, [self._network, *networks])
        self._phones = [self._new_phone(number, cleanup) for number in range(given.triggers)]
        self._feeders = [self._new_feeder(number, cleanup) for number in range(_FEEDERS)]
        self._rogue = Rogue(self._stack.database, dice(given.seed, "rogue"))
        self._admin = Admin(self._stack.database)
        self._sweeper = Sweeper(lambda: self._fleet.living("sweep"))

    def _prepare_database(self) -> None:
        with self._stack.database.connect("postgres") as owner:
            owner.execute(_SHORT_LEASE)
            owner.execute(_SHORT_DOUBT)
            if self._conditions.page_size is not None:
                owner.execute(_PAGE_SIZE.format(self._conditions.page_size).encode())
        keep_versions(self._stack.database)
        self._conditions.break_engine(self._stack.database)

    def _new_counterparty(
        self, organisation: Organisation, number: int, weather: Weather
    ) -> Counterparty:
        directory = self._directory / f"business-central-{number}"
        return Counterparty(organisation, directory, weather, self._conditions.moods)

    def _new_phone(self, number: int, cleanup: ExitStack) -> Phone:
        draw = dice(self._conditions.seed, "phone", number)
        phone = Phone(draw, self._population.people, lambda: self._fleet.living("api"))
        cleanup.callback(phone.close)
        return phone

    def _new_feeder(self, number: int, cleanup: ExitStack) -> Feeder:
        draw = dice(self._conditions.seed, "feeder", number)
        organisations, strict = self._population.organisations, self._population.strict
        feeder = Feeder(self._stack.database, organisations, strict, draw)
        cleanup.callback(feeder.close)
        return feeder

    def _send_everybody_out(self) -> Crew:
        crew = Crew()
        for phone in self._phones:
            crew.work(phone.use, self._over, self._give_up)
        for number, feeder in enumerate(self._feeders):
            bursts = self._conditions.bursts[number::_FEEDERS]
            crew.work(feeder.feed, self._wanted_of_each, bursts, self._over)
        crew.work(self._rogue.try_until, self._over, self._conditions.seconds_between_rogues)
        for counterparty in self._counterparties:
            crew.work(counterparty.live_until, self._over)
        crew.work(self._report_progress)
        # Sweeps go on while it settles, as they do in life.
        self._scheduler = Crew()
        self._scheduler.work(self._sweeper.sweep_until, self._is_settled)
        if self._counterparties:
            # Each attempt sends all of a run's vouchers, and here most attempts are killed.
            self._scheduler.work(self._admin.recover_until, self._is_settled)
        return crew

    def _hit(self) -> None:
        given = self._conditions
        if given.kills:
            gap = given.seconds_between_blows
            strikes = plan_strikes(given.seed, given.kills, given.blows, given.aims, gap)
            self._striker.carry_out(strikes, self._over)
        else:
            self._over.wait(given.seconds)

    def _share_done(self) -> float:
        given = self._conditions
        if given.kills:
            return self._striker.landed.total() / given.kills
        return min(1.0, (time.monotonic() - self._began) / given.seconds)

    def _wanted_of_each(self) -> int:
        share = _SHARE_AT_ONCE + (1 - _SHARE_AT_ONCE) * self._share_done()
        return round(self._conditions.claims * share / _FEEDERS)

    def _report_progress(self) -> None:
        while not self._over.wait(1):
            added = sum(feeder.added for feeder in self._feeders)
            told = sum(len(phone.acknowledgements) for phone in self._phones)
            self._tell(
                self._share_done(),
                f"kills {self._striker.landed.total()}, claims {added}, phones told {told},"
                f" mishaps {self._network.mishaps}",
            )

    def _heal(self) -> None:
        self._network.calm()
        for counterparty in self._counterparties:
            counterparty.heal()
        self._striker.keep_postgres_up()
        self._stack.supabase.wait_until_ready()
        self._fleet.heal()

    def _settle(self) -> float:
        for feeder in self._feeders:
            feeder.finish(self._conditions.claims // _FEEDERS)
        with ExitStack() as cleanup:
            phone = self._new_phone(-1, cleanup)
            settling = Settling(phone, self._population.people, self._conditions.settle_seconds)
            seconds = settling.settle()
            self._phones.append(phone)
        self._is_settled.set()
        self._scheduler.join(_READING_SECONDS)
        return seconds

    def _judged(self, settled: float) -> Report:
        key = self._stack.credentials.secret_key
        login = {"apikey": key, "Authorization": f"Bearer {key}"}
        address = f"{self._stack.url}/storage/v1/object/exports/"
        with httpx.Client(base_url=address, headers=login, timeout=_READING_SECONDS) as storage:
            world = World.read(self._stack.database, lambda name: _read_object(storage, name))
        world.books = {one.organisation.id: one.books() for one in self._counterparties}
        world.fenced_calls = self._network.fenced_calls
        world.acknowledgements = [told for phone in self._phones for told in phone.acknowledgements]
        world.unanswered = [phone.pending for phone in self._phones if phone.pending]
        return Report(
            seed=self._conditions.seed,
            landed=self._striker.landed,
            runs=len(world.runs),
            claims=len(world.claims),
            verdict=judge(world),
            told=self._told(world, settled),
        )

    def _told(self, world: World, settled: float) -> dict[str, object]:
        attempts = Counter(f"{run.status} at attempt {run.attempt}" for run in world.runs)
        calls = world.fenced_calls
        late = Counter(str(call.status) for call in calls if call.is_late)
        return {
            "seconds": f"{time.monotonic() - self._began:.0f}, of them {settled:.0f} to settle",
            "claims": len(world.claims),
            "runs": attempts,
            "blows": self._striker.landed,
            "aimed": self._striker.aimed,
            "network": self._network.carried,
            "late packets": late,
            "fenced calls": Counter(f"{call.function} {call.status}" for call in calls),
            "phones heard": sum((phone.said for phone in self._phones), Counter()),
            "sweeps": self._sweeper.said,
            "feeders": sum((feeder.did for feeder in self._feeders), Counter()),
            "rogue": self._rogue.did,
            **(self._told_of_push(world) if self._counterparties else {}),
        }

    def _told_of_push(self, world: World) -> dict[str, object]:
        parties = self._counterparties
        times = doubts(world)
        ended = Counter(run.status for run in world.runs if run.run_id in times)
        documents = [books.documents.values() for books in world.books.values()]
        return {
            "parked runs": self._admin.did,
            "accounting systems": sum((one.did for one in parties), Counter()),
            "network to them": sum((one.network.carried for one in parties), Counter()),
            "vouchers there": sum(len(found) for found in documents),
            "in doubt": f"{sum(times.values())} times, {len(times)} runs, which are now"
            f" {', '.join(f'{status} {count}' for status, count in ended.items()) or 'none'}",
        }


def _read_object(storage: httpx.Client, name: str) -> bytes | None:
    answer = storage.get(name)
    return answer.content if answer.is_success else None
