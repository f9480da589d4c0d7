"""What a push to Business Central must keep, by the numbers of the constraints, against the double."""

import asyncio
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import pytest
import structlog

from exporters.claim import Claim
from exporters.configuration import FrozenConfiguration
from exporters.dynamics import DynamicsJsonExporter
from exporters.posting_rules import PostingRules
from functions.business_central.records import delivery_voucher
from functions.business_central.token import TOKENS
from functions.errors import Defect, DeliveryRefused, DeliveryUnavailable
from functions.voucher_delivery import DeliveryCode, DeliveryVoucher, Outcome
from tests.business_central.books import Account
from tests.business_central.double import BusinessCentralDouble
from tests.business_central.fault import Fault, FaultKind
from tests.business_central.sending import (
    SECRET_REFERENCE,
    attempt,
    send,
    settle,
    voucher,
)
from tests.unit.claim_factory import (
    RUN,
    Document,
    claim,
    dynamics_document,
    member,
    posting_rules,
)

EMPLOYEE = ("Employee", "1007")
BATCH = "/$batch"
LINES = "/journalLines"
ACCEPTED, FAILED, UNKNOWN = Outcome.ACCEPTED, Outcome.FAILED, Outcome.UNKNOWN
ALREADY_THERE = Outcome.ALREADY_THERE
TOKEN = "POST /hlf.example/oauth2/v2.0/token"


@pytest.fixture
def double() -> Iterator[BusinessCentralDouble]:
    """A Business Central of the test's own."""
    TOKENS.clear()
    with BusinessCentralDouble() as double:
        double.books.dimensions = {"AVDELING": {"OSLO", "BERGEN"}, "PROSJEKT": {"P204"}}
        yield double


def accounts(double: BusinessCentralDouble, code: str = "R7T1") -> list[str]:
    return [row["accountNumber"] for row in double.lines(code)]


async def test_vouchers_arrive_whole_and_verify(double: BusinessCentralDouble) -> None:
    """All lines of all vouchers lie in the run's own journal, unposted."""
    vouchers = [voucher(number) for number in range(1, 4)]

    async with attempt(double) as delivery:
        await delivery.check()
        assert await delivery.find(vouchers) == []
        await delivery.open("R7T1")
        sent = await delivery.send(vouchers)
        verified = await delivery.verify(vouchers)

    assert [result.outcome for result in sent] == [ACCEPTED] * 3
    assert [result.outcome for result in verified] == [ACCEPTED] * 3
    assert [len(result.remote_ids) for result in sent] == [3, 3, 3]
    assert len(double.lines("R7T1")) == 9
    assert sum(row["amount"] for row in double.lines("R7T1")) == 0
    assert double.books.entries == []


# P02


async def test_p02_one_token_of_the_exact_scope_serves_all_attempts(
    double: BusinessCentralDouble,
) -> None:
    """The double refuses another scope; a second attempt signs in no more."""
    await send(double, [voucher(1)])
    async with attempt(double, "R8T1") as delivery:
        await delivery.send([voucher(2)])

    (request,) = double.requests("/oauth2/")
    assert request.request == TOKEN
    assert "grant_type=client_credentials" in request.text
    assert "scope=https%3A%2F%2Fapi.businesscentral.dynamics.com%2F.default" in request.text


async def test_p02_a_token_is_renewed_before_it_expires(double: BusinessCentralDouble) -> None:
    """No call is made with a token that ran out: the double never had to refuse one."""
    double.login.lifetime = 2

    async with attempt(double, "R7T1") as delivery:
        for number in (1, 2):
            await asyncio.sleep(1.7)
            (result,) = await delivery.send([voucher(number)])
            assert result.outcome is ACCEPTED

    assert len(double.login.issued) == 3
    assert double.login.refused == 0


async def test_p02_a_revoked_token_is_renewed_once(double: BusinessCentralDouble) -> None:
    """After one 401 a new token is fetched and the same request goes through."""
    async with attempt(double, "R7T1") as delivery:
        double.login.revoke()
        (result,) = await delivery.send([voucher()])

    assert result.outcome is ACCEPTED
    assert len(double.login.issued) == 2
    assert len(double.lines("R7T1")) == 3


async def test_p02_a_second_refusal_stops_everything(double: BusinessCentralDouble) -> None:
    """A new token that is refused too is no reason to ask for a third."""
    async with attempt(double, "R7T1", operations_per_batch=3) as delivery:
        double.misbehave(Fault("status", BATCH, times=99, status=401))
        results = await delivery.send([voucher(1), voucher(2)])

    assert [result.code for result in results] == [DeliveryCode.NOT_PERMITTED, "not_sent"]
    assert [result.is_retryable for result in results] == [False, False]
    assert len(double.login.issued) == 2
    assert len(double.requests(BATCH)) == 2


# P03 to P06


async def test_p03_to_p06_every_line_says_what_it_must_and_nothing_else(
    double: BusinessCentralDouble,
) -> None:
    """Neither identifiers nor read-only members, currency, dates with a time, or balancing accounts."""
    await send(double, [voucher(1, payable=EMPLOYEE), voucher(2)])

    for operation in double.requests(BATCH)[0].operations:
        assert set(operation["body"]) == {
            "accountType",
            "accountNumber",
            "postingDate",
            "documentNumber",
            "externalDocumentNumber",
            "amount",
            "description",
        }
        assert operation["body"]["postingDate"] == "2026-10-31"
        assert all(operation["body"].values())


@pytest.mark.parametrize(
    ("amounts", "written"),
    [
        (("0.10", "0.20"), "-0.30"),
        (("1290.49", "0.01"), "-1290.50"),
        (("99999999999.99", "0.01"), "-100000000000.00"),
    ],
)
async def test_p04_amounts_are_numbers_with_exactly_their_digits(
    double: BusinessCentralDouble, amounts: tuple[str, str], written: str
) -> None:
    """The text of the request has the decimals of the Decimal, never those of a float."""
    await send(double, [voucher(1, amounts)])

    text = double.requests(BATCH)[0].text
    assert re.findall(r'"amount":([^,}]*)', text) == [*amounts, written]


@pytest.mark.parametrize("member", ["id", "journalDisplayName", "currencyCode", "lineNumber"])
async def test_p03_a_member_that_the_api_does_not_take_is_never_sent(
    double: BusinessCentralDouble, member: str
) -> None:
    """The voucher fails before anything is written, naming the member."""
    good = voucher()
    first = replace(good.records[0], fields={**good.records[0].fields, member: "x"})

    (result,) = await send(double, [replace(good, records=(first, *good.records[1:]))])

    assert (result.outcome, result.code) == (FAILED, DeliveryCode.RECORD_INVALID)
    assert result.field == f"records[1].{member}"
    assert double.requests(BATCH) == []


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("description", "x" * 101),
        ("description", "\N{GRINNING FACE}" * 51),
        ("description", "two\nlines"),
        ("accountNumber", "7" * 21),
        ("accountNumber", " 7140"),
        ("accountNumber", ""),
        ("accountType", "Cash"),
        ("amount", "450.00"),
        ("amount", Decimal("450.001")),
        ("amount", Decimal(0)),
        ("amount", Decimal("Infinity")),
        ("amount", Decimal("449.99")),
        ("postingDate", "2026-10-30"),
        ("documentNumber", "OTHER"),
    ],
)
async def test_p03_a_value_that_cannot_be_right_is_never_sent(
    double: BusinessCentralDouble, member: str, value: str | Decimal
) -> None:
    """The payload is checked here: after a malformed value the service was seen not to roll back."""
    good = voucher()
    first = replace(good.records[0], fields={**good.records[0].fields, member: value})

    (result,) = await send(double, [replace(good, records=(first, *good.records[1:]))])

    assert (result.outcome, result.code) == (FAILED, DeliveryCode.RECORD_INVALID)
    assert double.requests(BATCH) == []


