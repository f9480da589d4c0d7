"""The bytes of a request body, within a limit that holds while they are still arriving."""

from starlette.requests import ClientDisconnect, Request

from functions.errors import FieldProblem, InvalidRequest

_CHARSETS = frozenset({"", "charset=utf-8"})


def media_type(request: Request) -> str:
    """In lower case, without parameters; empty when the request names none."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def require_media_type(request: Request, expected: str) -> None:
    """UTF-8 of that type, not compressed. Raises InvalidRequest (415)."""
    parameters = request.headers.get("content-type", "").partition(";")[2]
    charset = parameters.strip().lower().replace('"', "")
    if media_type(request) != expected or charset not in _CHARSETS:
        raise InvalidRequest("unsupported_media_type", [FieldProblem("Content-Type", "malformed")])
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise InvalidRequest(
            "unsupported_media_type", [FieldProblem("Content-Encoding", "malformed")]
        )


async def read_within(request: Request, limit: int) -> bytes:
    """Raises InvalidRequest: 413 (more than `limit` bytes) or 400 (it ends too early)."""
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
