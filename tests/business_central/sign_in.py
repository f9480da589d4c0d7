"""The login service of a tenant: client credentials for an application, tokens that expire."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import uuid4

from tests.business_central.refusal import Refusal

SCOPE: Final = "https://api.businesscentral.dynamics.com/.default"


@dataclass
class SignIn:
    """`permitted` off: the application has a token but no row in Business Central."""

    tenant_id: str = "hlf.example"
    client_id: str = "3f1c9f0e-export"
    client_secret: str = "s3cret~of.the-test"
    lifetime: float = 3600
    permitted: bool = True
    issued: list[str] = field(default_factory=list)
    refused: int = 0
    _expiry: dict[str, float] = field(default_factory=dict)

    def answer(self, tenant_id: str, content_type: str, body: str) -> tuple[int, dict[str, Any]]:
        """Of the token endpoint."""
        told = {name: values[0] for name, values in parse_qs(body).items()}
        fault = self._fault(tenant_id, content_type, told)
        if fault is not None:
            return fault
        token = f"eyJ0eXAi.{secrets.token_urlsafe(24)}"
        self.issued.append(token)
        self._expiry[token] = time.monotonic() + self.lifetime
        return 200, {
            "token_type": "Bearer",
            "expires_in": round(self.lifetime) if self.lifetime >= 1 else self.lifetime,
            "access_token": token,
        }

    def _fault(
        self, tenant_id: str, content_type: str, told: Mapping[str, str]
    ) -> tuple[int, dict[str, Any]] | None:
        secret = told.get("client_secret")
        checks = (
            (content_type == "application/x-www-form-urlencoded", 400, "invalid_request", "form"),
            (tenant_id == self.tenant_id, 400, "invalid_request", f"tenant {tenant_id}"),
            (told.get("grant_type") == "client_credentials", 400, "unsupported_grant_type", ""),
            (told.get("client_id") == self.client_id, 400, "unauthorized_client", ""),
            (secret == self.client_secret, 401, "invalid_client", f"client_secret={secret}"),
            (told.get("scope") == SCOPE, 400, "invalid_scope", ""),
        )
        for is_right, status, code, about in checks:
            if not is_right:
                return _refused(status, code, f"The request is wrong: {about}.")
        return None

    def check(self, authorization: str) -> None:
        """Raise unless a token is good."""
        token = authorization.removeprefix("Bearer ")
        if time.monotonic() >= self._expiry.get(token, 0):
            self.refused += 1
            message = f"The server has rejected the client credentials. {authorization}"
            raise Refusal(401, "Authentication_InvalidCredentials", message)
        if not self.permitted:
            message = f"The application has no permissions. {authorization}"
            raise Refusal(403, "Authorization_RequestDenied", message)

    def revoke(self) -> None:
        """All tokens, before their time."""
        self._expiry.clear()


def _refused(status: int, code: str, description: str) -> tuple[int, dict[str, Any]]:
    return status, {
        "error": code,
        "error_description": description,
        "correlation_id": str(uuid4()),
    }