async def test_another_currency_is_never_sent(double: BusinessCentralDouble) -> None:
    """The API knows no currency: an amount in euro would be entered as kroner."""
    euro = replace(voucher(), debit_totals={"EUR": Decimal("1740.50")})

    (result,) = await send(double, [euro])

    assert (result.outcome, result.code) == (FAILED, DeliveryCode.CURRENCY_NOT_DELIVERED)


# P07


async def test_p07_batches_hold_whole_vouchers_and_at_most_a_hundred_operations(
    double: BusinessCentralDouble,
) -> None:
    """Each batch says what it is and expects; no voucher stands in two."""
    results = await send(double, [voucher(number, ["1.00"] * 10) for number in range(1, 21)])

    assert {result.outcome for result in results} == {ACCEPTED}
    batches = double.requests(BATCH)
    assert [len(batch.operations) for batch in batches] == [99, 99, 22]
    seen: set[str] = set()
    for batch in batches:
        assert batch.headers["accept"] == "application/json"
        assert batch.headers["content-type"] == "application/json"
        assert batch.headers["isolation"] == "snapshot"
        documents = {operation["body"]["documentNumber"] for operation in batch.operations}
        assert not documents & seen
        seen |= documents
        identifiers = [operation["id"] for operation in batch.operations]
        assert len(set(identifiers)) == len(identifiers)


async def test_p07_a_voucher_beyond_a_batch_fails_before_any_write(
    double: BusinessCentralDouble,
) -> None:
    """A voucher of many claims may have more lines than a batch takes; the others are sent."""
    async with attempt(double, "R7T1") as delivery:
        before = len(double.writes())
        results = await delivery.send([voucher(1, ["1.00"] * 2, claims=34)])
        assert len(double.writes()) == before
        results += await delivery.send([voucher(2, ["1.00"], claims=50), voucher(3)])

    assert [(result.outcome, result.code) for result in results] == [
        (FAILED, DeliveryCode.VOUCHER_TOO_LARGE),
        (ACCEPTED, None),
        (ACCEPTED, None),
    ]


# P08


@pytest.mark.parametrize("status", [400, 403, 409, 412, 429, 500, 503])
async def test_p08_an_inner_failure_is_no_success_and_spares_the_others(
    double: BusinessCentralDouble, status: int
) -> None:
    """The outer 200 says nothing. Nothing of the voucher stays, none of the others is lost."""
    vouchers = [voucher(number) for number in range(1, 4)]
    double.misbehave(Fault("inner_status", BATCH, status=status, operation=4))

    results = await send(double, vouchers)

    assert results[1].outcome is FAILED
    assert results[1].field == "records[2]"
    assert results[1].is_retryable == (status in {429, 500, 503})
    accepted = [result.voucher_number for result in results if result.outcome is ACCEPTED]
    assert sorted(double.documents()) == [f"HLF26-{n:06}" for n in accepted for _ in range(3)]
    others = {result.code for result in (results[0], results[2])}
    assert others == ({DeliveryCode.NOT_SENT} if status in {403, 429, 503} else {None})


@pytest.mark.parametrize("status", [408, 502, 504])
async def test_p08_an_inner_time_out_is_unknown(double: BusinessCentralDouble, status: int) -> None:
    """Whether it was done cannot be told from these, so it counts as possibly done."""
    double.misbehave(Fault("inner_status", BATCH, status=status, operation=1))

    (result,) = await send(double, [voucher()])

    assert (result.outcome, result.code) == (UNKNOWN, DeliveryCode.REPLY_LOST)


@pytest.mark.parametrize("kind", ["inner_silence", "inner_twice", "inner_stranger"])
@pytest.mark.parametrize("payable", [("G/L Account", "2930"), EMPLOYEE])
async def test_p08_an_answer_missing_or_given_twice_is_no_success(
    double: BusinessCentralDouble, kind: FaultKind, payable: tuple[str, str]
) -> None:
    """Nothing of such a voucher stays in sight, and what cannot be seen is unknown."""
    double.misbehave(Fault(kind, BATCH, operation=1))

    (result,) = await send(double, [voucher(payable=payable)])

    assert result.code == DeliveryCode.REPLY_INCOMPLETE
    hidden = [row for row in double.lines("R7T1") if row["accountType"] == "Employee"]
    assert double.lines("R7T1") == hidden
    assert result.outcome is (UNKNOWN if hidden else FAILED)


async def test_p08_the_vouchers_that_were_answered_for_count(
    double: BusinessCentralDouble,
) -> None:
    """One answer that is missing says nothing about the other vouchers of the batch."""
    double.misbehave(Fault("inner_silence", BATCH, operation=1))

    results = await send(double, [voucher(1), voucher(2)])

    assert [result.outcome for result in results] == [FAILED, ACCEPTED]
    assert double.documents() == ["HLF26-000002"] * 3


async def test_p08_no_answer_at_all_is_no_failure(double: BusinessCentralDouble) -> None:
    """Nothing can be seen and nothing was said: that does not mean that nothing will come."""
    double.misbehave(Fault("inner_nothing", BATCH))

    (result,) = await send(double, [voucher()])

    assert (result.outcome, result.code) == (UNKNOWN, DeliveryCode.REPLY_INCOMPLETE)


async def test_p08_an_answer_that_was_undone_does_not_count(double: BusinessCentralDouble) -> None:
    """The refusal that undid the batch is missing; only the answers before it are there."""
    double.misbehave(Fault("inner_silence", BATCH, operation=5))

    results = await send(double, [voucher(1), voucher(2, payable=("G/L Account", "9999"))])

    assert double.documents() == []
    assert {result.outcome for result in results} == {UNKNOWN}


# P09


async def test_p09_lines_that_a_failed_rollback_left_are_deleted(
    double: BusinessCentralDouble,
) -> None:
    """Nothing is left of the refused voucher; the one before it is sent again, once."""
    double.service.undoes_batches = False
    bad = voucher(2, payable=("G/L Account", "9999"))

    results = await send(double, [voucher(1), bad, voucher(3)])

    assert [result.outcome for result in results] == [ACCEPTED, FAILED, ACCEPTED]
    assert (results[1].code, results[1].field) == (
        DeliveryCode.VALUE_UNKNOWN,
        "records[3].accountNumber",
    )
    assert sorted(double.documents()) == ["HLF26-000001"] * 3 + ["HLF26-000003"] * 3


async def test_p09_a_hidden_line_that_can_be_deleted_is(double: BusinessCentralDouble) -> None:
    """Where the service lets an employee's line be deleted by its identifier, the voucher fails."""
    double.service.undoes_batches = False
    double.service.hidden_by_id = True
    double.misbehave(Fault("inner_status", BATCH, status=400, operation=2))

    (result,) = await send(double, [voucher(payable=EMPLOYEE)])

    assert result.outcome is FAILED
    assert double.lines("R7T1") == []


