"""What was altered so that it fits the file; the claims are in it all the same."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Notice:
    """How often something was altered, with one claim to look at.

    `code` is `text_shortened`, `character_replaced` or `character_removed`, with the column's name
    as `field`, or `posting_date_moved`, `voucher_long`, `identity_number_masked` or
    `bank_account_number_masked`. Counts and not claims are kept, so that memory does not grow with
    the run.
    """

    code: str
    field: str
    count: int
    first_claim_number: str
