"""The admin, who lets runs be tried again that were parked because every worker of theirs was killed."""

import threading
from collections import Counter

import psycopg

from stack.database import Database

_SECONDS_BETWEEN = 0.5
_PARKED = "select id from public.export_runs where status = 'parked' order by parked_at limit 1"
_RECOVER = "select public.recover_export_run(%s, 'The machine was unwell.', 'Ingrid Vik')"


class Admin:
    """`did` counts what became of the parked runs: tried again, or not yet."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.did: Counter[str] = Counter()

    def recover_until(self, stop: threading.Event) -> None:
        """One parked run after the other."""
        while not stop.wait(_SECONDS_BETWEEN):
            try:
                self._recover_one()
            except psycopg.Error:  # its organisation is busy, or Postgres is away
                self.did["not yet"] += 1

    def _recover_one(self) -> None:
        with self._database.connect("postgres") as owner:
            found = owner.execute(_PARKED).fetchone()
            if found is not None:
                owner.execute(_RECOVER, found)
                self.did["tried again"] += 1
