"""How the data API's words become ours, and how callers are kept apart."""

import asyncio
import json
from uuid import uuid4

import httpx
import pytest
from postgrest import APIError
from pydantic import BaseModel, SecretStr, TypeAdapter
from storage3.exceptions import StorageApiError

from functions.errors import Defect, EngineError, Refused, StaleToken, Unavailable
from functions.export_storage import storage_error
from functions.settings import Settings
from functions.supabase_connection import (
    SupabaseConnection,
    SupabaseSession,
    _remember_status,
    database_error,
)

SETTINGS = Settings(
    supabase_url="https://abc.supabase.co",
    supabase_publishable_key="sb_publishable_x",
    supabase_secret_key=SecretStr("sb_secret_x"),
)


class Answer(BaseModel):
    """Any answer."""

    ok: bool


ANSWER = TypeAdapter(Answer)


def api_error(code: str | None, details: object = None) -> APIError:
    """What postgrest raises."""
    return APIError({"code": code, "details": details, "message": "m", "hint": "h"})


@pytest.mark.parametrize(
    ("code", "details", "kind", "ours"),
    [
        ("PT403", "not_allowed", Refused, "not_allowed"),
        ("PT422", "from_the_future", Refused, "from_the_future"),
        ("PT409", "stale_token", StaleToken, "stale_token"),
        ("PT500", "wrong_isolation", Defect, "internal_error"),
        ("PT503", "anything", Unavailable, "database_unavailable"),
        ("PGRST301", None, Refused, "not_authenticated"),
        ("PGRST302", None, Refused, "not_authenticated"),
        ("PGRST303", None, Refused, "not_authenticated"),
        ("401", "<html>", Refused, "not_authenticated"),
        ("42501", None, Refused, "not_authenticated"),
        ("PGRST000", None, Unavailable, "database_unavailable"),
        ("PGRST003", None, Unavailable, "database_unavailable"),
        ("PGRST202", None, Unavailable, "database_unavailable"),
        ("57014", None, Unavailable, "database_unavailable"),
        ("55P03", None, Unavailable, "database_unavailable"),
        ("53300", None, Unavailable, "database_unavailable"),
        ("08006", None, Unavailable, "database_unavailable"),
        ("25006", None, Unavailable, "database_unavailable"),
        ("40P01", None, Unavailable, "database_unavailable"),
        ("502", "<html>", Unavailable, "database_unavailable"),
        ("520", "<html>", Unavailable, "database_unavailable"),
        ("SUP", None, Unavailable, "database_unavailable"),
        (None, None, Unavailable, "database_unavailable"),
        ("PGRST102", None, Defect, "internal_error"),
        ("PGRST203", None, Defect, "internal_error"),
        ("22P02", None, Defect, "internal_error"),
        ("42883", None, Defect, "internal_error"),
        ("23505", None, Defect, "internal_error"),
    ],
)
def test_database_errors_become_ours(
    code: str | None, details: object, kind: type[EngineError], ours: str
) -> None:
    """Every code has one meaning: refused, not logged in, come back later, or our mistake."""
    error = database_error(api_error(code, details), None, is_user=True)

    assert (type(error), error.code) == (kind, ours)


def test_only_a_persons_own_reason_reaches_the_caller() -> None:
    """The hint of a hold is what the admin wrote; other hints are advice for SQL."""
    assert database_error(api_error("PT409", "organization_held"), 409, is_user=True).reason == "h"
    assert database_error(api_error("PT409", "run_locked"), 409, is_user=True).reason is None


def test_a_refusal_of_some_of_many_says_which() -> None:
    """An accountant with a list of thousands must not look for the one that was refused."""
    error = database_error(api_error("PT409", "voucher_is_settled"), 409, is_user=True)

    assert (error.note, error.reason) == ("m", None)
    assert database_error(api_error("PT409", "run_locked"), 409, is_user=True).note is None


def test_a_refused_secret_key_is_not_the_callers_fault() -> None:
    """When the service itself is not let in, the caller is not told to log in."""
    error = database_error(api_error("PGRST301"), 401, is_user=False)

    assert error.code == "service_misconfigured"


@pytest.mark.parametrize("is_user", [True, False])
def test_a_gateway_that_refuses_our_key_is_not_a_passing_fault(*, is_user: bool) -> None:
    """A 401 without a code of the data API is our set-up: nobody is told to try again for ever."""
    error = database_error(api_error(None), 401, is_user=is_user)

    assert (type(error), error.code) == (Refused, "service_misconfigured")


