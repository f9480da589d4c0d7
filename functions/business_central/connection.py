"""The way to Business Central: signed in, patient, and honest about what it does not know.

Reads and writes that may be repeated are repeated while the service is away. Other writes are
repeated only when they were certainly not carried out; when the answer was lost, that is said
(`ReplyLost`), because the request may still arrive.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from typing import Any, Final, Literal
from uuid import UUID

import httpx
import stamina

from functions.business_central.fault import RemoteFault
from functions.business_central.settings import BusinessCentralSettings
from functions.business_central.token import SCOPE, TOKENS, AccessToken, TokenCache
from functions.business_central.wire import json_text, parsed_json
from functions.errors import DeliveryRefused, DeliveryUnavailable
from functions.secret_reference import SecretStore

_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_TOO_MANY: Final = HTTPStatus.TOO_MANY_REQUESTS
_PASSING: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, _TOO_MANY})
# What the login says, and the setting that is to be corrected.
_LOGIN_FIELDS: Final = {"invalid_client": "client_secret_ref", "unauthorized_client": "client_id"}
_LONGEST_WISH: Final = 86_400.0

Method = Literal["GET", "POST", "PATCH", "DELETE"]


class ReplyLost(DeliveryUnavailable):
    """Whether the write was carried out is not known, and it may still be."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered; `body` is None when there is none, or no JSON."""

    status: int
    body: Any

    @property
    def fault(self) -> RemoteFault | None:
        """The refusal, if it is one."""
        is_fault = self.status >= HTTPStatus.BAD_REQUEST
        return RemoteFault.of(self.status, self.body) if is_fault else None


@dataclass(eq=False)
class _Away(Exception):  # noqa: N818  # a state, seen in this module only
    """One try without a usable answer. `is_untouched`: certainly nothing was carried out."""

    cause: str
    is_untouched: bool
    is_throttled: bool = False
    retry_after: float | None = None


@dataclass(frozen=True)
class _Request:
    method: Method
    url: str
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    # A second time does no harm.
    is_repeatable: bool = True


