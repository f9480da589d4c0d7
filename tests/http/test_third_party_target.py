"""A target that came as a package of its own exports to files and over its API, and nothing of ours was changed for it."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stack.embedded_stack import EmbeddedStack
from tests.http.app_user import AppUser
from tests.http.functions_door import functions_door
from tests.organisation import Organisation

PACKAGES = Path(__file__).parents[1] / "third_party"


@pytest.fixture
def door(stack: EmbeddedStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """Functions of an installation that has the package."""
    monkeypatch.syspath_prepend(str(PACKAGES))
    with functions_door(stack.functions_environment, stack.url) as door:
        yield door


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def organisation(stack: EmbeddedStack) -> Organisation:
    organisation = Organisation.create(stack.database, "dynamics", "HLF")
    organisation.execute(
        "update public.export_targets set is_enabled = false where organization_id = %s",
        organisation.id,
    )
    organisation.execute(
        "insert into public.export_targets (organization_id, target, format, settings) values (%s, 'ledgerbook', 'ledgerbook_text', '{}')",
        organisation.id,
    )
    organisation.execute(
        "insert into public.export_posting_rules (organization_id, target, side, expense_type, account_code)"
        " select organization_id, 'ledgerbook', side, expense_type, account_code from public.export_posting_rules"
        " where organization_id = %s",
        organisation.id,
    )
    return organisation


def deliver_to(organisation: Organisation, shelf: Path) -> None:
    organisation.execute(
        "update public.export_targets set delivery = 'ledgerbook_shelf', connection = %s"
        " where organization_id = %s and target = 'ledgerbook'",
        json.dumps({"shelf": str(shelf)}),
        organisation.id,
    )


def test_it_makes_files(coordinator: AppUser, organisation: Organisation) -> None:
    organisation.add_claims(2)

    answer = coordinator.trigger(organisation)

    assert answer.status_code == 201, answer.text
    content = coordinator.download(answer.json()["run"]["run_id"]).content
    assert content == b"1 7100 100.00\n1 2990 -100.00\n2 7100 100.00\n2 2990 -100.00\nEND\n"


def test_it_delivers_by_a_switch_of_a_setting(
    coordinator: AppUser, organisation: Organisation, shelf: Path
) -> None:
    """The same vouchers and the same record, a result per voucher; what it refuses is left out."""
    deliver_to(organisation, shelf)
    organisation.add_claims(2)
    wrong = organisation.add_claim([("mileage", "20000.00")])

    answer = coordinator.trigger(organisation)

    assert answer.status_code == 201, answer.text
    run = answer.json()["run"]
    assert (run["voucher_count"], run["left_out_count"]) == (2, 1)
    [told] = answer.json()["left_out"]
    assert (told["claim_id"], told["code"], told["field"]) == (
        str(wrong),
        "value_refused",
        "amount",
    )
    [box] = shelf.iterdir()
    assert sorted(sheet.read_text() for sheet in box.iterdir()) == ["7100 100.00\n2990 -100.00"] * 2
    lines = coordinator.download(run["run_id"]).text.splitlines()
    assert len(lines) == 5


@pytest.mark.parametrize(
    ("statement", "field"),
    [
        ("connection = '{\"shelf\": 7}'", "connection.shelf"),
        ("delivery = 'business_central'", "connection.tenant_id"),
    ],
)
def test_its_settings_are_checked_as_ours(
    coordinator: AppUser, organisation: Organisation, shelf: Path, statement: str, field: str
) -> None:
    deliver_to(organisation, shelf)
    organisation.execute(
        f"update public.export_targets set {statement} where organization_id = %s and target = 'ledgerbook'",
        organisation.id,
    )
    organisation.add_claims(1)

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["code"]) == (422, "configuration_invalid")
    assert [problem["field"] for problem in answer.json()["errors"]] == [field]