async def test_p09_a_hidden_line_that_cannot_be_deleted_is_unknown_until_the_journal_goes(
    double: BusinessCentralDouble,
) -> None:
    """The journal may hold a line that nobody can see: only the next attempt gets rid of it."""
    double.service.undoes_batches = False
    double.misbehave(Fault("inner_status", BATCH, status=400, operation=2))
    vouchers = [voucher(1, payable=EMPLOYEE), voucher(2)]

    results = await send(double, vouchers)

    assert [(result.outcome, result.code) for result in results] == [
        (UNKNOWN, DeliveryCode.TARGET_REFUSED),
        (FAILED, DeliveryCode.NOT_SENT),
    ]
    assert accounts(double) == ["1007"]

    results = await settle(double, vouchers, ["R7T1"], "R7T2")
    assert [result.outcome for result in results] == [ACCEPTED, ACCEPTED]
    assert sorted(double.documents()) == ["HLF26-000001"] * 3 + ["HLF26-000002"] * 3


async def test_p09_a_right_rollback_costs_one_look(double: BusinessCentralDouble) -> None:
    """Where nothing was left nothing is deleted."""
    await send(double, [voucher(1), voucher(2, payable=("G/L Account", "9999"))])

    assert double.requests("DELETE") == []


# P10


@pytest.mark.parametrize("payable", [("G/L Account", "2930"), EMPLOYEE])
async def test_p10_a_reply_lost_after_the_work_makes_no_double(
    double: BusinessCentralDouble, payable: tuple[str, str]
) -> None:
    """The journal shows the lines, so they were accepted and are not sent again."""
    vouchers = [voucher(number, payable=payable) for number in (1, 2)]

    async with attempt(double, "R7T1") as delivery:
        double.misbehave(Fault("cut_reply", BATCH))
        results = await delivery.send(vouchers)
        again = await delivery.send(vouchers)

    assert [result.outcome for result in results] == [ACCEPTED, ACCEPTED]
    assert again == results
    assert len(double.lines("R7T1")) == 6
    assert len(double.requests(BATCH)) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault("cut_request", BATCH),
        Fault("arrive_late", BATCH),
        Fault("status", BATCH, status=502),
        Fault("status", BATCH, status=503),
        Fault("status", BATCH, status=504),
        Fault("status", BATCH, status=408),
        Fault("status", BATCH, status=500),
        Fault("gateway_page", BATCH, status=502),
        Fault("gateway_page", BATCH, status=302),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_p10_what_cannot_be_seen_is_unknown_and_never_sent_again(
    double: BusinessCentralDouble, fault: Fault
) -> None:
    """Neither by itself nor when asked again; the vouchers after it are not sent at all."""
    double.misbehave(replace(fault))
    vouchers = [voucher(1), voucher(2)]

    async with attempt(double, "R7T1", operations_per_batch=3) as delivery:
        results = await delivery.send(vouchers)
        again = await delivery.send(vouchers)

    assert [(result.outcome, result.code) for result in results] == [
        (UNKNOWN, DeliveryCode.REPLY_LOST),
        (FAILED, DeliveryCode.NOT_SENT),
    ]
    assert [result.is_retryable for result in results] == [False, True]
    assert again == results
    assert len(double.requests(BATCH)) == 1


@pytest.mark.parametrize("releases_before_clearing", [True, False])
async def test_p10_a_request_that_lands_late_makes_no_double(
    double: BusinessCentralDouble, *, releases_before_clearing: bool
) -> None:
    """Before the next attempt it is cleared away; after it, its journal is gone."""
    double.misbehave(Fault("arrive_late", BATCH))
    vouchers = [voucher(1, payable=EMPLOYEE), voucher(2)]
    results = await send(double, vouchers)
    assert {result.outcome for result in results} == {UNKNOWN}

    if releases_before_clearing:
        double.release()
        assert len(double.documents()) == 6
    results = await settle(double, vouchers, ["R7T1"], "R7T2")
    double.release()

    assert {result.outcome for result in results} == {ACCEPTED}
    assert len(double.lines("R7T2")) == 6
    assert sorted(double.documents()) == ["HLF26-000001"] * 3 + ["HLF26-000002"] * 3


async def test_p10_a_part_that_is_seen_is_deleted_and_unknown(
    double: BusinessCentralDouble,
) -> None:
    """The reply is lost, and the rollback of the failing batch too."""
    double.service.undoes_batches = False
    double.misbehave(Fault("cut_reply", BATCH))

    results = await send(double, [voucher(1), voucher(2, payable=("G/L Account", "9999"))])

    assert {(result.outcome, result.code) for result in results} == {
        (UNKNOWN, DeliveryCode.REPLY_LOST)
    }
    assert double.documents() == []


async def test_p10_a_hidden_last_line_is_not_taken_for_granted(
    double: BusinessCentralDouble,
) -> None:
    """One debit and the employee's line after it: seeing the debit does not prove the other."""
    double.misbehave(Fault("cut_reply", BATCH))

    (result,) = await send(double, [voucher(1, ["100.00"], payable=EMPLOYEE)])

    assert result.outcome is UNKNOWN


async def test_p10_a_reply_lost_while_the_journal_is_made_makes_no_second(
    double: BusinessCentralDouble,
) -> None:
    """The journal is looked up and used."""
    double.misbehave(Fault("cut_reply", "POST /v2.0/hlf.example/Sandbox/api/v2.0/companies"))

    (result,) = await send(double, [voucher()])

    assert result.outcome is ACCEPTED
    assert [row["code"] for row in double.books.journals.values()] == ["DEFAULT", "R7T1"]


async def test_p10_what_is_posted_is_found_before_it_is_sent(
    double: BusinessCentralDouble,
) -> None:
    """The accountant was faster than the next attempt: nothing is sent a second time."""
    vouchers = [voucher(1, payable=EMPLOYEE), voucher(2)]
    await send(double, vouchers)
    double.post("R7T1")

    results = await settle(double, [*vouchers, voucher(3)], ["R7T1"], "R7T2")

    assert [result.outcome for result in results] == [ALREADY_THERE, ALREADY_THERE, ACCEPTED]
    assert double.documents() == ["HLF26-000003"] * 3


# P12


async def test_p12_a_journal_with_foreign_lines_is_refused_before_any_write(
    double: BusinessCentralDouble,
) -> None:
    """Posting the journal would post them too."""
    double.enter("R7T1", accountNumber="7140", documentNumber="X1", amount=Decimal(5))

    with pytest.raises(DeliveryRefused, match="delivery_container_has_foreign_lines"):
        await send(double, [voucher()])

    assert double.writes() == []


async def test_p12_a_journal_with_a_balancing_account_is_refused_before_any_line(
    double: BusinessCentralDouble,
) -> None:
    """Every line would be entered twice. A new journal has its template's account."""
    double.books.template_balancing_account = "1920"

    with pytest.raises(DeliveryRefused, match="delivery_container_balances") as refused:
        await send(double, [voucher()])

    assert refused.value.field == "journal_template"
    assert [write.request.split()[0] for write in double.writes()] == ["POST", "DELETE"]
    assert double.books.journal_of("R7T1") is None, "no empty journal stays for each attempt"


