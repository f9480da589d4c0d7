"""The app's backend, as plain SQL: claims are added, approved, un-approved and edited all the while."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from random import Random
from typing import Any
from uuid import UUID

import psycopg

from stack.database import Database
from tests.chaos.audit import purpose_of
from tests.organisation import Organisation

_RECENT = 3000
_MOST_AT_ONCE = 40
_RETRY_SECONDS = 0.2
_SHARE_OF_BAD = 0.01
_SHARE_OF_SLOW, _LONGEST_SLOWNESS = 0.1, 0.2
_PAUSE_WHILE_AHEAD = 0.03
GOOD, BAD = "mileage", "helicopter"

# The amount of version 1 stands in the purpose, and is the sum of a line and, for every other
# claim, of a second one.
_ADD = """
with given as (
  select gen_random_uuid() as id, n, (100 + n %% 900 + (n %% 100) / 100.0)::numeric(12, 2) as amount
  from generate_series(%(first)s::integer, %(last)s::integer) as n
),
heads as (
  insert into public.expense_claims
    (id, organization_id, claim_number, claimant_name, claimant_number, purpose, status, approved_at)
  select g.id, %(organization)s, 'K' || upper(left(replace(g.id::text, '-', ''), 14)), 'Åse Ødegård', '10023',
    'Møte v1 ' || g.amount,
    case when %(approved)s then 'approved' else 'submitted' end,
    case when %(approved)s then clock_timestamp() - %(days)s * random() * interval '1 day' end
  from given g returning id
),
lines as (
  insert into public.expense_claim_lines (claim_id, line_number, expense_type, description, expense_date, amount)
  select g.id, part.number, case when part.number = 1 then %(type)s else 'toll' end,
    'v1 Tromsø-Alta', '2026-09-30',
    case when g.n %% 2 = 0 then g.amount when part.number = 1 then g.amount - 56 else 56 end
  from given g cross join generate_series(1, 1 + g.n %% 2) as part(number)
)
select id from heads"""
_BULK_APPROVE = """
update public.expense_claims set status = 'approved', approved_at = clock_timestamp()
where id = any (%s) and status = 'submitted'"""
_UNAPPROVE = """
update public.expense_claims set status = 'submitted', approved_at = null
where id = any (%s) and status = 'approved'"""
_EDIT_HEAD = "update public.expense_claims set purpose = %s where id = %s and status <> 'rejected'"
_EDIT_LINES = """
update public.expense_claim_lines
set description = 'v' || %(version)s::text || ' Tromsø-Alta',
  amount = case when line_number = 1 then %(amount)s::numeric - coalesce(
    (select sum(o.amount) from public.expense_claim_lines o where o.claim_id = %(claim)s and o.line_number > 1), 0)
    else amount end,
  expense_type = case when line_number = 1 then coalesce(%(type)s, expense_type) else expense_type end
