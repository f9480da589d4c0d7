"""What a caller says about itself in headers: who, which attempt, which language."""

import re
from typing import Final

from starlette.requests import Request

from functions.errors import FieldProblem, InvalidRequest, Refused
from functions.language import Language, preferred_language

# Three base64url parts. A publishable or secret key has another form, so it is no user here.
_USER_TOKEN: Final = re.compile(r"[Bb]earer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)")
_LONGEST_AUTHORIZATION: Final = 8192
_KEY: Final = re.compile(r"[!-~]{1,200}")


def user_token(request: Request) -> str:
    """The bearer token, by its form only: the database judges it. Raises Refused."""
    given = request.headers.getlist("authorization")
    if len(given) != 1 or len(given[0]) > _LONGEST_AUTHORIZATION:
        raise Refused("not_authenticated")
    match = _USER_TOKEN.fullmatch(given[0].strip())
    if match is None:
        raise Refused("not_authenticated")
    return match[1]


def idempotency_key(request: Request) -> str:
    """The caller's name for this export. Raises InvalidRequest."""
    given = request.headers.getlist("idempotency-key")
    if not given or given == [""]:
        raise InvalidRequest(
            "idempotency_key_missing", [FieldProblem("Idempotency-Key", "required")]
        )
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise InvalidRequest(
            "invalid_idempotency_key", [FieldProblem("Idempotency-Key", "malformed")]
        )
    return given[0]


def language_of(request: Request) -> Language:
    """The language to answer in."""
    return preferred_language(request.headers.get("accept-language", ""))
