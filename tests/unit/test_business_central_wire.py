"""Values on their way to Business Central and back."""

import json
from decimal import Decimal

import pytest

from functions.business_central.fault import RemoteFault
from functions.business_central.wire import (
    conditions,
    json_text,
    literal,
    parsed_json,
    plain,
    query,
)
from functions.problem_sentences import who_must_act, why
from functions.voucher_delivery import DeliveryCode, external_number


def test_json_keeps_every_digit() -> None:
    """A Decimal is a number with its own digits, also where a float has none for them."""
    amounts = [Decimal("0.10"), Decimal("1290.49"), Decimal("-9999999999999.99"), Decimal("1E+3")]
    text = json_text({"a": amounts, "b": {"c": None, "d": True, "e": 'æ"\\\n', "f": 3}})

    assert '"a":[0.10,1290.49,-9999999999999.99,1000]' in text
    assert parsed_json(text.encode()) == {
        "a": amounts,
        "b": {"c": None, "d": True, "e": 'æ"\\\n', "f": 3},
    }
    assert json.loads(text)["b"]["e"] == 'æ"\\\n'


@pytest.mark.parametrize("value", [1.5, Decimal("NaN"), Decimal("Infinity"), object(), b"x"])
def test_what_has_no_exact_form_does_not_travel(value: object) -> None:
    """A float least of all."""
    with pytest.raises((TypeError, ValueError)):
        json_text({"amount": value})


def test_a_condition_cannot_be_broken_out_of() -> None:
    """Quotes are doubled, and the whole is encoded."""
    assert literal("x' or code eq 'y") == "'x'' or code eq ''y'"
    assert query(filter="a eq 'b&c'", top=1) == "$filter=a%20eq%20%27b%26c%27&$top=1"


def test_conditions_stay_short() -> None:
    """Many values are asked for in several requests, each over one member."""
    found = list(conditions("documentNumber", [str(number) for number in range(45)]))

    assert [condition.count("eq") for condition in found] == [20, 20, 5]


@pytest.mark.parametrize(
    ("encoded", "name"),
    [
        ("G_x002F_L_x0020_Account", "G/L Account"),
        ("Bank_x0020_Account", "Bank Account"),
        ("Employee", "Employee"),
        ("_x00e6_x", "æx"),
    ],
)
def test_enum_names_are_decoded(encoded: str, name: str) -> None:
    """In either case of the digits."""
    assert plain(encoded) == name


def test_external_numbers_are_the_same_for_the_same_line_and_fit() -> None:
    """Long claim numbers that begin alike are kept apart."""
    assert external_number(" hlf-2026-00012 ", 3) == "HLF-2026-00012-3"
    long = {external_number(f"{'X' * 40}{number}", line) for number in "ab" for line in (0, 1)}

    assert len(long) == 4
    assert {len(number) for number in long} == {35}
    assert external_number("X" * 40, 1) == external_number("x" * 40, 1)


@pytest.mark.parametrize(
    ("status", "remote_code", "code", "is_retryable"),
    [
        (400, "Internal_InvalidTableRelation", DeliveryCode.VALUE_UNKNOWN, False),
        (400, "Application_StringExceededLength", DeliveryCode.VALUE_REFUSED, False),
        (400, "Application_DialogException", DeliveryCode.TARGET_REFUSED, False),
        (400, "Internal_Anything", DeliveryCode.TARGET_REFUSED, False),
        (401, "Authentication_InvalidCredentials", DeliveryCode.NOT_PERMITTED, False),
        (403, "Authorization_RequestDenied", DeliveryCode.NOT_PERMITTED, False),
        (403, "", DeliveryCode.NOT_PERMITTED, False),
        (409, "Request_EntityChanged", DeliveryCode.CHANGED_MEANWHILE, False),
        (429, "", DeliveryCode.TARGET_BUSY, True),
        (500, "Internal_ServerError", DeliveryCode.TARGET_FAILED, True),
        (503, "", DeliveryCode.TARGET_BUSY, True),
        (504, "", DeliveryCode.REPLY_LOST, True),
    ],
)
def test_faults_have_stable_codes(
    status: int, remote_code: str, code: DeliveryCode, *, is_retryable: bool
) -> None:
    """By the service's code, then its family, then the status; 4xx is never an outage."""
    message = "Bad Bearer eyJabcdefghijk. CorrelationId:  0a1b2c3d-0000-4000-8000-000000000001."
    fault = RemoteFault.of(status, {"error": {"code": remote_code, "message": message}})

    assert (fault.code, fault.is_retryable) == (code, is_retryable)
    assert fault.remote_code == (remote_code or f"HTTP_{status}")
    assert fault.correlation_id == "0a1b2c3d-0000-4000-8000-000000000001"
    assert "eyJ" not in fault.message


@pytest.mark.parametrize("body", [None, "text", [], {"error": "x"}, {"error": {"code": 5}}])
def test_a_fault_of_any_shape_is_a_fault(body: object) -> None:
    """A gateway's page has neither code nor message."""
    fault = RemoteFault.of(400, body)

    assert fault.code is DeliveryCode.TARGET_REFUSED
    assert fault.correlation_id is None


@pytest.mark.parametrize("code", DeliveryCode)
def test_every_code_has_words_in_both_languages(code: str) -> None:
    """What happened, and who must act."""
    assert why(code) != why("nobody knows it")
    for sentence in (why(code), who_must_act(code, None)):
        assert sentence.nb != sentence.en
        assert sentence.nb.endswith(".")
        assert sentence.en.endswith(".")