def test_a_missing_grant_does_not_send_a_signed_in_user_to_log_in() -> None:
    """42501 is 401 without a login and 403 with one."""
    assert database_error(api_error("42501"), 401, is_user=True).code == "not_authenticated"
    assert database_error(api_error("42501"), 403, is_user=True).code == "not_allowed"


@pytest.mark.parametrize(
    ("status", "kind", "ours"),
    [
        ("413", Refused, "file_too_large"),
        ("403", Refused, "service_misconfigured"),
        ("404", Refused, "service_misconfigured"),
        ("415", Refused, "service_misconfigured"),
        ("400", Defect, "internal_error"),
        (500, Unavailable, "storage_unavailable"),
        (429, Unavailable, "storage_unavailable"),
        (544, Unavailable, "storage_unavailable"),
        (502, Unavailable, "storage_unavailable"),
    ],
)
def test_storage_errors_become_ours(status: str | int, kind: type[EngineError], ours: str) -> None:
    """The status in the body counts, as text or as a number."""
    error = storage_error(StorageApiError("message", "code", status))

    assert (type(error), error.code) == (kind, ours)


@pytest.mark.parametrize(
    ("status", "passes_soon"),
    [("429", True), ("503", True), (502, True), ("504", False), (544, False), (507, False)],
)
def test_storage_faults_that_waited_are_not_repeated(
    status: str | int, *, passes_soon: bool
) -> None:
    """A file is uploaded again when the storage was busy or restarting, not when it ran out of time or room."""
    error = storage_error(StorageApiError("message", "code", status))

    assert isinstance(error, Unavailable)
    assert error.passes_soon is passes_soon


def session(transport: httpx.MockTransport, token: str | None = None) -> SupabaseSession:
    """A caller whose requests go to the transport."""
    http = httpx.AsyncClient(transport=transport)
    return SupabaseSession(http, SETTINGS, "sb_publishable_x", token)


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(200, text="<html>Welcome</html>"),
        httpx.Response(200, json=[]),
        httpx.Response(502, text="<html>Bad gateway</html>"),
        httpx.Response(504, json={"code": "PGRST003", "message": "pool"}),
    ],
)
async def test_an_answer_of_some_gateway_is_unavailability(reply: httpx.Response) -> None:
    """Pages in the way, with whatever status, mean: come back later."""
    caller, _ = refusing(reply)

    with pytest.raises(Unavailable):
        await caller.call("f", {}, ANSWER)


async def test_an_answer_of_another_shape_is_a_defect_without_data() -> None:
    """An answer beside the contract is our mistake; the log gets places, not values."""
    reply = httpx.Response(200, json={"ok": "Åse Ødegård"})

    with pytest.raises(Defect) as defect:
        await session(httpx.MockTransport(lambda _: reply)).call("f", {}, ANSWER)

    assert "ok" in str(defect.value.cause)
    assert "Åse" not in str(defect.value.cause)


IMPATIENT = SETTINGS.model_copy(update={"export_retry_seconds": 0.5})


