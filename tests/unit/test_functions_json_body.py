"""A request body that ends too early."""

from collections.abc import MutableMapping
from typing import Any

import pytest
from starlette.requests import Request

from functions.errors import InvalidRequest
from functions.json_body import read_json_object


async def test_a_phone_that_hangs_up_is_no_defect() -> None:
    """A connection that ends in the middle of the body is a broken request, told by its own code."""
    pieces: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": b'{"period', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> MutableMapping[str, Any]:
        return pieces.pop(0)

    headers = [(b"content-type", b"application/json")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)

    with pytest.raises(InvalidRequest) as interrupted:
        await read_json_object(request, 1000)

    assert interrupted.value.code == "request_interrupted"
