"""How a campaign ended, in one line and in a few more."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.chaos.verdict import Verdict


@dataclass(frozen=True)
class Report:
    """`told` has what else is worth knowing, by subject."""

    seed: int
    landed: Counter[str]
    runs: int
    claims: int
    verdict: Verdict
    told: Mapping[str, object] = field(default_factory=dict)

    @property
    def kills(self) -> int:
        """Blows that landed."""
        return self.landed.total()

    def line(self) -> str:
        """The one line."""
        return f"kills={self.kills} runs={self.runs} {self.verdict.figures()}"

    def details(self) -> list[str]:
        """Subjects, then findings."""
        subjects = [
            f"{subject}: {_counted(value) if isinstance(value, Counter) else value}"
            for subject, value in self.told.items()
        ]
        return [*subjects, *self.verdict.sentences()]


def _counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "nothing"
