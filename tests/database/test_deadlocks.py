"""The app's own bulk updates and the engine at the same rows: neither is ever the victim of a deadlock."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, TypeVar

import psycopg
import pytest

from stack.database import Database
from tests.organisation import Organisation, begin, call, complete

SECONDS, PATIENCE_SECONDS = 4, 30
WANTED = {"app", "started", "resumed", "fail", "release", "complete"}
APP_CONNECTIONS = 4
CLAIMS = 240
PAGE = 40
Result = TypeVar("Result")
REFUSED_BY_ENGINE = "PT"

# Locks claims one after the other in an order, then changes them; the key of the engine's index too.
BULK_UPDATE = (
    "with mine as ("
    "  select c.id from public.expense_claims c"
    "  where c.organization_id = %(organisation)s and abs(hashtext(c.id::text)) %% %(parts)s = %(part)s"
    "  order by c.approved_at {order}, c.id {order} for update"
    ") update public.expense_claims c set approved_at = c.approved_at + interval '1 microsecond', updated_at = now()"
    " from mine where c.id = mine.id"
)
UP, DOWN = BULK_UPDATE.format(order="asc"), BULK_UPDATE.format(order="desc")
HOLD_ORGANISATION = "select from public.organizations where id = %(organisation)s for update"
RENAME = "update public.organizations set name = 'Blindeforbundet' where id = %(organisation)s"
UPDATING = [[UP], [DOWN], [RENAME, UP], [DOWN, RENAME]]
"""What the app does in one transaction each. None of them waits for another one's claims."""
HOLDING = [
    *UPDATING,
    [HOLD_ORGANISATION, UP, RENAME],
    [HOLD_ORGANISATION, DOWN],
    [UP, HOLD_ORGANISATION],
]
"""The same, and some lock the organisation's row against foreign keys too."""


@pytest.fixture
def organisation(database: Database) -> Organisation:
    """An organisation in a database with small pages that looks for deadlocks at once."""
    with database.connect("supabase_admin") as superuser:
        superuser.execute(f"alter database {database.name} set deadlock_timeout = '20ms'".encode())
    with database.connect("postgres") as owner:
        owner.execute(
            f"create or replace function export_engine.page_size() returns integer language sql immutable return {PAGE}".encode()
        )
    return Organisation.create(database)


@dataclass
class Tally:
    """What was done until the time is over and all was done, and each error that nobody wants."""

    started: float = field(default_factory=time.monotonic)
    done: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def goes_on(self) -> bool:
        """Whether there is time left, or something left to do and patience."""
        seconds = time.monotonic() - self.started
        return seconds < SECONDS or (seconds < PATIENCE_SECONDS and set(self.done) != WANTED)

    def note(self, who: str, error: psycopg.Error) -> None:
        """A deadlock, or anything else that is not the engine's word for contention."""
        if not (error.sqlstate or "").startswith(REFUSED_BY_ENGINE):
            self.errors.append(f"{who}: {error.sqlstate} {error}")


def update_in_bulk(
    organisation: Organisation,
    tally: Tally,
    transactions: list[list[str]],
    turn: AbstractContextManager[object],
    part: tuple[int, int],
) -> None:
    """Be the app: one transaction after the other, each changing many claims."""
    names = {"organisation": organisation.id, "part": part[0], "parts": part[1]}
    with organisation.database.connect("postgres", autocommit=False) as connection:
        for statements in itertools.cycle(transactions):
            if not tally.goes_on():
                return
            with turn:
                try:
                    for statement in statements:
                        connection.execute(statement.encode(), names)
                    connection.commit()
                    tally.done["app"] += 1
                except psycopg.Error as error:
                    tally.note("app", error)
                    connection.rollback()


def export_again_and_again(organisation: Organisation, tally: Tally, endings: list[str]) -> None:
    """Be a worker: begin, reserve page after page, and end in each way in turn."""
    user, service = organisation.as_user(organisation.add_member()), organisation.as_service()
    ending = itertools.cycle(endings)
    while tally.goes_on():
        try:
            begun = begin(user, organisation)
            if begun["outcome"] in {"started", "resumed"}:
                how = end(organisation, service, begun, next(ending))
                tally.done.update([how, begun["outcome"]])
                if how == "complete":
                    organisation.add_claims(CLAIMS)
        except psycopg.Error as error:
            tally.note("engine", error)
            organisation.expire_lease()


def end(
    organisation: Organisation, service: psycopg.Connection, begun: dict[str, Any], how: str
) -> str:
    """Reserve all pages, then complete, fail or release the run; fail it if too little is left of it."""
    held = {"p_run_id": begun["run"]["run_id"], "p_fencing_token": begun["fencing_token"]}
    claims, page = list(begun["claims"]), begun
    while not page["last_page"]:
        last = claims[-1]["position"] if claims else 0
        page = call(service, "reserve_export_page", **held, p_after_position=last)
        claims += page["claims"]
    if len(claims) < 2:
        how = "fail"
    else:
        reason = {"claim_id": claims[0]["claim_id"], "code": "x", "message": "X."}
        call(service, "leave_out_export_claims", **held, p_left_out=[reason])
    if how == "release":
        call(service, "release_export_lock", **held)
    elif how == "complete":
        complete(organisation, {**begun, "claims": claims[1:]})
    else:
        reasons = {"p_error_code": "x", "p_error_detail": {}, "p_left_out": []}
        while not call(service, "fail_export_run", **held, **reasons)["released"]:
            pass
    return how


