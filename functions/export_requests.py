"""What may be asked, field by field. Anything else is refused, by name."""

import re
from collections.abc import Mapping
from datetime import date
from itertools import takewhile
from typing import Annotated, ClassVar, Final, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from starlette.requests import Request

from functions.errors import FieldProblem, InvalidRequest
from functions.export_history import HistoryFilter
from functions.export_run import RunStatus, RunTrigger
from functions.preview_request import MOST_RUNS, Candidate, PreviewScope

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


def _flag(value: object) -> bool:
    # pydantic alone would also take "yes" and "1".
    if value in {"true", "false"}:
        return value == "true"
    raise PydanticCustomError("not_a_flag", "neither true nor false")


CalendarDate = Annotated[date, BeforeValidator(_calendar_date)]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
Flag = Annotated[bool, BeforeValidator(_flag)]
TargetName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Cursor = Annotated[str, Field(pattern=r"^[!-~]{1,200}$")]
# The database has no room for NUL, and no name of ours has another control character.
SearchText = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]
# What is searched for with it.
ExternalNumber = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,100}$")]
# A person's words, on as many lines as she likes.
Words = Annotated[str, Field(pattern=r"^[^\x00]{1,500}$")]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
    # Query parameters that may be given several times.
    repeatable: ClassVar[frozenset[str]] = frozenset()


Query = TypeVar("Query", bound=_Request)


class TriggerExportRequest(_Request):
    """Two inclusive dates of approval, in the organisation's time zone; the start may be open."""

    organization_id: UUID
    period_from: CalendarDate | None = None
    period_to: CalendarDate
    target: TargetName | None = None


class CandidateRequest(_Request):
    """Parts of a configuration to try; a `layout` of null is the shipped one."""

    settings: dict[str, object] = Field(default_factory=dict)
    layout: dict[str, object] | None = None
    posting_rules: Annotated[list[dict[str, object]], Field(max_length=5000)] = Field(
        default_factory=list
    )

    def candidate(self) -> Candidate:
        """The parts that were given."""
        return Candidate({name: getattr(self, name) for name in sorted(self.model_fields_set)})


class PreviewExportRequest(TriggerExportRequest):
    """As an export's, with what is to be tried, and the runs that are to be made again with it."""

    candidate: CandidateRequest = Field(default_factory=CandidateRequest)
    compare_run_id: UUID | None = None
    compare_runs: Annotated[int, Field(strict=True, ge=0, le=MOST_RUNS)] = 0

    def scope(self) -> PreviewScope:
        """What would be exported."""
        return PreviewScope(self.organization_id, self.target, self.period_from, self.period_to)


class ExportRunRequest(_Request):
    """One run, and a line of its file whose claim is wanted."""

    run_id: UUID
    line: WholeNumber | None = None


class ExportHistoryRequest(_Request):
    """A page after `cursor` or at `offset`. The database bounds `limit` and judges the cursor."""

    repeatable: ClassVar[frozenset[str]] = frozenset({"status"})

    organization_id: UUID
    limit: WholeNumber = 50
    offset: WholeNumber | None = None
    cursor: Cursor | None = None
    status: Annotated[tuple[RunStatus, ...], Field(max_length=len(RunStatus))] = ()
    target: TargetName | None = None
    trigger: RunTrigger | None = None
    triggered_by: UUID | None = None
    period_from: CalendarDate | None = None
    period_to: CalendarDate | None = None
    include_deleted: Flag = False

    def filter(self) -> HistoryFilter:
        """Which runs are wanted."""
        return HistoryFilter(
            statuses=self.status,
            target=self.target,
            trigger=self.trigger,
            triggered_by=self.triggered_by,
            period_from=self.period_from,
            period_to=self.period_to,
            include_deleted=self.include_deleted,
        )


class ClaimStatusRequest(_Request):
    """Several claims; the database bounds how many."""

    repeatable: ClassVar[frozenset[str]] = frozenset({"claim_id"})

    claim_id: tuple[UUID, ...]


class ClaimRunsRequest(_Request):
    """One claim."""

    claim_id: UUID


class FindExportRequest(_Request):
    """What stands in the books or on the file."""

    organization_id: UUID
    q: SearchText


class VoucherRequest(_Request):
    """One voucher of the run, by our number."""

    voucher_number: Annotated[int, Field(strict=True, ge=1, le=99_999_999)]
    external_number: ExternalNumber | None = None
    note: Words | None = None


class ConfirmExportRequest(_Request):
    """Without `vouchers` the whole run is meant. The database bounds how many there may be."""

    run_id: UUID
    outcome: Literal["imported", "booked", "refused"]
    vouchers: Annotated[list[VoucherRequest], Field(min_length=1)] | None = None


class ConfirmListRequest(_Request):
    """The run whose vouchers the CSV in the body is about."""

    run_id: UUID


class ChangedClaimsRequest(_Request):
    """A page after `cursor`. The database bounds `limit` and judges the cursor."""

    organization_id: UUID
    limit: WholeNumber = 50
    cursor: Cursor | None = None


class VoidExportRequest(_Request):
    """`imported`: the accounting system has the file, so that it needs one of reversals."""

    run_id: UUID
    reason: Words
    imported: Annotated[bool, Field(strict=True)] = False


class VerificationSheetRequest(_Request):
    """The run whose file is to be verified; without `language` the service's own is taken."""

    run_id: UUID
    language: Literal["nb", "en"] | None = None


def parsed(model: type[Asked], values: Mapping[str, object]) -> Asked:
    """Raises InvalidRequest naming every field that is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [
            FieldProblem(_path(detail["loc"]), _code(detail["type"]))
            for detail in error.errors(include_input=False, include_context=False)
        ]
        raise InvalidRequest("invalid_request", problems) from error


def parsed_query(model: type[Query], request: Request) -> Query:
    """As `parsed`, from the query; a parameter given twice is refused, unless it may be."""
    values: dict[str, object] = {}
    for name in request.query_params:
        given = request.query_params.getlist(name)
        if name in model.repeatable:
            values[name] = given
        elif len(given) > 1:
            raise InvalidRequest("invalid_request", [FieldProblem(name, "repeated_field")])
        else:
            values[name] = given[0]
    return parsed(model, values)


def _path(location: tuple[int | str, ...]) -> str:
    # Of a list it is the list, as a whole.
    named = takewhile(lambda step: isinstance(step, str), location)
    return ".".join(str(step) for step in named)


def _code(kind: str) -> str:
    if kind in {"not_a_date", "not_a_number", "not_a_flag"}:
        return kind
    if kind.startswith("uuid"):
        return "not_a_uuid"
    return {"missing": "required", "extra_forbidden": "unknown_field"}.get(kind, "malformed")
