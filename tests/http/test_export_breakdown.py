"""What a file books per account, over HTTP, compared with the bytes that the signed link gives."""

from collections import defaultdict
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from stack.embedded_stack import EmbeddedStack
from tests.http.app_user import AppUser
from tests.organisation import Organisation

NewUser = Callable[..., AppUser]

# account, the two dimensions, amount
COLUMNS = {"xledger": (8, 10, 11, 32), "dynamics": (0, 6, 7, 5)}


@pytest.fixture(params=["xledger", "dynamics"])
def organisation(request: pytest.FixtureRequest, stack: EmbeddedStack) -> Organisation:
    """An organisation whose claims have departments, projects and credits, and one that is left out."""
    organisation = Organisation.create(stack.database, request.param)
    claim_ids = [
        organisation.add_claim([("mileage", "350.00"), ("toll", "56.00")]),
        organisation.add_claim([("mileage", "0.10"), ("receipt", "0.20")]),
        organisation.add_claim([("toll", "-20.00"), ("train", "5.00")]),
        organisation.add_claim([("helicopter", "9000.00")]),
    ]
    for claim_id, dimensions in zip(
        claim_ids, ('{"department": "410"}', '{"project": "P7", "event": "1"}', "{}"), strict=False
    ):
        organisation.execute(
            "update public.expense_claims set dimensions = %s where id = %s", dimensions, claim_id
        )
    return organisation


def booked(content: bytes, target: str) -> dict[tuple[str, ...], list[Any]]:
    """Account and dimensions -> debit, credit and lines, added up from the file."""
    account, first, second, amount = COLUMNS[target]
    sums: dict[tuple[str, ...], list[Any]] = defaultdict(lambda: [Decimal(0), Decimal(0), 0])
    rows = [line.split(";") for line in content.decode().splitlines()]
    for row in rows[1:] if target == "dynamics" else rows:
        found = sums[row[account], row[first], row[second]]
        found[0 if Decimal(row[amount]) > 0 else 1] += abs(Decimal(row[amount]))
        found[2] += 1
    return dict(sums)


def told(user: AppUser, run_id: str) -> dict[tuple[str, ...], list[Any]]:
    """The same from the run."""
    breakdown = user.run(run_id).json()["breakdown"]
    assert breakdown["cut"] is False
    return {
        (
            group["account_code"],
            group["dimensions"].get("department", ""),
            group["dimensions"].get("project", ""),
        ): [Decimal(group["debit"]), Decimal(group["credit"]), group["line_count"]]
        for group in breakdown["groups"]
    }


@pytest.mark.parametrize("role", ["coordinator", "accountant", "admin"])
def test_the_run_tells_what_its_file_books(
    new_user: NewUser, organisation: Organisation, role: str
) -> None:
    """To coordinators, accountants and admins: account by account what the stored bytes add up to."""
    coordinator = new_user("coordinator", organisation)
    run = coordinator.trigger(organisation).json()["run"]
    content = coordinator.download(run["run_id"]).content

    sums = told(new_user(role, organisation), run["run_id"])

    assert sums == booked(content, run["target"])
    assert sum(lines for *_, lines in sums.values()) == run["line_count"]
    assert sum(d for d, *_ in sums.values()) == sum(c for _, c, _ in sums.values())


def test_a_reversing_run_books_the_other_side(
    new_user: NewUser, organisation: Organisation
) -> None:
    """Its debits are the first run's credits, in its answer as in its bytes."""
    coordinator, admin = new_user("coordinator", organisation), new_user("admin", organisation)
    run_id = coordinator.trigger(organisation).json()["run"]["run_id"]
    body = {"run_id": run_id, "reason": "Booked twice.", "imported": True}
    back = admin.door.post("/void_export", json=body, headers=admin.login).json()["run"]

    sums = told(admin, back["run_id"])

    assert sums == booked(coordinator.download(back["run_id"]).content, back["target"])
    assert sums == {
        group: [credit, debit, lines]
        for group, (debit, credit, lines) in told(coordinator, run_id).items()
    }
