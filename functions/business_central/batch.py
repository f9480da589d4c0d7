"""$batch: several operations in one request, and what each of them was answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from functions.business_central.connection import (
    BusinessCentralConnection,
    Method,
    ReplyLost,
)
from functions.business_central.fault import RemoteFault

_JSON: Final = {"Content-Type": "application/json"}
# One transaction, undone as a whole when an operation fails. Only nearly always, see sending.
ALL_OR_NOTHING: Final = {"Isolation": "snapshot"}
EACH_FOR_ITSELF: Final = {"Prefer": "odata.continue-on-error"}


@dataclass(frozen=True, slots=True)
class Operation:
    """`id` is echoed in the answer and unique in the batch."""

    id: str
    method: Method
    url: str
    body: Mapping[str, object]
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def told(self) -> dict[str, object]:
        """As a member of the request."""
        return {
            "id": self.id,
            "method": self.method,
            "url": self.url,
            "headers": {**_JSON, **self.headers},
            "body": self.body,
        }


@dataclass(frozen=True, slots=True)
class BatchReply:
    """Answers by operation. An operation without exactly one answer has none.

    `is_whole`: each operation has one, and there are no others.
    """

    entities: Mapping[str, Mapping[str, Any]]
    faults: Mapping[str, RemoteFault]
    is_whole: bool

    @classmethod
    def of(cls, operations: Sequence[Operation], body: Mapping[str, Any]) -> "BatchReply":
        """Read the answers, of whatever shape."""
        asked = {operation.id for operation in operations}
        told: dict[str, list[Mapping[str, Any]]] = {}
        for response in filter(_is_object, body["responses"]):
            told.setdefault(str(response.get("id")), []).append(response)
        if set(told) - asked:
            # Whose answers these are nobody knows.
            return cls({}, {}, is_whole=False)
        single = {id_: answers[0] for id_, answers in told.items() if len(answers) == 1}
        faults = {id_: _fault(answer) for id_, answer in single.items() if not _is_done(answer)}
        entities = {
            id_: answer["body"]
            for id_, answer in single.items()
            if id_ not in faults and isinstance(answer.get("body"), Mapping)
        }
        return cls(entities, faults, is_whole=set(entities) | set(faults) == asked)


async def run(
    connection: BusinessCentralConnection,
    operations: Sequence[Operation],
    mode: Mapping[str, str],
    *,
    is_repeatable: bool = False,
) -> BatchReply:
    """Send operations together.

    Raises:
        DeliveryRefused: the batch as a whole.
        ReplyLost, DeliveryUnavailable: as a single write; an answer in which no operation's can
            be read is lost too.
    """
    reply = await connection.write(
        "POST",
        "$batch",
        {"requests": [operation.told for operation in operations]},
        headers=mode,
        is_repeatable=is_repeatable,
    )
    if reply.fault is not None:
        raise reply.fault.refusal()
    if not isinstance(reply.body, Mapping) or not isinstance(reply.body.get("responses"), list):
        raise ReplyLost("delivery_unavailable", cause="no answers in the answer")
    return BatchReply.of(operations, reply.body)


def _is_object(response: object) -> bool:
    return isinstance(response, Mapping)


def _is_done(answer: Mapping[str, Any]) -> bool:
    status = answer.get("status")
    return isinstance(status, int) and 200 <= status < 300  # noqa: PLR2004 # HTTP's own bounds


def _fault(answer: Mapping[str, Any]) -> RemoteFault:
    status = answer.get("status")
    return RemoteFault.of(status if isinstance(status, int) else 500, answer.get("body"))
