"""After the file has left: the accountant confirms or refuses, the admin takes back."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.chaos.stored_file import StoredFile
from tests.http.app_user import AppUser, sha256_of
from tests.organisation import Organisation

NewUser = Callable[..., AppUser]


@pytest.fixture
def accountant(new_user: NewUser, organisation: Organisation) -> AppUser:
    """She imports the file."""
    return new_user("accountant", organisation, name="Øystein")


@pytest.fixture
def admin(new_user: NewUser, organisation: Organisation) -> AppUser:
    """She may take a run back."""
    return new_user("admin", organisation, name="Gunhild")


@pytest.fixture
def run_id(coordinator: AppUser, organisation: Organisation) -> str:
    """A completed run of three claims."""
    for _ in range(3):
        organisation.add_claim()
    identifier: str = coordinator.trigger(organisation).json()["run"]["run_id"]
    return identifier


def post(user: AppUser, endpoint: str, **body: Any) -> httpx.Response:
    """Send a JSON body as the user."""
    headers = {**user.login, "Accept-Language": "en"}
    return user.door.post(f"/{endpoint}", json=body, headers=headers)


def confirm(user: AppUser, run_id: str, outcome: str, **more: Any) -> httpx.Response:
    """Say what the accounting system made of the run."""
    return post(user, "confirm_export", run_id=run_id, outcome=outcome, **more)


def void(user: AppUser, run: str, **more: Any) -> httpx.Response:
    """Take the run back."""
    return post(user, "void_export", **{"run_id": run, "reason": "Wrong period", **more})


def vouchers(organisation: Organisation, run_id: str) -> list[int]:
    """Voucher numbers of the run's claims, in order."""
    rows = organisation.execute(
        "select voucher_number from public.export_run_claims where run_id = %s order by position",
        run_id,
    )
    return [row[0] for row in rows]


def test_booked_is_a_fact_beside_exported(
    accountant: AppUser, organisation: Organisation, run_id: str
) -> None:
    """A confirmation changes nothing of the run, keeps the accounting system's numbers, and is recorded once."""
    before = accountant.run(run_id).json()["run"]
    numbers = [
        {"voucher_number": number, "external_number": f"B-{number}"}
        for number in vouchers(organisation, run_id)
    ]

    first = confirm(accountant, run_id, "booked", vouchers=numbers)
    again = confirm(accountant, run_id, "booked", vouchers=numbers)

    assert (first.status_code, first.json()["recorded"]) == (200, 3)
    assert (again.status_code, again.json()["recorded"]) == (200, 0)
    assert accountant.run(run_id).json()["run"] == before
    assert organisation.execute(
        "select count(*), count(distinct external_number) from public.export_confirmations where run_id = %s",
        run_id,
    ) == [(3, 3)]


def test_a_refused_voucher_frees_exactly_its_claim(
    accountant: AppUser, coordinator: AppUser, organisation: Organisation, run_id: str
) -> None:
    """The run keeps its totals; the next export by hand takes the one claim, under a number of its own."""
    before = accountant.run(run_id).json()["run"]
    refused = vouchers(organisation, run_id)[1]

    answer = confirm(accountant, run_id, "refused", vouchers=[{"voucher_number": refused}])
    next_run = coordinator.trigger(organisation).json()["run"]

    assert answer.status_code == 200
    assert accountant.run(run_id).json()["run"] == before
    assert next_run["claim_count"] == 1
    assert vouchers(organisation, next_run["run_id"])[0] not in vouchers(organisation, run_id)


def test_a_run_that_was_never_imported_is_voided(
    admin: AppUser, coordinator: AppUser, organisation: Organisation, run_id: str
) -> None:
    """Its claims are free for the next export; voiding it twice is refused with the state."""
    answer = void(admin, run_id)
    again = void(admin, run_id)
    exported = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["run"]["status"]) == (200, "voided")
    assert (again.status_code, again.json()["code"]) == (409, "run_is_voided")
    assert (exported.status_code, exported.json()["run"]["claim_count"]) == (201, 3)


def amounts(content: bytes) -> list[Decimal]:
    """Of every line of an Xledger file, in order of size."""
    return sorted(line.amount for line in StoredFile.read(content, "xledger_gl02b").lines)