async def test_p12_a_balancing_account_that_a_journal_of_ours_was_given_is_seen(
    double: BusinessCentralDouble,
) -> None:
    """Somebody added it after an attempt had made the journal."""
    journal = double.books.add_journal({"code": "R7T1", "displayName": "Export R7T1"})
    journal["balancingAccountId"] = "11111111-2222-4333-8444-555555555555"

    with pytest.raises(DeliveryRefused, match="delivery_container_balances"):
        await send(double, [voucher()])


async def test_p12_clearing_touches_nothing_of_anybody_else(double: BusinessCentralDouble) -> None:
    """A line that somebody else entered in our journal stops the clearing, with all lines there."""
    await send(double, [voucher()])
    double.enter("R7T1", accountNumber="7140", documentNumber="X1", amount=Decimal(5))

    with pytest.raises(DeliveryRefused, match="delivery_container_has_foreign_lines"):
        await settle(double, [voucher()], ["R7T1"], "R7T2")

    assert len(double.lines("R7T1")) == 4
    assert double.lines("R7T2") == []


@pytest.mark.parametrize("step", ["open", "clear"])
async def test_p12_a_journal_that_somebody_else_made_is_left_alone(
    double: BusinessCentralDouble, step: str
) -> None:
    """An accountant may have had one of the same name, empty today."""
    double.books.add_journal({"code": "R7T1", "displayName": "Lønn"})

    async with attempt(double) as delivery:
        with pytest.raises(DeliveryRefused, match="delivery_container_has_foreign_lines"):
            await (delivery.open("R7T1") if step == "open" else delivery.clear("R7T1", ()))

    assert double.writes() == []


async def test_posting_that_renames_the_journal_stops_nobody(
    double: BusinessCentralDouble,
) -> None:
    """The empty journal with the next name is taken, although it still says whose it was."""
    double.books.increments_names = True
    await send(double, [voucher(1, payable=EMPLOYEE)])
    double.post("R7T1")
    assert double.books.journal_of("R7T2") is not None

    results = await settle(double, [voucher(1), voucher(2)], ["R7T1"], "R7T2")
    again = await settle(double, [voucher(1), voucher(2)], ["R7T1", "R7T2"], "R7T3")

    assert [result.outcome for result in results] == [ALREADY_THERE, ACCEPTED]
    assert [result.outcome for result in again] == [ALREADY_THERE, ACCEPTED]
    assert double.documents() == ["HLF26-000002"] * 3


async def test_a_journal_that_somebody_renamed_stops_the_next_attempt(
    double: BusinessCentralDouble,
) -> None:
    """Its lines will be posted some day: to send the vouchers again would enter them twice."""
    await send(double, [voucher()])
    journal = double.books.journal_of("R7T1")
    assert journal is not None
    journal["code"] = "UTLEGG"

    with pytest.raises(DeliveryRefused, match="delivery_container_has_foreign_lines"):
        await settle(double, [voucher()], ["R7T1"], "R7T2")

    assert double.documents() == ["HLF26-000001"] * 3


async def test_an_outrun_attempt_writes_nothing_any_more(double: BusinessCentralDouble) -> None:
    """Its journal is gone; one of the same name would be another journal."""
    vouchers = [voucher(1, payable=EMPLOYEE), voucher(2)]
    async with attempt(double, "R7T1") as outrun:
        results = await settle(double, vouchers, ["R7T1"], "R7T2")
        late = await outrun.send(vouchers)

    assert {result.outcome for result in results} == {ACCEPTED}
    assert not any(result.outcome is ACCEPTED for result in late)
    assert sorted(double.documents()) == ["HLF26-000001"] * 3 + ["HLF26-000002"] * 3
    assert double.books.journal_of("R7T1") is None


async def test_clearing_is_idempotent_and_removes_what_nobody_sees(
    double: BusinessCentralDouble,
) -> None:
    """Also of a container that never was, and also when the reply is lost."""
    await send(double, [voucher(payable=EMPLOYEE)])
    double.misbehave(Fault("cut_reply", "DELETE"))

    async with attempt(double) as delivery:
        for container in ("R7T1", "R7T1", "R6T9"):
            await delivery.clear(container, {voucher().document_number})

    assert double.documents() == []
    assert double.books.journal_of("R7T1") is None


@pytest.mark.parametrize("status", [400, 403, 409])
async def test_clearing_that_is_refused_says_so(double: BusinessCentralDouble, status: int) -> None:
    """For a person to mend: an approval is open, or the right to delete is missing."""
    await send(double, [voucher()])
    double.misbehave(Fault("status", "DELETE", times=99, status=status, code="No_Way"))

    async with attempt(double) as delivery:
        with pytest.raises(DeliveryRefused) as refused:
            await delivery.clear("R7T1", {voucher().document_number})

    assert refused.value.remote_code == "No_Way"
    assert refused.value.correlation_id


async def test_a_journal_that_must_be_empty_first_is_emptied(
    double: BusinessCentralDouble,
) -> None:
    """Where a journal does not go with its lines, the lines go one by one."""
    await send(double, [voucher()])
    double.misbehave(Fault("status", "DELETE", status=400))

    async with attempt(double) as delivery:
        await delivery.clear("R7T1", {voucher().document_number})

    assert len(double.requests("DELETE")) == 5
    assert double.books.journal_of("R7T1") is None


async def test_clearing_that_cannot_be_known_says_so(double: BusinessCentralDouble) -> None:
    """The caller may not begin anew while the old container may still fill."""
    await send(double, [voucher()])
    double.misbehave(Fault("status", "DELETE", times=999, status=503))

    async with attempt(double, patience_seconds=0.2) as delivery:
        with pytest.raises(DeliveryUnavailable):
            await delivery.clear("R7T1", {voucher().document_number})


# P13


def pauses_in(logs: Sequence[Mapping[str, Any]]) -> list[float]:
    """How long the client meant to wait, which a busy machine does not change."""
    return [log["wait_for"] for log in logs if log["event"] == "stamina.retry_scheduled"]


def pauses_before(double: BusinessCentralDouble, part: str) -> list[float]:
    """How long the service was left alone."""
    arrivals = [request.at for request in double.requests(part)]
    return [later - earlier for earlier, later in pairwise(arrivals)]


COMPANIES = "GET /v2.0/hlf.example/Sandbox/api/v2.0/companies"


@pytest.mark.parametrize(
    ("status", "part"), [(429, BATCH), (429, COMPANIES), (503, COMPANIES), (502, COMPANIES)]
)
async def test_p13_without_retry_after_pauses_grow_with_jitter_up_to_a_cap(
    double: BusinessCentralDouble, status: int, part: str
) -> None:
    """Nothing is lost meanwhile."""
    double.misbehave(Fault("status", part, times=5, status=status))

    with structlog.testing.capture_logs() as logs:
        (result,) = await send(
            double, [voucher()], first_pause_seconds=0.05, longest_pause_seconds=0.2
        )

    assert result.outcome is ACCEPTED
    pauses = pauses_in(logs)
    assert len(pauses) == 5
    assert 0.05 <= pauses[0] <= 0.1 <= pauses[1] <= 0.15
    assert pauses[2:] == [0.2] * 3
    assert pauses_before(double, part)[4] >= 0.2


async def test_p13_pauses_differ_by_chance(double: BusinessCentralDouble) -> None:
    """Workers that were turned away together do not come back together."""
    with structlog.testing.capture_logs() as logs:
        async with attempt(
            double, "R7T1", first_pause_seconds=0.1, longest_pause_seconds=1
        ) as delivery:
            for number in range(1, 9):
                double.misbehave(Fault("status", BATCH, status=429))
                await delivery.send([voucher(number)])

    assert len(set(pauses_in(logs))) > 1


