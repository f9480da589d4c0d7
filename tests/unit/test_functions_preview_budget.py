"""How far a preview goes: so many claims, and until a moment."""

import pytest

from functions.preview_budget import PreviewBudget


@pytest.mark.parametrize(
    ("most", "pages", "sizes", "is_spent"),
    [
        (1000, [600], [250, 250, 100], False),
        (600, [600], [250, 250, 100], False),
        (599, [600], [250, 250, 99], True),
        (500, [600], [250, 250], True),
        (600, [300, 300], [250, 50, 250, 50], False),
        (500, [300, 300], [250, 50, 200], True),
        (300, [300, 0], [250, 50], False),
        (300, [300, 1], [250, 50], True),
        (0, [], [], False),
    ],
)
def test_claims_are_counted_over_all_pages(
    most: int,
    pages: list[int],
    sizes: list[int],
    is_spent: bool,  # noqa: FBT001 - a case of the table
) -> None:
    budget, taken = PreviewBudget(most, 10, lambda: 0), []
    for page in pages:
        taken += [len(portion) for portion in budget.portions(range(page))]

    assert (taken, budget.is_spent) == (sizes, is_spent)


def test_no_portion_is_begun_after_the_deadline() -> None:
    moments = iter([1, 2, 3])
    budget = PreviewBudget(10_000, 2, lambda: next(moments))

    assert [len(portion) for portion in budget.portions(range(2000))] == [250, 250]
    assert budget.is_spent
