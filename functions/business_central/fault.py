"""What Business Central says when it says no, and what that is called here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Self

from functions.errors import DeliveryRefused
from functions.voucher_delivery import DeliveryCode

_CORRELATION: Final = re.compile(r"CorrelationId:\s*([0-9A-Fa-f-]{36})")
# A message may repeat what was sent to it.
_SECRETS: Final = re.compile(r"(?i)bearer\s+\S+|eyJ[\w.+/=-]{8,}|client_secret=\S+")
_LONGEST_MESSAGE: Final = 500
_LONGEST_CODE: Final = 100
ALREADY_EXISTS: Final = "Internal_EntityWithSameKeyExists"

# By BC's own code; what is missing here is judged by its family and then by the HTTP status.
_CODES: Final[Mapping[str, DeliveryCode]] = {
    "Internal_InvalidTableRelation": DeliveryCode.VALUE_UNKNOWN,
    "Application_StringExceededLength": DeliveryCode.VALUE_REFUSED,
    "Application_FieldValidationException": DeliveryCode.VALUE_REFUSED,
    "Request_EntityChanged": DeliveryCode.CHANGED_MEANWHILE,
}
_FAMILIES: Final[Mapping[str, DeliveryCode]] = {
    "Authentication": DeliveryCode.NOT_PERMITTED,
    "Authorization": DeliveryCode.NOT_PERMITTED,
}
_BUSY: Final = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
# Whether the work was done is not known.
_IN_DOUBT: Final = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}
)
_NOT_PERMITTED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@dataclass(frozen=True, slots=True)
class RemoteFault:
    """One refusal or failure; `message` is Business Central's, without secrets."""

    status: int
    remote_code: str
    message: str
    correlation_id: str | None

    @classmethod
    def of(cls, status: int, body: object) -> Self:
        """Read an error body; one of another shape still gives its status."""
        error = body.get("error") if isinstance(body, Mapping) else None
        told = error if isinstance(error, Mapping) else {}
        message = str(told.get("message", ""))
        found = _CORRELATION.search(message)
        return cls(
            status,
            str(told.get("code", ""))[:_LONGEST_CODE] or f"HTTP_{status}",
            _SECRETS.sub("***", message)[:_LONGEST_MESSAGE],
            found[1] if found else None,
        )

    @property
    def code(self) -> DeliveryCode:
        """Ours."""
        if self.status in _IN_DOUBT:
            return DeliveryCode.REPLY_LOST
        if self.status in _BUSY:
            return DeliveryCode.TARGET_BUSY
        if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return DeliveryCode.TARGET_FAILED
        family = self.remote_code.partition("_")[0]
        of_status = (
            DeliveryCode.NOT_PERMITTED
            if self.status in _NOT_PERMITTED
            else DeliveryCode.TARGET_REFUSED
        )
        return _CODES.get(self.remote_code) or _FAMILIES.get(family, of_status)

    @property
    def is_retryable(self) -> bool:
        """An `Internal_` code with a 4xx status is wrong data, no outage."""
        return self.status in _BUSY | _IN_DOUBT or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def concerns_all(self) -> bool:
        """The next voucher would be answered alike: no right, no journal, or no time for us."""
        return self.status in _NOT_PERMITTED | _BUSY | _IN_DOUBT | {HTTPStatus.NOT_FOUND}

    def refusal(self, field: str | None = None) -> DeliveryRefused:
        """As an error that ends the attempt."""
        told = {
            "field": field,
            "remote_code": self.remote_code,
            "remote_message": self.message,
            "correlation_id": self.correlation_id,
        }
        if self.code is DeliveryCode.NOT_PERMITTED:
            return DeliveryRefused("delivery_not_permitted", **told)
        return DeliveryRefused("delivery_refused", **told)