@pytest.mark.parametrize(
    ("status", "part"), [(429, BATCH), (429, COMPANIES), (502, COMPANIES), (503, COMPANIES)]
)
@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_p13_retry_after_is_obeyed(
    double: BusinessCentralDouble, status: int, part: str, form: str
) -> None:
    """In seconds and as a date, for reads and for what was certainly not done."""
    at = datetime.now(UTC) + timedelta(seconds=2)
    wish = "1" if form == "seconds" else format_datetime(at, usegmt=True)
    double.misbehave(Fault("status", part, status=status, headers={"Retry-After": wish}))

    with structlog.testing.capture_logs() as logs:
        (result,) = await send(double, [voucher()], patience_seconds=30)

    assert result.outcome is ACCEPTED
    (pause,) = pauses_in(logs)
    if form == "seconds":
        assert pause == 1
        assert pauses_before(double, part)[0] >= 1
    else:
        assert pause <= 2
        assert datetime.now(UTC) >= at.replace(microsecond=0)


async def test_p13_a_longer_wish_than_our_patience_is_passed_on(
    double: BusinessCentralDouble,
) -> None:
    """The caller may come back at the time that the service named."""
    double.misbehave(Fault("status", "/companies", status=429, headers={"Retry-After": "600"}))

    async with attempt(double) as delivery:
        with pytest.raises(DeliveryUnavailable, match="delivery_throttled") as away:
            await delivery.check()

    assert away.value.retry_after == 600


async def test_p13_a_storm_ends_as_failed_for_every_voucher(double: BusinessCentralDouble) -> None:
    """Nothing was written, so all may be sent later; and no request after the first gives up."""
    async with attempt(double, "R7T1", patience_seconds=0.3, operations_per_batch=3) as delivery:
        double.misbehave(Fault("status", BATCH, times=999, status=429))
        results = await delivery.send([voucher(1), voucher(2)])
        seen = len(double.requests(BATCH))
        double.heal()
        later = await delivery.send([voucher(2)])

    assert [(r.outcome, r.code, r.is_retryable) for r in results] == [
        (FAILED, DeliveryCode.TARGET_BUSY, True),
        (FAILED, DeliveryCode.NOT_SENT, True),
    ]
    assert {o["body"]["documentNumber"] for b in double.requests(BATCH) for o in b.operations} == {
        "HLF26-000001"
    }
    assert later[0].code == DeliveryCode.NOT_SENT, "this attempt is over"
    assert len(double.requests(BATCH)) == seen


@pytest.mark.parametrize("wish", ["0", "-1", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "9" * 400])
async def test_p13_a_senseless_wish_makes_no_storm(
    double: BusinessCentralDouble, wish: str
) -> None:
    """No pause at all would be one for each of our requests; an endless one is passed on, cut."""
    fault = Fault("status", "/companies", times=9999, status=429, headers={"Retry-After": wish})
    double.misbehave(fault)

    pauses = {"first_pause_seconds": 0.1, "longest_pause_seconds": 0.1}
    async with attempt(double, patience_seconds=0.5, **pauses) as delivery:
        with pytest.raises(DeliveryUnavailable) as away:
            await delivery.check()

    assert len(double.requests("/companies")) <= 6
    assert (away.value.retry_after or 0) <= 86_400


async def test_p13_a_503_counts_as_not_done_only_where_that_is_set(
    double: BusinessCentralDouble,
) -> None:
    """With the setting a throttled write is repeated after the pause that was asked for."""
    double.misbehave(Fault("status", BATCH, status=503, headers={"Retry-After": "1"}))

    (result,) = await send(double, [voucher()], resend_after_503=True)

    first, second = [request.at for request in double.requests(BATCH)]
    assert result.outcome is ACCEPTED
    assert second - first >= 0.9


# P14


@pytest.mark.parametrize("status", [400, 403, 404])
async def test_p14_a_refusal_is_not_repeated_and_keeps_its_code_and_identifier(
    double: BusinessCentralDouble, status: int
) -> None:
    """The whole batch is refused: the voucher failed for good, and says with what."""
    double.misbehave(Fault("status", BATCH, times=99, status=status, code="Internal_Anything"))

    (result,) = await send(double, [voucher()])

    assert (result.outcome, result.is_retryable) == (FAILED, False)
    assert result.remote_code == "Internal_Anything"
    assert re.fullmatch(r"[0-9a-f-]{36}", result.correlation_id or "")
    assert len(double.requests(BATCH)) == 1


async def test_p14_secret_and_token_are_nowhere_to_be_read(
    double: BusinessCentralDouble, capfd: pytest.CaptureFixture[str]
) -> None:
    """Though the service repeats both in its messages: not in errors, results, logs or reprs."""
    secret = double.login.client_secret
    told: list[str] = []
    with structlog.testing.capture_logs() as logs:
        double.misbehave(Fault("status", "/companies", times=2, status=503))
        double.login.permitted = False
        async with attempt(double) as delivery:
            with pytest.raises(DeliveryRefused, match="delivery_not_permitted") as refused:
                await delivery.check()
            told += [*shown(refused.value), repr(delivery), str(vars(delivery))]
        TOKENS.clear()
        double.login.client_secret = "another"
        async with attempt(double) as delivery:
            double.login.client_secret = "a third"
            with pytest.raises(DeliveryRefused, match="delivery_sign_in_refused") as refused:
                await delivery.check()
            told += shown(refused.value)
        double.login.client_secret = secret
        double.login.permitted = True
        double.misbehave(Fault("status", BATCH, status=400, repeats_headers=True))
        told += [str(result) for result in await send(double, [voucher()])]
    told += [str(logs), *capfd.readouterr(), repr(TOKENS), str(vars(TOKENS))]

    assert any("***" in text for text in told), "there was something to take out"
    assert len(logs) >= 2, "there was something to log"
    for hidden in (secret, "another", *double.login.issued):
        assert [text for text in told if hidden in text] == []


def shown(error: Exception) -> list[str]:
    """All that anybody could print of it."""
    return [str(error), repr(error), str(vars(error)), *traceback.format_exception(error)]


async def test_p14_a_missing_right_stops_the_run(double: BusinessCentralDouble) -> None:
    """The application has a token but no row in Business Central."""
    double.login.permitted = False

    async with attempt(double) as delivery:
        with pytest.raises(DeliveryRefused, match="delivery_not_permitted") as refused:
            await delivery.check()

    assert refused.value.remote_code == "Authorization_RequestDenied"
    assert refused.value.correlation_id
    assert len(double.seen) == 3, "environment, token, companies"


# P15


@pytest.mark.parametrize("most", [1, 3, 5])
async def test_p15_no_more_requests_are_under_way_than_allowed(
    double: BusinessCentralDouble, most: int
) -> None:
    """One unless more is set."""
    double.misbehave(Fault("slow", BATCH, times=99, seconds=0.2))
    settings = {} if most == 1 else {"max_in_flight": most}

    results = await send(
        double, [voucher(n) for n in range(1, 11)], operations_per_batch=3, **settings
    )

    assert {result.outcome for result in results} == {ACCEPTED}
    assert double.peak == most