def refusing(
    *faults: httpx.Response | httpx.TransportError,
) -> tuple[SupabaseSession, list[httpx.Request]]:
    """A caller that meets these faults, the last one for ever, and what it has sent so far."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        fault = faults[min(len(seen), len(faults)) - 1]
        if isinstance(fault, httpx.TransportError):
            raise fault
        return fault

    http = httpx.AsyncClient(
        transport=httpx.MockTransport(answer), event_hooks={"response": [_remember_status]}
    )
    return SupabaseSession(http, IMPATIENT, "sb_secret_x", None), seen


DONE = httpx.Response(200, json={"ok": True})
PASSING = [
    httpx.ReadError("lost"),
    httpx.RemoteProtocolError("cut"),
    httpx.ConnectError("refused"),
    httpx.ConnectTimeout("no answer"),
    httpx.Response(500, json={"code": "40P01", "message": "deadlock detected"}),
    httpx.Response(500, json={"code": "40001", "message": "could not serialize"}),
    httpx.Response(503, json={"code": "53300", "message": "too many connections"}),
    httpx.Response(500, json={"code": "55P03", "message": "lock not available"}),
    httpx.Response(503, json={"code": "57P01", "message": "terminating connection"}),
    httpx.Response(503, json={"code": "57P03", "message": "the database system is starting up"}),
    httpx.Response(503, json={"code": "08006", "message": "connection failure"}),
    httpx.Response(503, json={"code": "PGRST001", "message": "no connection"}),
    httpx.Response(502, text="<html>Bad gateway</html>"),
]
LASTING: list[httpx.Response | httpx.TransportError] = [
    httpx.ReadTimeout("slow"),
    httpx.Response(500, json={"code": "57014", "message": "statement timeout"}),
    httpx.Response(504, json={"code": "PGRST003", "message": "no connection for 10 s"}),
    httpx.Response(405, json={"code": "25006", "message": "read-only transaction"}),
    httpx.Response(503, json={"code": "53100", "message": "disk full"}),
    httpx.Response(503, json={"code": "53200", "message": "out of memory"}),
    httpx.Response(409, json={"code": "PT409", "details": "run_locked", "message": "m"}),
    httpx.Response(400, json={"code": "22P02", "message": "invalid input"}),
]


@pytest.mark.parametrize("fault", PASSING, ids=repr)
async def test_a_fault_that_soon_passes_is_ridden_out(
    fault: httpx.Response | httpx.TransportError,
) -> None:
    """Lost connections, deadlocks and servers that start or stop cost the caller a pause, no more."""
    caller, seen = refusing(fault, fault, DONE)

    assert (await caller.call("f", {}, ANSWER)).ok
    assert len(seen) == 3


@pytest.mark.parametrize("fault", LASTING, ids=repr)
async def test_what_would_happen_again_is_not_repeated(
    fault: httpx.Response | httpx.TransportError,
) -> None:
    """A time-out, a limit or a refusal is told at once: repeating it would only add load."""
    caller, seen = refusing(fault)

    with pytest.raises(EngineError):
        await caller.call("f", {}, ANSWER)

    assert len(seen) == 1


async def test_repeating_has_an_end() -> None:
    """Within the time that the settings allow, and with pauses, so that nothing is hammered."""
    caller, seen = refusing(httpx.ConnectError("refused"))

    async with asyncio.timeout(2):
        with pytest.raises(Unavailable):
            await caller.call("f", {}, ANSWER)

    assert 2 <= len(seen) <= 5


async def test_a_call_that_must_not_be_repeated_is_not() -> None:
    """call_once sends one request, whatever becomes of it."""
    seen: list[httpx.Request] = []

    def lose(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        raise httpx.ReadError("lost")

    with pytest.raises(Unavailable):
        await session(httpx.MockTransport(lose)).call_once("f", {}, ANSWER)

    assert len(seen) == 1


async def test_interleaved_callers_keep_their_own_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many calls under way at once on one connection, each carries the token of its caller."""
    seen: dict[str, tuple[str, str]] = {}

    async def note(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        caller = json.loads(request.content)["caller"]
        seen[caller] = (request.headers["authorization"], request.headers["apikey"])
        return httpx.Response(200, json={"ok": True})

    http = httpx.AsyncClient(transport=httpx.MockTransport(note))
    connection = SupabaseConnection(SETTINGS)
    monkeypatch.setattr(connection, "_http", lambda: http)
    tokens = {str(uuid4()): f"a.{number}.c" for number in range(20)}
    users = [connection.as_user(token) for token in tokens.values()]

    await asyncio.gather(
        *(
            user.call("f", {"caller": caller}, ANSWER)
            for caller, user in zip(tokens, users, strict=True)
        ),
        connection.as_service().call("f", {"caller": "service"}, ANSWER),
    )

    assert seen.pop("service") == ("Bearer sb_secret_x", "sb_secret_x")
    assert seen == {
        caller: (f"Bearer {token}", "sb_publishable_x") for caller, token in tokens.items()
    }


def test_each_event_loop_has_connections_of_its_own() -> None:
    """Connections opened in one loop are never used in another, as after a fork."""
    connection = SupabaseConnection(SETTINGS)

    async def client_and_close() -> httpx.AsyncClient:
        client = connection._http()  # noqa: SLF001  # the object whose life is tested
        assert connection._http() is client  # noqa: SLF001
        await connection.aclose()
        return client

    assert asyncio.run(client_and_close()) is not asyncio.run(client_and_close())
