"""Posting rules as admins edit them: what the table takes, and what a run freezes of it."""

from typing import Any

import psycopg
import pytest

from tests.organisation import Organisation, begin


@pytest.fixture
def organisation(database: Any) -> Organisation:
    return Organisation.create(database)


def add(organisation: Organisation, **columns: object) -> None:
    values = {"side": "expense", "account_code": "7199", **columns}
    organisation.execute(
        "insert into public.export_posting_rules (organization_id, target, "
        + ", ".join(values)
        + ") values (%s, 'xledger', "
        + ", ".join(["%s"] * len(values))
        + ")",
        organisation.id,
        *values.values(),
    )


def frozen_rules(organisation: Organisation) -> list[dict[str, Any]]:
    organisation.add_claim()
    begun = begin(organisation.as_user(organisation.add_member()), organisation)
    rules: list[dict[str, Any]] = begun["configuration"]["posting_rules"]
    return rules


def test_a_run_freezes_conditions_and_tax(organisation: Organisation) -> None:
    add(organisation, expense_type="mileage", conditions='{"department": "410"}')
    add(organisation, tax_percent="25", tax_account_code="2710")

    rules = frozen_rules(organisation)

    assert [rule["conditions"] for rule in rules if rule["expense_type"] == "mileage"] == [
        {},
        {"department": "410"},
    ]
    (every,) = [rule for rule in rules if rule["side"] == "expense" and not rule["expense_type"]]
    assert (every["tax_percent"], every["tax_account_code"]) == ("25.00", "2710")


@pytest.mark.parametrize(
    "columns",
    [
        {"expense_type": "mileage"},  # there is one without conditions already
        {"side": "payable", "expense_type": "mileage"},
        {"conditions": '{"department": 410}'},
        {"conditions": '{"department": ["410"]}'},
        {"conditions": '{"department": []}'},
        {"conditions": "[]"},
        {"tax_percent": "25"},
        {"tax_account_code": "2710"},
        {"tax_percent": "101", "tax_account_code": "2710"},
        {"tax_percent": "25", "tax_account_code": "2710", "tax_code": "1"},
        {
            "side": "payable",
            "conditions": '{"a": "b"}',
            "tax_percent": "25",
            "tax_account_code": "2",
        },
    ],
)
def test_a_rule_that_makes_no_sense_is_not_saved(
    organisation: Organisation, columns: dict[str, object]
) -> None:
    with pytest.raises(psycopg.errors.IntegrityError):
        add(organisation, **columns)


def test_the_same_rule_twice_is_not_saved(organisation: Organisation) -> None:
    add(organisation, conditions='{"department": "410", "claimant": "7"}')
    with pytest.raises(psycopg.errors.UniqueViolation):
        add(organisation, conditions='{"claimant": "7", "department": "410"}', account_code="7198")
