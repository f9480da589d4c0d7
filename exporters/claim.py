"""The frozen claim document: what was approved, as the database froze it into a run."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Annotated, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from exporters.problem import ClaimUnusable, Problem, ProblemCode, sentence

# At most twelve digits before the period: the widest amount the formats take (constraint XC10).
_AMOUNT: Final = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,2})?", re.ASCII)
_DECIMAL_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

# Outside these a date is a mistyped one; adding days to it could leave the calendar.
_YEARS: Final = range(1970, 2200)


def _exact_amount(value: object) -> Decimal:
    if isinstance(value, str):
        if _AMOUNT.fullmatch(value):
            return Decimal(value)
        if _DECIMAL_NUMBER.fullmatch(value):
            raise PydanticCustomError(
                ProblemCode.AMOUNT_NOT_EXACT,
                "An amount has at most two decimals and twelve digits before them.",
            )
    raise PydanticCustomError("amount_type", "An amount is a string such as '1234.50'.")


def _iso_date(value: object) -> date:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            parsed = date.fromisoformat(value)
        except ValueError:
            raise PydanticCustomError("date_type", "This date is not in the calendar.") from None
        if parsed.year in _YEARS:
            return parsed
    raise PydanticCustomError("date_type", "A date is a string such as '2026-10-05'.")


def _identifier(value: object) -> UUID:
    if isinstance(value, UUID):
        return value
    if isinstance(value, str):
        try:
            return UUID(value)
        except ValueError:
            pass
    raise PydanticCustomError("uuid_type", "An identifier is a UUID.")


def _given_dimensions(value: object) -> object:
    """Drop what is null or empty: such a dimension is not given, so the next source decides."""
    if isinstance(value, dict):
        return {name: code for name, code in value.items() if code is not None and code != ""}
    return value


Amount = Annotated[Decimal, BeforeValidator(_exact_amount)]
IsoDate = Annotated[date, BeforeValidator(_iso_date)]
Identifier = Annotated[UUID, BeforeValidator(_identifier)]
Dimensions = Annotated[dict[str, str], BeforeValidator(_given_dimensions)]
DecimalNumber = Annotated[str, Field(pattern=_DECIMAL_NUMBER.pattern.join(("^(?:", ")$")))]


class _FrozenDocument(BaseModel):
    """Known fields are held strictly; unknown ones are ignored.

    A document outlives the code that froze it: what a later or older version added must not make
    a stored run unreadable.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class Claimant(_FrozenDocument):
    """Who is repaid; `number` is the claimant's number in the accounting system's sub-ledger."""

    name: str
    number: str | None = None


class ClaimLine(_FrozenDocument):
    """One expense; `amount` is signed, positive is money owed to the claimant."""

    line_number: Annotated[int, Field(ge=1)]
    expense_type: Annotated[str, Field(min_length=1)]
    description: str
    expense_date: IsoDate
    amount: Amount
    quantity: DecimalNumber | None = None
    unit: str | None = None
    dimensions: Dimensions = Field(default_factory=dict)


class Claim(_FrozenDocument):
    """An approved claim; `approved_on` is a date in the organisation's time zone."""

    claim_id: Identifier
    claim_number: Annotated[str, Field(min_length=1)]
    claimant: Claimant
    purpose: str
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    approved_on: IsoDate
    dimensions: Dimensions = Field(default_factory=dict)
    total: Amount
    lines: Annotated[tuple[ClaimLine, ...], Field(strict=False)]

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> Self:
        """Read a frozen claim document.

        Raises:
            ClaimUnusable: the document breaks its shape (`document_invalid`) or states an amount
                that is not whole cents (`amount_not_exact`).
        """
        try:
            claim = cls.model_validate(document)
        except ValidationError as error:
            raise ClaimUnusable(_problems(error)) from error
        numbers = [line.line_number for line in claim.lines]
        if len(set(numbers)) != len(numbers):
            message = "Two lines of the claim have the same line number."
            raise ClaimUnusable((Problem(ProblemCode.DOCUMENT_INVALID, "lines", message),))
        return claim


class Member(_FrozenDocument):
    """One claim of a run, as reserved; `document` is read when the claim's turn comes.

    So a document that cannot be read leaves out its own claim and no other.
    """

    position: Annotated[int, Field(ge=1)]
    claim_id: Identifier
    kind: Literal["entry", "reversal"]
    generation: Annotated[int, Field(ge=1)]
    voucher_number: Annotated[int, Field(ge=1)]
    document: dict[str, object]


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    problems: list[Problem] = []
    for detail in error.errors(include_url=False, include_input=False):
        inexact = detail["type"] == ProblemCode.AMOUNT_NOT_EXACT
        code = ProblemCode.AMOUNT_NOT_EXACT if inexact else ProblemCode.DOCUMENT_INVALID
        field = _path(detail["loc"])
        message = f"The claim document's {field} is unusable: {sentence(detail['msg'])}"
        problems.append(Problem(code, field, message))
    return tuple(problems)


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for step in location:
        path += f"[{step + 1}]" if isinstance(step, int) else f".{step}" if path else step
    return path or "document"
