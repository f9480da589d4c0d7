"""A fault proxy that also remembers what Supabase answered."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from tests.http.fault_proxy import FaultProxy

Answered = tuple[int, list[tuple[str, str]], bytes]


@dataclass
class ListeningProxy(FaultProxy):
    """`heard` holds (request, HTTP status, stable code or None), in the order of the answers."""

    heard: list[tuple[str, int, str | None]] = field(default_factory=list)

    def __enter__(self) -> Self:
        super().__enter__()
        forwarding: Any = self._server.RequestHandlerClass
        heard = self.heard

        class Listening(forwarding):  # type: ignore[misc] # the class is made per proxy
            def _forward(self, body: bytes) -> Answered:
                answered: Answered = super()._forward(body)
                request = f"{self.command} {self.path.partition('?')[0]}"
                heard.append((request, answered[0], _code_in(answered[2])))
                return answered

        self._server.RequestHandlerClass = Listening
        return self

    def codes(self, part: str) -> list[str | None]:
        """What matching requests were answered: the code of a refusal, None when it was done."""
        return [code for request, _, code in self.heard if part in request]


def _code_in(content: bytes) -> str | None:
    """The engine's code (the data API puts it into details), or the storage's word."""
    try:
        told = json.loads(content)
    except ValueError:
        return None
    if not isinstance(told, Mapping) or "message" not in told:
        return None
    return told.get("details") or told.get("error")
