"""The application's access token: one per tenant, application and secret, while it lasts."""

import time
from dataclasses import dataclass
from typing import Final

SCOPE: Final = "https://api.businesscentral.dynamics.com/.default"
_LONGEST_MARGIN: Final = 300.0
_SHARE_OF_LIFE: Final = 0.2

# Login address (which names the tenant), application, place of the secret.
TokenKey = tuple[str, str, str]


@dataclass(frozen=True)
class AccessToken:
    """Never printed: repr would end up in a log."""

    value: str
    renew_at: float

    def __repr__(self) -> str:
        return "AccessToken(***)"

    @classmethod
    def lasting(cls, value: str, seconds: float) -> "AccessToken":
        """Renewed well before it expires, since a request may take minutes."""
        margin = min(_LONGEST_MARGIN, seconds * _SHARE_OF_LIFE)
        return cls(value, time.monotonic() + seconds - margin)


class TokenCache:
    """Of one process."""

    def __init__(self) -> None:
        self._tokens: dict[TokenKey, AccessToken] = {}

    def get(self, key: TokenKey) -> str | None:
        """The token, if it is not to be renewed."""
        token = self._tokens.get(key)
        return token.value if token and time.monotonic() < token.renew_at else None

    def put(self, key: TokenKey, token: AccessToken) -> None:
        """From now on this one."""
        self._tokens[key] = token

    def drop(self, key: TokenKey, value: str) -> None:
        """Forget a token that was refused, unless somebody renewed it meanwhile."""
        held = self._tokens.get(key)
        if held is not None and held.value == value:
            del self._tokens[key]

    def clear(self) -> None:
        """Forget all."""
        self._tokens.clear()


TOKENS: Final = TokenCache()
