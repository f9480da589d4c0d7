"""find_exports: from a number in the books, or a file, back to the run and the claim."""

from typing import Any

import psycopg
import pytest

from stack.database import Database
from tests.database.generated_history import generate_runs
from tests.organisation import Organisation, begin, call, complete

HASH = "0123456789abcdef" * 4


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


def find(
    reader: psycopg.Connection, organisation: Organisation, text: str | None
) -> dict[str, Any]:
    return call(reader, "find_exports", p_organization_id=organisation.id, p_text=text)


def refusal(
    reader: psycopg.Connection, organisation: Organisation, text: str | None
) -> tuple[str | None, str | None]:
    with pytest.raises(psycopg.Error) as error:
        find(reader, organisation, text)
    return error.value.sqlstate, error.value.diag.message_detail


def hits(found: dict[str, Any]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    return (
        [(run["run_number"], run["found_by"]) for run in found["runs"]],
        [(claim["voucher_number"], claim["found_by"]) for claim in found["claims"]],
    )


def test_each_name_leads_back(organisation: Organisation, coordinator: psycopg.Connection) -> None:
    """Voucher, claim and run number, file name, and hash from eight characters on, in any case."""
    organisation.add_claims(3)
    begun = begin(coordinator, organisation)
    complete(organisation, begun, content_hash=HASH)
    number = begun["claims"][2]["document"]["claim_number"]

    for text, runs, claims in [
        ("3", [], [(3, ["voucher_number"])]),
        ("1", [(1, ["run_number"])], [(1, ["voucher_number"])]),
        (number, [], [(3, ["claim_number"])]),
        (f"  {number} ", [], [(3, ["claim_number"])]),
        ("export.csv", [(1, ["file_name"])], []),
        (HASH, [(1, ["file_sha256"])], []),
        (HASH[:8], [(1, ["file_sha256"])], []),
        (HASH[:20].upper(), [(1, ["file_sha256"])], []),
        (HASH[:7], [], []),
        ("89abcdef", [], []),
        ("%", [], []),
        ("4", [], []),
        ("9" * 200, [], []),
        ("-1", [], []),
    ]:
        assert hits(find(coordinator, organisation, text)) == (runs, claims), text
    [claim] = find(coordinator, organisation, number)["claims"]
    assert (claim["claim_number"], claim["run"]["status"]) == (number, "completed")


def test_a_number_that_is_also_a_hash_finds_both(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Eight digits are a voucher number and the start of a hash."""
    organisation.execute(
        "insert into public.export_counters (organization_id, name, last_value) values (%s, 'voucher_number', 12345677)"
        " on conflict (organization_id, name) do update set last_value = 12345677",
        organisation.id,
    )
    organisation.add_claims(1)
    complete(organisation, begin(coordinator, organisation), content_hash="12345678" * 8)

    assert hits(find(coordinator, organisation, "12345678")) == (
        [(1, ["file_sha256"])],
        [(12345678, ["voucher_number"])],
    )


def test_deleted_runs_and_released_claims_are_found(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """The search looks through the whole history and marks what was deleted."""
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    complete(organisation, begun)
    with organisation.as_service() as service:
        call(
            service,
            "delete_export_run",
            p_run_id=begun["run"]["run_id"],
            p_deleted_by=None,
            p_reason="by mistake",
        )

    found = find(coordinator, organisation, "1")

    assert [run["deleted"] for run in found["runs"]] == [True]
    assert [claim["run"]["deleted"] for claim in found["claims"]] == [True]


def test_what_is_found_is_bounded(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Fifty are shown, and whether there are more."""
    for count, has_more in ((50, False), (1, True)):
        first = organisation.execute("select count(*) from public.export_runs")[0][0] + 1
        generate_runs(organisation, first, count, file_name="same.csv")

        found = find(coordinator, organisation, "same.csv")

        assert (len(found["runs"]), found["has_more"]) == (50, has_more)


def test_only_the_organisations_own_is_found(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """The same voucher and run number of another organisation stays hidden, also from the service key's search here."""
    other = Organisation.create(organisation.database, "xledger", "HLF")
    for one in (organisation, other):
        one.add_claims(1)
        complete(one, begin(one.as_user(one.add_member()), one))

    for reader in (coordinator, organisation.as_service()):
        found = find(reader, organisation, "1")
        assert [run["organization_id"] for run in found["runs"]] == [str(organisation.id)]
        assert len(found["claims"]) == 1
        assert len(find(reader, organisation, "a" * 64)["runs"]) == 1


def test_the_search_is_for_staff(organisation: Organisation) -> None:
    """Members and strangers are refused alike; each role of the staff may search."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")

    for reader in (
        organisation.as_user(organisation.add_member("member")),
        organisation.as_user(other.add_member("admin")),
    ):
        assert refusal(reader, organisation, "1") == ("PT403", "not_allowed")
    for role in ("coordinator", "accountant", "admin"):
        reader = organisation.as_user(organisation.add_member(role))
        assert find(reader, organisation, "1")["has_more"] is False


@pytest.mark.parametrize("text", [None, "", "   ", "x" * 201])
def test_a_search_for_nothing_is_refused(
    organisation: Organisation, coordinator: psycopg.Connection, text: str | None
) -> None:
    """One to two hundred characters."""
    assert refusal(coordinator, organisation, text) == ("PT400", "invalid_search")


def test_a_search_reads_no_more_than_it_answers(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """In a long history each kind of name is found through an index, for a caller that row-level security binds."""
    organisation.add_claims(1_999)
    begun = begin(coordinator, organisation)
    complete(organisation, begun, content_hash=HASH)
    generate_runs(organisation, 2, 5_000, file_name="other.csv")
    organisation.execute("analyze public.export_runs, public.export_run_claims")
    read = (
        "select sum(seq_tup_read + idx_tup_fetch) from pg_stat_xact_user_tables"
        " where relname in ('export_runs', 'export_run_claims', 'expense_claims')"
    )

    for text in ("1234", HASH[:8], "export.csv", begun["claims"][7]["document"]["claim_number"]):
        with coordinator.transaction():
            before = coordinator.execute(read.encode()).fetchone()
            find(coordinator, organisation, text)
            after = coordinator.execute(read.encode()).fetchone()
        assert before is not None
        assert after is not None
        assert after[0] - before[0] < 50, text
