"""One attempt's delivery of a sealed run: nothing is sent that is not noted, nothing twice."""

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final
from uuid import UUID

from pydantic import BaseModel

from exporters.configuration import FrozenConfiguration
from functions.delivery_book import Container, DeliveryBook
from functions.delivery_vouchers import DeliveryVouchers, ReadyVoucher
from functions.errors import DeliveryRefused, DeliveryUnavailable
from functions.export_guard import ExportGuard, Granted
from functions.export_run import ExportRun, LeftOutClaim
from functions.run_context import context_of
from functions.voucher_delivery import (
    DeliveryCode,
    DeliveryVoucher,
    Outcome,
    VoucherDelivery,
    VoucherResult,
)

# From the name of a delivery, its connection and the organisation to one attempt's way.
DeliveryMaker = Callable[[str, Mapping[str, object], UUID], VoucherDelivery]

# A database page of rows, and few enough that a result is known soon after it was asked for.
_AT_ONCE: Final = 200


class _Delivery(BaseModel):
    """What a run's configuration says of its delivery."""

    delivery: str
    connection: dict[str, object]


@dataclass
class _Tally:
    """What one attempt knows: every document that the run ever meant to write, and what arrived."""

    noted: set[str] = field(default_factory=set)
    arrived: set[str] = field(default_factory=set)
    refused: list[LeftOutClaim] = field(default_factory=list)

    def add(self, voucher: ReadyVoucher, result: VoucherResult) -> None:
        self.noted.add(voucher.delivery.document_number)
        if result.outcome is Outcome.FAILED:
            self.refused += _left_out(voucher, result)
        else:
            self.arrived.add(voucher.delivery.document_number)


class RunDelivery:
    """Stateless; safe to share.

    Each attempt writes into a container of its own, named after its fencing token. What earlier
    attempts left is removed before anything is sent, so a request of theirs that comes late finds
    no place any more; what somebody has posted from it meanwhile is found in the ledger.
    """

    def __init__(self, guard: ExportGuard, book: DeliveryBook, make: DeliveryMaker) -> None:
        self._guard = guard
        self._book = book
        self._make = make

    async def deliver(self, granted: Granted) -> list[LeftOutClaim]:
        """Sends every voucher of the run; the claims of those that were refused for certain.

        Raises:
            DeliveryRefused: the connection is set up wrongly.
            DeliveryUnavailable: it is not known of every voucher whether it arrived.
        """
        run_id, token = granted.run.run_id, granted.fencing_token
        async with self._delivery_of(granted.run, granted.configuration) as delivery:
            await delivery.check()
            container, tally = _container(token), _Tally()
            for earlier in await self._book.open(run_id, token, container):
                await self._clear(delivery, run_id, token, earlier)
                tally.noted.update(earlier.document_numbers)
            await self._open(delivery, granted, container, tally.noted)
            async for vouchers in self._vouchers(delivery, granted):
                for voucher, result in await self._send(delivery, granted, vouchers):
                    tally.add(voucher, result)
            # No claim is left out whose voucher somebody has posted, whoever said that it is not.
            await _refuse_if_posted(delivery, tally.noted - tally.arrived)
            return tally.refused

    async def withdraw(self, run_id: UUID, fencing_token: int | None) -> None:
        """Removes all that the run's attempts left unposted, so that its claims can be let go.

        A completed run is nobody's, so it needs no token.

        Raises:
            DeliveryRefused: `delivery_was_posted` if the books have vouchers of the run.
            DeliveryUnavailable: something of the run may still be there.
        """
        held = await self._book.look_at(run_id)
        if held.was_posted:
            raise DeliveryRefused("delivery_was_posted")
        containers = _up_to(fencing_token, held.containers)
        if not containers:
            return
        async with self._delivery_of(held.run, held.configuration) as delivery:
            await delivery.check()
            noted = {number for one in containers for number in one.document_numbers}
            await _refuse_if_posted(delivery, noted)
            for container in containers:
                await delivery.clear(container.container, container.document_numbers)
            # Somebody may have posted while we removed: then nothing is noted as cleared, or the
            # next who asks would find no reason to ask the ledger.
            await _refuse_if_posted(delivery, noted)
            for container in containers:
                await self._book.clear(run_id, fencing_token, container.fencing_token)

    async def doubt(self, run_id: UUID, fencing_token: int, code: str) -> ExportRun:
        """Sets the run aside. Raises Refused `nothing_in_doubt` when nothing was sent anywhere."""
        return await self._book.doubt(run_id, fencing_token, code)

    async def _open(
        self, delivery: VoucherDelivery, granted: Granted, container: str, noted: Collection[str]
    ) -> None:
        try:
            await delivery.open(container)
        except DeliveryRefused:
            # Earlier attempts' containers are noted as cleared by now; the ledger still knows.
            await _refuse_if_posted(delivery, noted)
            # Nothing of ours is in it.
            token = granted.fencing_token
            await self._book.clear(granted.run.run_id, token, token)
            raise

    async def _clear(
        self,
        delivery: VoucherDelivery,
        run_id: UUID,
        fencing_token: int | None,
        container: Container,
    ) -> None:
        await delivery.clear(container.container, container.document_numbers)
        await self._book.clear(run_id, fencing_token, container.fencing_token)

    async def _vouchers(
        self, delivery: VoucherDelivery, granted: Granted
    ) -> AsyncIterator[list[ReadyVoucher]]:
        configuration = FrozenConfiguration.from_document(granted.configuration)
        vouchers = DeliveryVouchers(configuration, context_of(granted.run), delivery.voucher)
        position, is_last = 0, False
        while not is_last:
            page = await self._guard.reserve_page(
                granted.run.run_id, granted.fencing_token, position
            )
            position = page.claims[-1].position if page.claims else position
            is_last = page.last_page
            ready = vouchers.whole(page.claims) + (vouchers.rest() if is_last else [])
            for start in range(0, len(ready), _AT_ONCE):
                yield ready[start : start + _AT_ONCE]

    async def _send(
        self, delivery: VoucherDelivery, granted: Granted, ready: Sequence[ReadyVoucher]
    ) -> list[tuple[ReadyVoucher, VoucherResult]]:
        run_id, token = granted.run.run_id, granted.fencing_token
        vouchers = [voucher.delivery for voucher in ready]
        settled = await self._book.intend(run_id, token, vouchers)
        asked = [voucher for voucher in vouchers if voucher.number not in settled]
        results = await _results(delivery, asked)
        await self._book.record(run_id, token, asked, results)
        for number, voucher in settled.items():
            outcome = Outcome(voucher.state)
            results[number] = VoucherResult(number, outcome, code=DeliveryCode.SETTLED_BY_HAND)
        _stop_if_unknown(results.values())
        return [(voucher, results[voucher.delivery.number]) for voucher in ready]

    def _delivery_of(self, run: ExportRun, configuration: Mapping[str, object]) -> VoucherDelivery:
        asked = _Delivery.model_validate(configuration)
        return self._make(asked.delivery, asked.connection, run.organization_id)