class BusinessCentralConnection:
    """One attempt's connections. Opens none before the first request."""

    def __init__(
        self,
        settings: BusinessCentralSettings,
        secrets: SecretStore,
        organization_id: UUID,
        tokens: TokenCache = TOKENS,
    ) -> None:
        self._settings = settings
        self._secrets = secrets
        self._organization_id = organization_id
        self._tokens = tokens
        self._token_key = (settings.token_url, settings.client_id, settings.client_secret_ref)
        self._signing_in = asyncio.Lock()
        # No trust_env: settings.py is what reads the environment. No redirects: a token goes to
        # the address it is meant for and nowhere else.
        self._http = httpx.AsyncClient(
            verify=_certificates(),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(settings.read_seconds, connect=settings.connect_seconds),
            limits=httpx.Limits(max_connections=settings.max_in_flight),
        )

    async def aclose(self) -> None:
        """Close what is open."""
        await self._http.aclose()

    async def get(self, path: str) -> Mapping[str, Any]:
        """One JSON object below the service's address.

        Raises:
            DeliveryRefused, DeliveryUnavailable
        """
        return await self._object(_Request("GET", self._url(path)))

    async def listed(self, path: str) -> AsyncIterator[Mapping[str, Any]]:
        """Every entity of a list, over all its pages; only this service's own are followed."""
        url: str | None = self._url(path)
        seen: set[str] = set()
        while url is not None:
            if url in seen:
                raise DeliveryUnavailable("delivery_unavailable", cause="pages in a circle")
            seen.add(url)
            page = await self._object(_Request("GET", url))
            for entity in _entities(page):
                yield entity
            url = self._next(page.get("@odata.nextLink"))

    async def write(
        self,
        method: Method,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        is_repeatable: bool = False,
    ) -> Reply:
        """A change; a refusal is a reply like another, except for the right to sign in.

        Raises:
            ReplyLost: it is not known whether it was carried out.
            DeliveryRefused: not signed in, twice.
            DeliveryUnavailable: it was certainly not carried out, in spite of all patience.
        """
        content = None if body is None else json_text(body).encode()
        told = {"Content-Type": "application/json", **(headers or {})}
        request = _Request(method, self._url(path), content, told, is_repeatable)
        return _reply(await self._patient(request))

    async def public(self, url: str) -> Reply:
        """Read an address that needs no login and gets no token."""
        request = _Request("GET", url)
        return _reply(await self._until_answered(request, None))

    def _url(self, path: str) -> str:
        return f"{self._settings.service_url}/{path}"

    def _next(self, link: object) -> str | None:
        if link is None:
            return None
        told, own = httpx.URL(str(link)), httpx.URL(self._settings.service_url)
        if (told.scheme, told.host, told.port) != (own.scheme, own.host, own.port):
            raise DeliveryRefused("delivery_link_elsewhere", field="api_url")
        return str(told)

    async def _object(self, request: _Request) -> Mapping[str, Any]:
        reply = _reply(await self._patient(request))
        if reply.fault is not None:
            raise reply.fault.refusal()
        if not isinstance(reply.body, Mapping):
            raise DeliveryUnavailable("delivery_unavailable", cause="no JSON object")
        return reply.body

    async def _patient(self, request: _Request) -> httpx.Response:
        """With a token, a new one after a 401, and once only."""
        for may_renew in (True, False):
            token = await self._token()
            response = await self._until_answered(request, token)
            if response.status_code != HTTPStatus.UNAUTHORIZED:
                return response
            self._tokens.drop(self._token_key, token)
            if not may_renew:
                raise RemoteFault.of(response.status_code, _reply(response).body).refusal()
        raise AssertionError  # the second turn returns or raises

    async def _until_answered(self, request: _Request, token: str | None) -> httpx.Response:
        settings = self._settings
        give_up_at = time.monotonic() + settings.patience_seconds
        try:
            async for attempt in stamina.retry_context(
                on=lambda error: _pause(error, request, settings.first_pause_seconds, give_up_at),
                attempts=None,
                timeout=settings.patience_seconds,
                wait_initial=settings.first_pause_seconds,
                wait_max=settings.longest_pause_seconds,
                wait_jitter=settings.first_pause_seconds,
            ):
                with attempt:
                    return await self._once(request, token)
        except _Away as away:
            raise _given_up(away, request) from None
        raise AssertionError  # the last attempt returns or raises

    async def _once(self, request: _Request, token: str | None) -> httpx.Response:
        headers = {"Accept": "application/json", "Accept-Language": "en-US", **request.headers}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            # httpx limits each wait; this limits all of them together.
            async with asyncio.timeout(self._settings.request_seconds):
                response = await self._http.request(
                    request.method, request.url, content=request.content, headers=headers
                )
        except _NOT_SENT as error:
            raise _Away(type(error).__name__, is_untouched=True) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise _Away(type(error).__name__, is_untouched=False) from error
        self._raise_if_away(response)
        return response

    def _raise_if_away(self, response: httpx.Response) -> None:
        status = response.status_code
        is_away = status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        is_redirect = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
        if not (is_away or is_redirect):
            return
        is_busy = status == HTTPStatus.SERVICE_UNAVAILABLE and self._settings.resend_after_503
        raise _Away(
            f"status {status}",
            is_untouched=status == _TOO_MANY or is_busy,
            is_throttled=status == _TOO_MANY,
            retry_after=_seconds_of(response.headers.get("retry-after")),
        )

    async def _token(self) -> str:
        async with self._signing_in:
            held = self._tokens.get(self._token_key)
            if held is not None:
                return held
            token = await self._signed_in()
            self._tokens.put(self._token_key, token)
            return token.value

    async def _signed_in(self) -> AccessToken:
        settings = self._settings
        secret = self._secrets.secret(
            settings.client_secret_ref, self._organization_id, "client_secret_ref"
        )
        form = {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": secret.get_secret_value(),
            "scope": SCOPE,
        }
        request = _Request(
            "POST",
            settings.token_url,
            str(httpx.QueryParams(form)).encode(),
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
        reply = _reply(await self._until_answered(request, None))
        return _access_token(reply)


@cache
def _certificates() -> ssl.SSLContext:
    """Once per process: reading them takes longer than a request."""
    return httpx.create_ssl_context(trust_env=False)


def _access_token(reply: Reply) -> AccessToken:
    told = reply.body if isinstance(reply.body, Mapping) else {}
    if reply.status != HTTPStatus.OK:
        # Its description may repeat what was sent; the code and the identifier say enough.
        code = str(told.get("error", ""))[:50]
        raise DeliveryRefused(
            "delivery_sign_in_refused",
            field=_LOGIN_FIELDS.get(code, "tenant_id"),
            remote_code=code,
            correlation_id=str(told.get("correlation_id") or "")[:36] or None,
        )
    try:
        return AccessToken.lasting(str(told["access_token"]), float(told["expires_in"]))
    except (KeyError, ValueError, TypeError):
        raise DeliveryUnavailable("delivery_unavailable", cause="no token in the answer") from None


def _reply(response: httpx.Response) -> Reply:
    try:
        return Reply(response.status_code, parsed_json(response.content))
    except ValueError:
        return Reply(response.status_code, None)


def _entities(page: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """All that is listed has an identifier; what has none is no answer of this service."""
    entities = page.get("value")
    if not isinstance(entities, list) or not all(
        isinstance(entity, dict) and entity.get("id") for entity in entities
    ):
        raise DeliveryUnavailable("delivery_unavailable", cause="no list of entities")
    return entities


def _pause(error: Exception, request: _Request, shortest: float, give_up_at: float) -> bool | float:
    """Whether to try again, and after how many seconds if the service said so.

    It may say none at all; asking again at once and for ever would be a storm of ours.
    """
    if not isinstance(error, _Away) or not (error.is_untouched or request.is_repeatable):
        return False
    if error.retry_after is None:
        return True
    pause = max(error.retry_after, shortest)
    return pause if time.monotonic() + pause < give_up_at else False


def _given_up(away: _Away, request: _Request) -> DeliveryUnavailable:
    seconds = None if away.retry_after is None else round(away.retry_after)
    if not (away.is_untouched or request.is_repeatable):
        return ReplyLost("delivery_unavailable", cause=away.cause, retry_after=seconds)
    if away.is_throttled:
        return DeliveryUnavailable("delivery_throttled", cause=away.cause, retry_after=seconds)
    return DeliveryUnavailable("delivery_unavailable", cause=away.cause, retry_after=seconds)


def _seconds_of(retry_after: str | None) -> float | None:
    """Retry-After is a number of seconds or a date; what is neither counts as not said."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return min(float(retry_after), _LONGEST_WISH)
    try:
        at = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(0.0, (at - datetime.now(UTC)).total_seconds()), _LONGEST_WISH)
