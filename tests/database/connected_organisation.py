"""An organisation that is written over one open connection: thousands of statements, one login."""

from dataclasses import dataclass, field
from typing import Any

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
