"""An export run as the database tells it."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue


class Told(BaseModel):
    """Base of everything parsed from the database. Unknown members are ignored: it may be newer.

    Input is hidden in validation errors, because it is people's names and amounts.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class RunStatus(StrEnum):
    """Where a run stands; the state diagram is in the README."""

    PENDING = "pending"
    PROCESSING = "processing"
    PARKED = "parked"
    RELEASING = "releasing"
    FAILED = "failed"
    COMPLETED = "completed"
    VOIDING = "voiding"
    VOIDED = "voided"
    IN_DOUBT = "in_doubt"


class RunTrigger(StrEnum):
    """What asked for a run."""

    USER = "user"
    WEBHOOK = "webhook"
    SCHEDULE = "schedule"
    SWEEP = "sweep"
    CLI = "cli"
    REPOSITORY = "repository"


class ExportFile(Told):
    """A stored file. `path` is the object key, `name` what a person sees when downloading."""

    path: str
    name: str
    sha256: str
    size: int
    content_type: str


class ExportRun(Told):
    """One intention to export. Counts and totals (per currency) of the file are null before it."""

    run_id: UUID
    organization_id: UUID
    run_number: int
    origin: str
    reverses_run_id: UUID | None = None
    trigger: str
    triggered_by: UUID | None
    triggered_by_name: str | None
    target: str
    format: str
    period_from: date | None
    period_to: date
    time_zone: str
    cut_off: datetime
    export_date: date
    status: RunStatus
    attempt: int
    reserved_count: int
    claim_count: int | None
    left_out_count: int
    skipped_count: int
    voucher_count: int | None
    line_count: int | None
    totals: Mapping[str, Decimal] | None
    file: ExportFile | None
    renderer_version: str | None
    error_code: str | None
    error_detail: JsonValue
    created_at: datetime
    processing_at: datetime | None
    sealed_at: datetime | None
    parked_at: datetime | None
    in_doubt_at: datetime | None
    completed_at: datetime | None
    releasing_at: datetime | None
    failed_at: datetime | None
    voiding_at: datetime | None
    voided_at: datetime | None
    deleted_at: datetime | None
    deleted: bool
    kept_until: date | None = None


class LeftOutClaim(Told):
    """A claim in no file of its run; `message` is the exporter's own sentence, in English."""

    claim_id: UUID
    claim_number: str | None
    code: str
    field: str | None
    message: str | None


class ExportEvent(Told):
    """One line of a run's history. `detail` depends on the event and is shown as it is."""

    occurred_at: datetime
    actor: str | None
    event: str
    detail: JsonValue


class LeftOutCause(Told):
    """How many claims of a run were left out for one reason; `lines[]` is any line of a claim."""

    code: str
    field: str | None
    count: int


class BreakdownGroup(Told):
    """What a file books on an account with these dimensions; without account it is the rest."""

    account_code: str | None
    dimensions: Mapping[str, str] | None
    currency: str
    debit: Decimal
    credit: Decimal
    line_count: int


class Breakdown(Told):
    """What a file books; `cut` when there were more groups than are kept apart."""

    groups: tuple[BreakdownGroup, ...]
    cut: bool


class RunDocument(ExportFile):
    """What lies beside a file: its verification sheet in one language, or its manifest."""

    kind: str
    created_at: datetime


class ExportRunDetails(Told):
    """A run with what happened to it and which claims it had to leave out.

    `breakdown` is null before there is a file, and for files of older versions.
    `configuration` is what was frozen into the run, for accountants and admins; null for others.
    """

    run: ExportRun
    events: tuple[ExportEvent, ...]
    left_out: tuple[LeftOutClaim, ...]
    left_out_causes: tuple[LeftOutCause, ...] = ()
    breakdown: Breakdown | None = None
    documents: tuple[RunDocument, ...] = ()
    configuration: Mapping[str, JsonValue] | None = None


class StatusChange(ExportRun):
    """A run after a change of status; `fencing_token` when the change made it processing."""

    fencing_token: int | None = None


class Lines(Told):
    """First and last line of a voucher in its file; the file's first line is 1, header or not."""

    first: int
    last: int


class Membership(Told):
    """What a claim is, or was, in a run; `lines` are null where nobody wrote them down."""

    position: int
    kind: Literal["entry", "reversal"]
    generation: int
    voucher_number: int | None
    lines: Lines | None = None
    outcome: str | None
    reason_code: str | None
    reserved_at: datetime
    released_at: datetime | None


class ClaimRun(ExportRun):
    """A run that a claim is or was in."""

    membership: Membership
