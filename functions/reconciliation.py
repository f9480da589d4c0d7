"""A reconciliation as the database tells it: classes, what was looked at, and what was found."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from functions.export_run import Told


class Counted(Told):
    """Claims and what they come to, per currency."""

    count: int
    amounts: Mapping[str, Decimal]


class Finding(Told):
    """Red: money or trust. Otherwise a note. What it is about is named as far as it is known."""

    code: str
    is_red: bool
    sentence: str
    run_id: UUID | None = None
    run_number: int | None = None
    claim_id: UUID | None = None
    claim_number: str | None = None
    number: int | None = None
    object: str | None = None


class FileToRead(Told):
    """The stored file of a completed run. Which hash it should have is not told."""

    run_id: UUID
    path: str
    size: int


class Reconciliation(Told):
    """How far it is. `findings` are told when it is finished, at most 50 of a code.

    `files` are those to be read next, in the phase files.
    """

    reconciliation_id: UUID
    organization_id: UUID
    period_from: date | None
    period_to: date | None
    time_zone: str
    asked_by: str
    started_at: datetime
    finished_at: datetime | None
    is_green: bool | None
    phase: str
    whole: Counted
    classes: Mapping[str, Counted]
    checked: Mapping[str, int]
    red_count: int
    note_count: int
    finding_counts: Mapping[str, int]
    findings: tuple[Finding, ...]
    files: tuple[FileToRead, ...] = ()
