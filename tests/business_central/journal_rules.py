"""What the pages journals, journalLines and dimensionSetLines take, member by member."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Final

from tests.business_central.refusal import Refusal, bad_request

ACCOUNT_TYPES: Final = (
    "G/L Account",
    "Customer",
    "Vendor",
    "Bank Account",
    "Fixed Asset",
    "IC Partner",
    "Employee",
    "Allocation Account",
)
# The page shows account types from the first to the fourth.
LISTED_TYPES: Final = frozenset(ACCOUNT_TYPES[:4])
_TEXTS: Final[Mapping[str, Mapping[str, int]]] = {
    "journals": {"code": 10, "displayName": 100, "templateDisplayName": 10},
    "journalLines": {
        "accountNumber": 20,
        "documentNumber": 20,
        "externalDocumentNumber": 35,
        "description": 100,
        "comment": 250,
        "taxCode": 20,
        "balancingAccountNumber": 20,
    },
    "dimensionSetLines": {"code": 20, "valueCode": 20},
}
_READ_ONLY: Final[Mapping[str, frozenset[str]]] = {
    "journals": frozenset({"id", "balancingAccountNumber", "lastModifiedDateTime"}),
    "journalLines": frozenset({"id", "journalDisplayName", "lastModifiedDateTime"}),
    "dimensionSetLines": frozenset(
        {"parentId", "parentType", "displayName", "valueDisplayName", "consolidationCode"}
    ),
}
_GUIDS: Final[Mapping[str, frozenset[str]]] = {
    "journals": frozenset({"balancingAccountId"}),
    "journalLines": frozenset({"journalId", "accountId", "balancingAccountId"}),
    "dimensionSetLines": frozenset({"id", "valueId"}),
}
_ENUMS: Final = frozenset({"accountType", "balanceAccountType"})
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_CENT: Final = Decimal("0.01")
_ENCODED: Final = re.compile(r"_x([0-9A-Fa-f]{4})_")


class MalformedValue(Refusal):
    """A value of the wrong type: the kind of fault after which a rollback was seen to fail."""


def encoded(name: str) -> str:
    """An enum value as replies write it."""
    return re.sub(r"[^0-9A-Za-z]", lambda found: f"_x{ord(found[0]):04X}_", name)


def checked(entity: str, body: object) -> dict[str, Any]:
    """The members of a body with their types; raises for any that the page does not take."""
    if not isinstance(body, Mapping):
        raise bad_request("The request body is not an object.")
    return {member: _value(entity, member, value) for member, value in body.items()}


def _value(entity: str, member: str, value: object) -> object:
    if member in _READ_ONLY[entity]:
        raise bad_request(f"The property '{member}' is read-only.", "Application_DialogException")
    if member in _TEXTS[entity]:
        return _text(member, value, _TEXTS[entity][member])
    if member in _GUIDS[entity]:
        return _text(member, value, 36)
    if entity == "journalLines":
        return _line_value(member, value)
    raise bad_request(f"The property '{member}' does not exist on the type.")


def _line_value(member: str, value: object) -> object:
    if member in _ENUMS:
        name = _ENCODED.sub(lambda found: chr(int(found[1], 16)), _text(member, value, 60))
        if name not in ACCOUNT_TYPES:
            raise MalformedValue(400, "BadRequest", f"'{name}' is no value of {member}.")
        return name
    if member == "amount":
        return _amount(value)
    if member == "postingDate":
        return _date(value)
    if member == "lineNumber":
        if not isinstance(value, int) or isinstance(value, bool):
            raise MalformedValue(400, "BadRequest", "lineNumber is not an integer.")
        return value
    raise bad_request(f"The property '{member}' does not exist on the type.")


def _text(member: str, value: object, width: int) -> str:
    if not isinstance(value, str):
        raise MalformedValue(400, "BadRequest", f"Cannot convert '{member}' to Edm.String.")
    if len(value.encode("utf-16-le")) // 2 > width:
        message = f"The length of the string of {member} must be at most {width} characters."
        raise Refusal(400, "Application_StringExceededLength", message)
    return value.strip()


def _amount(value: object) -> Decimal:
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        raise MalformedValue(400, "BadRequest", "Cannot convert a literal to Edm.Decimal.")
    amount = Decimal(value)
    if amount % _CENT:
        raise Refusal(400, "Application_FieldValidationException", "Amount has too many decimals.")
    return amount


def _date(value: object) -> str:
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        raise MalformedValue(400, "BadRequest", f"Cannot convert '{value}' to Edm.Date.")
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise MalformedValue(400, "BadRequest", f"Cannot convert '{value}' to Edm.Date.") from None
