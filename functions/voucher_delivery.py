"""Delivery over an API: the second interface over the same vouchers, with a result per voucher.

One attempt of a run, from the caller's side:

    async with delivery_for(name, settings, context) as delivery:
        await delivery.check()                      # nothing is written before this
        for earlier in containers_of_earlier_attempts:
            await delivery.clear(earlier, document_numbers)
        done = await delivery.find(vouchers)        # in the ledger already: never sent again
        await delivery.open(container)              # this attempt's own
        results = await delivery.send(the_others)   # page by page, after asking the lock
        results = await delivery.verify(the_others)

A voucher whose result is `unknown` may still be on its way. It is never sent again into the same
container: the caller begins a new attempt, which clears this container and opens another. To
clear a container is what stops a late request, so it comes before anything is sent again.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from types import TracebackType
from typing import Any, ClassVar, Final, Self
from uuid import UUID

from exporters.voucher import Voucher
from functions.secret_reference import SecretStore

# The narrowest field that a target is known to have for it: Business Central's external number.
LONGEST_EXTERNAL_NUMBER: Final = 35
_DIGEST: Final = 8


# What one claim has in a voucher, and the records that its format makes of these lines.
VoucherPart = tuple[Voucher, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One line of a voucher as the target's API names it, without the voucher's own fields.

    `external_number` finds the line in the target again. `dimensions` are values by the target's
    codes of the dimensions.
    """

    external_number: str
    fields: Mapping[str, str | Decimal]
    dimensions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeliveryVoucher:
    """One voucher, ready to be sent. `debit_totals` is by currency."""

    number: int
    document_number: str
    claim_ids: tuple[UUID, ...]
    posting_date: date
    records: tuple[DeliveryRecord, ...]
    debit_totals: Mapping[str, Decimal]


class Outcome(StrEnum):
    """What became of a voucher in the target."""

    # All of it lies in the container, and nothing else of it.
    ACCEPTED = "accepted"
    # It stands in the ledger already, with the same totals.
    ALREADY_THERE = "already_there"
    # Nothing of it is in the target.
    FAILED = "failed"
    # It may be there, wholly or in part, or may still arrive.
    UNKNOWN = "unknown"


class DeliveryCode(StrEnum):
    """Why a voucher failed or is unknown. Stable; words for each are in delivery_sentences."""

    # before anything was written
    VOUCHER_TOO_LARGE = "voucher_too_large"
    RECORD_INVALID = "record_invalid"
    CURRENCY_NOT_DELIVERED = "currency_not_delivered"
    NOT_SENT = "not_sent"
    # the target's answer
    VALUE_UNKNOWN = "value_unknown"
    VALUE_REFUSED = "value_refused"
    DIMENSION_REFUSED = "dimension_refused"
    TARGET_REFUSED = "target_refused"
    NOT_PERMITTED = "not_permitted"
    CHANGED_MEANWHILE = "changed_meanwhile"
    TARGET_BUSY = "target_busy"
    TARGET_FAILED = "target_failed"
    # what is not known
    REPLY_LOST = "reply_lost"
    REPLY_INCOMPLETE = "reply_incomplete"
    LINES_LEFT = "lines_left"
    LINES_DIFFER = "lines_differ"
    LEDGER_DIFFERS = "ledger_differs"
    # what a person found out
    SETTLED_BY_HAND = "settled_by_hand"


_REFUSALS: Final = frozenset(
    {
        DeliveryCode.VALUE_UNKNOWN,
        DeliveryCode.VALUE_REFUSED,
        DeliveryCode.DIMENSION_REFUSED,
        DeliveryCode.TARGET_REFUSED,
    }
)


