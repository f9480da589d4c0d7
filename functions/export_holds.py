"""Putting an organisation on hold: nothing of it is exported until the hold is lifted."""

from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter

from functions.export_run import ExportRun, Told
from functions.supabase_connection import SupabaseSession


class Hold(Told):
    """`lifted_by` None: it stands."""

    organization_id: UUID
    reason: str
    held_at: datetime
    held_by: str
    lifted_at: datetime | None = None
    lifted_by: str | None = None


class Held(Told):
    """The hold that stands; `recorded` is 0 when it stood before, perhaps for another reason.

    `unfinished_run` waits until the hold is lifted.
    """

    hold: Hold
    recorded: int
    unfinished_run: ExportRun | None = None


class Lifted(Told):
    """The hold that was lifted; None when none stood."""

    lifted: int
    hold: Hold | None = None


_HELD = TypeAdapter(Held)
_LIFTED = TypeAdapter(Lifted)


class ExportHolds:
    """Acts with the rights of the session's caller: the service, or an admin."""

    def __init__(self, session: SupabaseSession) -> None:
        self._session = session

    async def hold(self, org_id: UUID, reason: str, *, actor: str | None = None) -> Held:
        """A caller without a login says who she is (`actor`). Twice is once.

        Raises Refused `organization_not_found`, `reason_required`, `actor_required` or
        `not_allowed`.
        """
        arguments = {"p_organization_id": org_id, "p_reason": reason, "p_actor": actor}
        return await self._session.call("hold_exports", arguments, _HELD)

    async def lift(self, org_id: UUID, *, actor: str | None = None) -> Lifted:
        """The run that waited goes on with the next sweep or trigger. Raises as `hold`.

        Tried once: a second try would lift the hold that somebody placed in between.
        """
        arguments = {"p_organization_id": org_id, "p_claim_ids": None, "p_actor": actor}
        return await self._session.call_once("lift_export_hold", arguments, _LIFTED)
