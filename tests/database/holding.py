"""Holds as admins place and lift them, on an organisation or on claims."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from tests.organisation import Organisation, call

REASON = "Restored from last night's backup; files are being matched."


def hold(
    connection: psycopg.Connection,
    organisation: Organisation | UUID,
    reason: str | None = REASON,
    actor: str | None = None,
) -> dict[str, Any]:
    """Put the organisation on hold."""
    identifier = organisation.id if isinstance(organisation, Organisation) else organisation
    return call(
        connection,
        "hold_exports",
        p_organization_id=identifier,
        p_reason=reason,
        p_actor=actor,
    )


def hold_claims(
    connection: psycopg.Connection,
    claim_ids: Sequence[UUID | None] | None,
    reason: str | None = "The receipt is missing.",
    actor: str | None = None,
) -> dict[str, Any]:
    """Put claims on hold."""
    return call(connection, "hold_claims", p_claim_ids=claim_ids, p_reason=reason, p_actor=actor)


def lift(
    connection: psycopg.Connection,
    organisation: Organisation | UUID,
    claim_ids: Sequence[UUID] | None = None,
    actor: str | None = None,
) -> dict[str, Any]:
    """Lift the organisation's own hold, or those of claims."""
    identifier = organisation.id if isinstance(organisation, Organisation) else organisation
    return call(
        connection,
        "lift_export_hold",
        p_organization_id=identifier,
        p_claim_ids=claim_ids,
        p_actor=actor,
    )
