"""What the database tells a preview: one method per SQL function, none of which writes."""

from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

from pydantic import TypeAdapter

from exporters.claim import Member
from exporters.run_renderer import RENDERER_VERSION
from functions.export_run import Breakdown, ExportRun, Told
from functions.preview_request import Candidate, PreviewScope
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


class MembersPage(Told):
    """Members that a run would have, in its order.

    `next` is where the page after it begins, to be handed back as it came; None on the last page.
    """

    claims: tuple[Member, ...]
    next: Mapping[str, object] | None


class EarlierRun(Told):
    """A completed run. `breakdown` is that of the newest only."""

    run: ExportRun
    breakdown: Breakdown | None = None


class StandingHold(Told):
    """Why nothing of the organisation is exported now."""

    reason: str
    held_by: str | None = None


class Beginning(MembersPage):
    """The first page, with all that an export would begin with.

    `latest_runs` are at most five completed runs of the target, newest first.
    """

    run: RunThatWouldBegin
    configuration: Mapping[str, object]
    hold: StandingHold | None
    run_under_way: ExportRun | None
    latest_runs: tuple[EarlierRun, ...]


class FrozenPage(Told):
    """A page of what a completed run was made of; `layout` is the one that was used, in full."""

    run: ExportRun
    configuration: Mapping[str, object]
    layout: Mapping[str, object] | None
    claims: tuple[Member, ...]
    last_page: bool

    def frozen(self) -> Mapping[str, object]:
        """What the run was made under: the layout that was shipped then may be another now."""
        if self.run.renderer_version == RENDERER_VERSION or not self.layout:
            return self.configuration
        return {**self.configuration, "layout": self.layout}


_BEGINNING = TypeAdapter(Beginning)
_PAGE = TypeAdapter(MembersPage)
_FROZEN = TypeAdapter(FrozenPage)


class PreviewSource:
    """Reads with the rights of the session's caller, whom the database judges at every call."""

    def __init__(self, session: SupabaseSession) -> None:
        self._session = session

    async def begin(self, scope: PreviewScope, candidate: Candidate) -> Beginning:
        """Raises Refused, as begin does; a candidate needs an accountant or an admin."""
        arguments = {
            "p_organization_id": scope.organization_id,
            "p_target": scope.target,
            "p_period_from": scope.period_from,
            "p_period_to": scope.period_to,
            "p_candidate": candidate.of_vouchers(),
            "p_renderer_version": RENDERER_VERSION,
        }
        return await self._session.call("preview_export", arguments, _BEGINNING)

    async def page_at(
        self, run: RunThatWouldBegin, candidate: Candidate, place: Mapping[str, object]
    ) -> MembersPage:
        """The next claims that were approved before the cut-off."""
        arguments = {
            "p_organization_id": run.organization_id,
            "p_target": run.target,
            "p_period_from": run.period_from,
            "p_period_to": run.period_to,
            "p_candidate": candidate.of_vouchers(),
            "p_cut_off": run.cut_off,
            "p_place": place,
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
