"""After the storm: coordinators tap until nothing is left to export and nothing is under way."""

import threading
import time
from collections.abc import Sequence

from tests.chaos.phone import Person, Phone, until_today

_SECONDS_BETWEEN_ROUNDS = 0.3
# What is left then cannot be exported.
_ALL_DONE = {"nothing_to_export", "all_claims_left_out"}
_UNDER_WAY = """
select (select count(*) from public.export_runs where status not in ('completed', 'failed', 'voided'))
  + (select count(*) from public.export_locks where run_id is not null)"""


class Settling:
    """Bounded: what does not settle is the oracle's to report."""

    def __init__(self, phone: Phone, people: Sequence[Person], seconds: float) -> None:
        self._phone = phone
        # One coordinator of each organisation.
        self._people = list({person.organisation.id: person for person in people}.values())
        self._seconds = seconds

    def settle(self) -> float:
        """How many seconds it took."""
        began = time.monotonic()
        give_up = threading.Event()
        alarm = threading.Timer(self._seconds, give_up.set)
        alarm.start()
        while not give_up.is_set() and not self._is_settled(give_up):
            give_up.wait(_SECONDS_BETWEEN_ROUNDS)
        alarm.cancel()
        alarm.join()
        return time.monotonic() - began

    def _is_settled(self, give_up: threading.Event) -> bool:
        """One round; all must say that there is nothing, and the tables that nothing is under way."""
        said = [self._phone.tap(person, until_today(), give_up) for person in self._people]
        [(under_way,)] = self._people[0].organisation.execute(_UNDER_WAY)
        return set(said) <= _ALL_DONE and under_way == 0
