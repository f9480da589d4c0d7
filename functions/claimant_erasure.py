"""Taking a claimant's personal data out of her claims; what was frozen into runs stays."""

from collections.abc import Sequence
from uuid import UUID

from pydantic import TypeAdapter

from functions.export_run import Told
from functions.supabase_connection import SupabaseSession


class Erased(Told):
    """How many claims had something to erase, and how many had nothing left."""

    erased: int
    already_erased: int


_ERASED = TypeAdapter(Erased)


class ClaimantErasure:
    """Acts with the rights of the session's caller: the service, or an admin."""

    def __init__(self, session: SupabaseSession) -> None:
        self._session = session

    async def erase(
        self, org_id: UUID, claim_ids: Sequence[UUID], reason: str, *, actor: str | None = None
    ) -> Erased:
        """All of the claims or none; again changes nothing. The reason is kept: no name in it.

        Raises Refused `claims_not_erasable` (naming those that are not finally exported),
        `claim_not_found`, `erasure_out_of_range`, `reason_required`, `actor_required` or
        `not_allowed`.
        """
        arguments = {
            "p_organization_id": org_id,
            "p_claim_ids": list(claim_ids),
            "p_reason": reason,
            "p_actor": actor,
        }
        return await self._session.call("erase_claimant", arguments, _ERASED)