async def test_p15_more_than_five_cannot_be_set(double: BusinessCentralDouble) -> None:
    """The service lets the others wait, until it times out."""
    with pytest.raises(DeliveryRefused, match="delivery_setting_invalid") as refused:
        async with attempt(double, max_in_flight=6):
            pass
    assert refused.value.field == "max_in_flight"


# P17 and P18


async def test_p17_account_types_are_decoded_before_they_are_compared(
    double: BusinessCentralDouble,
) -> None:
    """The service writes G_x002F_L_x0020_Account, and verification recognises it."""
    async with attempt(double, "R7T1") as delivery:
        await delivery.send([voucher()])
        (result,) = await delivery.verify([voucher()])
        assert result.outcome is ACCEPTED
        double.lines("R7T1")[0]["accountType"] = "Bank Account"
        (result,) = await delivery.verify([voucher()])
        assert result.outcome is UNKNOWN


async def test_p18_hidden_lines_are_tolerated(double: BusinessCentralDouble) -> None:
    """Employee lines are never listed, so their absence says nothing."""
    async with attempt(double, "R7T1") as delivery:
        await delivery.send([voucher(payable=EMPLOYEE)])
        (result,) = await delivery.verify([voucher(payable=EMPLOYEE)])

    assert result.outcome is ACCEPTED


@pytest.mark.parametrize("change", ["missing", "amount", "account", "extra", "twice"])
async def test_p18_a_line_missing_or_different_fails_the_verification(
    double: BusinessCentralDouble, change: str
) -> None:
    """Whatever happened to it: the voucher is not what was sent."""
    async with attempt(double, "R7T1") as delivery:
        await delivery.send([voucher(1), voucher(2)])
        first = double.lines("R7T1")[0]
        if change == "missing":
            double.books.delete_line(first["id"])
        elif change == "amount":
            first["amount"] += Decimal("0.01")
        elif change == "account":
            first["accountNumber"] = "7100"
        else:
            number = first["externalDocumentNumber"] if change == "twice" else "ELSE"
            double.enter(
                "R7T1",
                accountNumber="7140",
                documentNumber=first["documentNumber"],
                externalDocumentNumber=number,
                postingDate=first["postingDate"],
                amount=first["amount"],
            )
        results = await delivery.verify([voucher(1), voucher(2)])

    assert [(r.outcome, r.code) for r in results] == [
        (UNKNOWN, DeliveryCode.LINES_DIFFER),
        (ACCEPTED, None),
    ]


async def test_p18_what_was_posted_meanwhile_verifies_in_the_ledger(
    double: BusinessCentralDouble,
) -> None:
    """An accountant posted between sending and verifying."""
    async with attempt(double, "R7T1") as delivery:
        await delivery.send([voucher()])
        double.post("R7T1")
        (result,) = await delivery.verify([voucher()])

    assert result.outcome is ALREADY_THERE


# P19

OSLO = {"AVDELING": "OSLO", "PROSJEKT": "P204"}


def dimensions_of(double: BusinessCentralDouble) -> set[tuple[str, str]]:
    return {
        (row["code"], row["valueCode"])
        for held in double.books.dimension_sets.values()
        for row in held.values()
    }


async def test_p19_dimensions_are_set_after_the_lines(double: BusinessCentralDouble) -> None:
    """Each expense line gets its own."""
    (result,) = await send(double, [voucher(dimensions=OSLO)])

    assert result.outcome is ACCEPTED
    assert dimensions_of(double) == {("AVDELING", "OSLO"), ("PROSJEKT", "P204")}
    assert [len(held) for held in double.books.dimension_sets.values()] == [2, 2, 0]


async def test_p19_an_account_s_default_is_corrected_with_its_version(
    double: BusinessCentralDouble,
) -> None:
    """The default came first, so the value is changed, under If-Match."""
    double.books.accounts["G/L Account", "7140"].default_dimensions = {"AVDELING": "BERGEN"}

    (result,) = await send(double, [voucher(dimensions=OSLO)])

    assert result.outcome is ACCEPTED
    assert dimensions_of(double) == {("AVDELING", "OSLO"), ("PROSJEKT", "P204")}
    changes = double.requests("PATCH")
    assert len(changes) == 2
    assert all(re.fullmatch(r'W/"\d+"', change.headers["if-match"]) for change in changes)
    assert changes[0].body == {"valueCode": "OSLO"}


async def test_p19_a_default_that_is_right_already_is_left_alone(
    double: BusinessCentralDouble,
) -> None:
    """It is read, not written."""
    double.books.accounts["G/L Account", "7140"].default_dimensions = {"AVDELING": "OSLO"}

    (result,) = await send(double, [voucher(dimensions=OSLO)])

    assert result.outcome is ACCEPTED
    assert double.requests("PATCH") == []


async def test_p19_a_version_that_changed_meanwhile_is_read_again(
    double: BusinessCentralDouble,
) -> None:
    """409 and 412 mean that somebody was faster."""
    double.books.accounts["G/L Account", "7140"].default_dimensions = {"AVDELING": "BERGEN"}
    double.misbehave(
        Fault("status", "PATCH", status=409, code="Request_EntityChanged"),
        Fault("status", "PATCH", status=412),
    )

    (result,) = await send(double, [voucher(dimensions=OSLO)])

    assert result.outcome is ACCEPTED
    assert dimensions_of(double) == {("AVDELING", "OSLO"), ("PROSJEKT", "P204")}


@pytest.mark.parametrize("payable", [("G/L Account", "2930"), EMPLOYEE])
@pytest.mark.parametrize("wrong", [{"AVDELING": "ATLANTIS"}, {"FOND": "A"}])
async def test_p19_a_value_that_is_not_there_fails_its_voucher_before_any_write(
    double: BusinessCentralDouble, payable: tuple[str, str], wrong: dict[str, str]
) -> None:
    """Each value is asked for once, and the other vouchers go on."""
    vouchers = [voucher(1, payable=payable, dimensions=wrong)]
    vouchers += [voucher(number, payable=payable, dimensions=OSLO) for number in (2, 3)]

    async with attempt(double, "R7T1") as delivery:
        results = await delivery.send(vouchers)
        asked = len(double.requests("/dimension"))
        results += await delivery.send([voucher(4, dimensions=OSLO)])

    assert [result.outcome for result in results] == [FAILED, ACCEPTED, ACCEPTED, ACCEPTED]
    assert (results[0].code, results[0].field) == (
        DeliveryCode.DIMENSION_REFUSED,
        f"records[1].dimensions.{next(iter(wrong))}",
    )
    assert results[0].was_refused
    assert "HLF26-000001" not in "".join(write.text for write in double.writes())
    assert len([r for r in double.requests("/dimension") if "SetLines" not in r.path]) == asked


async def test_p19_where_values_cannot_be_asked_for_the_write_decides(
    double: BusinessCentralDouble,
) -> None:
    """No right to read them, or no such address."""
    double.misbehave(Fault("status", "/dimensions", times=99, status=403))
    vouchers = [voucher(1, dimensions={"AVDELING": "ATLANTIS"}), voucher(2, dimensions=OSLO)]

    results = await send(double, vouchers)

    assert [result.outcome for result in results] == [FAILED, ACCEPTED]
    assert double.documents() == ["HLF26-000002"] * 3