where claim_id = %(claim)s"""
_READ = """
select substr(split_part(purpose, ' ', 2), 2)::integer from public.expense_claims where id = %s"""
_BAD = """
select distinct l.claim_id from public.expense_claim_lines l
join public.expense_claims c on c.id = l.claim_id
where l.expense_type = %s and c.organization_id = any (%s)"""


class Feeder:
    """One connection's worth of backend; not thread-safe, so make one per thread.

    `strict` organisations refuse a whole run because of one bad claim: theirs are mended soon.
    """

    def __init__(
        self,
        database: Database,
        organisations: Sequence[Organisation],
        strict: Sequence[Organisation],
        draw: Random,
    ) -> None:
        self._database = database
        self._organisations = organisations
        self._strict = {organisation.id for organisation in strict}
        self._draw = draw
        self._recent: deque[UUID] = deque(maxlen=_RECENT)
        self._drafts: deque[UUID] = deque(maxlen=_RECENT)
        self._bad: deque[UUID] = deque()
        self._connection: psycopg.Connection | None = None
        self._number = draw.randrange(1000)
        self.added = 0
        self.did: Counter[str] = Counter()

    def feed(self, wanted: Callable[[], int], bursts: Sequence[int], stop: threading.Event) -> None:
        """Keep up with the wanted number of claims, and change some, until told to stop.

        `bursts` are sizes of batches that come in one piece, each as soon as there is room.
        """
        waiting = list(bursts)
        while not stop.is_set():
            missing = wanted() - self.added
            if waiting and missing >= waiting[-1]:
                self._attempt("burst", lambda: self.add(waiting.pop(), is_burst=True))
            elif missing > 0:
                count = self._draw.randint(1, min(missing, _MOST_AT_ONCE))
                self._attempt("add", lambda: self.add(count))  # noqa: B023 - called at once
            else:
                stop.wait(_PAUSE_WHILE_AHEAD)
            self._attempt(*self._draw.choice(self._changes()))

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def add(self, count: int, *, is_burst: bool = False) -> None:
        """Claims of one organisation, most of them approved at once."""
        organisation = self._draw.choice(self._organisations)
        is_approved = is_burst or self._draw.random() < 0.75
        is_bad = not is_burst and self._draw.random() < _SHARE_OF_BAD * min(count, 10)
        rows = self._run(
            _ADD,
            {
                "first": self._number,
                "last": self._number + (count if not is_bad else 1) - 1,
                "organization": organisation.id,
                "approved": is_approved,
                "days": self._draw.choice((0, 0, 60)),
                "type": BAD if is_bad else GOOD,
            },
        )
        if is_bad and organisation.id in self._strict:
            self._bad.extend(row[0] for row in rows)
        self._number += count
        self.added += len(rows)
        (self._recent if is_approved else self._drafts).extend(row[0] for row in rows)

    def approve_drafts(self) -> None:
        """Everything that still waits, in one statement and no particular order."""
        ids = list(self._drafts)
        self._draw.shuffle(ids)
        self._run(_BULK_APPROVE, [ids])
        self._drafts.clear()
        self._recent.extend(ids)

    def finish(self, claims: int) -> None:
        """In quiet: the claims that are missing, all drafts, and every bad claim of the strict mended."""
        self.close()
        while self.added < claims:
            self.add(min(claims - self.added, _MOST_AT_ONCE))
        self.approve_drafts()
        for (claim_id,) in self._run(_BAD, [BAD, list(self._strict)]):
            self._edit(claim_id, expense_type=GOOD)

    def _changes(self) -> list[tuple[str, Callable[[], Any]]]:
        return [
            ("approve", self._approve),
            ("unapprove", self._unapprove),
            ("edit", self._edit_one),
            ("edit", self._edit_one),
            ("edit", self._edit_one),
            ("mend", self._mend),
        ]

    def _approve(self) -> None:
        if len(self._drafts) > self._draw.randrange(4 * _MOST_AT_ONCE):
            self.approve_drafts()

    def _unapprove(self) -> None:
        """Some of the newest: which are being exported at this moment, or were already."""
        if self._recent:
            newest = list(self._recent)[-200:]
            ids = self._draw.sample(newest, min(len(newest), self._draw.randint(1, 5)))
            self._run(_UNAPPROVE, [ids])
            self._drafts.extend(ids)

    def _mend(self) -> None:
        if self._bad:
            self._edit(self._bad[0], expense_type=GOOD)
            self._bad.popleft()

    def _edit_one(self) -> None:
        if self._recent:
            newest = list(self._recent)[-200:]
            self._edit(self._draw.choice(newest))

    def _edit(self, claim_id: UUID, expense_type: str | None = None) -> None:
        """A new version, head and lines in one transaction, in either order, now and then slowly."""
        connection = self._open()
        with connection.transaction():
            [version] = connection.execute(_READ.encode(), [claim_id]).fetchone() or [0]
            amount = f"{self._draw.randint(20000, 90000) / 100:.2f}"
            lines: dict[str, object] = {"claim": claim_id, "type": expense_type}
            lines |= {"version": version + 1, "amount": amount}
            parts: list[tuple[str, Any]] = [
                (_EDIT_HEAD, [purpose_of(version + 1, amount), claim_id]),
                (_EDIT_LINES, lines),
            ]
            self._draw.shuffle(parts)
            for statement, values in parts:
                connection.execute(statement.encode(), values)
                if self._draw.random() < _SHARE_OF_SLOW:
                    time.sleep(self._draw.random() * _LONGEST_SLOWNESS)

    def _attempt(self, name: str, work: Callable[[], Any]) -> None:
        try:
            work()
        except psycopg.Error as fault:
            # Two feeders met on the same claims, or Postgres was killed; the next change comes.
            self.did[type(fault).__name__] += 1
            if self._connection is None or self._connection.closed:
                self.close()
                time.sleep(_RETRY_SECONDS)
        else:
            self.did[name] += 1

    def _run(self, statement: str, values: Any) -> list[tuple[Any, ...]]:
        cursor = self._open().execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []

    def _open(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = self._database.connect("postgres")
        return self._connection
