"""People who can log in at the embedded Supabase."""

from dataclasses import dataclass
from uuid import UUID, uuid4

import httpx

from stack.embedded_stack import EmbeddedStack
from stack.errors import StackError

PASSWORD = "correct horse battery staple"  # noqa: S105 - everybody's password in demo and tests
# Hashing a password and signing a token, many at a time in tests.
AUTH_SECONDS = 30


@dataclass(frozen=True)
class Account:
    """A user with an hour's access token."""

    user_id: UUID
    email: str
    access_token: str


def create_user(stack: EmbeddedStack, email: str, password: str = PASSWORD) -> UUID:
    """Sign a user up, who can log in with the password from now on."""
    return _authenticate(stack, "signup", email, password).user_id


def log_in(stack: EmbeddedStack, email: str, password: str = PASSWORD) -> Account:
    """Return the user's account with a new token."""
    return _authenticate(stack, "token?grant_type=password", email, password)


def create_account(stack: EmbeddedStack, email: str | None = None) -> Account:
    """Sign a user up and log in, under an address of their own if none is given."""
    return _authenticate(stack, "signup", email or f"{uuid4()}@example.org", PASSWORD)


def _authenticate(stack: EmbeddedStack, path: str, email: str, password: str) -> Account:
    response = httpx.post(
        f"{stack.url}/auth/v1/{path}",
        headers={"apikey": stack.credentials.publishable_key},
        json={"email": email, "password": password},
        timeout=AUTH_SECONDS,
    )
    if response.is_error:
        raise StackError(f"{email} cannot sign up or log in: {response.text}")
    session = response.json()
    return Account(UUID(session["user"]["id"]), email, session["access_token"])