def test_an_imported_run_is_taken_back_by_a_file_of_reversals(
    admin: AppUser,
    accountant: AppUser,
    coordinator: AppUser,
    organisation: Organisation,
    run_id: str,
) -> None:
    """The same amounts with opposite signs, in a stored file of its own; then the claims can be entered again."""
    confirm(accountant, run_id, "imported")

    refused = void(admin, run_id)
    reversal = void(admin, run_id, imported=True)
    replay = void(admin, run_id, imported=True)

    assert (refused.status_code, refused.json()["code"]) == (409, "run_was_imported")
    assert reversal.status_code == 201, reversal.text
    run = reversal.json()["run"]
    assert (run["reverses_run_id"], run["totals"]) == (run_id, {"NOK": "-1218.00"})
    assert (replay.status_code, replay.json()["run"]["run_id"]) == (200, run["run_id"])
    original, reversing = admin.download(run_id), admin.download(run["run_id"])
    assert sha256_of(reversing.content) == run["file"]["sha256"]
    assert len(amounts(original.content)) == 9
    assert amounts(reversing.content) == sorted(-amount for amount in amounts(original.content))
    assert admin.run(run_id).json()["run"]["status"] == "completed"
    again = coordinator.trigger(organisation).json()["run"]
    assert (again["claim_count"], again["totals"]) == (3, {"NOK": "1218.00"})
    late = void(admin, run["run_id"])
    assert (late.status_code, late.json()["code"]) == (409, "claims_entered_again")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"outcome": "paid"}, "outcome"),
        ({"outcome": None}, "outcome"),
        ({"run_id": "7"}, "run_id"),
        ({"vouchers": []}, "vouchers"),
        ({"vouchers": {}}, "vouchers"),
        ({"vouchers": [{"voucher_number": "1"}]}, "vouchers"),
        ({"vouchers": [{"voucher_number": 1.5}]}, "vouchers"),
        ({"vouchers": [{"voucher_number": 0}]}, "vouchers"),
        ({"vouchers": [{"external_number": "B"}]}, "vouchers"),
        ({"vouchers": [{"voucher_number": 1, "note": "x" * 501}]}, "vouchers"),
        ({"comment": "x"}, "comment"),
    ],
)
def test_a_malformed_confirmation_is_named(
    accountant: AppUser, run_id: str, body: dict[str, Any], field: str
) -> None:
    """Each wrong field is 400 with its name; nothing is recorded."""
    answer = post(accountant, "confirm_export", **{"run_id": run_id, "outcome": "booked", **body})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": "x" * 501}, "reason"),
        ({"imported": "yes"}, "imported"),
        ({"imported": 1}, "imported"),
        ({"run_id": None}, "run_id"),
    ],
)
def test_a_malformed_void_is_named(
    admin: AppUser, run_id: str, body: dict[str, Any], field: str
) -> None:
    """Each wrong field is 400 with its name; the run stays as it is."""
    answer = void(admin, run_id, **body)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert admin.run(run_id).json()["run"]["status"] == "completed"


@pytest.mark.parametrize(
    ("role", "confirming", "voiding"),
    [
        ("coordinator", (403, "not_allowed"), (403, "not_allowed")),
        ("accountant", (200, None), (403, "not_allowed")),
        ("member", (404, "run_not_found"), (404, "run_not_found")),
        (None, (404, "run_not_found"), (404, "run_not_found")),
    ],
)
def test_only_who_may_confirms_and_voids(  # noqa: PLR0913, PLR0917 - a table's columns
    new_user: NewUser,
    organisation: Organisation,
    run_id: str,
    role: str | None,
    confirming: tuple[int, str | None],
    voiding: tuple[int, str],
) -> None:
    """Staff without the role is told so; whoever may not see the run hears that there is none."""
    user = new_user(role, organisation) if role else new_user()

    confirmed, voided = confirm(user, run_id, "imported"), void(user, run_id)
    reversed_ = void(user, run_id, imported=True)

    assert (confirmed.status_code, confirmed.json().get("code")) == confirming
    assert (voided.status_code, voided.json()["code"]) == voiding
    assert (reversed_.status_code, reversed_.json()["code"]) == voiding


def test_nobody_without_a_login_confirms_or_voids(door: httpx.Client, run_id: str) -> None:
    """401 before anything is read."""
    for endpoint in ("confirm_export", "void_export"):
        answer = door.post(f"/{endpoint}", json={"run_id": run_id})
        assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize(
    ("field", "text"),
    [("note", "a\x00b"), ("external_number", "a\x00b"), ("external_number", "a\nb")],
)
def test_what_no_text_holds_is_named_and_is_no_defect(
    accountant: AppUser, organisation: Organisation, run_id: str, field: str, text: str
) -> None:
    """The database has no room for NUL, and nobody could search for a number of two lines."""
    [number, *_] = vouchers(organisation, run_id)

    answer = confirm(
        accountant, run_id, "booked", vouchers=[{"voucher_number": number, field: text}]
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == ["vouchers"]


def test_a_reason_with_nul_is_named_and_is_no_defect(admin: AppUser, run_id: str) -> None:
    """As a note."""
    answer = void(admin, run_id, reason="Wrong\x00period")

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == ["reason"]


def test_a_reason_may_have_several_lines(admin: AppUser, run_id: str) -> None:
    """She wrote it on a phone."""
    assert void(admin, run_id, reason="Wrong period.\r\n\tTold by Øystein.").status_code == 200
