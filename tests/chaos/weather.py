"""What the network does to which request: drawn from a seed, the same at every replay."""

from dataclasses import dataclass
from typing import Literal

from tests.chaos.dice import dice

Mishap = Literal["refuse", "delay", "cut_request", "cut_reply", "gateway_page"]
_MISHAPS: tuple[Mishap, ...] = (
    "refuse",
    "delay",
    "cut_request",
    "cut_reply",
    "cut_reply",
    "gateway_page",
)
# Some delays outlive a lease of the harness's.
_SHORTEST_DELAY, _LONGEST_DELAY = 0.02, 3.0
_LATEST_DELIVERY, _MOST_LATE_PACKETS = 0.8, 3


@dataclass(frozen=True)
class Weather:
    """The n-th request of a step always meets the same mishap, whatever else goes on.

    `mishaps` and `late_packets` are probabilities; `only_steps` confines the mishaps.
    """

    seed: int
    mishaps: float = 0.06
    late_packets: float = 0.3
    only_steps: frozenset[str] | None = None

    def over(self, step: str, number: int) -> tuple[Mishap, float] | None:
        """The mishap of a request, and its seconds if it is a delay; None for most."""
        draw = dice(self.seed, step, number)
        is_spared = self.only_steps is not None and step not in self.only_steps
        if draw.random() >= self.mishaps or is_spared:
            return None
        shortness = draw.random() ** 3
        return draw.choice(_MISHAPS), _SHORTEST_DELAY + shortness * (
            _LONGEST_DELAY - _SHORTEST_DELAY
        )

    def late_deliveries(self, number: int) -> list[float]:
        """After how many seconds the n-th grant is followed by packets of earlier holders."""
        draw = dice(self.seed, "late", number)
        return [
            draw.random() ** 3 * _LATEST_DELIVERY
            for _ in range(_MOST_LATE_PACKETS)
            if draw.random() < self.late_packets
        ]
