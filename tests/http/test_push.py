"""An organisation whose vouchers go to Business Central: from the tap to the journal, each exactly once."""

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import pytest

from functions.business_central import removal, sending
from functions.business_central.delivery import BusinessCentralDelivery
from functions.business_central.journal import Journal
from functions.business_central.removal import Removal, Written
from functions.errors import DeliveryRefused
from stack.embedded_stack import EmbeddedStack
from tests.business_central.double import BusinessCentralDouble
from tests.business_central.fault import Fault
from tests.database.bookkeeper import effective_entries
from tests.http.app_user import AppUser
from tests.http.conftest import NewUser
from tests.http.pushing import (
    ask_again,
    assert_each_once,
    connect,
    containers,
    delivery_of,
    in_books,
    open_accounts,
    pushing_door,
    services_of,
    settle,
    states,
    status_of,
    to_file,
)
from tests.organisation import APPROVED_AT, Organisation

# The request that writes the lines.
BATCH = "$batch"


@pytest.fixture
def double() -> Iterator[BusinessCentralDouble]:
    with BusinessCentralDouble() as double:
        open_accounts(double)
        yield double


@pytest.fixture
def organisation(stack: EmbeddedStack, double: BusinessCentralDouble) -> Organisation:
    organisation = Organisation.create(stack.database, "dynamics", "HLF")
    connect(organisation, double)
    return organisation


