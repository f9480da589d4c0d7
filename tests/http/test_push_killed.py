"""A worker that pushes is ended, or outrun, between any two of its steps: each voucher is there exactly once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from uuid import UUID, uuid4

import pytest

from functions.business_central.connection import BusinessCentralConnection, Reply
from functions.business_central.delivery import BusinessCentralDelivery
from functions.delivery_book import DeliveryBook
from functions.errors import Defect, EngineError
from functions.export_guard import ExportScope
from functions.secret_reference import environment_name
from functions.services import Services
from functions.voucher_delivery import DeliveryVoucher, VoucherResult
from stack.embedded_stack import EmbeddedStack
from tests.business_central.double import BusinessCentralDouble
from tests.business_central.fault import Fault
from tests.http.mortal_worker import MortalWorker, watched_requests
from tests.http.pushing import (
    assert_each_once,
    connect,
    in_books,
    open_accounts,
    services_of,
)
from tests.organisation import APPROVED_AT, Organisation

_MOST_TURNS: Final = 8
Trouble = Callable[[Organisation, BusinessCentralDouble], None]


@dataclass(frozen=True)
class Scene:
    """An organisation of its own with a Business Central of its own."""

    services: Services
    organisation: Organisation
    double: BusinessCentralDouble
    key: str

    async def export(self) -> None:
        """One tap."""
        scope = ExportScope(self.organisation.id, None, None, date(2026, 10, 31))
        await _tried(self.services.engine.export_as_service(scope, key=self.key, trigger="cli"))

    async def carry_on(self) -> None:
        """Successors, until nothing is under way: the lease is over, she taps again, the sweep asks."""
        for _ in range(_MOST_TURNS):
            self.organisation.expire_lease()
            await self.export()
            for run_id in self._runs("in_doubt"):
                await _tried(self.services.engine.settle_doubt(run_id))
            if not self._runs("in_doubt", "processing", "releasing"):
                return
        raise AssertionError("still under way")

    @property
    def is_strict(self) -> bool:
        """Whether one claim that is refused lets no run complete."""
        [[policy]] = self.organisation.execute(
            "select on_problem from public.export_targets where organization_id = %s",
            self.organisation.id,
        )
        return bool(policy == "refuse_run")

    def _runs(self, *statuses: str) -> list[UUID]:
        rows = self.organisation.execute(
            "select id from public.export_runs where organization_id = %s and status = any (%s)",
            self.organisation.id,
            list(statuses),
        )
        return [row[0] for row in rows]


async def _tried(work: Awaitable[object]) -> None:
    """What is answered is another test's matter, unless it is a defect."""
    try:
        await work
    except EngineError as told:
        if isinstance(told, Defect):
            raise


@pytest.fixture
async def services(
    stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Services]:
    """Of workers whose requests can be watched."""
    async with services_of(stack) as services:
        with watched_requests(monkeypatch):
            yield services


NewScene = Callable[[Trouble], AbstractContextManager[Scene]]


@pytest.fixture
def new_scene(
    stack: EmbeddedStack, services: Services, monkeypatch: pytest.MonkeyPatch
) -> NewScene:
    """A way to begin anew."""

    @contextmanager
    def new_scene(trouble: Trouble) -> Iterator[Scene]:
        with BusinessCentralDouble() as double:
            open_accounts(double)
            organisation = Organisation.create(stack.database, "dynamics", "HLF")
            monkeypatch.setenv(environment_name(organisation.id), double.login.client_secret)
            connect(organisation, double, operations_per_batch=2)
            organisation.add_claims(2)
            trouble(organisation, double)
            yield Scene(services, organisation, double, str(uuid4()))

    return new_scene


def all_is_well(_: Organisation, __: BusinessCentralDouble) -> None:
    """Nothing but the worker fails."""


def a_voucher_is_refused(organisation: Organisation, _: BusinessCentralDouble) -> None:
    """So its claim is left out; the next attempt does not know it any more."""
    organisation.add_claim([("parking", "80.00")], approved_at=APPROVED_AT + timedelta(minutes=1))
    organisation.execute(
        "update public.export_posting_rules set account_code = '9999'"
        " where organization_id = %s and expense_type = 'parking'",
        organisation.id,
    )
    organisation.check_configuration()


def the_run_is_refused(organisation: Organisation, double: BusinessCentralDouble) -> None:
    """For one voucher, at the end: what was sent of the others is taken back."""
    organisation.execute(
        "update public.export_targets set on_problem = 'refuse_run' where organization_id = %s",
        organisation.id,
    )
    a_voucher_is_refused(organisation, double)


def replies_are_lost(_: Organisation, double: BusinessCentralDouble) -> None:
    """And the second batch arrives when somebody else has sent it already."""
    double.misbehave(Fault("cut_reply", "$batch"), Fault("arrive_late", "$batch"))


def a_request_is_late(_: Organisation, double: BusinessCentralDouble) -> None:
    """It arrives when everybody has forgotten it."""
    double.misbehave(Fault("arrive_late", "$batch"))


TROUBLES: Final = (all_is_well, the_run_is_refused, replies_are_lost)


