"""Masks one kind of number in claims, and counts the claims for the run's notices."""

from collections.abc import Callable, Iterator

from exporters.claim import Claim
from exporters.notice import Notice


class Masking:
    """A way to mask, which gives the same claim when there was nothing to mask, and a count."""

    def __init__(self, code: str, mask: Callable[[Claim], Claim]) -> None:
        self._code = code
        self._mask = mask
        self._count = 0
        self._first = ""

    def masked(self, claim: Claim) -> Claim:
        """Mask the numbers of a claim, and count it if it has any."""
        without = self._mask(claim)
        if without is not claim:
            self._count += 1
            self._first = self._first or claim.claim_number
        return without

    def notices(self) -> Iterator[Notice]:
        """Tell how many claims were changed, if any were."""
        if self._count:
            yield Notice(self._code, "", self._count, self._first)