@pytest.fixture
def door(
    stack: EmbeddedStack,
    organisation: Organisation,
    double: BusinessCentralDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[httpx.Client]:
    with pushing_door(stack, organisation, double, monkeypatch) as door:
        yield door


def run_of(answer: httpx.Response) -> dict[str, Any]:
    return dict(answer.json()["run"])


def our_journal(double: BusinessCentralDouble) -> str:
    """The code of the only one."""
    [code] = [row["code"] for row in double.books.journals.values() if row["code"].startswith("EX")]
    return str(code)


def add_refused_claim(organisation: Organisation, **claim: Any) -> UUID:
    """One whose account nobody opened in Business Central."""
    organisation.execute(
        "update public.export_posting_rules set account_code = '9999'"
        " where organization_id = %s and expense_type = 'parking'",
        organisation.id,
    )
    organisation.check_configuration()
    return organisation.add_claim([("parking", "80.00")], **claim)


def test_vouchers_lie_in_the_journal_and_the_run_has_its_file(
    coordinator: AppUser, organisation: Organisation, double: BusinessCentralDouble
) -> None:
    """The same record as of a file export: totals, hash, download; and a result per voucher."""
    organisation.add_claim([("mileage", "350.00"), ("toll", "56.50")])
    organisation.add_claims(3)

    answer = coordinator.trigger(organisation)

    assert answer.status_code == 201, answer.text
    run = run_of(answer)
    assert (run["claim_count"], run["voucher_count"], run["status"]) == (4, 4, "completed")
    assert states(organisation) == [("accepted", None)] * 4
    assert_each_once(double, organisation)
    told = json.loads(coordinator.download(run["run_id"]).content)["journalLines"]
    assert sum(Decimal(line["amount"]) for line in told) == 0
    assert len(told) == run["line_count"] == 9
    assert double.books.entries == [], "posting stays with the accountant"


def test_a_second_tap_sends_nothing(
    coordinator: AppUser, organisation: Organisation, double: BusinessCentralDouble
) -> None:
    organisation.add_claims(2)
    coordinator.trigger(organisation, key="tap")
    sent = len(double.writes())

    again = coordinator.trigger(organisation, key="tap")
    other = coordinator.trigger(organisation)

    assert (again.status_code, other.status_code) == (200, 200)
    assert len(double.writes()) == sent


def test_p01_an_organisation_that_exports_to_files_asks_no_network_and_no_secret(
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The flag is a setting: the same format, the same record, and nobody is asked."""
    to_file(organisation)
    monkeypatch.setattr("functions.secret_reference.SecretStore.secret", None)
    organisation.add_claims(2)

    run = run_of(coordinator.trigger(organisation))

    assert (run["status"], run["voucher_count"]) == ("completed", 2)
    assert double.seen == []
    assert states(organisation) == []
    lines = json.loads(coordinator.download(run["run_id"]).content)["journalLines"]
    assert len(lines) == 4


@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut_reply", BATCH),
        Fault("status_after_work", BATCH, status=504),
    ],
    ids=lambda fault: fault.kind,
)
def test_p10_a_lost_reply_doubles_nothing(
    coordinator: AppUser, organisation: Organisation, double: BusinessCentralDouble, fault: Fault
) -> None:
    """What was written is found in the journal and adopted."""
    organisation.add_claims(3)
    double.misbehave(fault)

    answer = coordinator.trigger(organisation)

    assert answer.status_code == 201, answer.text
    assert states(organisation) == [("accepted", None)] * 3
    assert_each_once(double, organisation)


@pytest.mark.parametrize(
    "fault",
    [Fault("arrive_late", BATCH), Fault("slow", BATCH, seconds=3)],
    ids=lambda fault: fault.kind,
)
async def test_what_may_still_arrive_is_in_doubt_and_settled_by_asking(
    stack: EmbeddedStack,
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
    fault: Fault,
) -> None:
    """The request that comes late finds its journal gone; the vouchers lie in the successor's, once."""
    organisation.add_claims(3)
    double.misbehave(fault)

    answer = coordinator.trigger(organisation, key="tap")

    assert (answer.status_code, run_of(answer)["status"]) == (202, "in_doubt")
    run_id = run_of(answer)["run_id"]
    assert {state for state, _ in states(organisation)} == {"unknown"}
    assert coordinator.trigger(organisation, key="tap").status_code == 202
    assert await ask_again(stack, run_id) == "completed"
    double.release()
    assert_each_once(double, organisation)
    assert containers(organisation) == [True, False]
    assert coordinator.trigger(organisation, key="tap").status_code == 200


async def test_a_request_that_lands_before_anybody_asked_is_removed_with_its_journal(
    stack: EmbeddedStack,
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
) -> None:
    organisation.add_claims(3)
    double.misbehave(Fault("arrive_late", BATCH))
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    double.release()

    assert await ask_again(stack, run_id) == "completed"
    assert_each_once(double, organisation)


async def test_what_the_accountant_posted_meanwhile_is_adopted(
    stack: EmbeddedStack,
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
) -> None:
    """She saw a journal and posted it, before anybody knew that it had arrived."""
    organisation.add_claims(3)
    double.misbehave(Fault("arrive_late", BATCH))
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    double.release()
    double.post(our_journal(double))

    assert await ask_again(stack, run_id) == "completed"
    assert {state for state, _ in states(organisation)} == {"already_there"}
    assert_each_once(double, organisation)


async def test_what_is_posted_before_it_is_sent_once_more_is_not_sent(
    stack: EmbeddedStack,
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A batch failed and left its first vouchers behind; the accountant posts them before we look."""
    remove_lines = removal.remove_lines

    async def posted_and_removed(journal: Journal, written: Sequence[Written]) -> Removal:
        if double.documents():
            double.post(our_journal(double))
        return await remove_lines(journal, written)

    monkeypatch.setattr(sending, "remove_lines", posted_and_removed)
    double.service.undoes_batches = False
    organisation.add_claims(2)
    add_refused_claim(organisation, approved_at=APPROVED_AT + timedelta(minutes=1))

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, run_of(answer)["status"]) == (202, "in_doubt")
    assert await ask_again(stack, run_of(answer)["run_id"]) == "completed"
    assert len(in_books(double)) == 2
    assert_each_once(double, organisation)


def test_a_voucher_that_is_refused_leaves_its_claim_out_and_the_others_arrive(
    coordinator: AppUser, organisation: Organisation, double: BusinessCentralDouble
) -> None:
    """With the claim, the field, the code and the correlation id; the file is of the others."""
    organisation.add_claims(2)
    wrong = add_refused_claim(organisation)

    answer = coordinator.trigger(organisation)

    assert answer.status_code == 201, answer.text
    run = run_of(answer)
    assert (run["claim_count"], run["left_out_count"]) == (2, 1)
    [told] = answer.json()["left_out"]
    assert told["claim_id"] == str(wrong)
    assert told["code"] == "value_unknown"
    assert "accountNumber" in told["field"]
    assert "correlation id" in told["note"]
    assert_each_once(double, organisation)
    lines = json.loads(coordinator.download(run["run_id"]).content)["journalLines"]
    assert "9999" not in {line["accountNumber"] for line in lines}


def test_when_every_voucher_is_refused_the_run_fails_and_nothing_is_left(
    coordinator: AppUser, organisation: Organisation, double: BusinessCentralDouble
) -> None:
    double.books.accounts.pop(("G/L Account", "2990"))
    organisation.add_claims(2)

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["code"]) == (422, "all_claims_left_out")
    assert organisation.live_memberships() == {}
    assert in_books(double) == {}
    assert containers(organisation) == [True]


def test_what_was_mended_in_the_accounting_system_is_tried_again_when_a_person_asks(
    coordinator: AppUser, organisation: Organisation, double: BusinessCentralDouble
) -> None:
    """Nothing of ours changed: the account was missing over there."""
    missing = double.books.accounts.pop(("G/L Account", "2990"))
    organisation.add_claims(2)
    refused = coordinator.trigger(organisation)
    double.books.accounts["G/L Account", "2990"] = missing

    answer = coordinator.trigger(organisation)

    assert refused.status_code == 422
    assert answer.status_code == 201, answer.text
    assert_each_once(double, organisation)


async def test_a_service_that_asks_for_patience_leaves_no_claim_out(
    stack: EmbeddedStack,
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
) -> None:
    """Nobody has to correct anything: the same vouchers arrive when it has time."""
    organisation.add_claims(2)
    double.misbehave(Fault("status", BATCH, times=1000, status=429))

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, run_of(answer)["status"]) == (202, "in_doubt")
    assert {code for _, code in states(organisation)} == {"target_busy"}
    assert len(organisation.live_memberships()) == 2
    double.heal()
    assert await ask_again(stack, run_of(answer)["run_id"]) == "completed"
    assert_each_once(double, organisation)


def test_one_refusal_stops_a_run_that_must_be_whole(
    coordinator: AppUser, organisation: Organisation, double: BusinessCentralDouble
) -> None:
    """What was written of the others is removed before their claims are free."""
    organisation.execute(
        "update public.export_targets set on_problem = 'refuse_run' where organization_id = %s",
        organisation.id,
    )
    organisation.add_claims(2)
    add_refused_claim(organisation)

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["code"]) == (422, "claims_refused")
    assert in_books(double) == {}
    assert organisation.live_memberships() == {}


def test_while_the_target_is_down_files_go_on(
    coordinator: AppUser, organisation: Organisation, double: BusinessCentralDouble
) -> None:
    """Nothing was sent, so the claims are free at once, and the admin's switch is all it takes."""
    organisation.add_claims(2)
    double.misbehave(Fault("status", "", times=1000, status=503))

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["code"]) == (503, "delivery_unavailable")
    assert organisation.live_memberships() == {}
    to_file(organisation)
    assert coordinator.trigger(organisation).status_code == 201


async def test_a_doubt_does_not_hold_up_other_claims(
    stack: EmbeddedStack,
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
) -> None:
    """Flag off in the middle: what was sent stays in doubt and is settled, what is new goes to a file."""
    organisation.add_claims(2)
    double.misbehave(Fault("arrive_late", BATCH))
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    assert status_of(organisation, run_id) == "in_doubt"
    double.misbehave(Fault("status", "", times=1000))
    to_file(organisation)
    organisation.add_claims(1)

    other = coordinator.trigger(organisation)

    assert (other.status_code, run_of(other)["claim_count"]) == (201, 1)
    assert await ask_again(stack, run_id) == "in_doubt"
    double.heal()
    assert await ask_again(stack, run_id) == "completed"
    double.release()
    assert len(in_books(double)) == 2
    assert set(effective_entries(organisation).values()) == {1}


@pytest.mark.parametrize(
    ("settings", "code", "field"),
    [
        ({"company": "Hørselshemmedes"}, "delivery_company_not_found", "connection.company"),
        (
            {"journal_template": "NONE"},
            "delivery_template_not_found",
            "connection.journal_template",
        ),
        (
            {"environment_kind": "production"},
            "delivery_environment_mixed_up",
            "connection.environment_kind",
        ),
    ],
)
def test_a_wrong_connection_stops_before_anything_is_written(  # noqa: PLR0913, PLR0917 - a row of the table
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
    settings: dict[str, object],
    code: str,
    field: str,
) -> None:
    """Naming the setting; the claims are free."""
    connect(organisation, double, **settings)
    organisation.add_claims(1)

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert field in answer.text
    assert double.writes() == []
    assert organisation.live_memberships() == {}


def test_a_missing_secret_names_the_setting(
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()
    organisation.add_claims(1)

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["code"]) == (422, "delivery_secret_missing")
    assert "connection.client_secret_ref" in answer.text
    assert double.writes() == []


@pytest.mark.parametrize(
    ("statement", "field"),
    [
        ("connection = connection - 'company'", "connection.company"),
        ('connection = connection || \'{"secret": "x"}\'', "connection.secret"),
        ("delivery = 'carrier_pigeon'", "delivery"),
        ("format = 'dynamics_bc_csv'", "format"),
        (
            'settings = \'{"voucher_per": "run", "posting_date": "export"}\'',
            "settings.most_voucher_lines",
        ),
    ],
)
def test_a_connection_that_cannot_work_is_found_before_anything_is_reserved(
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
    statement: str,
    field: str,
) -> None:
    organisation.execute(
        f"update public.export_targets set {statement} where organization_id = %s", organisation.id
    )
    organisation.add_claims(1)

    preview = coordinator.door.post(
        "/preview_export",
        json={"organization_id": str(organisation.id), "period_to": "2026-10-31"},
        headers=coordinator.login,
    )
    answer = coordinator.trigger(organisation)

    for refused in (preview, answer):
        assert (refused.status_code, refused.json()["code"]) == (422, "configuration_invalid")
        assert [problem["field"] for problem in refused.json()["errors"]] == [field]
    assert double.seen == []
    [[runs]] = organisation.execute(
        "select count(*) from public.export_runs where organization_id = %s", organisation.id
    )
    assert runs == 0


def test_claims_of_a_run_share_a_voucher_in_the_journal(
    coordinator: AppUser, organisation: Organisation, double: BusinessCentralDouble
) -> None:
    organisation.execute(
        "update public.export_targets set settings = settings || %s::jsonb where organization_id = %s",
        json.dumps({"voucher_per": "run", "posting_date": "export", "most_voucher_lines": 6}),
        organisation.id,
    )
    organisation.check_configuration()
    organisation.add_claims(7)

    answer = coordinator.trigger(organisation)

    assert answer.status_code == 201, answer.text
    assert run_of(answer)["voucher_count"] == 3
    assert_each_once(double, organisation)


def test_a_run_is_voided_after_its_vouchers_are_out_of_the_journal(
    coordinator: AppUser,
    new_user: NewUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
) -> None:
    organisation.add_claims(2)
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    admin = new_user("admin", organisation)

    answer = admin.door.post(
        "/void_export", json={"run_id": run_id, "reason": "Wrong period."}, headers=admin.login
    )

    assert answer.status_code == 200, answer.text
    assert status_of(organisation, run_id) == "voided"
    assert in_books(double) == {}


def test_a_run_that_was_posted_is_not_voided_but_reversed(
    coordinator: AppUser,
    new_user: NewUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
) -> None:
    """The reversal goes the same way, with opposite signs under numbers of its own."""
    organisation.add_claims(2)
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    [code] = {row["journalDisplayName"] for row in double.books.lines.values()}
    double.post(code)
    admin = new_user("admin", organisation)
    body: dict[str, object] = {"run_id": run_id, "reason": "Wrong company."}

    refused = admin.door.post("/void_export", json=body, headers=admin.login)
    assert (refused.status_code, refused.json()["code"]) == (409, "delivery_was_posted")
    assert len(in_books(double)) == 2
    admin.door.post(
        "/confirm_export", json={"run_id": run_id, "outcome": "booked"}, headers=admin.login
    )
    answer = admin.door.post("/void_export", json={**body, "imported": True}, headers=admin.login)

    assert answer.status_code == 201, answer.text
    books = in_books(double)
    assert len(books) == 4
    assert sorted(max(amounts) for amounts in books.values()) == [Decimal(100)] * 4


async def test_what_a_person_settled_is_not_sent(
    stack: EmbeddedStack,
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
) -> None:
    """An admin looked: one voucher is booked under another number, one shall not go. The sweep does the rest at once."""
    organisation.add_claims(3)
    double.misbehave(Fault("arrive_late", BATCH))
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    double.late.clear()
    settle(
        organisation,
        run_id,
        {"voucher_number": 1, "state": "already_there"},
        {"voucher_number": 2, "state": "failed"},
    )

    async with services_of(stack) as services:
        report = await services.sweep.run()

    assert report.outcomes["completed"] >= 1
    assert status_of(organisation, run_id) == "completed"
    assert set(in_books(double)) == {"3"}
    assert [state for state, _ in states(organisation)] == ["already_there", "failed", "accepted"]


async def test_a_person_may_be_wrong(
    stack: EmbeddedStack,
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
) -> None:
    """She said that nothing of a voucher is there, and the ledger has it: its claim is not let go."""
    organisation.add_claims(2)
    double.misbehave(Fault("arrive_late", BATCH))
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    double.release()
    [code] = {row["journalDisplayName"] for row in double.books.lines.values()}
    double.post(code)
    settle(organisation, run_id, {"voucher_number": 2, "state": "failed"})

    assert await ask_again(stack, run_id) == "in_doubt"
    assert len(organisation.live_memberships()) == 2
    settle(organisation, run_id, {"voucher_number": 2, "state": "already_there"})
    assert await ask_again(stack, run_id) == "completed"
    assert_each_once(double, organisation)


def test_nobody_sees_the_secret(
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not in rows, answers or logs, also when the target repeats it."""
    organisation.add_claims(1)
    double.misbehave(Fault("status", BATCH, status=400, repeats_headers=True, times=1000))

    answers = [coordinator.trigger(organisation).text]
    double.heal()
    answers.append(coordinator.trigger(organisation).text)

    rows = [
        str(organisation.execute(f"select * from public.{table}"))
        for table in ("export_runs", "export_run_events", "export_deliveries", "export_targets")
    ]
    told = capfd.readouterr()
    everything = "\n".join([*answers, *rows, told.out, told.err])
    assert double.login.client_secret not in everything
    assert "Bearer" not in everything


def post_our_journal(double: BusinessCentralDouble) -> None:
    """As the accountant, who sees one journal of ours."""
    [code] = [row["code"] for row in double.books.journals.values() if row["code"].startswith("EX")]
    double.post(code)


def post_before_it_is_cleared(
    double: BusinessCentralDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody posts after the ledger was asked and before the journal is removed; once."""
    clear, left = BusinessCentralDelivery.clear, [True]

    async def posting(
        self: BusinessCentralDelivery, container: str, document_numbers: Collection[str]
    ) -> None:
        if left:
            left.clear()
            post_our_journal(double)
        await clear(self, container, document_numbers)

    monkeypatch.setattr(BusinessCentralDelivery, "clear", posting)


def void(admin: AppUser, run_id: str) -> tuple[int, str | None]:
    """Take a run back as not imported; the answer's status and code."""
    body = {"run_id": run_id, "reason": "Wrong period."}
    answer = admin.door.post("/void_export", json=body, headers=admin.login)
    return answer.status_code, answer.json().get("code")


def make_whole_or_nothing(organisation: Organisation) -> None:
    """One claim that Business Central refuses, and a policy that gives up the run for it."""
    organisation.execute(
        "update public.export_targets set on_problem = 'refuse_run' where organization_id = %s",
        organisation.id,
    )
    organisation.execute(
        "update public.export_posting_rules set account_code = '9999'"
        " where organization_id = %s and expense_type = 'parking'",
        organisation.id,
    )
    organisation.check_configuration()
    organisation.add_claim([("parking", "80.00")])


async def test_an_outrun_worker_removes_nothing_of_its_successor(
    stack: EmbeddedStack,
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
) -> None:
    """It wakes up, finds its own attempt hopeless and tidies up, while its successor's vouchers lie in the journal."""
    organisation.add_claims(2)
    double.misbehave(Fault("arrive_late", BATCH))
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    [[old_token]] = organisation.execute(
        "select fencing_token from public.export_runs where id = %s", run_id
    )
    assert await ask_again(stack, run_id) == "completed"

    async with services_of(stack) as services:
        await delivery_of(services).withdraw(UUID(run_id), old_token)

    assert_each_once(double, organisation)
    assert containers(organisation) == [True, False]


def test_what_is_posted_while_it_is_voided_is_not_voided_by_asking_twice(
    coordinator: AppUser,
    new_user: NewUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claims = organisation.add_claims(2)
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    admin = new_user("admin", organisation)
    post_before_it_is_cleared(double, monkeypatch)

    assert void(admin, run_id) == (409, "delivery_was_posted")
    assert void(admin, run_id) == (409, "delivery_was_posted")
    assert set(organisation.live_memberships()) == set(claims)
    assert_each_once(double, organisation)


def test_what_is_posted_while_a_run_is_given_up_keeps_its_claims(
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claims = organisation.add_claims(2)
    make_whole_or_nothing(organisation)
    post_before_it_is_cleared(double, monkeypatch)

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, run_of(answer)["status"]) == (202, "in_doubt")
    assert set(claims) <= set(organisation.live_memberships())


async def test_a_journal_that_cannot_be_made_frees_nothing_that_was_posted(
    stack: EmbeddedStack,
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The earlier attempt's journal is gone, posted, when the next one's turns out to be unfit."""
    claims = organisation.add_claims(2)
    double.misbehave(Fault("arrive_late", BATCH))
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    double.release()
    post_our_journal(double)

    async def unfit(_: BusinessCentralDelivery, container: str) -> None:
        raise DeliveryRefused("delivery_container_balances", remote_code=container)

    with monkeypatch.context() as patched:
        patched.setattr(BusinessCentralDelivery, "open", unfit)
        assert await ask_again(stack, run_id) == "in_doubt"
    assert set(organisation.live_memberships()) == set(claims)
    assert await ask_again(stack, run_id) == "completed"
    assert_each_once(double, organisation)


async def test_what_a_person_found_in_the_books_is_not_let_go(
    stack: EmbeddedStack,
    coordinator: AppUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
) -> None:
    """Booked under a number that the engine cannot find, and the run must be whole and cannot be."""
    claims = organisation.add_claims(2)
    make_whole_or_nothing(organisation)
    double.misbehave(Fault("arrive_late", BATCH))
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    double.late.clear()
    [[number]] = organisation.execute(
        "select voucher_number from public.export_run_claims where claim_id = %s", claims[0]
    )
    settle(organisation, run_id, {"voucher_number": number, "state": "already_there"})

    assert await ask_again(stack, run_id) == "in_doubt"
    assert set(claims) <= set(organisation.live_memberships())


async def test_a_run_with_a_voucher_that_a_person_found_is_reversed_and_not_voided(
    stack: EmbeddedStack,
    coordinator: AppUser,
    new_user: NewUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
) -> None:
    """And what lies in its journal stays there."""
    organisation.add_claims(2)
    double.misbehave(Fault("arrive_late", BATCH))
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    double.late.clear()
    settle(organisation, run_id, {"voucher_number": 1, "state": "already_there"})
    assert await ask_again(stack, run_id) == "completed"

    assert void(new_user("admin", organisation), run_id) == (409, "delivery_was_posted")
    assert set(in_books(double)) == {"2"}
    assert len(organisation.live_memberships()) == 2


def test_nothing_is_removed_where_another_environment_answers(
    coordinator: AppUser,
    new_user: NewUser,
    organisation: Organisation,
    double: BusinessCentralDouble,
) -> None:
    """There the journal would be missing, and its vouchers would seem to be nowhere."""
    organisation.add_claims(1)
    run_id = run_of(coordinator.trigger(organisation))["run_id"]
    double.environment_kind = 1 - double.environment_kind
    written = len(double.writes())

    assert void(new_user("admin", organisation), run_id) == (422, "delivery_environment_mixed_up")
    assert len(double.writes()) == written
    assert status_of(organisation, run_id) == "completed"
