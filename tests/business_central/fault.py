"""What the double does wrong on order."""

from dataclasses import dataclass, field
from typing import Literal

FaultKind = Literal[
    # The connection ends, before the work or after it.
    "cut_request",
    "cut_reply",
    # The connection ends at once; the work is done when the test releases it.
    "arrive_late",
    # An answer instead of the work, or after it.
    "status",
    "status_after_work",
    "gateway_page",
    # The work, after a while; or its answer byte by byte, a while after each.
    "slow",
    "drip",
    # In a batch: one operation is answered with `status` and not carried out, or its answer is
    # left out, given twice, or given under another's name, after the work.
    "inner_status",
    "inner_silence",
    "inner_twice",
    "inner_stranger",
    # Nothing of a batch is carried out, and it is answered with nothing.
    "inner_nothing",
    # The next page lies on another host, or is this one.
    "link_elsewhere",
    "link_back",
    # The work's answer is JSON, and not in the shape that was promised.
    "unreadable",
]


@dataclass
class Fault:
    """Hits requests whose "METHOD /path" contains `part`: not the first `after`, then `times`.

    `operation` counts from 0 within a batch.
    """

    kind: FaultKind
    part: str = ""
    times: int = 1
    after: int = 0
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0
    operation: int = 0
    code: str = "Unknown"
    # The refusal repeats the request's headers, the token among them.
    repeats_headers: bool = False

    def hits(self, request: str) -> bool:
        """Whether it is this request's turn; counts."""
        if self.part not in request or not self.times:
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True
