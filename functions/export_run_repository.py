"""Export runs by identity: the repository interface, over the same SQL that the guard uses."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter

from functions.changed_claims import ChangedClaims
from functions.claim_status import ClaimStatus
from functions.confirmation import Confirmation, ConfirmedVoucher
from functions.export_history import HistoryFilter, HistoryPage
from functions.export_run import (
    ClaimRun,
    ExportRun,
    ExportRunDetails,
    RunStatus,
    StatusChange,
    Told,
)
from functions.found_exports import ClaimAtLine, FoundExports
from functions.supabase_connection import SupabaseSession

_EVERY_RUN: Final = HistoryFilter()


class _Statuses(Told):
    claims: tuple[ClaimStatus, ...]


class _RunsOfClaim(Told):
    runs: tuple[ClaimRun, ...]


class _RunTold(Told):
    run: ExportRun


_RUN = TypeAdapter(ExportRun)
_RUN_TOLD = TypeAdapter(_RunTold)
_CONFIRMATION = TypeAdapter(Confirmation)
_CHANGE = TypeAdapter(StatusChange)
_DETAILS = TypeAdapter(ExportRunDetails)
_HISTORY = TypeAdapter(HistoryPage)
_RUNS_OF_CLAIM = TypeAdapter(_RunsOfClaim)
_STATUSES = TypeAdapter(_Statuses)
_FOUND = TypeAdapter(FoundExports)
_CHANGED = TypeAdapter(ChangedClaims)
_CLAIM_AT_LINE = TypeAdapter(ClaimAtLine)


class ExportRunRepository:
    """Reads and changes runs with the rights of the session's caller.

    A user's session may read history and single runs; everything else needs the service's.
    """

    def __init__(self, session: SupabaseSession) -> None:
        self._session = session

    async def create_export_run(
        self,
        org_id: UUID,
        triggered_by: UUID | None,
        format: str,  # noqa: A002  # the name in the published interface
        *,
        origin: str = "engine",
    ) -> ExportRun:
        """A pending run; the format determines the target. Not repeated: each call makes a run."""
        arguments = {
            "p_organization_id": org_id,
            "p_triggered_by": triggered_by,
            "p_format": format,
            "p_origin": origin,
        }
        return await self._session.call_once("create_export_run", arguments, _RUN)

    async def update_export_run_status(
        self,
        run_id: UUID,
        status: RunStatus,
        claim_ids: Sequence[UUID],
        *,
        fencing_token: int | None = None,
        error_code: str | None = None,
    ) -> StatusChange:
        """Status and the whole final set of claims, in one step; claims not named are released.

        Raises:
            Refused: `illegal_transition`, `claims_not_in_run`, `claims_not_reservable`,
                `file_not_stored` or `run_locked`.
            StaleToken: the run is held under a newer token.
        """
        arguments = {
            "p_run_id": run_id,
            "p_status": status,
            "p_claim_ids": list(claim_ids),
            "p_fencing_token": fencing_token,
            "p_error_code": error_code,
        }
        return await self._session.call_once("update_export_run_status", arguments, _CHANGE)

    async def get_export_history(
        self,
        org_id: UUID,
        limit: int = 50,
        offset: int = 0,
        *,
        include_deleted: bool = False,
        wanted: HistoryFilter = _EVERY_RUN,
    ) -> tuple[ExportRun, ...]:
        """Newest first. Raises Refused `limit_out_of_range` beyond 200."""
        if include_deleted:
            wanted = replace(wanted, include_deleted=True)
        page = await self.get_export_history_page(org_id, wanted, limit=limit, offset=offset)
        return page.runs

    async def get_export_history_page(
        self,
        org_id: UUID,
        wanted: HistoryFilter = _EVERY_RUN,
        *,
        limit: int = 50,
        offset: int | None = None,
        cursor: str | None = None,
    ) -> HistoryPage:
        """One page and the way to the next; a walk by cursor meets every run exactly once.

        Raises:
            Refused: `invalid_cursor` (of another organisation or other filters, too),
                `cursor_with_offset`, `limit_out_of_range`, `invalid_filter`, `period_reversed`.
        """
        arguments = {
            "p_organization_id": org_id,
            "p_limit": limit,
            "p_offset": offset,
            "p_cursor": cursor,
            **wanted.arguments(),
        }
        return await self._session.call("get_export_history", arguments, _HISTORY)

    async def get_claim_status(self, claim_ids: Sequence[UUID]) -> tuple[ClaimStatus, ...]:
        """Where 1 to 200 claims stand, in the order asked; what the caller may not see is unknown.

        Raises Refused `claim_ids_out_of_range`.
        """
        arguments = {"p_claim_ids": list(claim_ids)}
        return (await self._session.call("get_claim_status", arguments, _STATUSES)).claims

    async def list_changed_claims(
        self, org_id: UUID, *, limit: int = 50, cursor: str | None = None
    ) -> ChangedClaims:
        """Claims that differ from what was exported of them; a walk by cursor meets each once.

        Raises Refused `invalid_cursor`, `limit_out_of_range` or `not_allowed`.
        """
        arguments = {"p_organization_id": org_id, "p_limit": limit, "p_cursor": cursor}
        return await self._session.call("list_changed_claims", arguments, _CHANGED)

    async def find_exports(self, org_id: UUID, text: str) -> FoundExports:
        """By voucher, claim or run number, file name, or the start of its hash.

        Raises Refused `invalid_search` or `not_allowed`.
        """
        arguments = {"p_organization_id": org_id, "p_text": text}
        return await self._session.call("find_exports", arguments, _FOUND)

    async def find_claim_at_line(self, run_id: UUID, line_number: int) -> ClaimAtLine:
        """The claim behind a line of the run's file, counted from 1 with its header.

        Raises Refused `run_not_found`, `line_not_found` or `lines_not_recorded`.
        """
        arguments = {"p_run_id": run_id, "p_line_number": line_number}
        return await self._session.call("find_claim_at_line", arguments, _CLAIM_AT_LINE)

    async def get_export_run_by_id(self, run_id: UUID) -> ExportRun:
        """Raises Refused `run_not_found`."""
        return (await self.get_export_run_details(run_id)).run

    async def get_export_run_details(self, run_id: UUID) -> ExportRunDetails:
        """The run with its events and the claims it left out. Raises Refused `run_not_found`."""
        return await self._session.call("get_export_run", {"p_run_id": run_id}, _DETAILS)

    async def find_runs_by_claim_id(self, claim_id: UUID) -> tuple[ClaimRun, ...]:
        """Every run that the claim is or was in, deleted and voided runs included and marked."""
        arguments = {"p_claim_id": claim_id}
        return (await self._session.call("find_runs_by_claim_id", arguments, _RUNS_OF_CLAIM)).runs

    async def confirm_export(
        self, run_id: UUID, outcome: str, vouchers: Sequence[ConfirmedVoucher] | None = None
    ) -> Confirmation:
        """What the accounting system made of a run, or of single vouchers: all or none recorded.

        Raises:
            Refused: `vouchers_not_in_run`, `voucher_is_settled`, `illegal_transition`,
                `run_has_reversal`, `claims_entered_again` or `not_allowed`.
        """
        told = None if vouchers is None else [asdict(voucher) for voucher in vouchers]
        arguments = {"p_run_id": run_id, "p_outcome": outcome, "p_vouchers": told}
        return await self._session.call("confirm_export", arguments, _CONFIRMATION)

    async def void_export(self, run_id: UUID, reason: str) -> ExportRun:
        """Takes a run back that was never imported; `voiding` while the sweep frees a large one.

        Tried once: a second request is told that the run is voided already.

        Raises:
            Refused: `run_is_voided`, `run_was_imported`, `run_has_reversal`,
                `claims_entered_again`, `run_unfinished` or `not_allowed`.
        """
        arguments = {"p_run_id": run_id, "p_reason": reason}
        return (await self._session.call_once("void_export", arguments, _RUN_TOLD)).run

    async def delete_export_run(
        self, run_id: UUID, *, deleted_by: UUID | None = None, reason: str = "not stated"
    ) -> ExportRun:
        """Soft, and only of a finished run; frees no claims. Raises Refused `run_unfinished`."""
        arguments = {"p_run_id": run_id, "p_deleted_by": deleted_by, "p_reason": reason}
        return await self._session.call("delete_export_run", arguments, _RUN)
