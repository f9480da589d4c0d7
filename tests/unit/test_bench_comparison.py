"""What the benchmark's table says of its figures."""

import pytest

from tests.bench.comparison import Comparison
from tests.bench.figure import Figure


def comparison(
    base: tuple[float, ...], figure: tuple[float, ...], goal: float | None
) -> Comparison:
    return Comparison("look-up", "before", Figure(base), Figure(figure), goal)


@pytest.mark.parametrize(
    ("goal", "is_missed", "verdict"),
    [(1.3, True, "at most 1.3 MISSED"), (1.5, False, "at most 1.5"), (None, False, "")],
)
def test_a_missed_goal_says_so(goal: float | None, is_missed: bool, verdict: str) -> None:  # noqa: FBT001
    """Above the goal is missed, at the goal is kept, and without one nothing is judged."""
    row = comparison((1.0, 1.0, 1.0), (1.4, 1.5, 1.6), goal)

    assert (row.ratio, row.is_missed, row.verdict) == (1.5, is_missed, verdict)


def test_what_disturbs_both_sides_of_a_round_cancels_out() -> None:
    """The ratio is that of the rounds, not of two medians from different rounds."""
    row = comparison((0.010, 0.100, 0.020), (0.011, 0.110, 0.022), 1.3)

    assert row.ratio == pytest.approx(1.1)
    assert str(row.figure) == "22.00 (11.00-110.00)"


def test_a_percentile_is_the_nearest_rank() -> None:
    """Of a hundred calls the p99 is the slowest but none, of two hundred the second slowest."""
    seconds = [number / 1000 for number in range(1, 201)]

    figure = Figure.of([seconds[:100], seconds], 0.99)

    assert figure.rounds == (0.1, 0.199)