def judge(scene: Scene, step: str) -> None:
    """After everything has arrived that was still under way."""
    scene.double.release()
    try:
        assert_each_once(scene.double, scene.organisation)
        assert scene.is_strict == (in_books(scene.double) == {})
    except AssertionError as wrong:
        raise AssertionError(f"after {step}") from wrong


async def killed_after(number: int, scenes: AbstractContextManager[Scene]) -> MortalWorker:
    """After its request of this number; what it left is finished by others, and judged."""
    with scenes as scene:
        worker = MortalWorker(dies_after=number)
        await asyncio.create_task(worker.work(scene.export))
        await scene.carry_on()
        judge(scene, worker.asked[-1])
    return worker


async def held_up_at(number: int, scenes: AbstractContextManager[Scene]) -> MortalWorker:
    """Its request of this number arrives when others have finished the run; then it goes on, and all is judged."""
    with scenes as scene:
        worker = MortalWorker(lingers_at=number)
        task = asyncio.create_task(worker.work(scene.export))
        lingering = asyncio.create_task(worker.lingers.wait())
        await asyncio.wait([task, lingering], return_when=asyncio.FIRST_COMPLETED)
        lingering.cancel()
        await scene.carry_on()
        worker.thaw.set()
        await task
        await scene.carry_on()
        judge(scene, (worker.asked[number:] or worker.asked)[0])
    return worker


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
async def test_p11_a_worker_killed_between_any_two_steps_doubles_and_loses_nothing(
    new_scene: NewScene, trouble: Trouble
) -> None:
    """After each request in turn, whether to the database or to Business Central."""
    number = 0
    while (worker := await killed_after(number, new_scene(trouble))).is_dead:
        number += 1

    assert_all_steps_were_met(worker)


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda trouble: trouble.__name__)
async def test_p11_a_worker_outrun_between_any_two_steps_doubles_and_loses_nothing(
    new_scene: NewScene, trouble: Trouble
) -> None:
    """At each request in turn."""
    number = 0
    while (worker := await held_up_at(number, new_scene(trouble))).lingers.is_set():
        number += 1

    assert_all_steps_were_met(worker)


def assert_all_steps_were_met(worker: MortalWorker) -> None:
    """By the last worker, whom nobody disturbed: from the lock to its release, and everything between."""
    asked = " ".join(worker.asked)
    for step in ("begin_export", "open_delivery", "/journals", "record_deliveries", "$batch"):
        assert step in asked
    assert worker.asked[-1].endswith(("complete_export_run", "fail_export_run", "doubt_export_run"))


async def number_of(step: str, scenes: AbstractContextManager[Scene]) -> int:
    """Of the first such request that an undisturbed worker makes."""
    with scenes as scene:
        worker = MortalWorker()
        await asyncio.create_task(worker.work(scene.export))
    return next(number for number, asked in enumerate(worker.asked) if step in asked)


async def test_p11_goes_red_for_an_engine_that_does_not_ask_the_lock(
    new_scene: NewScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control: outrun before it makes its journal, it makes it all the same, and sends."""
    opened, sent = BusinessCentralDelivery.open, BusinessCentralDelivery.send
    containers: dict[BusinessCentralDelivery, str] = {}

    async def noted(delivery: BusinessCentralDelivery, container: str) -> None:
        containers[delivery] = container

    async def opened_and_sent(
        delivery: BusinessCentralDelivery, vouchers: Sequence[DeliveryVoucher]
    ) -> list[VoucherResult]:
        await opened(delivery, containers[delivery])
        return await sent(delivery, vouchers)

    async def not_asked(*_: object) -> dict[int, object]:
        return {}

    monkeypatch.setattr(DeliveryBook, "intend", not_asked)
    monkeypatch.setattr(BusinessCentralDelivery, "open", noted)
    monkeypatch.setattr(BusinessCentralDelivery, "send", opened_and_sent)
    number = await number_of("generalLedgerEntries", new_scene(all_is_well))

    with pytest.raises(AssertionError, match="after GET"):
        await held_up_at(number, new_scene(all_is_well))


async def test_p11_goes_red_for_an_engine_that_leaves_its_predecessors_journal(
    new_scene: NewScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control: killed after it sent."""

    async def left(*_: object) -> None:
        return None

    number = await number_of("$batch", new_scene(all_is_well))
    monkeypatch.setattr(BusinessCentralDelivery, "clear", left)

    with pytest.raises(AssertionError, match="after POST"):
        await killed_after(number, new_scene(all_is_well))


async def test_p11_goes_red_for_an_engine_that_sends_again_what_may_have_arrived(
    new_scene: NewScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control: nobody disturbs it, and the first request arrives after the second."""
    write = BusinessCentralConnection.write

    async def written_again(*given: object, **options: object) -> Reply:
        return await write(*given, **{**options, "is_repeatable": True})  # type: ignore[arg-type]

    monkeypatch.setattr(BusinessCentralConnection, "write", written_again)

    with pytest.raises(AssertionError, match="after "):
        await killed_after(10_000, new_scene(a_request_is_late))
