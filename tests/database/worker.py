"""A worker of the guard: whoever was answered with a fencing token, alive or taken over since."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from tests.organisation import Organisation, call, store_file, summary_of


def reason(claim_id: UUID | str) -> dict[str, str]:
    """Why a claim is left out."""
    return {
        "claim_id": str(claim_id),
        "code": "no_account_for_expense_type",
        "field": "lines[1].expense_type",
        "message": "No account is set for the expense type hotel.",
    }


@dataclass(frozen=True)
class Worker:
    """One attempt at a run, with every write that it can make; each returns the answer or raises the refusal."""

    organisation: Organisation
    service: psycopg.Connection
    run_id: str
    token: int
    claims: Sequence[Mapping[str, Any]]

    @classmethod
    def of(
        cls, organisation: Organisation, service: psycopg.Connection, answer: Mapping[str, Any]
    ) -> "Worker":
        """The worker who got this answer to its begin or takeover."""
        run_id: str = answer["run"]["run_id"]
        return cls(organisation, service, run_id, answer["fencing_token"], answer["claims"])

    def _write(self, function: str, **arguments: object) -> dict[str, Any]:
        return call(
            self.service, function, p_run_id=self.run_id, p_fencing_token=self.token, **arguments
        )

    def reserve(self, after_position: int = 0) -> dict[str, Any]:
        """Ask for the page after a position."""
        return self._write("reserve_export_page", p_after_position=after_position)

    def reserve_all(self) -> list[dict[str, Any]]:
        """Read all members, reserving what is not reserved yet."""
        members: list[dict[str, Any]] = []
        is_last = False
        while not is_last:
            page = self.reserve(members[-1]["position"] if members else 0)
            members += page["claims"]
            is_last = page["last_page"]
        return members

    def renew(self) -> dict[str, Any]:
        """Say that it is alive."""
        return self._write("renew_export_lock")

    def release(self, code: str | None = None, *, is_blameless: bool = False) -> dict[str, Any]:
        """Give up, with or without blame."""
        return self._write("release_export_lock", p_code=code, p_is_blameless=is_blameless)

    def leave_out(self, claim_ids: Sequence[UUID | str]) -> dict[str, Any]:
        """Leave claims out while the run is rendered."""
        return self._write(
            "leave_out_export_claims", p_left_out=[reason(claim_id) for claim_id in claim_ids]
        )

    def complete(
        self,
        members: Sequence[Mapping[str, Any]],
        left_out: Sequence[UUID | str] = (),
        content_hash: str = "a" * 64,
    ) -> dict[str, Any]:
        """Store a file of these members and complete the run with it."""
        return self._write(
            "complete_export_run",
            p_file=store_file(self.organisation, self.run_id, content_hash),
            p_summary=summary_of(members),
            p_left_out=[reason(claim_id) for claim_id in left_out],
        )

    def fail(self, left_out: Sequence[UUID | str] = ()) -> dict[str, Any]:
        """Give the run up for good."""
        return self._write(
            "fail_export_run",
            p_error_code="configuration_invalid",
            p_error_detail={},
            p_left_out=[reason(claim_id) for claim_id in left_out],
        )

    def set_status(self, status: str, claim_ids: Sequence[UUID | str] = ()) -> dict[str, Any]:
        """Change the run through the repository."""
        return self._write("update_export_run_status", p_status=status, p_claim_ids=list(claim_ids))

    def writes(self) -> dict[str, Callable[[], dict[str, Any]]]:
        """Everything that it could still try, by name."""
        claim_ids = [claim["claim_id"] for claim in self.claims]
        return {
            "reserve": self.reserve,
            "renew": self.renew,
            "release": self.release,
            "leave_out": lambda: self.leave_out(claim_ids),
            "complete": lambda: self.complete(self.claims),
            "fail": self.fail,
            "set_failed": lambda: self.set_status("failed"),
            "set_completed": lambda: self.set_status("completed", claim_ids),
        }
