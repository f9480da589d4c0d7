"""What was altered in texts so that they fit the file; the claims are in it all the same."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notice:
    """How often one column's texts were altered, with one claim to look at.

    `code` is `text_shortened` or `character_replaced`, `field` the column's name. Counts and not
    claims are kept, so that memory does not grow with the run.
    """

    code: str
    field: str
    count: int
    first_claim_number: str