@pytest.mark.parametrize("manner", ["each its own claims", "all claims in turns"])
@pytest.mark.parametrize(
    "transactions",
    [
        pytest.param(UPDATING, id="updating"),
        pytest.param(HOLDING, id="holding"),
    ],
)
def test_neither_app_nor_engine_is_a_deadlock_victim(
    organisation: Organisation, transactions: list[list[str]], manner: str
) -> None:
    """Bulk updates up and down, with and without the organisation's row, while runs begin and end: no deadlock."""
    organisation.add_claims(CLAIMS)
    tally = Tally()
    in_turns = manner == "all claims in turns"
    turn: AbstractContextManager[object] = Lock() if in_turns else nullcontext()
    parts = [(0, 1) if in_turns else (n, APP_CONNECTIONS) for n in range(APP_CONNECTIONS)]

    with ThreadPoolExecutor(APP_CONNECTIONS + 2) as pool:
        work = [
            pool.submit(update_in_bulk, organisation, tally, transactions, turn, part)
            for part in parts
        ]
        work += [
            pool.submit(export_again_and_again, organisation, tally, endings)
            for endings in (["complete", "fail", "release"], ["release", "fail"])
        ]
        for one in work:
            one.result()

    assert not tally.errors, "\n".join(tally.errors)
    assert set(tally.done) == WANTED
    [(skipped,)] = organisation.execute("select sum(skipped_count) from public.export_runs")
    assert skipped > 0, "app and engine never met"


@dataclass
class Background:
    """A call in another thread, by a connection that can be watched."""

    pool: ThreadPoolExecutor
    database: Database

    def start(self, connection: psycopg.Connection, work: Callable[[], Result]) -> "Future[Result]":
        """Start the call and return when it is done or waits for somebody's lock."""
        future = self.pool.submit(work)
        with self.database.connect("postgres") as watcher:
            deadline = time.monotonic() + 10
            while not (future.done() or self._is_blocked(watcher, connection.info.backend_pid)):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        return future

    @staticmethod
    def _is_blocked(watcher: psycopg.Connection, pid: int) -> bool:
        row = watcher.execute("select cardinality(pg_blocking_pids(%s)) > 0", [pid]).fetchone()
        return bool(row and row[0])


@pytest.fixture
def background(organisation: Organisation) -> Iterator[Background]:
    with ThreadPoolExecutor(1) as pool:
        yield Background(pool, organisation.database)


ALL_CLAIMS = {"part": 0, "parts": 1}


def hold(organisation: Organisation, *statements: str) -> psycopg.Connection:
    """The app in a transaction that goes on after these statements."""
    connection = organisation.database.connect("postgres", autocommit=False)
    connection.execute("set local lock_timeout = '5s'")
    for statement in statements:
        connection.execute(statement.encode(), {"organisation": organisation.id, **ALL_CLAIMS})
    return connection


def test_a_begin_that_waits_for_the_organisation_holds_no_claim(
    organisation: Organisation, background: Background
) -> None:
    """The first begin of an organisation, whose counters do not exist yet, waits before it locks claims, not after."""
    organisation.add_claims(CLAIMS)
    user = organisation.as_user(organisation.add_member())
    app = hold(organisation, HOLD_ORGANISATION)

    begun = background.start(user, lambda: begin(user, organisation))
    app.execute(UP.encode(), {"organisation": organisation.id, **ALL_CLAIMS})
    assert not begun.done()
    app.commit()

    assert begun.result()["outcome"] == "started"


@pytest.mark.parametrize("how", ["release", "complete", "fail"])
def test_nothing_after_begin_waits_for_claims(organisation: Organisation, how: str) -> None:
    """While the app holds claims and changes its organisation, pages are reserved without them and runs end."""
    organisation.add_claims(CLAIMS)
    begun = begin(organisation.as_user(organisation.add_member()), organisation)
    service = organisation.as_service()
    service.execute("set lock_timeout = '1s'")
    hold(organisation, DOWN, RENAME)

    end(organisation, service, begun, how)

    [run] = organisation.execute(
        "select status, reserved_count, skipped_count from public.export_runs"
    )
    status = {"release": "processing", "complete": "completed", "fail": "failed"}[how]
    assert run == (status, PAGE, CLAIMS - PAGE)


def test_a_page_that_waits_for_the_organisation_holds_no_claim(
    organisation: Organisation, background: Background
) -> None:
    """Whoever holds the organisation's row can change its claims while a page is reserved."""
    organisation.add_claims(CLAIMS)
    begun = begin(organisation.as_user(organisation.add_member()), organisation)
    service = organisation.as_service()
    app = hold(organisation, HOLD_ORGANISATION)

    ended = background.start(service, lambda: end(organisation, service, begun, "fail"))
    time.sleep(0.1)
    app.execute(UP.encode(), {"organisation": organisation.id, **ALL_CLAIMS})
    app.commit()

    ended.result()
    assert organisation.execute("select status from public.export_runs") == [("failed",)]


def test_a_first_run_by_repository_holds_no_claim_while_it_waits_for_the_organisation(
    organisation: Organisation, background: Background
) -> None:
    """The first run of an organisation that is begun with given claims waits before it locks them, not after."""
    claims = organisation.add_claims(CLAIMS)[:PAGE]
    service = organisation.as_service()
    run = call(
        service,
        "create_export_run",
        p_organization_id=organisation.id,
        p_triggered_by=None,
        p_format="xledger_gl02b",
    )
    app = hold(organisation, HOLD_ORGANISATION)

    started = background.start(
        service,
        lambda: call(
            service,
            "update_export_run_status",
            p_run_id=run["run_id"],
            p_status="processing",
            p_claim_ids=claims,
        ),
    )
    time.sleep(0.1)
    app.execute(UP.encode(), {"organisation": organisation.id, **ALL_CLAIMS})
    app.commit()

    assert started.result()["status"] == "processing"
