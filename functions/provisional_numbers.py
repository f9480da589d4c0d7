"""Positions and voucher numbers of claims that nobody reserved: what a run would give them."""

from collections.abc import Iterable

from exporters.claim import Member
from functions.preview_source import EligibleClaim


class ProvisionalNumbers:
    """Numbers the claims of a preview in the order of the pages, as `reserve_claims` does in SQL.

    The only place that knows which claims share a voucher: each has one of its own.
    """

    def __init__(self, first_voucher_number: int) -> None:
        self._first_voucher_number = first_voucher_number
        self._position = 0

    def members(self, claims: Iterable[EligibleClaim]) -> list[Member]:
        """The claims of the next page, as a run would hold them."""
        return [self._member(claim) for claim in claims]

    def _member(self, claim: EligibleClaim) -> Member:
        self._position += 1
        return Member(
            position=self._position,
            claim_id=claim.claim_id,
            kind="entry",
            generation=claim.generation,
            voucher_number=self._first_voucher_number + self._position - 1,
            document=claim.document,
        )
