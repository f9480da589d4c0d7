"""get_export_history: filters, a cursor that keeps its place, and how much of the history a page reads."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.generated_history import (
    RUNS_PER_SECOND,
    generate_runs,
    pages_by_cursor,
    pages_by_offset,
)
from tests.organisation import Organisation, begin, call, complete

LONG = 20_000


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator_id(organisation: Organisation) -> UUID:
    return organisation.add_member()


@pytest.fixture
def coordinator(organisation: Organisation, coordinator_id: UUID) -> psycopg.Connection:
    return organisation.as_user(coordinator_id)


def history(
    reader: psycopg.Connection, organisation: Organisation, **wanted: object
) -> dict[str, Any]:
    return call(reader, "get_export_history", p_organization_id=organisation.id, **wanted)


def numbers(answer: dict[str, Any]) -> list[int]:
    return [run["run_number"] for run in answer["runs"]]


def refusal(
    reader: psycopg.Connection, organisation: Organisation, **wanted: object
) -> tuple[str | None, str | None]:
    with pytest.raises(psycopg.Error) as error:
        history(reader, organisation, **wanted)
    return error.value.sqlstate, error.value.diag.message_detail


@pytest.mark.parametrize(("walk", "count"), [(pages_by_offset, LONG), (pages_by_cursor, LONG)])
def test_a_long_walk_sees_each_run_once(
    organisation: Organisation, coordinator: psycopg.Connection, walk: Any, count: int
) -> None:
    """Every run once, newest first, although seven share each timestamp."""
    generate_runs(organisation, 1, count)

    seen = [run["run_number"] for page in walk(coordinator, organisation, 200) for run in page]

    assert seen == list(range(count, 0, -1))


def test_runs_that_are_added_meanwhile_do_not_disturb_a_cursor(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Runs made between two pages, also with the very timestamp of the page's end, repeat nothing and hide nothing."""
    generate_runs(organisation, 1, LONG)
    seen: list[int] = []
    for page in pages_by_cursor(coordinator, organisation, 200):
        added = LONG + len(seen)
        seen += [run["run_number"] for run in page]
        generate_runs(organisation, added + 1, 1)
        generate_runs(organisation, added + 2, 1, second=seen[-1] // RUNS_PER_SECOND)

    assert seen == list(range(LONG, 0, -1))


def test_an_offset_that_runs_are_added_before_repeats_and_never_hides(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Counting from a moving end: what was shown may be shown again, nothing is missed."""
    generate_runs(organisation, 1, 50)
    seen: list[int] = []
    for place, page in enumerate(pages_by_offset(coordinator, organisation, 20)):
        seen += [run["run_number"] for run in page]
        if place < 3:
            generate_runs(organisation, 51 + place, 1)

    assert set(range(1, 51)) <= set(seen)
    assert len(seen) > len(set(seen))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5])
def test_the_last_page_says_so(
    organisation: Organisation, coordinator: psycopg.Connection, count: int
) -> None:
    """next_cursor is null exactly when nothing follows, also when the last page is full."""
    generate_runs(organisation, 1, count)

    pages = list(pages_by_cursor(coordinator, organisation, 2))

    assert [len(page) for page in pages] == {
        0: [0],
        1: [1],
        2: [2],
        3: [2, 1],
        4: [2, 2],
        5: [2, 2, 1],
    }[count]


@pytest.mark.parametrize(
    "wanted", [{}, {"p_statuses": ["pending", "failed"], "p_target": "xledger"}]
)
def test_a_page_reads_no_more_than_a_page(
    organisation: Organisation, coordinator: psycopg.Connection, wanted: dict[str, object]
) -> None:
    """In the middle of a long history a page touches its own rows and some: it walks the index and sorts nothing."""
    generate_runs(organisation, 1, LONG)
    organisation.execute("analyze public.export_runs")
    middle = history(coordinator, organisation, p_limit=1, p_offset=LONG // 2, **wanted)
    read = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'export_runs'"

    # A plan made for any question would sort the whole history: the function insists on one for the question.
    coordinator.execute("set plan_cache_mode = force_generic_plan")
    with coordinator.transaction():
        before = coordinator.execute(read.encode()).fetchone()
        page = history(
            coordinator, organisation, p_limit=50, p_cursor=middle["next_cursor"], **wanted
        )
        after = coordinator.execute(read.encode()).fetchone()

    assert len(page["runs"]) == 50
    assert before is not None
    assert after is not None
    assert after[0] - before[0] < 100


def test_history_walks_its_index_in_order(organisation: Organisation) -> None:
    """The condition of a page after a cursor is a range of the history's index, which is in the order of the answer."""
    generate_runs(organisation, 1, LONG)
    organisation.execute("analyze public.export_runs")
    plan = "\n".join(
        row[0]
        for row in organisation.execute(
            "explain select * from public.export_runs as r where r.organization_id = %s"
            " and (r.created_at, r.run_number) < (timestamptz '2026-10-01 00:30', 12600) and r.deleted_at is null"
            " order by r.created_at desc, r.run_number desc limit 201",
            organisation.id,
        )
    )

    assert "Index Scan using export_runs_history_idx" in plan
    assert "ROW(created_at, run_number) <" in plan
    assert "Sort" not in plan


def test_filters_name_what_they_name(
    organisation: Organisation, coordinator: psycopg.Connection, coordinator_id: UUID
) -> None:
    """Status, target, trigger and person select, alone and together; deleted runs come on request."""
    organisation.add_target("dynamics")
    organisation.add_claims(1)
    complete(organisation, begin(coordinator, organisation, target="xledger"))
    organisation.execute(
        "update public.export_counters set last_value = 10 where name = 'run_number'"
    )
    generate_runs(organisation, 2, 1)
    generate_runs(organisation, 3, 1, deleted_at=None)
    with organisation.as_service() as service:
        run = call(
            service,
            "create_export_run",
            p_organization_id=organisation.id,
            p_triggered_by=coordinator_id,
            p_format="dynamics_bc_csv",
        )
        call(
            service,
            "update_export_run_status",
            p_run_id=run["run_id"],
            p_status="failed",
            p_claim_ids=[],
        )

    def found(**wanted: object) -> set[int]:
        return set(numbers(history(coordinator, organisation, **wanted)))

    assert found() == {1, 2, 3, 11}
    assert found(p_statuses=["completed"]) == {1}
    assert found(p_statuses=["completed", "failed"]) == {1, 11}
    assert found(p_target="dynamics") == {11}
    assert found(p_trigger="user") == {1}
    assert found(p_triggered_by=coordinator_id) == {1, 11}
    assert found(p_triggered_by=coordinator_id, p_trigger="repository") == {11}
    assert found(p_triggered_by=uuid4()) == set()
    with organisation.as_service() as service:
        call(
            service,
            "delete_export_run",
            p_run_id=run["run_id"],
            p_deleted_by=None,
            p_reason="by mistake",
        )
    assert found(p_target="dynamics") == set()
    assert found(p_target="dynamics", p_include_deleted=True) == {11}


@pytest.mark.parametrize(
    ("asked", "is_found"),
    [
        (("2026-10-01", "2026-10-31"), True),
        (("2026-10-31", "2026-11-30"), True),
        (("2026-09-01", "2026-10-10"), True),
        (("2026-09-01", "2026-10-09"), False),
        (("2026-11-01", "2026-11-30"), False),
        ((None, "2026-10-09"), False),
        ((None, "2026-10-10"), True),
        (("2026-10-31", None), True),
        (("2026-11-01", None), False),
    ],
)
def test_a_period_finds_what_overlaps_it(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    asked: tuple[str | None, str | None],
    is_found: bool,  # noqa: FBT001
) -> None:
    """Both ends are inclusive, and a run with an open start reaches back for ever."""
    generate_runs(organisation, 1, 1, period_from="2026-10-10")
    generate_runs(organisation, 2, 1)

    answer = history(coordinator, organisation, p_period_from=asked[0], p_period_to=asked[1])

    assert (1 in numbers(answer)) == is_found
    assert (2 in numbers(answer)) == (asked[0] is None or asked[0] <= "2026-10-31")


def test_a_cursor_is_nobodys_invention(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Cut short, changed, made up, of other filters or of another organisation: 400 invalid_cursor."""
    generate_runs(organisation, 1, 5)
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    generate_runs(other, 1, 5)
    cursor = history(coordinator, organisation, p_limit=2)["next_cursor"]
    with organisation.as_service() as service:
        foreign = history(service, other, p_limit=2)["next_cursor"]
        assert refusal(service, organisation, p_cursor=foreign) == ("PT400", "invalid_cursor")
    flipped = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")

    for bad in (
        "",
        "x",
        cursor[:-1],
        cursor + "A",
        flipped,
        "A" * 32,
        foreign,
        f" {cursor}",
        cursor.lower(),
    ):
        assert refusal(coordinator, organisation, p_cursor=bad) == ("PT400", "invalid_cursor"), bad
    assert refusal(coordinator, organisation, p_cursor=cursor, p_target="xledger") == (
        "PT400",
        "invalid_cursor",
    )
    assert numbers(history(coordinator, organisation, p_cursor=cursor, p_limit=200)) == [3, 2, 1]


def test_a_cursor_outlives_the_run_that_it_names(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """The last run of a page is deleted before the next page is asked for: the place is still known."""
    generate_runs(organisation, 1, 4)
    first = history(coordinator, organisation, p_limit=2)
    with organisation.as_service() as service:
        run_id = first["runs"][-1]["run_id"]
        call(
            service, "update_export_run_status", p_run_id=run_id, p_status="failed", p_claim_ids=[]
        )
        call(service, "delete_export_run", p_run_id=run_id, p_deleted_by=None, p_reason="x")

    assert numbers(history(coordinator, organisation, p_cursor=first["next_cursor"])) == [2, 1]


def test_impossible_questions_are_refused(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """What no run can match is a mistake and not an empty history."""
    generate_runs(organisation, 1, 3)
    cursor = history(coordinator, organisation, p_limit=2)["next_cursor"]

    questions: list[tuple[dict[str, object], str]] = [
        ({"p_statuses": ["done"]}, "invalid_filter"),
        ({"p_trigger": "magic"}, "invalid_filter"),
        ({"p_period_from": "2026-11-01", "p_period_to": "2026-10-01"}, "period_reversed"),
        ({"p_cursor": cursor, "p_offset": 0}, "cursor_with_offset"),
        ({"p_limit": 201, "p_cursor": cursor}, "limit_out_of_range"),
    ]
    for wanted, code in questions:
        assert refusal(coordinator, organisation, **wanted) == ("PT400", code)


def test_history_is_for_staff(organisation: Organisation) -> None:
    """Members and strangers are refused alike, with or without a cursor."""
    stranger = Organisation.create(organisation.database, "dynamics", "HLF")
    for reader in (
        organisation.as_user(organisation.add_member("member")),
        organisation.as_user(stranger.add_member("admin")),
    ):
        assert refusal(reader, organisation, p_cursor="A" * 32) == ("PT403", "not_allowed")