@dataclass(frozen=True, slots=True)
class VoucherResult:
    """What became of one voucher.

    `field` names the member at fault, as `records[2].accountNumber` (from 1) where the line is
    known. `message` is the target's own, in its language and without secrets. `is_retryable`:
    the same voucher may succeed later without anybody correcting anything.
    """

    voucher_number: int
    outcome: Outcome
    code: str | None = None
    field: str | None = None
    message: str | None = None
    remote_code: str | None = None
    correlation_id: str | None = None
    is_retryable: bool = False
    remote_ids: tuple[str, ...] = ()

    @property
    def was_refused(self) -> bool:
        """The target said no to this voucher, and would again.

        It may be `unknown` all the same, when a part of it could not be taken out. When its
        container is cleared nothing is left of it: it failed, and need not be sent again.
        """
        return self.code in _REFUSALS and not self.is_retryable


@dataclass(frozen=True, slots=True)
class DeliveryContext:
    """What a delivery is given besides its settings."""

    organization_id: UUID
    secrets: SecretStore


class VoucherDelivery(ABC):
    """One attempt's way to one target; an async context manager.

    Every method raises `DeliveryRefused` (asking again gives the same answer) and
    `DeliveryUnavailable` (later is right), except `send`, which answers for every voucher.
    """

    # The name in settings, and the target it belongs to.
    name: ClassVar[str]
    target: ClassVar[str]
    # How many lines one voucher can have; None if the target does not mind.
    most_voucher_lines: ClassVar[int | None] = None

    @classmethod
    @abstractmethod
    def check_settings(cls, settings: Mapping[str, object]) -> None:
        """Look at settings that somebody has saved, without network and without secrets.

        Raises:
            DeliveryRefused: naming the first setting that cannot be used.
        """

    @abstractmethod
    def __init__(self, settings: Mapping[str, object], context: DeliveryContext) -> None:
        """Reads the settings, without network and without secrets.

        Raises:
            DeliveryRefused: naming the first setting that cannot be used.
        """

    async def __aenter__(self) -> Self:
        return self

    @abstractmethod
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the connections."""

    @abstractmethod
    def voucher(self, parts: Sequence[VoucherPart]) -> DeliveryVoucher:
        """Put together what the claims of one voucher have in it, in their order."""

    @abstractmethod
    async def check(self) -> None:
        """Makes sure that the settings lead to the company and the place they mean."""

    @abstractmethod
    async def clear(self, container: str, document_numbers: Collection[str]) -> None:
        """Removes an earlier attempt's container with all that nobody posted of it; idempotent.

        `document_numbers` are all that the run may have written; a line of another document is
        somebody else's, and then nothing is removed and `DeliveryRefused` says so. When it
        returns, a late request of the earlier attempt finds nothing to write into any more.
        """

    @abstractmethod
    async def find(self, vouchers: Sequence[DeliveryVoucher]) -> list[VoucherResult]:
        """The vouchers whose document number stands in the ledger; the others are not mentioned.

        Equal totals are `already_there`, others `unknown`.
        """

    @abstractmethod
    async def open(self, container: str) -> None:
        """Makes this attempt's container, or finds it empty; refuses one that is not fit."""

    @abstractmethod
    async def send(self, vouchers: Sequence[DeliveryVoucher]) -> list[VoucherResult]:
        """Sends vouchers into the open container; a result for each, in their order.

        Never `already_there`. Raises for nothing that happens on the way: what was not sent any
        more after a fault that concerns all is `failed` and says so.
        """

    @abstractmethod
    async def verify(self, vouchers: Sequence[DeliveryVoucher]) -> list[VoucherResult]:
        """Compares what the target shows of vouchers that were accepted with what was sent.

        `accepted`, or `unknown` when something is missing, is too much or differs.
        """


def external_number(claim_number: str, line_number: int) -> str:
    """The same for the same line, always; upper case, because targets' code fields are.

    A claim number too long for the field is cut, and a digest keeps it apart from others.
    """
    whole = f"{claim_number.strip().upper()}-{line_number}"
    if len(whole) <= LONGEST_EXTERNAL_NUMBER:
        return whole
    digest = hashlib.sha256(whole.encode()).hexdigest()[:_DIGEST].upper()
    return f"{whole[: LONGEST_EXTERNAL_NUMBER - _DIGEST - 1]}~{digest}"
