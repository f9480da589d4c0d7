"""From a voucher and its records, as the exporter gives them, to what is delivered."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from functions.errors import Defect
from functions.voucher_delivery import DeliveryRecord, DeliveryVoucher, VoucherPart

# As dynamics_bc_json names them. What the voucher says itself is not said again on each line.
_EXTERNAL_NUMBER = "externalDocumentNumber"
_DIMENSIONS = "dimensions"


def delivery_voucher(parts: Sequence[VoucherPart]) -> DeliveryVoucher:
    """Put together what the claims of one document have in it, in their order."""
    first = parts[0][0]
    if any(part.number != first.number for part, _ in parts):
        raise Defect("parts of several vouchers")
    lines = [line for part, _ in parts for line in part.lines]
    debit = sum((line.amount for line in lines if line.amount > 0), Decimal(0))
    return DeliveryVoucher(
        number=first.number,
        document_number=first.document_number,
        claim_ids=tuple(dict.fromkeys(line.claim.claim_id for line in lines)),
        posting_date=first.posting_date,
        records=tuple(_record(record) for _, records in parts for record in records),
        debit_totals={first.currency: debit},
    )


def _record(record: Mapping[str, Any]) -> DeliveryRecord:
    dimensions: Iterable[Mapping[str, str]] = record.get(_DIMENSIONS, ())
    return DeliveryRecord(
        external_number=record[_EXTERNAL_NUMBER],
        fields={name: value for name, value in record.items() if name != _DIMENSIONS},
        dimensions={one["code"]: one["valueCode"] for one in dimensions},
    )
