"""What was exported by hand becomes runs of origin manual: one method per SQL function.

Every call may be repeated, and is when its reply is lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from functions.export_run import ExportFile, ExportRun, Told
from functions.supabase_connection import SupabaseConnection

# Rows that one call may carry: export_engine.page_size().
PAGE_ROWS: Final = 2000


class Verdict(StrEnum):
    """What the database makes of a row; the words are in backfill_verdicts."""

    USABLE = "usable"
    RESUMABLE = "resumable"
    DONE = "done"
    UNKNOWN = "unknown"
    FOREIGN = "foreign"
    NUMBER_DIFFERS = "number_differs"
    NOT_APPROVED = "not_approved"
    EXPORTED = "exported"
    IN_ANOTHER_RUN = "in_another_run"
    DATE_IN_FUTURE = "date_in_future"
    BEING_EDITED = "being_edited"


class JudgedRow(Told):
    """A row of the list; amount and currency when its claim can be recorded."""

    line: int
    claim_id: UUID | None
    verdict: Verdict
    run_number: int | None
    amount: Decimal | None = None
    currency: str | None = None


class JudgedPage(Told):
    """`target` is the one that was meant when none was named."""

    target: str
    rows: tuple[JudgedRow, ...]


class Filling(Told):
    """The lock is held for this run. `resumed`: it has claims of a worker that died."""

    outcome: Literal["started", "resumed"]
    run: ExportRun
    fencing_token: int


class Recorded(Told):
    """This part of the group was recorded before; the run may have been voided since."""

    outcome: Literal["replayed"]
    run: ExportRun


class BusyOrganisation(Told):
    """Another run has the lock, or another begin was faster."""

    outcome: Literal["busy"]
    run: ExportRun | None = None
    retry_after: int | None = None


class _FilledPage(Told):
    unusable: tuple[JudgedRow, ...]


class _RunTold(Told):
    run: ExportRun


Begun = Filling | Recorded | BusyOrganisation

_JUDGED = TypeAdapter(JudgedPage)
_BEGUN: TypeAdapter[Begun] = TypeAdapter(Annotated[Begun, Field(discriminator="outcome")])
_FILLED = TypeAdapter(_FilledPage)
_RUN_TOLD = TypeAdapter(_RunTold)


@dataclass(frozen=True)
class BackfillGroup:
    """The rows of one list that were exported on one day in one file: they become one run."""

    organization_id: UUID
    target: str
    list_sha256: str
    exported_on: date
    file_name: str


class ExportBackfill:
    """Stateless; safe to share. Acts with the service key."""

    def __init__(self, connection: SupabaseConnection) -> None:
        self._session = connection.as_service()

    async def check(
        self,
        organization_id: UUID,
        target: str | None,
        list_sha256: str,
        rows: Sequence[Mapping[str, object]],
    ) -> JudgedPage:
        """Judges at most a page of rows; writes nothing."""
        arguments = {
            "p_organization_id": organization_id,
            "p_target": target,
            "p_list_sha256": list_sha256,
            "p_rows": rows,
        }
        return await self._session.call("check_export_backfill", arguments, _JUDGED)

    async def begin(
        self, group: BackfillGroup, *, part: int, actor: str, invocation_id: UUID
    ) -> Begun:
        """Takes the organisation's lock. `part` 2 and on: a further run of the same group."""
        arguments = {
            "p_organization_id": group.organization_id,
            "p_target": group.target,
            "p_list_sha256": group.list_sha256,
            "p_exported_on": group.exported_on,
            "p_file_name": group.file_name,
            "p_part": part,
            "p_actor": actor,
            "p_invocation_id": invocation_id,
        }
        return await self._session.call("begin_export_backfill", arguments, _BEGUN)

    async def add_page(
        self, run_id: UUID, fencing_token: int, rows: Sequence[Mapping[str, object]]
    ) -> Sequence[JudgedRow]:
        """Freezes the claims into the run; the answer is those that could not be taken any more."""
        arguments = {"p_run_id": run_id, "p_fencing_token": fencing_token, "p_rows": rows}
        filled = await self._session.call("add_export_backfill_page", arguments, _FILLED)
        return filled.unusable

    async def complete(
        self, run_id: UUID, fencing_token: int, *, file: ExportFile, expected_count: int
    ) -> ExportRun:
        """The stored list becomes the run's file; the database counts and sums."""
        arguments = {
            "p_run_id": run_id,
            "p_fencing_token": fencing_token,
            "p_file": file.model_dump(mode="json"),
            "p_expected_count": expected_count,
        }
        return (await self._session.call("complete_export_backfill", arguments, _RUN_TOLD)).run
