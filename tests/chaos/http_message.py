"""HTTP/1.1 messages as bytes: read whole, passed on unchanged."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class Message:
    """A request or a response. `raw` is all of it, `body` its content without chunk marks."""

    first_line: str
    raw: bytes
    body: bytes
    head_length: int
    ends_connection: bool

    @property
    def method(self) -> str:
        """Of a request."""
        return self.first_line.split(" ")[0]

    @property
    def path(self) -> str:
        """Of a request, without its query."""
        return self.first_line.split(" ")[1].partition("?")[0]

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.first_line.split(" ")[1])

    def first_half(self) -> bytes:
        """The head and half of the body, or half of the head when there is no body."""
        length = len(self.raw) - self.head_length
        return (
            self.raw[: self.head_length + length // 2] if length else self.raw[: len(self.raw) // 2]
        )


async def read_request(reader: asyncio.StreamReader) -> Message | None:
    """The next request of a connection; None when the caller closed it."""
    head = await _read_head(reader)
    if head is None:
        return None
    fields = _fields(head)
    body = await reader.readexactly(int(fields.get("content-length", "0")))
    return Message(_first_line(head), head + body, body, len(head), _closes(fields))


async def read_response(reader: asyncio.StreamReader, method: str) -> Message:
    """The answer to a request of this method. Raises IncompleteReadError when it breaks off."""
    head = await _read_head(reader)
    if head is None:
        raise asyncio.IncompleteReadError(b"", None)
    fields = _fields(head)
    first_line = _first_line(head)
    closes = _closes(fields)
    if method == "HEAD" or first_line.split(" ")[1] in {"204", "304"}:
        raw = body = b""
    elif "chunked" in fields.get("transfer-encoding", ""):
        raw, body = await _read_chunks(reader)
    elif "content-length" in fields:
        raw = body = await reader.readexactly(int(fields["content-length"]))
    else:
        raw = body = await reader.read()
        closes = True
    return Message(first_line, head + raw, body, len(head), closes)


async def _read_head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
        return None


async def _read_chunks(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    raw, body = [], []
    while True:
        mark = await reader.readuntil(b"\r\n")
        length = int(mark.split(b";")[0], 16)
        chunk = await reader.readexactly(length + 2)
        raw += [mark, chunk]
        body.append(chunk[:length])
        if not length:
            return b"".join(raw), b"".join(body)


def _first_line(head: bytes) -> str:
    return head.partition(b"\r\n")[0].decode("latin-1")


def _fields(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _closes(fields: dict[str, str]) -> bool:
    return fields.get("connection", "").lower() == "close"
