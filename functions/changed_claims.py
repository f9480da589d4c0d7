"""Claims that were changed after their export, as the database tells them."""

from datetime import datetime
from uuid import UUID

from functions.claim_status import Change
from functions.export_run import Told


class ChangedClaim(Told):
    """In the books as voucher of a run, and otherwise in the app. `file_name` None: by hand.

    `changes` is empty when only the approval was taken back.
    """

    claim_id: UUID
    claim_number: str
    run_id: UUID
    run_number: int
    voucher_number: int
    file_name: str | None
    exported_at: datetime
    changed_since: datetime
    no_longer_approved: bool
    changes: tuple[Change, ...]


class ChangedClaims(Told):
    """A page, who was touched first is first. It can hold few and still have a `next_cursor`."""

    claims: tuple[ChangedClaim, ...]
    next_cursor: str | None
