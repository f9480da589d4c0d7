"""From a claim to the lines of its voucher and back, through takeovers, and for whom."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import Bookkeeper, pages_of_two, refusal
from tests.database.worker import Worker, reason
from tests.organisation import Organisation, begin, call, lines_of, store_file, summary_of


@pytest.fixture
def organisation(database: Database) -> Organisation:
    """An organisation in a database whose pages hold two claims."""
    organisation = Organisation.create(database)
    pages_of_two(organisation)
    return organisation


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def service(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_service()


Member = Mapping[str, Any]


def settle(
    worker: Worker, claims: Sequence[Member], first: int, left_out: Sequence[str] = ()
) -> dict[str, Any]:
    """Say of a page where its claims stand; each takes two lines."""
    return call(
        worker.service,
        "leave_out_export_claims",
        p_run_id=worker.run_id,
        p_fencing_token=worker.token,
        p_left_out=[reason(claim_id) for claim_id in left_out],
        p_lines=lines_of(claims, first),
    )


def finish(
    worker: Worker, claims: Sequence[Member], last_page: Sequence[Member] | None, **changes: object
) -> dict[str, Any]:
    """Complete with the lines of the last page; claims stand two lines each behind one header line."""
    first = 2 + 2 * (len(claims) - len(last_page or ()))
    lines = None if last_page is None else lines_of(last_page, first)
    return call(
        worker.service,
        "complete_export_run",
        p_run_id=worker.run_id,
        p_fencing_token=worker.token,
        p_file=store_file(worker.organisation, worker.run_id),
        p_summary={**summary_of(claims), "lines": lines, **changes},
        p_left_out=[],
    )


def told_lines(reader: psycopg.Connection, *claim_ids: object) -> list[Any]:
    """The lines in each claim's passport."""
    ids = [UUID(str(claim_id)) for claim_id in claim_ids]
    return [claim["lines"] for claim in call(reader, "get_claim_status", p_claim_ids=ids)["claims"]]


def claim_at(reader: psycopg.Connection, run_id: object, line: int | None) -> dict[str, Any]:
    return call(reader, "find_claim_at_line", p_run_id=run_id, p_line_number=line)


