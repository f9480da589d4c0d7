"""What the readers of history touch in a long one: index look-ups, and no more rows than they answer.

Counted by the tables' and indexes' own statistics of the transaction: what was read in order to be sorted or thrown away counts too.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from stack.database import Database
from tests.bench.long_history import LongHistory, write_history
from tests.bench.scale import Scale
from tests.organisation import call

SCALE = Scale("plans", runs=20_000, claims_per_run=10)
READ = """
select
  coalesce(sum(pg_stat_get_xact_tuples_returned(c.oid)) filter (where c.relkind = 'r'), 0),
  coalesce(sum(pg_stat_get_xact_tuples_returned(c.oid)), 0)
from pg_class as c
where c.relkind in ('r', 'i') and c.relname ~ '^(export_run|expense_claim)'
"""
NAME = "history_plans"


@pytest.fixture(scope="module")
def history(
    template_database: Database, _administration: psycopg.Connection
) -> Iterator[LongHistory]:
    """20,000 runs with 200,000 members, made once for all questions."""
    identifiers = sql.Identifier(NAME), sql.Identifier(template_database.name)
    _administration.execute(
        sql.SQL("create database {} template {} owner postgres strategy file_copy").format(
            *identifiers
        )
    )
    database = Database(template_database.port, NAME, template_database.password)
    yield write_history(database, SCALE, lambda _: None)
    _administration.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(NAME)))


@pytest.fixture(scope="module")
def reader(history: LongHistory) -> Iterator[psycopg.Connection]:
    """A coordinator, whom row-level security binds."""
    organisation = history.organisation
    with organisation.as_user(organisation.add_member()) as connection:
        yield connection


def reading(
    reader: psycopg.Connection, function: str, **arguments: object
) -> tuple[dict[str, Any], int, int]:
    """The answer, how many rows were read by scanning tables, and how many rows and index entries in all."""
    with reader.transaction():
        before = reader.execute(READ.encode()).fetchone()
        answer = call(reader, function, **arguments)
        after = reader.execute(READ.encode()).fetchone()
    assert before is not None
    assert after is not None
    return answer, after[0] - before[0], after[1] - before[1]


def history_page(
    reader: psycopg.Connection, history: LongHistory, **wanted: object
) -> tuple[dict[str, Any], int, int]:
    return reading(
        reader, "get_export_history", p_organization_id=history.organisation.id, **wanted
    )


def test_a_claims_runs_are_one_look_up(history: LongHistory, reader: psycopg.Connection) -> None:
    """Its member, the run, and the page of the file with its lines: a handful of entries among 200,000."""
    [claim_id] = history.claim_ids([123_456])

    answer, scanned, read = reading(reader, "find_runs_by_claim_id", p_claim_id=claim_id)

    assert [run["run_number"] for run in answer["runs"]] == [12_346]
    assert scanned == 0
    assert read < 20


@pytest.mark.parametrize("how_many", [1, 200])
def test_a_passport_costs_the_same_for_each_claim(
    history: LongHistory, reader: psycopg.Connection, how_many: int
) -> None:
    """One claim or two hundred: some twenty entries each, no table and no run read as a whole."""
    ids = history.claim_ids([history.claim_step * n for n in range(1, how_many + 1)])

    answer, scanned, read = reading(reader, "get_claim_status", p_claim_ids=ids)

    assert {claim["state"] for claim in answer["claims"]} == {"exported"}
    assert scanned == 0
    assert read < 50 * how_many


def test_a_page_of_the_history_reads_a_page(
    history: LongHistory, reader: psycopg.Connection
) -> None:
    """The first one, and one at depth 10,000 by cursor; deleted runs asked for or not."""
    middle, _, _ = history_page(reader, history, p_limit=1, p_offset=9_999)

    for wanted, newest in (
        ({}, 20_000),
        ({"p_include_deleted": True}, 20_000),
        ({"p_cursor": middle["next_cursor"]}, 10_000),
    ):
        page, scanned, read = history_page(reader, history, **wanted)
        assert (len(page["runs"]), page["runs"][0]["run_number"]) == (50, newest)
        assert (scanned, read < 100) == (0, True), (wanted, read)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"p_statuses": ["completed"]}, 50),
        ({"p_statuses": ["failed"]}, 0),
        ({"p_statuses": ["failed", "voided", "parked"]}, 0),
        ({"p_target": "xledger"}, 50),
        ({"p_target": "dynamics"}, 0),
        ({"p_trigger": "cli"}, 50),
        ({"p_trigger": "user"}, 0),
        ({"p_triggered_by": UUID(int=7)}, 0),
        ({"p_period_from": "2022-11-01", "p_period_to": "2022-11-02"}, 33),
        ({"p_period_from": "2016-01-01", "p_period_to": "2016-01-31"}, 50),
        ({"p_period_to": "2016-01-31"}, 50),
        ({"p_statuses": ["completed"], "p_target": "xledger", "p_trigger": "cli"}, 50),
    ],
)
def test_a_filter_reads_what_it_finds(
    history: LongHistory, reader: psycopg.Connection, wanted: dict[str, object], found: int
) -> None:
    """Whether all runs match or none: nothing is scanned, and nothing is read in order to be thrown away or sorted."""
    page, scanned, read = history_page(reader, history, **wanted)

    assert len(page["runs"]) == found
    assert scanned == 0
    assert read < 2 * found + 20


@pytest.mark.parametrize(
    ("text", "runs", "claims"),
    [
        ("1234", 1, 1),
        ("199999", 0, 1),
        ("C-123400", 0, 1),
        ("export-77.csv", 1, 0),
        (sha256(b"77").hexdigest()[:12], 1, 0),
        ("nothing like this", 0, 0),
        ("99999999", 0, 0),
    ],
)
def test_a_search_is_a_few_look_ups(
    history: LongHistory, reader: psycopg.Connection, text: str, runs: int, claims: int
) -> None:
    """By run, voucher or claim number, file name or hash; found or not."""
    found, scanned, read = reading(
        reader, "find_exports", p_organization_id=history.organisation.id, p_text=text
    )

    assert (len(found["runs"]), len(found["claims"])) == (runs, claims)
    assert scanned == 0
    assert read < 20


def test_a_line_of_a_file_is_a_few_look_ups(
    history: LongHistory, reader: psycopg.Connection
) -> None:
    """From a line back to its claim, among 20,000 files."""
    [[run_id]] = history.organisation.execute("select md5('run 77')::uuid")

    found, scanned, read = reading(reader, "find_claim_at_line", p_run_id=run_id, p_line_number=7)

    assert found["position"] == 3
    assert scanned == 0
    assert read < 20


@pytest.mark.parametrize(
    ("period", "run_number"),
    [(("2022-11-01", "2022-11-03"), 20_000), ((None, "2016-02-01"), 255)],
)
def test_nothing_to_export_finds_its_latest_run(
    history: LongHistory,
    reader: psycopg.Connection,
    period: tuple[str | None, str],
    run_number: int,
) -> None:
    """The answer to a lost key names the run without reading all runs."""
    answer, scanned, read = reading(
        reader,
        "begin_export",
        p_organization_id=history.organisation.id,
        p_target=None,
        p_period_from=period[0],
        p_period_to=period[1],
        p_idempotency_key=None,
        p_invocation_id=uuid4(),
    )

    assert (answer["outcome"], answer["run"]["run_number"]) == ("nothing_to_export", run_number)
    assert (scanned, read < 100) == (0, True), read
