"""From the members of a run to the vouchers that go over an API: as the file shows them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from exporters.claim import Member
from exporters.configuration import FrozenConfiguration
from exporters.run_context import RunContext
from exporters.run_renderer import RunRenderer
from exporters.voucher import Voucher
from functions.voucher_delivery import DeliveryVoucher, VoucherPart


@dataclass(frozen=True)
class VoucherClaim:
    """A claim of a voucher, for whoever must tell people of it."""

    claim_id: UUID
    claim_number: str


@dataclass(frozen=True)
class ReadyVoucher:
    """A whole voucher, with its claims."""

    delivery: DeliveryVoucher
    claims: tuple[VoucherClaim, ...]


class DeliveryVouchers:
    """Puts vouchers together while members come page by page; a voucher may go on over pages.

    Members that the renderer leaves out are no part of it: they were left out before.
    """

    def __init__(
        self,
        configuration: FrozenConfiguration,
        run: RunContext,
        put_together: Callable[[Sequence[VoucherPart]], DeliveryVoucher],
    ) -> None:
        self._seen: list[Voucher] = []
        self._renderer = RunRenderer(configuration, run, observe=self._seen.append)
        self._put_together = put_together
        self._open: list[Voucher] = []

    def whole(self, members: Iterable[Member]) -> list[ReadyVoucher]:
        """The vouchers of a page, and of the page before, to which no other claim can belong."""
        ready: list[ReadyVoucher] = []
        self._seen.clear()
        self._renderer.render(members)
        for voucher in self._seen:
            if self._open and self._open[0].number != voucher.number:
                ready += self.rest()
            self._open.append(voucher)
        return ready

    def rest(self) -> list[ReadyVoucher]:
        """The last voucher, once there are no more members."""
        parts, self._open = self._open, []
        return [self._ready(parts)] if parts else []

    def _ready(self, parts: Sequence[Voucher]) -> ReadyVoucher:
        delivery = self._put_together([(part, self._renderer.records(part)) for part in parts])
        claims = {line.claim.claim_id: line.claim for part in parts for line in part.lines}
        told = (VoucherClaim(claim.claim_id, claim.claim_number) for claim in claims.values())
        return ReadyVoucher(delivery, tuple(told))
