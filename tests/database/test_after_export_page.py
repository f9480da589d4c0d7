"""docs/after-export.md: what it tells people to copy does what it says."""

import re
from typing import Any

import pytest

from functions.confirmation import ListedVoucher, Outcome
from functions.confirmation_list import read_confirmation_list
from stack.database import Database
from stack.functions_server import CHECKOUT
from tests.organisation import Organisation, begin, complete

PAGE = (CHECKOUT / "docs" / "after-export.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_statement_records_a_list(database: Database, dry_run: bool) -> None:  # noqa: FBT001
    """As the dashboard's owner runs it, with the run and a name filled in."""
    organisation = Organisation.create(database)
    organisation.add_claims(2)
    coordinator = organisation.as_user(organisation.add_member())
    run_id = complete(organisation, begin(coordinator, organisation))["run"]["run_id"]
    [statement] = blocks("sql")
    statement = statement.replace("<run id>", run_id).replace("<who you are>", "Ingrid Vik")
    if dry_run:
        statement = statement.replace("'Ingrid Vik')", "'Ingrid Vik', p_dry_run => true)")

    with database.connect("postgres") as owner:
        owner.execute("set search_path = public, extensions")
        row: Any = owner.execute(statement.encode()).fetchone()

    assert row[0]["recorded"] == 2
    assert organisation.execute(
        "select voucher_number, outcome, actor from public.export_confirmations order by 1"
    ) == ([] if dry_run else [(1, "booked", "Ingrid Vik"), (2, "refused", "Ingrid Vik")])


def test_the_list_is_one() -> None:
    [example] = blocks("csv")

    assert read_confirmation_list(example.encode()).vouchers == (
        ListedVoucher(1, Outcome.BOOKED, "B17", "Checked"),
        ListedVoucher(2, Outcome.REFUSED, None, "Unknown supplier"),
    )
