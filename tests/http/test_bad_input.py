"""What the functions refuse to read, and how they say so: never a 500, always a name."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.http.app_user import AppUser
from tests.organisation import Organisation

Body = dict[str, Any]


@pytest.fixture
def body(organisation: Organisation) -> Body:
    """A request that would be accepted."""
    return {
        "organization_id": str(organisation.id),
        "period_from": "2026-10-01",
        "period_to": "2026-10-31",
    }


def post(user: AppUser, content: bytes | Iterator[bytes], **headers: str) -> httpx.Response:
    """Send these bytes as a trigger."""
    given = {
        "Content-Type": "application/json",
        "Idempotency-Key": "k",
        "Accept-Language": "en",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return user.door.post("/trigger_export", content=content, headers={**user.login, **given})


def fields_of(answer: httpx.Response) -> list[str]:
    """The fields that a problem names."""
    return [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("change", "field", "message"),
    [
        ({"organization_id": None}, "organization_id", "Must be a UUID."),
        ({"organization_id": "blindeforbundet"}, "organization_id", "Must be a UUID."),
        ({"period_to": None}, "period_to", "Must be a date of the form YYYY-MM-DD."),
        ({"period_to": 20261031}, "period_to", "Must be a date of the form YYYY-MM-DD."),
        ({"period_to": "31.10.2026"}, "period_to", "Must be a date of the form YYYY-MM-DD."),
        ({"period_to": "2026-02-30"}, "period_to", "Must be a date of the form YYYY-MM-DD."),
        ({"period_from": ""}, "period_from", "Must be a date of the form YYYY-MM-DD."),
        ({"target": "x; drop table"}, "target", "The value has the wrong form."),
        ({"target": 7}, "target", "The value has the wrong form."),
        ({"claim_ids": []}, "claim_ids", "This field is unknown."),
        ({"x" * 200: 1}, "x" * 100, "This field is unknown."),
    ],
)
def test_a_wrong_field_is_named(
    coordinator: AppUser, body: Body, change: Body, field: str, message: str
) -> None:
    """Each wrong or unknown field is 400 with its name and a sentence."""
    answer = post(coordinator, json.dumps({**body, **change}).encode())

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert answer.json()["errors"] == [{"field": field, "message": message}]


def test_missing_fields_are_all_named(coordinator: AppUser) -> None:
    """Every required field that is missing is named at once."""
    answer = post(coordinator, b"{}")

    assert fields_of(answer) == ["organization_id", "period_to"]


@pytest.mark.parametrize(
    ("period", "code", "field"),
    [
        (("2026-10-31", "2026-10-01"), "period_reversed", "period_from"),
        (("2025-10-01", "2026-10-01"), "period_too_long", "period_from"),
        (("1226-10-01", "1226-10-31"), "period_out_of_range", "period_to"),
    ],
)
def test_an_impossible_period_is_refused(
    coordinator: AppUser,
    organisation: Organisation,
    period: tuple[str, str],
    code: str,
    field: str,
) -> None:
    """Reversed, longer than a year, or in another age: 400, naming the field."""
    answer = coordinator.trigger(organisation, period=period)

    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert fields_of(answer) == [field]


def test_an_unknown_target_is_refused(coordinator: AppUser, organisation: Organisation) -> None:
    """A target that the organisation did not set up is 422, naming the field."""
    answer = coordinator.trigger(organisation, target="visma")

    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_target")
    assert fields_of(answer) == ["target"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": 1,}',
        b"\xff\xfe{\x00}\x00",
        b'{"a": "\xe6"}',
        b"[" * 16_000,
        b'{"\\ud800": 1}',
        b'{"period_to": ' + b"9" * 5_000 + b"}",
    ],
    ids=lambda content: ascii(content[:12]),
)
def test_what_is_no_json_object_is_400(coordinator: AppUser, content: bytes) -> None:
    """Malformed, deeply nested or differently encoded bodies are 400 malformed_json."""
    answer = post(coordinator, content)

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


def test_deep_nesting_is_400(coordinator: AppUser) -> None:
    """An object within an object, two thousand times, harms nobody."""
    answer = post(coordinator, b'{"a":' * 2_000 + b"1" + b"}" * 2_000)

    assert answer.status_code == 400


def test_a_repeated_field_is_refused(coordinator: AppUser, body: Body) -> None:
    """Two values for one field are 400 and named: nobody could say which one counts."""
    twice = json.dumps(body)[:-1] + ', "period_to": "2026-10-30"}'

    answer = post(coordinator, twice.encode())

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")
    assert fields_of(answer) == ["period_to"]


def test_a_large_body_is_413_however_it_arrives(coordinator: AppUser) -> None:
    """More bytes than the limit are refused, whether announced or streamed."""
    large = b'{"a": "' + b"x" * 20_000 + b'"}'

    announced = post(coordinator, large)
    streamed = post(coordinator, iter([large[:10_000], large[10_000:]]))

    assert [answer.status_code for answer in (announced, streamed)] == [413, 413]
    assert announced.json()["code"] == streamed.json()["code"] == "body_too_large"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": ""},
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/xml"},
        {"Content_Type": "application/json; charset=latin-1"},
        {"Content_Encoding": "gzip"},
    ],
)
def test_other_content_types_are_415(
    coordinator: AppUser, body: Body, headers: dict[str, str]
) -> None:
    """Only JSON in UTF-8 is read; anything else is 415 and names the header."""
    answer = post(coordinator, json.dumps(body).encode(), **headers)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert fields_of(answer) == [next(iter(headers)).replace("_", "-")]


@pytest.mark.parametrize("key", ["k" * 201, "two words", "nøkkel".encode().decode("latin-1")])
def test_a_key_is_short_visible_ascii(coordinator: AppUser, body: Body, key: str) -> None:
    """A key of more than 200 characters, or with others than visible ASCII, is 400."""
    headers = httpx.Headers({**coordinator.login, "Idempotency-Key": key}, encoding="latin-1")
    answer = coordinator.door.post("/trigger_export", json=body, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_idempotency_key")
    assert fields_of(answer) == ["Idempotency-Key"]


def test_a_key_of_200_characters_is_taken(coordinator: AppUser, body: Body) -> None:
    """The longest key is accepted."""
    answer = post(coordinator, json.dumps(body).encode(), Idempotency_Key="k" * 200)

    assert answer.status_code == 200


def test_the_key_is_required(coordinator: AppUser, body: Body) -> None:
    """Without an Idempotency-Key nothing is exported: 400, saying what to do."""
    answer = coordinator.door.post("/trigger_export", json=body, headers=coordinator.login)

    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_missing")
    assert "nøkkel" in answer.json()["action"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/trigger_export", "POST"),
        ("DELETE", "/trigger_export", "POST"),
        ("POST", "/export_run", "GET"),
        ("PUT", "/export_history", "GET"),
    ],
)
def test_another_method_is_405(door: httpx.Client, method: str, path: str, allow: str) -> None:
    """A method that the address does not take is 405 and Allow names the right one."""
    answer = door.request(method, path)

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] == allow


@pytest.mark.parametrize("path", ["/", "/nothing", "/export_run/extra", "/%00", "/../settings"])
def test_another_address_is_404(door: httpx.Client, path: str) -> None:
    """An address without a function is 404 in JSON."""
    answer = door.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "endpoint_not_found")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "run_id"),
        ("run_id=7", "run_id"),
        (f"run_id={UUID(int=1)}&run_id={UUID(int=2)}", "run_id"),
        (f"run_id={UUID(int=1)}&verbose=1", "verbose"),
    ],
)
def test_a_wrong_query_is_refused_by_name(coordinator: AppUser, query: str, field: str) -> None:
    """A missing, malformed, repeated or unknown parameter is 400 with its name."""
    answer = coordinator.door.get(f"/export_run?{query}", headers=coordinator.login)

    assert answer.status_code == 400
    assert fields_of(answer) == [field]
