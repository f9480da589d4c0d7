"""The way to Supabase: one HTTP client per process, one light session per caller, one translation.

Setting a token on a client object changes the user of every request that goes through the object.
So the connections are shared, and the object that carries a token lives for one request.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from http import HTTPStatus
from typing import Final, TypeVar, cast
from urllib.parse import quote

import httpx
import stamina
from postgrest import APIError, AsyncPostgrestClient
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python
from storage3 import AsyncStorageClient

from functions.errors import Defect, EngineError, Refused, StaleToken, Unavailable
from functions.settings import Settings

Answer = TypeVar("Answer")

_OURS: Final = re.compile(r"PT(\d{3})")
_SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
# What PostgREST answers to a token or key that it does not take; 42501 is a caller without a login.
_NO_RIGHT: Final = "42501"
_LOGIN_CODES: Final = frozenset({"PGRST301", "PGRST302", "PGRST303", "401", _NO_RIGHT})
# Connections, read-only database, rollbacks, resources, locks and limits, operator, system.
_PASSING_CLASSES: Final = frozenset({"08", "25", "40", "53", "54", "55", "57", "58", "XX"})
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
# Refusals whose hint is a person's own reason. Other hints are for whoever works in SQL.
_GIVES_A_REASON: Final = frozenset({"organization_held"})
# Refusals of some of many, whose sentence names them. Without it nobody finds them in a long list.
_NAMES_WHICH: Final = frozenset(
    {"claims_not_erasable", "voucher_is_settled", "vouchers_not_in_run"}
)
# The client library's error carries no HTTP status.
_LAST_STATUS: Final[ContextVar[int | None]] = ContextVar("last_status", default=None)
# A malformed call or an ambiguous function. PGRST202 is a schema cache that is not warm yet.
_MALFORMED_CALL: Final = re.compile(r"PGRST(1\d\d|2(?!02)\d\d)")
# Of those, what is over within seconds: a lost connection, a deadlock or serialization failure, too
# many connections, a row that somebody holds, a server that starts or stops. Not a statement that
# ran into its time limit: it would again.
_SOON_OVER: Final = re.compile(r"08...|40...|53300|55P03|57P0[1-4]|PGRST00[0-2]|50[23]")
_SOON_OVER_STATUS: Final = frozenset({502, 503})
# A person waits for the answer of these calls; the others have a lease that is renewed meanwhile.
_SECONDS_OF_A_CALLER: Final = 3.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 2.0


class SupabaseConnection:
    """The process's connections. Opens none before the first request: servers fork after import."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None

    def as_user(self, token: str) -> "SupabaseSession":
        """Acts with the caller's own token, so that the database judges the caller."""
        return SupabaseSession(
            self._http(), self._settings, self._settings.supabase_publishable_key, token
        )

    def as_service(self) -> "SupabaseSession":
        """Acts with the secret key."""
        key = self._settings.supabase_secret_key.get_secret_value()
        return SupabaseSession(self._http(), self._settings, key, None)

    async def aclose(self) -> None:
        """Closes what is open; the next request opens it again."""
        if self._opened is not None:
            await self._opened[1].aclose()
            self._opened = None

    def _http(self) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._opened is None or self._opened[0] is not loop:
            self._opened = (loop, _http_client(self._settings))
        return self._opened[1]


def _http_client(settings: Settings) -> httpx.AsyncClient:
    # HTTP/1.1: a dropped HTTP/2 connection fails every request that shares it. No trust_env:
    # settings.py is what reads the environment.
    return httpx.AsyncClient(
        http2=False,
        trust_env=False,
        timeout=httpx.Timeout(
            settings.export_storage_seconds, connect=settings.export_connect_seconds
        ),
        limits=httpx.Limits(
            max_connections=settings.export_connections,
            max_keepalive_connections=settings.export_connections,
            keepalive_expiry=30,
        ),
        event_hooks={"response": [_remember_status]},
    )


async def _remember_status(response: httpx.Response) -> None:
    _LAST_STATUS.set(response.status_code)


