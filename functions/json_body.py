"""A request body as one JSON object."""

import json
from collections.abc import Sequence
from typing import NoReturn

from starlette.requests import Request

from functions.errors import FieldProblem, InvalidRequest
from functions.request_body import read_within, require_media_type


async def read_json_object(request: Request, limit: int) -> dict[str, object]:
    """Raises InvalidRequest: 415, 413 (more than `limit` bytes) or 400."""
    require_media_type(request, "application/json")
    body = await read_within(request, limit)
    try:
        value = json.loads(
            body.decode(), object_pairs_hook=_unrepeated, parse_constant=_refuse_constant
        )
        # Halves of surrogate pairs are JSON to Python, but no text.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        # RecursionError: nesting that no request of ours has.
        raise InvalidRequest("malformed_json") from error
    if not isinstance(value, dict):
        raise InvalidRequest("malformed_json")
    return value


def _unrepeated(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest("malformed_json", [FieldProblem(repeated, "repeated_field")])
    return members


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
