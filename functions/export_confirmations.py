"""What people report about a file, for callers with a login and without one."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter

from functions.confirmation import Confirmation, ListedVoucher, Outcome
from functions.supabase_connection import SupabaseSession

# As many as the database takes at once.
_PAGE: Final = 2_000
_CONFIRMATION = TypeAdapter(Confirmation)


def _unheard(_: int) -> None:
    """For callers who do not watch."""


class ExportConfirmations:
    """Acts with the rights of the session's caller: an accountant, an admin, or the service."""

    def __init__(self, session: SupabaseSession) -> None:
        self._session = session

    async def confirm_run(
        self, run_id: UUID, outcome: Outcome, *, actor: str | None = None
    ) -> Confirmation:
        """The whole run. A caller without a login says who she is (`actor`).

        Raises Refused `illegal_transition`, `run_not_found`, `actor_required` or `not_allowed`.
        """
        arguments = {"p_run_id": run_id, "p_outcome": outcome, "p_actor": actor}
        return await self._session.call("confirm_export", arguments, _CONFIRMATION)

    async def confirm_list(
        self,
        run_id: UUID,
        vouchers: Sequence[ListedVoucher],
        *,
        actor: str | None = None,
        is_dry_run: bool = False,
        advance: Callable[[int], None] = _unheard,
    ) -> Confirmation:
        """Each voucher its own outcome. A list of one page is recorded all or not at all.

        A longer one is checked as a whole first, then recorded page by page; when it breaks off in
        between, the same list again records the rest. `advance` hears how many vouchers were done.

        Raises:
            Refused: `vouchers_not_in_run`, `voucher_is_settled`, `illegal_transition`,
                `run_has_reversal`, `claims_entered_again`, `actor_required` or `not_allowed`.
        """
        pages = [vouchers[start : start + _PAGE] for start in range(0, len(vouchers), _PAGE)]
        confirmations: list[Confirmation] = []
        if is_dry_run or len(pages) > 1:
            confirmations = [
                await self._page(run_id, page, actor, is_dry_run=True) for page in pages
            ]
        if not is_dry_run:
            confirmations = []
            for page in pages:
                confirmations.append(await self._page(run_id, page, actor, is_dry_run=False))
                advance(len(page))
        recorded = sum(confirmation.recorded for confirmation in confirmations)
        return Confirmation(run=confirmations[-1].run, recorded=recorded)

    async def _page(
        self, run_id: UUID, page: Sequence[ListedVoucher], actor: str | None, *, is_dry_run: bool
    ) -> Confirmation:
        arguments = {
            "p_run_id": run_id,
            "p_vouchers": [asdict(voucher) for voucher in page],
            "p_actor": actor,
            "p_dry_run": is_dry_run,
        }
        return await self._session.call("confirm_export_vouchers", arguments, _CONFIRMATION)
