"""One voucher for a claim, for a claimant or for a run: who shares a number is settled when claims are reserved."""

import json
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import psycopg
import pytest

from exporters.problem import ConfigurationInvalid
from exporters.xledger import XledgerSettings
from stack.database import Database
from tests.database.bookkeeper import (
    Bookkeeper,
    complete_reversal,
    effective_entries,
    pages_of_two,
    vouchers,
)
from tests.database.worker import Worker
from tests.organisation import APPROVED_AT, SETTINGS, Organisation, begin, call, complete


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def admin(organisation: Organisation) -> Bookkeeper:
    return Bookkeeper(organisation.as_user(organisation.add_member("admin", "Ingrid Vik")))


def group(organisation: Organisation, voucher_per: str, most_lines: object = None) -> None:
    limit = {} if most_lines is None else {"most_voucher_lines": most_lines}
    organisation.execute(
        "update public.export_targets set settings = settings || %s::jsonb where organization_id = %s",
        json.dumps({"voucher_per": voucher_per, "posting_date": "export", **limit}),
        organisation.id,
    )


def claims_of(organisation: Organisation, *claimants: str | None) -> list[UUID]:
    """A claim of one line for each claimant's number, approved in this order."""
    claim_ids = organisation.add_claims(len(claimants))
    for claim_id, number in zip(claim_ids, claimants, strict=True):
        organisation.execute(
            "update public.expense_claims set claimant_number = %s where id = %s", number, claim_id
        )
    return claim_ids


def members_of(organisation: Organisation, answer: dict[str, Any]) -> list[dict[str, Any]]:
    with organisation.as_service() as service:
        return Worker.of(organisation, service, answer).reserve_all()


def numbers_of(organisation: Organisation, answer: dict[str, Any]) -> list[int]:
    return [member["voucher_number"] for member in members_of(organisation, answer)]


def test_a_run_is_one_voucher(organisation: Organisation, coordinator: psycopg.Connection) -> None:
    group(organisation, "run")
    claim_ids = claims_of(organisation, "1", "2", "1")

    members = members_of(organisation, begin(coordinator, organisation))

    assert [member["voucher_number"] for member in members] == [1, 1, 1]
    assert [UUID(member["claim_id"]) for member in members] == claim_ids


