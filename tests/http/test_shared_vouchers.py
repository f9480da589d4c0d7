"""One voucher for a person or for an export, as people meet it: file, search, refusal, reversal."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from decimal import Decimal

import pytest

from tests.http.app_user import AppUser
from tests.organisation import Organisation

NewUser = Callable[..., AppUser]


def share(organisation: Organisation, **settings: object) -> None:
    organisation.execute(
        "update public.export_targets set settings = settings || %s::jsonb where organization_id = %s",
        json.dumps({"posting_date": "export", **settings}),
        organisation.id,
    )


def vouchers_in(content: bytes) -> dict[str, list[Decimal]]:
    """Amounts by voucher number, in a file of GL02b."""
    amounts = defaultdict(list)
    for line in content.decode().splitlines():
        cells = line.split(";")
        amounts[cells[4]].append(Decimal(next(c for c in cells[25:] if c.endswith(".00"))))
    return dict(amounts)


def test_a_person_has_one_voucher_in_file_search_and_refusal(
    coordinator: AppUser, new_user: NewUser, organisation: Organisation
) -> None:
    share(organisation, voucher_per="claimant")
    claim_ids = [str(claim_id) for claim_id in organisation.add_claims(4)]
    organisation.execute(
        "update public.expense_claims set claimant_number = '20044' where id = %s", claim_ids[1]
    )
    accountant = new_user("accountant", organisation)

    run = coordinator.trigger(organisation).json()["run"]

    assert (run["claim_count"], run["voucher_count"], run["line_count"]) == (4, 2, 8)
    vouchers = vouchers_in(coordinator.download(run["run_id"]).content)
    assert {number: sum(amounts) for number, amounts in vouchers.items()} == {"1": 0, "2": 0}
    assert Counter(map(len, vouchers.values())) == Counter([6, 2])
    found = accountant.door.get(
        "/find_export",
        params={"organization_id": str(organisation.id), "q": "1"},
        headers=accountant.login,
    ).json()["claims"]
    assert {claim["claim_id"] for claim in found} == {claim_ids[0], *claim_ids[2:]}

    refused = accountant.door.post(
        "/confirm_export",
        json={"run_id": run["run_id"], "outcome": "refused", "vouchers": [{"voucher_number": 1}]},
        headers=accountant.login,
    )
    assert refused.status_code == 200, refused.text
    again = coordinator.trigger(organisation).json()["run"]
    assert (again["claim_count"], again["voucher_count"]) == (3, 1)


@pytest.mark.parametrize("voucher_per", ["claimant", "run"])
def test_a_voucher_without_a_single_date_is_refused_before_anything_is_reserved(
    coordinator: AppUser, organisation: Organisation, voucher_per: str
) -> None:
    share(organisation, voucher_per=voucher_per, posting_date="approval")
    organisation.add_claims(2)

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["code"]) == (422, "configuration_invalid")
    assert "posting_date" in answer.text
    assert organisation.live_memberships() == {}
