"""A write that carries a fencing token, as the network saw it pass."""

import json
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

FENCED = frozenset(
    {
        "reserve_export_page",
        "renew_export_lock",
        "release_export_lock",
        "leave_out_export_claims",
        "complete_export_run",
        "fail_export_run",
        "open_delivery",
        "clear_delivery",
        "record_deliveries",
        "doubt_export_run",
    }
)


@dataclass
class FencedCall:
    """One fenced request on its way.

    `forwarded_at` is the moment before the first byte went to the data API, by this machine's
    clock, which is Postgres's too; `status` is None as long as, or if for ever, no answer came.
    """

    function: str
    run_id: UUID
    fencing_token: int
    forwarded_at: datetime
    status: int | None = None
    is_late: bool = False

    @property
    def was_accepted(self) -> bool:
        """Whether the database did, or confirmed, what was asked."""
        return self.status is not None and 200 <= self.status < 300


def held_run(function: str, body: bytes) -> tuple[UUID, int] | None:
    """Run and token of a fenced call, None for any other."""
    if function not in FENCED:
        return None
    told = json.loads(body)
    if (
        told["p_fencing_token"] is None
    ):  # a completed run's vouchers are withdrawn by nobody's token
        return None
    return UUID(told["p_run_id"]), int(told["p_fencing_token"])
