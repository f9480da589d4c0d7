"""Left-out claims as a caller reads them."""

from collections.abc import Iterable

from functions.export_run import LeftOutClaim
from functions.language import Language
from functions.problem_sentences import who_must_act, why


def left_out_json(
    claims: Iterable[LeftOutClaim], language: Language
) -> list[dict[str, str | None]]:
    """`message` and `action` in the caller's language; `note` is the exporter's own, in English."""
    return [
        {
            "claim_id": str(claim.claim_id),
            "claim_number": claim.claim_number,
            "code": claim.code,
            "field": claim.field,
            "message": why(claim.code).said(language),
            "action": who_must_act(claim.code, claim.field).said(language),
            "note": claim.message,
        }
        for claim in claims
    ]