def test_a_claimant_has_one_voucher_and_neighbouring_places(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Whoever has no number in the accounting system has a voucher per claim: names are no proof."""
    group(organisation, "claimant")
    claims_of(organisation, "7", "5", None, "7", None, "5")

    members = members_of(organisation, begin(coordinator, organisation))

    by_voucher: dict[int, list[str | None]] = {}
    for member in members:
        number = member["document"]["claimant"]["number"]
        by_voucher.setdefault(member["voucher_number"], []).append(number)
    assert sorted(map(str, by_voucher.values())) == sorted(
        ["['5', '5']", "['7', '7']", "[None]", "[None]"]
    )
    assert [member["position"] for member in members] == list(range(1, 7))
    voucher_numbers = [member["voucher_number"] for member in members]
    assert voucher_numbers == sorted(voucher_numbers)
    assert set(voucher_numbers) == set(range(1, 5))


def test_a_voucher_goes_on_over_pages(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    pages_of_two(organisation)
    group(organisation, "run")
    organisation.add_claims(7)

    assert numbers_of(organisation, begin(coordinator, organisation)) == [1] * 7


def test_the_claimant_whose_voucher_is_open_comes_first_on_the_next_page(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    pages_of_two(organisation)
    group(organisation, "claimant")
    claims_of(organisation, "1", "9", "2", "9", "9", "9")

    members = members_of(organisation, begin(coordinator, organisation))

    claimants = [member["document"]["claimant"]["number"] for member in members]
    assert claimants == ["1", "9", "9", "2", "9", "9"]
    assert [member["voucher_number"] for member in members] == [1, 2, 2, 3, 4, 4]


@pytest.mark.parametrize(
    ("most_lines", "expected"), [(6, [1, 1, 1, 2, 2]), (4, [1, 1, 2, 2, 3]), (2, [1, 2, 3, 4, 5])]
)
def test_a_full_voucher_is_closed(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    most_lines: int,
    expected: list[int],
) -> None:
    """Each claim here has two lines, one to pay included; where pages are cut decides nothing."""
    pages_of_two(organisation)
    group(organisation, "run", most_lines)
    organisation.add_claims(5)

    assert numbers_of(organisation, begin(coordinator, organisation)) == expected


def test_a_claim_with_more_lines_than_a_voucher_takes_stands_alone(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    group(organisation, "run", 4)
    for minutes, lines in enumerate([1, 9, 1]):
        approved_at = APPROVED_AT + timedelta(minutes=minutes)
        organisation.add_claim([("mileage", "1.00")] * lines, approved_at=approved_at)

    assert numbers_of(organisation, begin(coordinator, organisation)) == [1, 2, 3]


def test_split_tax_needs_room_of_its_own(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    group(organisation, "run", 5)
    organisation.execute(
        "update public.export_posting_rules set tax_percent = 25, tax_account_code = '2710'"
        " where expense_type = 'toll'"
    )
    organisation.add_claims(2)

    assert numbers_of(organisation, begin(coordinator, organisation)) == [1, 2]


@pytest.mark.parametrize("most_lines", ["6", 0, 1, -1, 2.5e9, None, [6], 1e40, 10001])
def test_an_impossible_limit_counts_for_the_default(
    organisation: Organisation, most_lines: object
) -> None:
    """The settings refuse it before a claim is reserved; here it must only not break anything."""
    with pytest.raises(ConfigurationInvalid):
        XledgerSettings.from_document({**SETTINGS["xledger"], "most_voucher_lines": most_lines})
    [[counted]] = organisation.execute(
        "select export_engine.most_voucher_lines(jsonb_build_object('settings', jsonb_build_object('most_voucher_lines', %s::jsonb)))",
        json.dumps(most_lines),
    )

    assert counted == XledgerSettings.model_fields["most_voucher_lines"].default


def test_what_a_worker_reads_again_has_the_same_numbers(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """I4: a successor finds vouchers as they were settled, whatever settings say by now."""
    pages_of_two(organisation)
    group(organisation, "run", 4)
    organisation.add_claims(5)
    answer = begin(coordinator, organisation)
    before = members_of(organisation, answer)
    organisation.expire_lease()
    group(organisation, "claim")

    successor = begin(coordinator, organisation)

    assert successor["outcome"] == "resumed"
    assert members_of(organisation, successor) == before


def test_refusing_a_voucher_frees_all_its_claims(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    group(organisation, "claimant")
    first, second, other = claims_of(organisation, "1", "1", "2")
    run = complete(organisation, begin(coordinator, organisation))["run"]

    admin.confirm(run["run_id"], "refused", vouchers(1))

    assert effective_entries(organisation) == {other: 1}
    again = members_of(organisation, begin(coordinator, organisation))
    assert {UUID(member["claim_id"]) for member in again} == {first, second}
    assert [member["voucher_number"] for member in again] == [3, 3]


def test_a_reversal_takes_vouchers_back_as_they_were(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """As many vouchers as before, over pages too, without the ones that were refused."""
    group(organisation, "claimant")
    claims_of(organisation, "1", "1", "1", "2", "3", "3", "3")
    run = complete(organisation, begin(coordinator, organisation))["run"]
    admin.confirm(run["run_id"], "imported")
    admin.confirm(run["run_id"], "refused", vouchers(2))
    group(organisation, "run")
    pages_of_two(organisation)

    answer = admin.reverse(run["run_id"])
    members = members_of(organisation, answer)

    assert [member["voucher_number"] for member in members] == [4, 4, 4, 5, 5, 5]
    assert complete_reversal(organisation, answer, members)["run"]["status"] == "completed"


def test_numbers_follow_each_other_without_a_gap(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    group(organisation, "claimant", 4)
    for _ in range(3):
        claims_of(organisation, *"1221333")
        complete(organisation, begin(coordinator, organisation))

    rows = organisation.execute(
        "select distinct voucher_number from public.export_run_claims order by voucher_number"
    )
    [[last]] = organisation.execute(
        "select last_value from public.export_counters where name = 'voucher_number' and organization_id = %s",
        organisation.id,
    )
    numbers = [row[0] for row in rows]
    assert numbers[0] == 1
    assert {later - earlier for earlier, later in pairwise(numbers)} == {1}
    assert numbers[-1] == last


def test_what_was_exported_by_hand_is_never_grouped(organisation: Organisation) -> None:
    group(organisation, "run")
    claim_ids = organisation.add_claims(3)
    with organisation.as_service() as service:
        run = call(
            service,
            "create_export_run",
            p_organization_id=organisation.id,
            p_triggered_by=organisation.add_member(),
            p_format="xledger_gl02b",
            p_origin="manual",
        )
        call(
            service,
            "update_export_run_status",
            p_run_id=run["run_id"],
            p_status="processing",
            p_claim_ids=claim_ids,
        )

    numbers = organisation.execute("select voucher_number from public.export_run_claims order by 1")
    assert numbers == [(1,), (2,), (3,)]