async def test_p19_nothing_is_sent_while_values_cannot_be_asked_for(
    double: BusinessCentralDouble,
) -> None:
    """The service is away: all of it may be sent later."""
    double.misbehave(Fault("status", "/dimensions", times=999, status=503))

    results = await send(double, [voucher(1, dimensions=OSLO), voucher(2)], patience_seconds=0.2)

    assert {(r.outcome, r.is_retryable) for r in results} == {(FAILED, True)}
    assert double.requests(BATCH) == []


async def test_p19_a_dimension_that_is_refused_fails_the_voucher_and_removes_its_lines(
    double: BusinessCentralDouble,
) -> None:
    """A voucher without its department is not the voucher that was meant; the next one goes on."""
    bad = voucher(1, dimensions={"AVDELING": "ATLANTIS"})

    results = await send(double, [bad, voucher(2, dimensions=OSLO)], check_dimensions=False)

    assert [result.outcome for result in results] == [FAILED, ACCEPTED]
    assert (results[0].code, results[0].field) == (
        DeliveryCode.DIMENSION_REFUSED,
        "records[1].dimensions.AVDELING",
    )
    assert results[0].remote_code == "Internal_InvalidTableRelation"
    assert results[0].correlation_id
    assert double.documents() == ["HLF26-000002"] * 3


async def test_p19_a_refused_dimension_beside_a_hidden_line_is_unknown(
    double: BusinessCentralDouble,
) -> None:
    """The employee's line cannot be taken out one by one; the reason is told all the same."""
    bad = voucher(1, payable=EMPLOYEE, dimensions={"AVDELING": "ATLANTIS"})

    (result,) = await send(double, [bad], check_dimensions=False)

    assert (result.outcome, result.code) == (UNKNOWN, DeliveryCode.DIMENSION_REFUSED)
    assert result.was_refused
    assert accounts(double) == ["1007"]


@pytest.mark.parametrize("dimensions", [{"AVDELING": " "}, {"AVDELING": "x" * 21}, {"": "OSLO"}])
async def test_p19_a_dimension_that_cannot_be_right_is_never_sent(
    double: BusinessCentralDouble, dimensions: dict[str, str]
) -> None:
    """Nothing is written, and the field names the dimension."""
    (result,) = await send(double, [voucher(dimensions=dimensions)])

    assert result.code == DeliveryCode.RECORD_INVALID
    assert result.field == f"records[1].dimensions.{next(iter(dimensions))}"
    assert double.requests(BATCH) == []


async def test_equal_lines_of_a_voucher_are_told_apart(double: BusinessCentralDouble) -> None:
    """A third party's records may repeat an external number: each line still counts once."""
    whole = voucher(1, ["100.00"] * 3)
    first, *_, last = whole.records
    same = replace(whole, records=(first, first, first, last))

    async with attempt(double, "R7T1") as delivery:
        double.misbehave(Fault("cut_reply", BATCH))
        (sent,) = await delivery.send([same])
        double.books.delete_line(double.lines("R7T1")[1]["id"])
        (verified,) = await delivery.verify([same])

    assert (sent.outcome, len(set(sent.remote_ids))) == (ACCEPTED, 4)
    assert verified.outcome is UNKNOWN


async def test_p19_dimensions_survive_lost_replies(double: BusinessCentralDouble) -> None:
    """To set one again does no harm, so it is simply done."""
    double.misbehave(
        Fault("cut_reply", BATCH, after=1),
        Fault("cut_reply", "/dimensionSetLines", times=2),
    )

    (result,) = await send(double, [voucher(dimensions=OSLO)])

    assert result.outcome is ACCEPTED
    assert [len(held) for held in double.books.dimension_sets.values()] == [2, 2, 0]


async def test_p19_dimensions_that_never_get_through_leave_no_voucher_accepted(
    double: BusinessCentralDouble,
) -> None:
    """The lines are there and the dimensions are not: it is taken back."""
    double.misbehave(Fault("status", BATCH, times=999, after=1, status=429))

    results = await send(double, [voucher(1, dimensions=OSLO), voucher(2)], patience_seconds=0.2)

    assert results[0].outcome is FAILED
    assert results[0].is_retryable
    assert results[1].outcome is ACCEPTED
    assert double.documents() == ["HLF26-000002"] * 3


# P21


async def test_p21_the_ledger_s_sums_decide(double: BusinessCentralDouble) -> None:
    """VAT adds entries and keeps the sums; other sums are in doubt, and absent is not mentioned."""
    double.books.accounts["G/L Account", "7140"].vat_share = Decimal("0.2")
    await send(double, [voucher(1)])
    double.post("R7T1")
    double.books.add_entry(document_number="HLF26-000002", amount=Decimal("1740.50"))
    double.books.add_entry(document_number="HLF26-000002", amount=Decimal("-1740.49"))
    assert len(double.books.entries) == 7

    async with attempt(double) as delivery:
        results = await delivery.find([voucher(number) for number in range(1, 31)])

    assert [(r.voucher_number, r.outcome, r.code) for r in results] == [
        (1, ALREADY_THERE, None),
        (2, UNKNOWN, DeliveryCode.LEDGER_DIFFERS),
    ]


async def test_p21_a_document_that_was_reversed_by_hand_is_in_doubt(
    double: BusinessCentralDouble,
) -> None:
    """It stands there twice, with opposite signs: that is for a person to judge."""
    await send(double, [voucher(1)])
    double.post("R7T1")
    for entry in list(double.books.entries):
        amount = entry["creditAmount"] - entry["debitAmount"]
        double.books.add_entry(document_number="HLF26-000001", amount=amount)

    async with attempt(double) as delivery:
        (result,) = await delivery.find([voucher(1)])

    assert result.outcome is UNKNOWN


# P22


async def test_p22_a_service_that_does_not_answer_ends_in_time(
    double: BusinessCentralDouble,
) -> None:
    """A read is given up; a write is unknown."""
    async with attempt(double, "R7T1", read_seconds=0.2, patience_seconds=0.3) as delivery:
        double.misbehave(
            Fault("slow", BATCH, seconds=30), Fault("slow", "GET", times=9, seconds=30)
        )
        async with asyncio.timeout(10):
            (result,) = await delivery.send([voucher()])

    assert (result.outcome, result.code) == (UNKNOWN, DeliveryCode.REPLY_LOST)


async def test_p22_an_answer_that_never_ends_is_given_up(double: BusinessCentralDouble) -> None:
    """Each byte comes in time, and all of them would take minutes."""
    async with attempt(double, "R7T1", read_seconds=5, request_seconds=0.5) as delivery:
        double.misbehave(Fault("drip", BATCH, seconds=0.1))
        async with asyncio.timeout(20):
            (result,) = await delivery.send([voucher()])

    assert result.outcome is ACCEPTED, "it was done, and the journal shows it"
    assert len(double.requests(BATCH)) == 1


@pytest.mark.parametrize("name", ["connect_seconds", "read_seconds", "request_seconds"])
@pytest.mark.parametrize("seconds", [0, 480])
async def test_p22_no_limit_can_be_set_beyond_the_service_s_own(
    double: BusinessCentralDouble, name: str, seconds: int
) -> None:
    """A request of eight minutes is cut off by the service, and then nobody knows."""
    with pytest.raises(DeliveryRefused, match="delivery_setting_invalid") as refused:
        async with attempt(double, **{name: seconds}):
            pass
    assert refused.value.field == name


# P23


