"""What a file books per account: checked when the run is completed, and shown."""

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import refusal
from tests.database.worker import Worker
from tests.organisation import Organisation, begin, call, store_file, summary_of


@pytest.fixture
def organisation(database: Database) -> Organisation:
    """An organisation with two approved claims of two lines."""
    organisation = Organisation.create(database)
    organisation.add_claim()
    organisation.add_claim()
    return organisation


@pytest.fixture
def worker(organisation: Organisation) -> Worker:
    """A worker who holds a run of them."""
    coordinator = organisation.as_user(organisation.add_member())
    return Worker.of(organisation, organisation.as_service(), begin(coordinator, organisation))


def group(account: str | None, debit: str, credit: str, lines: int, **others: object) -> Any:
    return {
        "account_code": account,
        "dimensions": {},
        "currency": "NOK",
        "debit": debit,
        "credit": credit,
        "line_count": lines,
        **others,
    }


RIGHT = [
    group("7100", "700.00", "0.00", 2, dimensions={"project": "P7", "department": "410"}),
    group("7140", "112.00", "0.00", 2),
    group("2990", "0.00", "812.00", 2),
]
WRONG = {
    "unbalanced": [*RIGHT[:2], group("2990", "0.00", "811.99", 2)],
    "lines missing": [*RIGHT[:2], group("2990", "0.00", "812.00", 1)],
    "line too many": [*RIGHT, group("1900", "0.00", "0.00", 1)],
    "another currency": [*RIGHT[:2], group("2990", "0.00", "812.00", 2, currency="SEK")],
    "foreign balanced": [
        *RIGHT[1:2],
        group("7100", "700.00", "0.00", 2, currency="SEK"),
        group("2990", "0.00", "700.00", 1, currency="SEK"),
        group("2990", "0.00", "112.00", 1),
    ],
    "negative": [*RIGHT[:2], group("2990", "-10.00", "802.00", 2)],
    "no number": [group("7100", "NaN", "NaN", 6)],
    "nothing": [],
}  # fmt: skip


def finish(worker: Worker, groups: list[Any], *, cut: bool = False) -> dict[str, Any]:
    return call(
        worker.service,
        "complete_export_run",
        p_run_id=worker.run_id,
        p_fencing_token=worker.token,
        p_file=store_file(worker.organisation, worker.run_id),
        p_summary={**summary_of(worker.claims), "breakdown": {"groups": groups, "cut": cut}},
        p_left_out=[],
    )


@pytest.mark.parametrize("groups", WRONG.values(), ids=WRONG.keys())
def test_accounts_that_are_not_the_files_are_refused(worker: Worker, groups: list[Any]) -> None:
    """Debit is credit in each currency of the run, and every line of the file is in one group."""
    assert refusal(lambda: finish(worker, groups)) == ("PT409", "totals_mismatch")
    assert finish(worker, RIGHT)["run"]["status"] == "completed"


def test_staff_reads_what_a_file_books(worker: Worker, organisation: Organisation) -> None:
    """Coordinator, accountant and admin, in the run and in the dashboard's view."""
    finish(worker, RIGHT)

    for role in ("coordinator", "accountant", "admin"):
        reader = organisation.as_user(organisation.add_member(role))
        told = call(reader, "get_export_run", p_run_id=worker.run_id)["breakdown"]
        assert told == {"groups": RIGHT, "cut": False}
        rows = reader.execute(
            "select run_number, account_code, dimensions, currency, debit, credit, line_count"
            " from public.export_run_breakdown"
        ).fetchall()
        assert rows == [
            (1, "2990", None, "NOK", Decimal("0.00"), Decimal("812.00"), 2),
            (1, "7100", "department=410, project=P7", "NOK", Decimal("700.00"), Decimal("0.00"), 2),
            (1, "7140", None, "NOK", Decimal("112.00"), Decimal("0.00"), 2),
        ]


def test_the_rest_is_a_line_without_an_account(worker: Worker, organisation: Organisation) -> None:
    """Whoever adds the view's lines up gets the whole file also when groups were cut off."""
    finish(worker, [RIGHT[0], group(None, "112.00", "812.00", 4, dimensions=None)], cut=True)

    rows = organisation.execute(
        "select account_code, dimensions, sum(debit) over (), sum(credit) over () from public.export_run_breakdown"
    )

    assert rows[-1] == (None, None, Decimal("812.00"), Decimal("812.00"))


def test_strangers_read_no_accounts(worker: Worker, organisation: Organisation) -> None:
    """Neither another organisation's admin nor a claimant, and nobody without a login."""
    finish(worker, RIGHT)
    other = Organisation.create(organisation.database, "dynamics", "HLF")

    for reader in (
        other.as_user(other.add_member("admin")),
        organisation.as_user(organisation.add_member("member")),
    ):
        assert reader.execute("select * from public.export_run_breakdown").fetchall() == []
    nobody = organisation.database.connect("anon")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        nobody.execute("select * from public.export_run_breakdown")


def test_there_are_no_accounts_before_there_is_a_file(
    worker: Worker, organisation: Organisation
) -> None:
    """A breakdown of a run that is not completed would be of no file."""
    owner = organisation.database.connect("postgres", autocommit=False)
    owner.execute("select export_engine.open_for_writing()")

    with pytest.raises(psycopg.errors.CheckViolation) as error:
        owner.execute("update public.export_runs set breakdown = '{}'")

    assert error.value.diag.constraint_name == "export_runs_breakdown_check"
    assert worker.complete(worker.claims)["run"]["claim_count"] == 2
