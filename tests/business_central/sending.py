"""Vouchers to send, and one attempt as its caller makes it."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

from functions.business_central.delivery import BusinessCentralDelivery
from functions.secret_reference import SecretStore, environment_name
from functions.voucher_delivery import (
    DeliveryContext,
    DeliveryRecord,
    DeliveryVoucher,
    VoucherResult,
    external_number,
)
from tests.business_central.double import BusinessCentralDouble

ORGANISATION: Final = UUID("6f2f2a52-7d55-4ac1-9f6b-0f1f7a0b6c11")
SECRET_REFERENCE: Final = f"env:{environment_name(ORGANISATION)}"
# Impatient, so that a test is soon over.
QUICK: Final[Mapping[str, object]] = {
    "read_seconds": 2,
    "patience_seconds": 2,
    "first_pause_seconds": 0.01,
    "longest_pause_seconds": 0.05,
}


def voucher(
    number: int = 1,
    amounts: Sequence[str] = ("450.00", "1290.50"),
    *,
    payable: tuple[str, str] = ("G/L Account", "2930"),
    dimensions: Mapping[str, str] | None = None,
    claims: int = 1,
) -> DeliveryVoucher:
    """Debits on 7140 with the dimensions, one credit for each claim."""
    records = []
    for claim in range(1, claims + 1):
        claim_number = f"HLF-2026-{number:05}" + (f"-{claim}" if claims > 1 else "")
        total = sum((Decimal(amount) for amount in amounts), Decimal(0))
        records += [
            _record(claim_number, place, ("G/L Account", "7140"), Decimal(amount), dimensions)
            for place, amount in enumerate(amounts, 1)
        ]
        records.append(_record(claim_number, 0, payable, -total, None))
    debit = sum((Decimal(amount) for amount in amounts), Decimal(0)) * claims
    return DeliveryVoucher(
        number=number,
        document_number=f"HLF26-{number:06}",
        claim_ids=tuple(uuid4() for _ in range(claims)),
        posting_date=date(2026, 10, 31),
        records=tuple(records),
        debit_totals={"NOK": debit},
    )


def _record(
    claim_number: str,
    place: int,
    account: tuple[str, str],
    amount: Decimal,
    dimensions: Mapping[str, str] | None,
) -> DeliveryRecord:
    fields: dict[str, str | Decimal] = {
        "accountType": account[0],
        "accountNumber": account[1],
        "amount": amount,
        "description": f"Drosje {claim_number} æøå",
    }
    return DeliveryRecord(external_number(claim_number, place), fields, dimensions or {})


def context(double: BusinessCentralDouble) -> DeliveryContext:
    """With the double's secret in place."""
    environment = {environment_name(ORGANISATION): double.login.client_secret}
    return DeliveryContext(ORGANISATION, SecretStore(Path("/nonexistent"), environment))


@asynccontextmanager
async def attempt(
    double: BusinessCentralDouble, container: str | None = None, /, **settings: object
) -> AsyncIterator[BusinessCentralDelivery]:
    """A delivery with quick settings, its container open if one is named."""
    told = double.settings(SECRET_REFERENCE, **{**QUICK, **settings})
    async with BusinessCentralDelivery(told, context(double)) as delivery:
        if container is not None:
            await delivery.open(container)
        yield delivery


async def send(
    double: BusinessCentralDouble, vouchers: Sequence[DeliveryVoucher], **settings: object
) -> list[VoucherResult]:
    """Into a container of its own."""
    async with attempt(double, "R7T1", **settings) as delivery:
        return await delivery.send(vouchers)


async def settle(
    double: BusinessCentralDouble,
    vouchers: Sequence[DeliveryVoucher],
    earlier: Collection[str],
    container: str,
) -> list[VoucherResult]:
    """A whole attempt after others, as the caller makes it; a result for each voucher."""
    numbers = {one.document_number for one in vouchers}
    async with attempt(double) as delivery:
        await delivery.check()
        for code in earlier:
            await delivery.clear(code, numbers)
        found = {result.voucher_number: result for result in await delivery.find(vouchers)}
        await delivery.open(container)
        rest = [one for one in vouchers if one.number not in found]
        sent = {result.voucher_number: result for result in await delivery.send(rest)}
        return [{**found, **sent}[one.number] for one in vouchers]
