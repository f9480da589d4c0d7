"""A request body as one JSON object, within a limit that holds while it is still arriving."""

import json
from collections.abc import Sequence
from typing import NoReturn

from starlette.requests import ClientDisconnect, Request

from functions.errors import FieldProblem, InvalidRequest


async def read_json_object(request: Request, limit: int) -> dict[str, object]:
    """Raises InvalidRequest: 415, 413 (more than `limit` bytes) or 400."""
    _require_json(request)
    body = await _read_within(request, limit)
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


def _require_json(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().replace('"', "")
    is_json = media_type.strip().lower() == "application/json"
    if not is_json or charset not in {"", "charset=utf-8"}:
        raise InvalidRequest("unsupported_media_type", [FieldProblem("Content-Type", "malformed")])
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise InvalidRequest(
            "unsupported_media_type", [FieldProblem("Content-Encoding", "malformed")]
        )


async def _read_within(request: Request, limit: int) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > limit:
        raise InvalidRequest("body_too_large")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > limit:
                raise InvalidRequest("body_too_large")
    except ClientDisconnect as error:
        # A phone in a tunnel; nobody reads the answer, and it is no defect of ours.
        raise InvalidRequest("request_interrupted") from error
    return bytes(body)


def _unrepeated(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise InvalidRequest("malformed_json", [FieldProblem(repeated, "repeated_field")])
    return members


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