async def _refuse_if_posted(delivery: VoucherDelivery, numbers: Collection[str]) -> None:
    if numbers and await delivery.find([_named(number) for number in sorted(numbers)]):
        raise DeliveryRefused("delivery_was_posted")


async def _results(
    delivery: VoucherDelivery, vouchers: Sequence[DeliveryVoucher]
) -> dict[int, VoucherResult]:
    """Asks the ledger, sends the rest, and looks at what was sent."""
    results = _by_number(await delivery.find(vouchers))
    unposted = [voucher for voucher in vouchers if voucher.number not in results]
    if unposted:
        results |= _by_number(await delivery.send(unposted))
        accepted = [v for v in unposted if results[v.number].outcome is Outcome.ACCEPTED]
        results |= _by_number(await delivery.verify(accepted)) if accepted else {}
    return results


def _by_number(results: Sequence[VoucherResult]) -> dict[int, VoucherResult]:
    return {result.voucher_number: result for result in results}


def _stop_if_unknown(results: Iterable[VoucherResult]) -> None:
    """What is not known, or would succeed later, is a matter for the next attempt."""
    for result in results:
        is_later = result.outcome is Outcome.FAILED and result.is_retryable
        if result.outcome is Outcome.UNKNOWN or is_later:
            raise DeliveryUnavailable("delivery_in_doubt", cause=result.code)


def _left_out(voucher: ReadyVoucher, result: VoucherResult) -> list[LeftOutClaim]:
    code = str(result.code or DeliveryCode.TARGET_REFUSED)
    words = [result.remote_code, result.message]
    if result.correlation_id:
        words.append(f"(correlation id {result.correlation_id})")
    message = " ".join(word for word in words if word) or code
    return [
        LeftOutClaim(
            claim_id=claim.claim_id,
            claim_number=claim.claim_number,
            code=code,
            field=result.field,
            message=message[:1000],
        )
        for claim in voucher.claims
    ]


def _up_to(fencing_token: int | None, containers: Sequence[Container]) -> list[Container]:
    """Without those of successors: an outrun worker must not remove what they write."""
    return [
        one for one in containers if fencing_token is None or one.fencing_token <= fencing_token
    ]


def _container(token: int) -> str:
    """Ten characters, as the narrowest target takes them; no token of an organisation repeats."""
    return f"EX{token:08d}"


def _named(document_number: str) -> DeliveryVoucher:
    """A voucher of which nothing but its number is asked for."""
    return DeliveryVoucher(0, document_number, (), date.min, (), {})
