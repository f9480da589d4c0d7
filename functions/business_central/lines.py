"""The journal lines of a voucher as they will be sent, or why they cannot be. Writes nothing."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final, Self, get_args

from functions.business_central.settings import AccountType, BusinessCentralSettings
from functions.business_central.wire import plain
from functions.voucher_delivery import (
    DeliveryCode,
    DeliveryRecord,
    DeliveryVoucher,
    Outcome,
    VoucherResult,
)

_LEAST_LINES: Final = 2
_CENT: Final = Decimal("0.01")
_LARGEST_AMOUNT: Final = Decimal(10) ** 13
_LONGEST_NUMBER: Final = 20
# What may be sent, with the widths of the journal's fields in UTF-16 units.
_WIDTHS: Final[Mapping[str, int]] = {
    "accountType": 20,
    "accountNumber": _LONGEST_NUMBER,
    "postingDate": 10,
    "documentNumber": _LONGEST_NUMBER,
    "externalDocumentNumber": 35,
    "description": 100,
    "comment": 250,
    "taxCode": _LONGEST_NUMBER,
}
_REQUIRED: Final = ("accountType", "accountNumber", "documentNumber", "externalDocumentNumber")
_CODES: Final = ("accountNumber", "documentNumber", "externalDocumentNumber", "taxCode")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class LineKey:
    """What makes a line the planned one, however Business Central writes it."""

    external_number: str
    account_type: str
    account_number: str
    posting_date: str
    amount: Decimal

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        """Of a body that is sent, or of an entity that is read back."""
        return cls(
            str(line.get("externalDocumentNumber", "")).upper(),
            plain(line.get("accountType", "")),
            str(line.get("accountNumber", "")).upper(),
            str(line.get("postingDate", "")),
            exact(line.get("amount")),
        )


@dataclass(frozen=True, slots=True)
class PlannedLine:
    """`place` is the record's, from 1. `is_listed`: reading the journal shows the line."""

    place: int
    body: Mapping[str, str | Decimal]
    dimensions: Mapping[str, str]
    is_listed: bool

    @property
    def key(self) -> LineKey:
        """To recognise it."""
        return LineKey.of(self.body)


@dataclass(frozen=True, slots=True)
class VoucherPlan:
    """Lines in the order in which they are sent.

    The first is a listed one, so that whatever is left of a voucher can be seen. Where there are
    two listed ones the last is listed too: operations run in order and stop at the first that
    fails, so the last line proves those that are not listed.
    """

    voucher: DeliveryVoucher
    lines: tuple[PlannedLine, ...]

    @property
    def listed(self) -> tuple[PlannedLine, ...]:
        """The lines that reading shows."""
        return tuple(line for line in self.lines if line.is_listed)

    @property
    def proves_itself(self) -> bool:
        """Whether seeing all listed lines means that the others are there too."""
        hidden = len(self.lines) - len(self.listed)
        return not hidden or self.lines[-1].is_listed

    @property
    def number(self) -> str:
        """The document number as Business Central compares it."""
        return self.voucher.document_number.upper()


def exact(amount: object) -> Decimal:
    """An amount as it was read; what is none is not equal to anything."""
    try:
        return Decimal(str(amount))
    except ArithmeticError:
        return Decimal("NaN")


class _Unfit(Exception):  # noqa: N818  # a state, seen in this module only
    def __init__(self, code: DeliveryCode, field: str) -> None:
        super().__init__(code)
        self.code = code
        self.field = field


def plan_of(
    voucher: DeliveryVoucher, settings: BusinessCentralSettings
) -> VoucherPlan | VoucherResult:
    """What would be sent, or the result of a voucher that cannot be."""
    try:
        _check_whole(voucher, settings)
        lines = [
            PlannedLine(
                place,
                body := _body(voucher, record, place),
                _dimensions(record, place),
                body["accountType"] in settings.listed_account_types,
            )
            for place, record in enumerate(voucher.records, 1)
        ]
        _check_sums(voucher, settings)
        return VoucherPlan(voucher, _in_order(lines))
    except _Unfit as unfit:
        return VoucherResult(voucher.number, Outcome.FAILED, unfit.code, unfit.field)


def _check_whole(voucher: DeliveryVoucher, settings: BusinessCentralSettings) -> None:
    count = len(voucher.records)
    if count > settings.operations_per_batch:
        raise _Unfit(DeliveryCode.VOUCHER_TOO_LARGE, "records")
    if count < _LEAST_LINES:
        raise _Unfit(DeliveryCode.RECORD_INVALID, "records")
    if set(voucher.debit_totals) != {settings.currency}:
        raise _Unfit(DeliveryCode.CURRENCY_NOT_DELIVERED, "debit_totals")


def _body(voucher: DeliveryVoucher, record: DeliveryRecord, place: int) -> dict[str, str | Decimal]:
    own: dict[str, str | Decimal] = {
        "postingDate": date.isoformat(voucher.posting_date),
        "documentNumber": voucher.document_number,
        "externalDocumentNumber": record.external_number,
    }
    for member, value in own.items():
        if record.fields.get(member, value) != value:
            raise _Unfit(DeliveryCode.RECORD_INVALID, _path(place, member))
    body = {**record.fields, **own}
    for member in (*_REQUIRED, "amount"):
        if not body.get(member):
            raise _Unfit(DeliveryCode.RECORD_INVALID, _path(place, member))
    for member, value in body.items():
        if not _is_fit(member, value):
            raise _Unfit(DeliveryCode.RECORD_INVALID, _path(place, member))
    return body


def _is_fit(member: str, value: str | Decimal) -> bool:
    if member == "amount":
        return isinstance(value, Decimal) and _is_money(value)
    if not isinstance(value, str) or member not in _WIDTHS:
        return False
    if member == "accountType" and value not in get_args(AccountType):
        return False
    if member in _CODES and value != value.strip():
        return False
    return _width(value) <= _WIDTHS[member] and not _CONTROL.search(value)


def _is_money(amount: Decimal) -> bool:
    return amount.is_finite() and abs(amount) < _LARGEST_AMOUNT and amount % _CENT == 0


def _width(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _dimensions(record: DeliveryRecord, place: int) -> dict[str, str]:
    for code, value in record.dimensions.items():
        for text in (code, value):
            is_wide = _width(text) > _LONGEST_NUMBER
            if not text.strip() or is_wide or _CONTROL.search(text):
                raise _Unfit(DeliveryCode.RECORD_INVALID, _path(place, f"dimensions.{code}"))
    return dict(record.dimensions)


def _check_sums(voucher: DeliveryVoucher, settings: BusinessCentralSettings) -> None:
    amounts = list(_amounts(voucher))
    debit = sum((amount for amount in amounts if amount > 0), Decimal(0))
    if sum(amounts) or debit != voucher.debit_totals[settings.currency]:
        raise _Unfit(DeliveryCode.RECORD_INVALID, "debit_totals")


def _amounts(voucher: DeliveryVoucher) -> Iterator[Decimal]:
    for record in voucher.records:
        yield Decimal(record.fields["amount"])


def _in_order(lines: list[PlannedLine]) -> tuple[PlannedLine, ...]:
    listed = [line for line in lines if line.is_listed]
    if not listed:
        raise _Unfit(DeliveryCode.RECORD_INVALID, _path(1, "accountType"))
    first = next((line for line in listed if Decimal(line.body["amount"]) > 0), listed[0])
    hidden = [line for line in lines if not line.is_listed]
    return (first, *hidden, *(line for line in listed if line is not first))


def _path(place: int, member: str | None) -> str:
    return f"records[{place}]" + (f".{member}" if member else "")
