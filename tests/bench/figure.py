"""What many calls took: one number per round, so that its spread shows how far to trust it."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


def percentile(seconds: Sequence[float], part: float) -> float:
    """Seconds within which this part of the calls was answered; the nearest rank."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


@dataclass(frozen=True)
class Figure:
    """One number per round, in seconds."""

    rounds: tuple[float, ...]

    @classmethod
    def of(cls, rounds: Sequence[Sequence[float]], part: float) -> "Figure":
        """The percentile of each round."""
        return cls(tuple(percentile(seconds, part) for seconds in rounds))

    @property
    def middle(self) -> float:
        """The median of the rounds."""
        return median(self.rounds)

    def __str__(self) -> str:
        """Milliseconds: the median of the rounds, and the lowest and highest of them."""
        low, high = min(self.rounds), max(self.rounds)
        return f"{self.middle * 1000:.2f} ({low * 1000:.2f}-{high * 1000:.2f})"