async def test_p23_all_pages_are_read(double: BusinessCentralDouble) -> None:
    """Verification sees the lines of later pages too."""
    double.service.page_size = 2
    vouchers = [voucher(number) for number in range(1, 6)]

    async with attempt(double, "R7T1") as delivery:
        await delivery.send(vouchers)
        results = await delivery.verify(vouchers)

    assert {result.outcome for result in results} == {ACCEPTED}
    assert any("skiptoken" in request.query for request in double.requests("GET"))


async def test_p23_no_token_goes_to_another_host(double: BusinessCentralDouble) -> None:
    """A next page elsewhere is not asked for."""
    double.service.page_size = 2
    async with attempt(double, "R7T1") as delivery:
        await delivery.send([voucher()])
        double.misbehave(Fault("link_elsewhere", "GET", times=99))
        with pytest.raises(DeliveryRefused, match="delivery_link_elsewhere"):
            await delivery.verify([voucher()])

    assert not any("localhost" in request.headers["host"] for request in double.seen)


async def test_p23_pages_in_a_circle_end(double: BusinessCentralDouble) -> None:
    """A link that leads back is an answer that cannot be read, not a loop."""
    double.service.page_size = 1
    async with attempt(double, "R7T1") as delivery:
        await delivery.send([voucher()])
        double.misbehave(Fault("link_back", "GET", times=99))
        with pytest.raises(DeliveryUnavailable):
            await delivery.verify([voucher()])


@pytest.mark.parametrize("kind", ["gateway_page", "unreadable"])
async def test_an_answer_that_cannot_be_read_is_lost(
    double: BusinessCentralDouble, kind: FaultKind
) -> None:
    """A batch answered with 200 by something on the way: nobody knows."""
    double.misbehave(Fault(kind, BATCH, status=200))

    (result,) = await send(double, [voucher()])

    assert result.outcome is (UNKNOWN if kind == "gateway_page" else ACCEPTED)
    assert len(double.requests(BATCH)) == 1
    double.misbehave(Fault(kind, "GET", times=99, status=200))
    async with attempt(double, patience_seconds=0.2) as delivery:
        with pytest.raises(DeliveryUnavailable):
            await delivery.find([voucher()])


async def test_one_voucher_is_not_sent_twice_at_once(double: BusinessCentralDouble) -> None:
    """Two of one document number in a call are a defect of the caller's."""
    with pytest.raises(Defect):
        await send(double, [voucher(), voucher()])

    assert double.requests(BATCH) == []


# P24


async def test_p24_quotes_in_names_are_escaped(double: BusinessCentralDouble) -> None:
    """In the company and in document numbers."""
    double.books.company_name = "Lions' Aid & Sønner + 100%"
    quoted = replace(voucher(), document_number="O'B 1&2+3")

    async with attempt(double, "R7T1") as delivery:
        await delivery.check()
        (sent,) = await delivery.send([quoted])
        (verified,) = await delivery.verify([quoted])
        double.post("R7T1")
        (found,) = await delivery.find([quoted])

    assert (sent.outcome, verified.outcome) == (ACCEPTED, ACCEPTED)
    assert found.outcome is ALREADY_THERE
    assert "%27%27" in double.requests("/companies")[0].query


# check


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("company", "Another", "delivery_company_not_found"),
        ("journal_template", "NONE", "delivery_template_not_found"),
        ("environment", "Elsewhere", "delivery_environment_not_found"),
        ("environment_kind", "production", "delivery_environment_mixed_up"),
        ("client_id", "somebody", "delivery_sign_in_refused"),
    ],
)
async def test_check_names_the_setting_and_writes_nothing(
    double: BusinessCentralDouble, setting: str, value: str, code: str
) -> None:
    """A set-up for the sandbox never reaches production, nor the other way round."""
    async with attempt(double, **{setting: value}) as delivery:
        with pytest.raises(DeliveryRefused, match=code) as refused:
            await delivery.check()

    assert refused.value.field == setting
    assert double.writes() == []


@pytest.mark.parametrize("answer", [7, "1", [1], None, 2])
async def test_an_environment_of_an_unknown_kind_is_refused(
    double: BusinessCentralDouble, answer: Any
) -> None:
    """Only a plain yes counts."""
    double.environment_kind = answer

    async with attempt(double) as delivery:
        with pytest.raises(DeliveryRefused, match="delivery_environment_not_found"):
            await delivery.check()


async def test_check_before_production_is_possible(double: BusinessCentralDouble) -> None:
    """Where both say production."""
    double.environment_kind = 0

    async with attempt(double, environment_kind="production") as delivery:
        await delivery.check()


async def test_a_missing_secret_is_told_by_its_setting(double: BusinessCentralDouble) -> None:
    """Before any request."""
    other = f"{SECRET_REFERENCE}_OTHER"

    async with attempt(double, client_secret_ref=other) as delivery:
        with pytest.raises(DeliveryRefused, match="delivery_secret_missing") as refused:
            await delivery.find([voucher()])

    assert refused.value.field == "client_secret_ref"
    assert double.seen == []


@pytest.mark.parametrize("container", ["", "TOOLONGCODE", "lower", "R7'T1", "R7 T1"])
async def test_a_container_that_no_journal_can_be_is_refused(
    double: BusinessCentralDouble, container: str
) -> None:
    """Code fields are upper case and ten wide."""
    with pytest.raises(DeliveryRefused, match="delivery_container_invalid"):
        async with attempt(double, container):
            pass


# From the claim to the journal


def exported(*documents: Document) -> DeliveryVoucher:
    """One voucher of claims, as posting rules and exporter make it."""
    configuration = FrozenConfiguration.from_document(
        dynamics_document(
            format="dynamics_bc_json",
            settings={"dimension_codes": {"department": "AVDELING"}},
            posting_rules=posting_rules(subledger="claimant"),
        )
    )
    exporter = DynamicsJsonExporter(configuration, RUN)
    rules = PostingRules(configuration.posting_rules, exporter.settings, RUN)
    parts = []
    for place, document in enumerate(documents, 1):
        one = member(document, place, voucher_number=1001)
        part = rules.voucher(one, Claim.from_document(document))
        parts.append((part, exporter.records(part)))
    return delivery_voucher(parts)


async def test_what_the_exporter_makes_of_claims_is_taken(double: BusinessCentralDouble) -> None:
    """Two claims in one voucher: their lines, their dimensions, a line for each claimant."""
    double.books.accounts["G/L Account", "7130"] = Account("Bom")
    double.books.accounts["Employee", "10023"] = Account("Åse Ødegård", "Employee")
    double.books.dimensions["AVDELING"] = {"OSLO", "410"}
    one = exported(claim(1, dimensions={"department": "oslo"}), claim(2))

    async with attempt(double, "R7T1") as delivery:
        (sent,) = await delivery.send([one])
        (verified,) = await delivery.verify([one])

    assert (sent.outcome, verified.outcome) == (ACCEPTED, ACCEPTED)
    assert sorted(row["externalDocumentNumber"] for row in double.lines("R7T1")) == [
        f"2026-000{claim}-{line}" for claim in (1, 2) for line in (0, 1, 2)
    ]
    assert dimensions_of(double) == {("AVDELING", "OSLO"), ("AVDELING", "410")}
    assert [str(claim_id)[-1] for claim_id in one.claim_ids] == ["1", "2"]
    assert one.debit_totals == {"NOK": Decimal("1300.00")}
    assert double.post("R7T1") == 6
