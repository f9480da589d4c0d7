"""Somebody with the owner's password and the engine's own mark, who enters claims a second time."""

import threading
from collections import Counter
from random import Random

import psycopg

from stack.database import Database

_OPEN = "select export_engine.open_for_writing()"
# A copy of a live entry, at the end of the newest run of its organisation. The entry is held meanwhile:
# one that is just being released would free its place in the index, and the copy would be no double.
_ENTER_AGAIN = """
insert into public.export_run_claims
  (run_id, position, organization_id, claim_id, kind, generation, voucher_number, document, amount, currency)
select r.id, r.reserved_count + 1000000, m.organization_id, m.claim_id, m.kind, m.generation,
  m.voucher_number, m.document, m.amount, m.currency
from (
  select * from public.export_run_claims
  where claim_id >= %s and kind = 'entry' and released_at is null
  order by claim_id, kind, generation limit 1
  for share
) m
cross join lateral (
  select id, reserved_count from public.export_runs
  where organization_id = m.organization_id order by run_number desc limit 1
) r
returning claim_id"""


class Rogue:
    """`did` counts what became of the tries: refused by the index, entered, or no chance."""

    def __init__(self, database: Database, draw: Random) -> None:
        self._database = database
        self._draw = draw
        self.did: Counter[str] = Counter()

    def try_until(self, stop: threading.Event, pause: float) -> None:
        """One try after each pause."""
        while not stop.wait(pause):
            try:
                self.did[self._try()] += 1
            except psycopg.Error as fault:
                self.did[type(fault).__name__] += 1

    def _try(self) -> str:
        claim_id = f"{self._draw.getrandbits(128):032x}"
        with self._database.connect("postgres", autocommit=False) as owner:
            owner.execute(_OPEN)
            try:
                entered = owner.execute(_ENTER_AGAIN.encode(), [claim_id]).fetchall()
            except psycopg.errors.UniqueViolation as refusal:
                return f"refused by {refusal.diag.constraint_name}"
        return "entered" if entered else "no chance"