class SupabaseSession:
    """Calls of one caller. Make one per request and let it go."""

    def __init__(
        self, http: httpx.AsyncClient, settings: Settings, api_key: str, token: str | None
    ) -> None:
        """Without `token` the caller is the service, and `api_key` the secret key."""
        self._http = http
        self._address = settings.supabase_url
        self._database_seconds = settings.export_database_seconds
        self._is_user = token is not None
        self._retry_seconds = settings.export_retry_seconds
        if self._is_user:
            self._retry_seconds = min(self._retry_seconds, _SECONDS_OF_A_CALLER)
        self._headers = {"apikey": api_key, "Authorization": f"Bearer {token or api_key}"}

    async def call(
        self, function: str, arguments: Mapping[str, object], answer: TypeAdapter[Answer]
    ) -> Answer:
        """Calls an SQL function that may be repeated: when the fault soon passes, it is."""
        return await repeated(
            lambda: self.call_once(function, arguments, answer), self._retry_seconds
        )

    async def call_once(
        self, function: str, arguments: Mapping[str, object], answer: TypeAdapter[Answer]
    ) -> Answer:
        """Calls an SQL function. Raises errors of ours only."""
        rest = AsyncPostgrestClient(
            f"{self._address}/rest/v1",
            headers=self._headers,
            http_client=self._http,
            retry_enabled=False,
        )
        # The library's annotation is narrower than what it sends: any JSON object.
        parameters = cast("dict[str, str]", to_jsonable_python(dict(arguments)))
        with _database_errors_translated(is_user=self._is_user):
            async with asyncio.timeout(self._database_seconds):
                told = (await rest.rpc(function, parameters).execute()).data
        if not isinstance(told, Mapping):
            # A page of some gateway, with status 200.
            raise Unavailable("database_unavailable", cause=f"{function} answered no JSON object")
        return _parsed(function, told, answer)

    def object_stream(self, bucket: str, path: str) -> AbstractAsyncContextManager[httpx.Response]:
        """The bytes of a stored object as they come; storage3 would hold all of them in memory."""
        return self._http.stream(
            "GET",
            f"{self._address}/storage/v1/object/{bucket}/{quote(path)}",
            headers=self._headers,
        )

    def storage(self) -> AsyncStorageClient:
        """The storage client of this caller; its errors are translated in export_storage."""
        return AsyncStorageClient(
            f"{self._address}/storage/v1/", headers=self._headers, http_client=self._http
        )


async def repeated(operation: Callable[[], Awaitable[Answer]], seconds: float) -> Answer:
    """Runs a repeatable operation, again for so long as its fault is one that soon passes."""
    async for attempt in stamina.retry_context(
        on=_passes_soon,
        attempts=None,
        timeout=seconds,
        wait_initial=_FIRST_PAUSE,
        wait_max=_LONGEST_PAUSE,
        wait_jitter=_FIRST_PAUSE,
    ):
        with attempt:
            return await operation()
    raise AssertionError  # the last attempt returns or raises


def _passes_soon(fault: Exception) -> bool:
    return isinstance(fault, Unavailable) and fault.passes_soon


def connection_broke(error: Exception) -> bool:
    """Whether the reply was lost, or the request never arrived. A time-out is neither: it waits."""
    return isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError | httpx.ConnectTimeout)


def _parsed(function: str, told: Mapping[str, object], answer: TypeAdapter[Answer]) -> Answer:
    try:
        return answer.validate_python(told)
    except ValidationError as error:
        places = sorted({".".join(str(part) for part in e["loc"]) for e in error.errors()})
        raise Defect(f"{function} answered in another shape at {places[:5]}") from error


@contextmanager
def _database_errors_translated(*, is_user: bool) -> Iterator[None]:
    try:
        yield
    except APIError as error:
        raise database_error(error, _LAST_STATUS.get(), is_user=is_user) from error
    except (httpx.HTTPError, TimeoutError) as error:
        raise Unavailable(
            "database_unavailable",
            cause=type(error).__name__,
            passes_soon=connection_broke(error),
        ) from error


def database_error(error: APIError, status: int | None, *, is_user: bool) -> EngineError:
    """The one translation of what the data API says. It judges by codes, never by sentences."""
    code = error.code or ""
    if (ours := _OURS.fullmatch(code)) and error.details:
        return _engine_refusal(int(ours[1]), str(error.details), error)
    if status == _UNAUTHORIZED and code not in _LOGIN_CODES:
        # The gateway before the data API does not take our key.
        return Refused("service_misconfigured", cause=f"gateway 401 {code}")
    if status == _FORBIDDEN and code == _NO_RIGHT:
        return Refused("not_allowed", cause="no right on the function")
    if code in _LOGIN_CODES:
        return Refused("not_authenticated" if is_user else "service_misconfigured", cause=code)
    is_terminal = _SQLSTATE.fullmatch(code) and code[:2] not in _PASSING_CLASSES
    if is_terminal or _MALFORMED_CALL.fullmatch(code):
        return Defect(f"database error {code}")
    is_gateway = not (_SQLSTATE.fullmatch(code) or code.startswith("PGRST"))
    passes_soon = bool(_SOON_OVER.fullmatch(code)) or (is_gateway and status in _SOON_OVER_STATUS)
    return Unavailable(
        "database_unavailable", cause=f"database error {code}", passes_soon=passes_soon
    )


def _engine_refusal(status: int, code: str, error: APIError) -> EngineError:
    if code == "stale_token":
        return StaleToken(code)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return Defect(f"the database refused: {code}")
    if status > HTTPStatus.INTERNAL_SERVER_ERROR:
        return Unavailable("database_unavailable", cause=code)
    refusal = Refused(code, status=status)
    if code in _GIVES_A_REASON:
        refusal.reason = error.hint
    if code in _NAMES_WHICH:
        refusal.note = error.message
    return refusal
