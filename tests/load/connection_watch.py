"""How many of the data API's connections are at work, and how many of those wait for a lock."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stack.database import Database

EVERY_SECONDS = 0.05
# The embedded data API logs in as this role; so does nobody else while it is watched.
SAMPLE = """
select count(*) filter (where a.state <> 'idle'), count(w.waitstart),
  coalesce(max(extract(epoch from clock_timestamp() - w.waitstart)), 0)::float
from pg_stat_activity a
left join (select pid, min(waitstart) as waitstart from pg_locks group by pid) w on w.pid = a.pid
where a.datname = current_database() and a.usename = 'supabase_admin'
"""


@dataclass
class ConnectionWatch:
    """The most of each that was seen at one moment."""

    samples: int = 0
    busy: int = 0
    waiting: int = 0
    longest_wait: float = 0


@contextmanager
def connection_watch(database: Database) -> Iterator[ConnectionWatch]:
    """Look again and again until the block ends."""
    watch, ended = ConnectionWatch(), threading.Event()

    def look() -> None:
        with database.connect("postgres") as connection:
            while not ended.wait(EVERY_SECONDS):
                busy, waiting, longest = connection.execute(SAMPLE).fetchall()[0]
                watch.samples += 1
                watch.busy = max(watch.busy, busy)
                watch.waiting = max(watch.waiting, waiting)
                watch.longest_wait = max(watch.longest_wait, longest)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()
