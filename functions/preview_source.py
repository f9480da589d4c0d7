"""What the database tells a preview: one method per SQL function, none of which writes."""

from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

from pydantic import TypeAdapter

from exporters.claim import Member
from exporters.run_renderer import RENDERER_VERSION
from functions.export_run import Breakdown, ExportRun, Told
from functions.preview_request import PreviewScope
from functions.supabase_connection import SupabaseSession


class RunThatWouldBegin(Told):
    """What begin would write. Both numbers are free now, and may be somebody else's by then."""

    organization_id: UUID
    target: str
    format: str
    period_from: date | None
    period_to: date
    time_zone: str
    cut_off: datetime
    export_date: date
    run_number: int
    first_voucher_number: int


class EligibleClaim(Told):
    """A claim that an export would take now, as it would be frozen."""

    claim_id: UUID
    generation: int
    document: dict[str, object]


class Place(Told):
    """The last claim of a page. The time is handed back as it came."""

    approved_at: str
    claim_id: UUID


class ClaimsPage(Told):
    """Claims in the order of a run; `next` is None on the last page."""

    claims: tuple[EligibleClaim, ...]
    next: Place | None


class EarlierRun(Told):
    """A completed run. `breakdown` is that of the newest only."""

    run: ExportRun
    breakdown: Breakdown | None = None


class StandingHold(Told):
    """Why nothing of the organisation is exported now."""

    reason: str
    held_by: str | None = None


class Beginning(ClaimsPage):
    """The first page, with all that an export would begin with.

    `latest_runs` are at most five completed runs of the target, newest first.
    """

    run: RunThatWouldBegin
    configuration: Mapping[str, object]
    hold: StandingHold | None
    run_under_way: ExportRun | None
    latest_runs: tuple[EarlierRun, ...]


class FrozenPage(Told):
    """A page of what a completed run was made of."""

    run: ExportRun
    configuration: Mapping[str, object]
    claims: tuple[Member, ...]
    last_page: bool


_BEGINNING = TypeAdapter(Beginning)
_PAGE = TypeAdapter(ClaimsPage)
_FROZEN = TypeAdapter(FrozenPage)


class PreviewSource:
    """Reads with the rights of the session's caller, whom the database judges at every call."""

    def __init__(self, session: SupabaseSession) -> None:
        self._session = session

    async def begin(self, scope: PreviewScope, *, has_candidate: bool) -> Beginning:
        """Raises Refused, as begin does; a candidate needs an accountant or an admin."""
        arguments = {
            "p_organization_id": scope.organization_id,
            "p_target": scope.target,
            "p_period_from": scope.period_from,
            "p_period_to": scope.period_to,
            "p_has_candidate": has_candidate,
            "p_renderer_version": RENDERER_VERSION,
        }
        return await self._session.call("preview_export", arguments, _BEGINNING)

    async def page_after(self, run: RunThatWouldBegin, place: Place) -> ClaimsPage:
        """The next claims that were approved before the cut-off."""
        arguments = {
            "p_organization_id": run.organization_id,
            "p_target": run.target,
            "p_period_from": run.period_from,
            "p_period_to": run.period_to,
            "p_cut_off": run.cut_off,
            "p_after_approved_at": place.approved_at,
            "p_after_claim_id": place.claim_id,
        }
        return await self._session.call("preview_export_page", arguments, _PAGE)

    async def frozen_page(
        self, run: RunThatWouldBegin, run_id: UUID, after_position: int
    ) -> FrozenPage:
        """Raises Refused: `run_not_found`, `run_not_comparable`, `not_allowed`."""
        arguments = {
            "p_organization_id": run.organization_id,
            "p_target": run.target,
            "p_run_id": run_id,
            "p_after_position": after_position,
        }
        return await self._session.call("read_frozen_members", arguments, _FROZEN)
