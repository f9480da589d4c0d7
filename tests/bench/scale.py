"""How large the worlds are that are compared."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A long history beside a short one; `rounds` of `calls` each give the spread of a figure."""

    name: str
    runs: int
    claims_per_run: int
    rounds: int = 5
    calls: int = 200

    @property
    def memberships(self) -> int:
        """How many claims are, or were, in a run."""
        return self.runs * self.claims_per_run


SHORT_HISTORY = Scale("short", runs=20, claims_per_run=500)
SCALES = {
    "small": Scale("small", runs=20_000, claims_per_run=25),
    "full": Scale("full", runs=20_000, claims_per_run=500, rounds=7, calls=400),
}
