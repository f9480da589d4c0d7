"""Left-out claims as a caller reads them."""

from collections.abc import Iterable

from functions.export_run import LeftOutCause, LeftOutClaim
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


def causes_json(causes: Iterable[LeftOutCause], language: Language) -> list[dict[str, object]]:
    """Left-out claims by cause, most frequent first; the same sentences as beside each claim."""
    return [
        {
            **cause.model_dump(),
            "message": why(cause.code).said(language),
            "action": who_must_act(cause.code, _any_line(cause.field)).said(language),
        }
        for cause in causes
    ]


def _any_line(field: str | None) -> str | None:
    # A cause stands for all lines; who must act is told by the name of one.
    return field.replace("[]", "[0]") if field else None