@pytest.fixture
def exported(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> tuple[str, list[UUID]]:
    """Five claims in three pages, on lines 2 to 11."""
    claim_ids = organisation.add_claims(5)
    worker = Worker.of(organisation, service, begin(coordinator, organisation))
    claims = worker.reserve_all()
    settle(worker, claims[:2], 2)
    settle(worker, claims[2:4], 6)
    finish(worker, claims, claims[4:])
    return worker.run_id, claim_ids


def test_the_passport_tells_first_and_last_line(
    exported: tuple[str, list[UUID]], coordinator: psycopg.Connection
) -> None:
    """Of every claim of every page."""
    _, claim_ids = exported

    assert told_lines(coordinator, *claim_ids) == [
        {"first": first, "last": first + 1} for first in (2, 4, 6, 8, 10)
    ]


def test_a_line_leads_back_to_the_claim(
    exported: tuple[str, list[UUID]], coordinator: psycopg.Connection
) -> None:
    """Each line of the file to the claim whose passport names it, and which of its lines it is."""
    run_id, claim_ids = exported

    found = [claim_at(coordinator, run_id, line) for line in range(2, 12)]

    assert [UUID(claim["claim_id"]) for claim in found] == [c for c in claim_ids for _ in range(2)]
    assert [claim["voucher_line"] for claim in found] == [1, 2] * 5
    assert [claim["voucher_number"] for claim in found] == [
        n for n in range(1, 6) for _ in range(2)
    ]
    assert {claim["claim_number"][:5] for claim in found} == {"2026-"}


@pytest.mark.parametrize("line", [None, -1, 0, 1, 12, 2**31 - 1])
def test_a_line_without_a_voucher_says_so(
    exported: tuple[str, list[UUID]], coordinator: psycopg.Connection, line: int | None
) -> None:
    """The header, what is before the file and what is behind it."""
    with pytest.raises(psycopg.Error) as error:
        claim_at(coordinator, exported[0], line)

    assert (error.value.sqlstate, error.value.diag.message_detail) == ("PT404", "line_not_found")
    assert "lines 2 to 11" in (error.value.diag.message_hint or "")


def test_every_run_of_a_claim_tells_its_lines(
    exported: tuple[str, list[UUID]], organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Also those of a run that was voided: the file is kept, and so is the way to it."""
    run_id, claim_ids = exported
    Bookkeeper(organisation.as_user(organisation.add_member("admin"))).void(run_id)

    [run] = call(coordinator, "find_runs_by_claim_id", p_claim_id=claim_ids[1])["runs"]

    assert run["membership"]["lines"] == {"first": 4, "last": 5}
    assert told_lines(coordinator, claim_ids[1]) == [None], "it is not exported any more"
    assert claim_at(coordinator, run_id, 4)["claim_id"] == str(claim_ids[1])


def test_a_takeover_that_cuts_pages_elsewhere_tells_its_own_lines(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """The first worker left a claim out and died; its successor's pages and lines are other ones."""
    claim_ids = organisation.add_claims(5)
    dead = Worker.of(organisation, service, begin(coordinator, organisation))
    claims = dead.reserve_all()
    settle(dead, claims[1:2], 2, left_out=[claims[0]["claim_id"]])
    settle(dead, claims[2:4], 4)
    organisation.expire_lease()
    successor = Worker.of(organisation, service, begin(coordinator, organisation))
    pages = [successor.reserve(0)["claims"], successor.reserve(3)["claims"]]
    assert [[claim["position"] for claim in page] for page in pages] == [[2, 3], [4, 5]]

    settle(successor, pages[0], 2)
    assert refusal(lambda: settle(dead, claims[4:], 8)) == ("PT409", "stale_token")
    finish(successor, [*pages[0], *pages[1]], pages[1])

    assert told_lines(coordinator, *claim_ids) == [
        None,
        *({"first": first, "last": first + 1} for first in (2, 4, 6, 8)),
    ]
    assert organisation.execute("select count(*) from public.export_run_pages") == [(2,)]


def test_saying_a_page_twice_changes_nothing(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """The reply was lost, and the worker says it again."""
    organisation.add_claims(3)
    worker = Worker.of(organisation, service, begin(coordinator, organisation))
    claims = worker.reserve_all()
    settle(worker, claims[:2], 2)
    settle(worker, claims[:2], 2)

    done = finish(worker, claims, claims[2:])

    assert done["run"]["line_count"] == 6
    assert organisation.execute("select count(*) from public.export_run_pages") == [(2,)]


def test_a_worker_that_tells_no_lines_completes_all_the_same(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A run of the version before has no lines: null in the passport, a sentence for a line."""
    [claim_id] = organisation.add_claims(1)
    worker = Worker.of(organisation, service, begin(coordinator, organisation))

    finish(worker, worker.reserve_all(), None, breakdown=None)

    assert told_lines(coordinator, claim_id) == [None]
    assert refusal(lambda: claim_at(coordinator, worker.run_id, 2)) == (
        "PT404",
        "lines_not_recorded",
    )
    assert call(coordinator, "get_export_run", p_run_id=worker.run_id)["breakdown"] is None


def test_an_old_worker_that_takes_over_leaves_no_lines_of_the_new_one(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """What the dead attempt said of its pages is not taken for the file of another one."""
    claim_ids = organisation.add_claims(3)
    dead = Worker.of(organisation, service, begin(coordinator, organisation))
    settle(dead, dead.claims, 2)
    organisation.expire_lease()
    successor = Worker.of(organisation, service, begin(coordinator, organisation))

    finish(successor, successor.reserve_all(), None)

    assert told_lines(coordinator, *claim_ids) == [None, None, None]


@pytest.mark.parametrize(
    "lines",
    [
        {"positions": [1], "first_lines": [2], "last_line": 3},
        {"positions": [1, 2], "first_lines": [2, 4], "last_line": 6},
        {"positions": [1, 2], "first_lines": [2, 2], "last_line": 5},
        {"positions": [2, 1], "first_lines": [2, 4], "last_line": 5},
        {"positions": [1, 2], "first_lines": [2], "last_line": 5},
        {"positions": [1, 2], "first_lines": [2, 4], "last_line": 3},
        {"positions": [1, None], "first_lines": [2, 4], "last_line": 5},
        {"positions": [], "first_lines": [], "last_line": 5},
        {},
    ],
)
def test_lines_that_are_not_the_files_are_refused(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    lines: dict[str, Any],
) -> None:
    """Too few claims, too many lines, out of order: the run is not completed with a wrong map."""
    organisation.add_claims(2)
    worker = Worker.of(organisation, service, begin(coordinator, organisation))
    claims = worker.reserve_all()

    assert refusal(lambda: finish(worker, claims, claims, lines=lines)) == (
        "PT409",
        "totals_mismatch",
    )
    assert finish(worker, claims, claims)["run"]["status"] == "completed"


def test_a_forgotten_page_is_noticed(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A worker that tells the last page only cannot complete: the map would have a hole."""
    organisation.add_claims(3)
    worker = Worker.of(organisation, service, begin(coordinator, organisation))
    claims = worker.reserve_all()

    assert refusal(lambda: finish(worker, claims, claims[2:])) == ("PT409", "totals_mismatch")


@pytest.mark.usefixtures("exported")
@pytest.mark.parametrize(
    "statement",
    [
        "update public.export_run_pages set last_line = 99",
        "delete from public.export_run_pages",
        "truncate public.export_run_pages",
        "update public.export_runs set breakdown = null",
    ],
)
@pytest.mark.parametrize("mark", [False, True])
def test_lines_and_accounts_of_a_file_are_history(
    organisation: Organisation, statement: str, *, mark: bool
) -> None:
    """Nobody changes them, not even the owner, nor with the engine's own mark."""
    owner = organisation.database.connect("postgres", autocommit=False)
    if mark:
        owner.execute("select export_engine.open_for_writing()")

    with pytest.raises(psycopg.Error) as error:
        owner.execute(statement.encode())

    assert error.value.diag.message_detail == "history_is_protected"


def test_lines_are_not_added_by_hand(
    exported: tuple[str, list[UUID]], organisation: Organisation
) -> None:
    """The owner writes no page into the table editor."""
    with pytest.raises(psycopg.Error) as error:
        organisation.execute(
            "insert into public.export_run_pages (run_id, fencing_token, organization_id, positions, first_lines, last_line)"
            " values (%s, 1, %s, '{9}', '{90}', 91)",
            exported[0],
            organisation.id,
        )

    assert error.value.diag.message_detail == "history_is_protected"


def test_strangers_and_claimants_find_no_line(
    exported: tuple[str, list[UUID]], organisation: Organisation
) -> None:
    """A foreign run is one that does not exist, for admins of others and for plain members."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    run_id, claim_ids = exported
    strangers = [
        other.as_user(other.add_member("admin")),
        organisation.as_user(organisation.add_member("member")),
    ]

    for reader in strangers:
        assert refusal(lambda reader=reader: claim_at(reader, run_id, 2)) == (  # type: ignore[misc]
            "PT404",
            "run_not_found",
        )
        assert reader.execute("select count(*) from public.export_run_pages").fetchone() == (0,)
        assert (
            "lines" not in call(reader, "get_claim_status", p_claim_ids=claim_ids[:1])["claims"][0]
        )
    with organisation.database.connect("anon") as nobody, pytest.raises(psycopg.Error) as error:
        claim_at(nobody, run_id, 2)
    assert error.value.sqlstate == "42501"


def test_an_unknown_run_has_no_lines(coordinator: psycopg.Connection) -> None:
    """The same answer as for a foreign one."""
    assert refusal(lambda: claim_at(coordinator, uuid4(), 2)) == ("PT404", "run_not_found")


def test_a_look_up_reads_one_page(
    exported: tuple[str, list[UUID]], organisation: Organisation
) -> None:
    """By position and by line: an index look-up, however many pages there are."""
    run_id, _ = exported
    owner = organisation.database.connect("postgres", autocommit=False)
    owner.execute("select export_engine.open_for_writing()")
    owner.execute(
        "insert into public.export_run_pages (run_id, fencing_token, organization_id, positions, first_lines, last_line)"
        " select p.run_id, p.fencing_token, p.organization_id, array[n], array[n], n"
        " from (select * from public.export_run_pages limit 1) p, generate_series(1000, 20000) n"
    )

    for column in ("first_position", "first_line"):
        plan = owner.execute(
            f"explain (analyze, format json) select positions from public.export_run_pages where run_id = '{run_id}'"
            f" and fencing_token = 1 and {column} <= 15000 order by {column} desc limit 1".encode()
        ).fetchone()
        assert plan is not None
        [top] = plan[0]
        scan = top["Plan"]["Plans"][0]
        assert (scan["Node Type"], scan["Actual Rows"]) == ("Index Scan", 1), scan
