"""What the oracle found, by kind."""

from dataclasses import dataclass, field
from typing import Literal, get_args

Figure = Literal["doubled", "lost", "stuck", "mismatched", "orphans"]
FIGURES: tuple[Figure, ...] = get_args(Figure)


@dataclass
class Verdict:
    """Findings, each one sentence. Orphans are counted and forgiven; all the rest is red."""

    findings: dict[Figure, list[str]] = field(
        default_factory=lambda: {figure: [] for figure in FIGURES}
    )

    def add(self, figure: Figure, sentence: str) -> None:
        """Note one finding."""
        self.findings[figure].append(sentence)

    def count(self, figure: Figure) -> int:
        """How many findings there are of a kind."""
        return len(self.findings[figure])

    @property
    def is_healthy(self) -> bool:
        """Whether nothing but orphans was found."""
        return not any(self.count(figure) for figure in FIGURES if figure != "orphans")

    def figures(self) -> str:
        """For example `doubled=0 lost=0 stuck=0 mismatched=0 orphans=2`."""
        return " ".join(f"{figure}={self.count(figure)}" for figure in FIGURES)

    def sentences(self, most_of_each: int = 10) -> list[str]:
        """The first findings of every kind."""
        return [
            f"{figure}: {sentence}"
            for figure in FIGURES
            for sentence in self.findings[figure][:most_of_each]
        ]
