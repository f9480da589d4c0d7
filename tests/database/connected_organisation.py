"""An organisation that is written over one open connection: thousands of statements, one login."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from tests.organisation import Organisation


@dataclass(frozen=True)
class ConnectedOrganisation(Organisation):
    """As Organisation, with the owner's connection of whoever made it."""

    owner: psycopg.Connection = field(kw_only=True)

    def execute(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """As Organisation.execute."""
        cursor = self.owner.execute(statement.encode(), parameters)
        return cursor.fetchall() if cursor.description else []

    def add_numbered_claim(
        self, number: int, amount: str, currency: str, approved_at: datetime
    ) -> UUID:
        """An approved claim with one line, whose id sorts the same way whenever it is made in this order."""
        claim_id = UUID(int=(self.id.int >> 64 << 64) + number * 7919 % 65_536)
        self.execute(
            "insert into public.expense_claims"
            " (id, organization_id, claim_number, claimant_name, purpose, currency, status, approved_at)"
            " values (%s, %s, %s, 'Åse Ødegård', 'Møte', %s, 'approved', %s)",
            claim_id,
            self.id,
            f"2025-{number}",
            currency,
            approved_at,
        )
        self.execute(
            "insert into public.expense_claim_lines"
            " (claim_id, line_number, expense_type, description, expense_date, amount)"
            " values (%s, 1, 'receipt', 'Tromsø-Alta', '2025-09-30', %s)",
            claim_id,
            amount,
        )
        return claim_id
