"""A bookkeeper: whoever says what became of a file, and takes runs back."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.database.worker import Worker
from tests.organisation import OCTOBER, Organisation, call, store_file, summary_of


@dataclass(frozen=True)
class Bookkeeper:
    """Somebody with a connection; without a login she says who she is."""

    connection: psycopg.Connection
    name: str | None = None

    def confirm(
        self, run_id: object, outcome: str | None, vouchers: object = None
    ) -> dict[str, Any]:
        """Say what the accounting system made of a run, or of some of its vouchers."""
        return call(
            self.connection,
            "confirm_export",
            p_run_id=run_id,
            p_outcome=outcome,
            p_vouchers=None if vouchers is None else json.dumps(vouchers),
            p_actor=self.name,
        )

    def void(self, run_id: object, reason: str | None = "Wrong period.") -> dict[str, Any]:
        """Take a run back that was never imported."""
        return call(
            self.connection, "void_export", p_run_id=run_id, p_reason=reason, p_actor=self.name
        )

    def reverse(
        self,
        run_id: object,
        reason: str | None = "Booked in the wrong company.",
        invocation: UUID | None = None,
    ) -> dict[str, Any]:
        """Begin to take a run back that was imported."""
        return call(
            self.connection,
            "reverse_export",
            p_run_id=run_id,
            p_reason=reason,
            p_invocation_id=invocation or uuid4(),
            p_actor=self.name,
        )


def refusal(act: Callable[[], object]) -> tuple[str | None, str | None]:
    """State and code of the refusal that this must end with."""
    with pytest.raises(psycopg.Error) as error:
        act()
    return error.value.sqlstate, error.value.diag.message_detail


def vouchers(*numbers: int) -> list[dict[str, Any]]:
    """These vouchers, and nothing said about them."""
    return [{"voucher_number": number} for number in numbers]


def begin_by_itself(organisation: Organisation, trigger: str) -> dict[str, Any]:
    """Begin an export that no person asked for."""
    with organisation.as_service() as service:
        return call(
            service,
            "begin_export_as_service",
            p_organization_id=organisation.id,
            p_target=None,
            p_period_from=OCTOBER[0],
            p_period_to=OCTOBER[1],
            p_idempotency_key=None,
            p_invocation_id=uuid4(),
            p_trigger=trigger,
            p_triggered_by=None,
        )


def complete_reversal(
    organisation: Organisation, answer: Mapping[str, Any], members: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """Complete a reversing run: the same documents, with opposite signs in the summary."""
    with organisation.as_service() as service:
        worker = Worker.of(organisation, service, answer)
        summary = summary_of(members or answer["claims"])
        summary["totals"] = {
            currency: str(-Decimal(total)) for currency, total in summary["totals"].items()
        }
        return call(
            service,
            "complete_export_run",
            p_run_id=worker.run_id,
            p_fencing_token=worker.token,
            p_file=store_file(organisation, worker.run_id, "e" * 64),
            p_summary=summary,
            p_left_out=[],
        )


def effective_entries(organisation: Organisation) -> dict[UUID, int]:
    """Claim -> how often it counts: live entries, less live reversals of completed runs."""
    return dict(
        organisation.execute(
            "select m.claim_id, (count(*) filter (where m.kind = 'entry')"
            "  - count(*) filter (where m.kind = 'reversal' and r.status = 'completed'))::integer"
            " from public.export_run_claims m join public.export_runs r on r.id = m.run_id"
            " where m.organization_id = %s and m.released_at is null group by m.claim_id",
            organisation.id,
        )
    )


def standing_holds(organisation: Organisation) -> dict[UUID, str]:
    """Claim -> cause of the hold that stands on it."""
    return dict(
        organisation.execute(
            "select claim_id, cause from public.export_holds where organization_id = %s and lifted_at is null",
            organisation.id,
        )
    )


def pages_of_two(organisation: Organisation) -> None:
    """Let a page hold two claims."""
    organisation.execute(
        "create or replace function export_engine.page_size() returns integer language sql immutable return 2"
    )
