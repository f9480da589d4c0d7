"""One line of the table: the same thing measured twice, and what the ratio should be at most."""

from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.figure import Figure


@dataclass(frozen=True)
class Comparison:
    """`goal` is null for what is only told."""

    what: str
    against: str
    base: Figure
    figure: Figure
    goal: float | None = None

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios: what disturbed both sides of a round cancels out."""
        return median(
            now / then for now, then in zip(self.figure.rounds, self.base.rounds, strict=True)
        )

    @property
    def is_missed(self) -> bool:
        """Whether there is a goal and the ratio is above it."""
        return self.goal is not None and self.ratio > self.goal

    @property
    def verdict(self) -> str:
        """The goal, and whether it is missed."""
        if self.goal is None:
            return ""
        return f"at most {self.goal}" + (" MISSED" if self.is_missed else "")

    def as_json(self) -> dict[str, Any]:
        """All of it, for bench.json."""
        return {
            "what": self.what,
            "against": self.against,
            "base_seconds": self.base.rounds,
            "seconds": self.figure.rounds,
            "ratio": round(self.ratio, 3),
            "goal": self.goal,
            "missed": self.is_missed,
        }
