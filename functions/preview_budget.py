"""How much work a preview may be."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

Item = TypeVar("Item")

_PORTION: Final = 250


class PreviewBudget:
    """A number of claims, and a moment after which no further portion is begun."""

    def __init__(self, claims: int, deadline: float, clock: Callable[[], float]) -> None:
        self._claims = claims
        self._deadline = deadline
        self._clock = clock
        self.is_spent = False

    def portions(self, page: Sequence[Item]) -> Iterator[Sequence[Item]]:
        """As much of a page as may be, in pieces small enough that a slow one is soon over.

        `is_spent` when that was not all of it.
        """
        for start in range(0, len(page), _PORTION):
            wanted = page[start : start + _PORTION]
            taken = wanted[: self._claims] if self._clock() <= self._deadline else wanted[:0]
            self._claims -= len(taken)
            if taken:
                yield taken
            if len(taken) < len(wanted):
                self.is_spent = True
                return
