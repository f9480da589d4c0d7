"""What may be asked, field by field. Anything else is refused, by name."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Final, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from functions.errors import FieldProblem, InvalidRequest

Asked = TypeVar("Asked", bound=BaseModel)

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_COUNT: Final = re.compile(r"\d{1,9}", re.ASCII)


def _calendar_date(value: object) -> date:
    # pydantic alone would also take timestamps.
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise PydanticCustomError("not_a_date", "not a date")


def _whole_number(value: object) -> int:
    if isinstance(value, str) and _COUNT.fullmatch(value):
        return int(value)
    raise PydanticCustomError("not_a_number", "not a whole number")


CalendarDate = Annotated[date, BeforeValidator(_calendar_date)]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class TriggerExportRequest(_Request):
    """Two inclusive dates of approval, in the organisation's time zone; the start may be open."""

    organization_id: UUID
    period_from: CalendarDate | None = None
    period_to: CalendarDate
    target: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")] | None = None


class ExportRunRequest(_Request):
    """One run."""

    run_id: UUID


class ExportHistoryRequest(_Request):
    """The database bounds `limit`."""

    organization_id: UUID
    limit: WholeNumber = 50
    offset: WholeNumber = 0


def parsed(model: type[Asked], values: Mapping[str, object]) -> Asked:
    """Raises InvalidRequest naming every field that is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [
            FieldProblem(str(detail["loc"][0]), _code(detail["type"]))
            for detail in error.errors(include_input=False, include_context=False)
        ]
        raise InvalidRequest("invalid_request", problems) from error


def parsed_query(model: type[Asked], request: Request) -> Asked:
    """As `parsed`, from the query; a parameter that is given twice is refused."""
    pairs = request.query_params.multi_items()
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest("invalid_request", [FieldProblem(twice, "repeated_field")])
    return parsed(model, values)


def _code(kind: str) -> str:
    if kind in {"not_a_date", "not_a_number"}:
        return kind
    if kind.startswith("uuid"):
        return "not_a_uuid"
    return {"missing": "required", "extra_forbidden": "unknown_field"}.get(kind, "malformed")
