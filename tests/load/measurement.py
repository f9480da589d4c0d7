"""What a number of requests took and were answered."""

from collections import Counter
from dataclasses import dataclass, field

SERVER_ERROR = 500


@dataclass
class Measurement:
    """One row of the table."""

    case: str
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float, status: int) -> None:
        """Note one answer."""
        self.seconds.append(seconds)
        self.statuses[status] += 1

    def percentile(self, part: float) -> float:
        """Seconds within which this part of the requests was answered; the nearest rank."""
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    @property
    def p50(self) -> float:
        """Half of the requests took at most this."""
        return self.percentile(0.5)

    @property
    def p99(self) -> float:
        """All but one of a hundred took at most this."""
        return self.percentile(0.99)

    @property
    def slowest(self) -> float:
        """The longest."""
        return max(self.seconds)
