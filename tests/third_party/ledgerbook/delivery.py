"""Into Ledgerbook itself: a shelf is a directory, a container a box on it, a voucher a sheet."""

import shutil
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import TracebackType

from functions.errors import DeliveryRefused
from functions.voucher_delivery import (
    DeliveryCode,
    DeliveryContext,
    DeliveryRecord,
    DeliveryVoucher,
    Outcome,
    VoucherDelivery,
    VoucherPart,
    VoucherResult,
    external_number,
)

TOO_MUCH = Decimal(10_000)


class LedgerbookDelivery(VoucherDelivery):
    """The ledger itself is the box `posted`."""

    name = "ledgerbook_shelf"
    target = "ledgerbook"

    @classmethod
    def check_settings(cls, settings: Mapping[str, object]) -> None:
        """A shelf must be named."""
        if not isinstance(settings.get("shelf"), str):
            raise DeliveryRefused("delivery_setting_invalid", field="shelf")

    def __init__(self, settings: Mapping[str, object], context: DeliveryContext) -> None:
        del context
        self.check_settings(settings)
        self._shelf = Path(str(settings["shelf"]))
        self._box = self._shelf

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing was open."""

    def voucher(self, parts: Sequence[VoucherPart]) -> DeliveryVoucher:
        """Accounts and amounts are all there is."""
        first = parts[0][0]
        lines = [line for part, _ in parts for line in part.lines]
        fields = [record for _, records in parts for record in records]
        return DeliveryVoucher(
            number=first.number,
            document_number=first.document_number,
            claim_ids=tuple({line.claim.claim_id: None for line in lines}),
            posting_date=first.posting_date,
            records=tuple(
                DeliveryRecord(external_number(line.claim.claim_number, line.line_number), record)
                for line, record in zip(lines, fields, strict=True)
            ),
            debit_totals={
                first.currency: sum((max(one.amount, Decimal(0)) for one in lines), Decimal(0))
            },
        )

    async def check(self) -> None:
        """The shelf must hang."""
        if not self._shelf.is_dir():
            raise DeliveryRefused("delivery_company_not_found", field="shelf")

    async def clear(self, container: str, document_numbers: Collection[str]) -> None:
        """Throw the box away."""
        del document_numbers
        shutil.rmtree(self._shelf / container, ignore_errors=True)

    async def find(self, vouchers: Sequence[DeliveryVoucher]) -> list[VoucherResult]:
        """Look into the ledger."""
        posted = self._shelf / "posted"
        return [
            VoucherResult(voucher.number, Outcome.ALREADY_THERE)
            for voucher in vouchers
            if (posted / voucher.document_number).exists()
        ]

    async def open(self, container: str) -> None:
        """A new box."""
        self._box = self._shelf / container
        self._box.mkdir()

    async def send(self, vouchers: Sequence[DeliveryVoucher]) -> list[VoucherResult]:
        """A sheet each."""
        return [self._sent(voucher) for voucher in vouchers]

    async def verify(self, vouchers: Sequence[DeliveryVoucher]) -> list[VoucherResult]:
        """Count the sheets."""
        return [
            VoucherResult(
                voucher.number,
                Outcome.ACCEPTED
                if (self._box / voucher.document_number).exists()
                else Outcome.UNKNOWN,
            )
            for voucher in vouchers
        ]

    def _sent(self, voucher: DeliveryVoucher) -> VoucherResult:
        if sum(voucher.debit_totals.values()) > TOO_MUCH:
            code = DeliveryCode.VALUE_REFUSED
            return VoucherResult(voucher.number, Outcome.FAILED, code, "amount", "Too much for us.")
        rows = (f"{one.fields['account']} {one.fields['amount']}" for one in voucher.records)
        (self._box / voucher.document_number).write_text("\n".join(rows))
        return VoucherResult(voucher.number, Outcome.ACCEPTED)
