"""Where a claim stands with the exports, as the database tells it."""

from datetime import date, datetime
from enum import StrEnum
from typing import Literal
from uuid import UUID

from pydantic import Field, JsonValue

from functions.export_run import Lines, RunStatus, Told


class ClaimState(StrEnum):
    """What the exports know of a claim. `unknown` is also what the caller may not see."""

    UNKNOWN = "unknown"
    NOT_APPROVED = "not_approved"
    ELIGIBLE = "eligible"
    RESERVED = "reserved"
    EXPORTED = "exported"
    HELD = "held"
    LEFT_OUT = "left_out"


class RunInShort(Told):
    """A run in one line; `triggered_by_name` is null for the system."""

    run_id: UUID
    run_number: int
    status: RunStatus
    target: str
    export_date: date
    triggered_by_name: str | None
    created_at: datetime
    completed_at: datetime | None
    deleted: bool


class MembershipInShort(Told):
    """What a claim is, or was, in a run."""

    position: int
    kind: Literal["entry", "reversal"]
    generation: int
    voucher_number: int
    outcome: str
    reason_code: str | None
    reserved_at: datetime
    released_at: datetime | None
    run: RunInShort


class Reason(Told):
    """Why a claim was left out or is held; `note` is in English, as among those left out."""

    code: str
    field: str | None
    note: str | None = Field(validation_alias="message")


class Change(Told):
    """What differs between the frozen claim and the claim of now; `line_number` for a line."""

    field: str
    line_number: int | None
    was: JsonValue
    now: JsonValue = Field(alias="is")


class ClaimStatus(Told):
    """One claim's standing. Of an unknown claim there is only the id that was asked for.

    `lines` is null, too, for files whose lines nobody wrote down. `backfilled`: exported by hand.
    `changed_since_export` compares with what was frozen, and is null where nothing is frozen.
    """

    claim_id: UUID
    claim_number: str | None = None
    state: ClaimState
    run: RunInShort | None = None
    file_name: str | None = None
    file_sha256: str | None = None
    voucher_number: int | None = None
    lines: Lines | None = None
    backfilled: bool = False
    reason: Reason | None = None
    changed_since_export: bool | None = None
    no_longer_approved: bool = False
    changes: tuple[Change, ...] = ()
    memberships: tuple[MembershipInShort, ...] = ()
