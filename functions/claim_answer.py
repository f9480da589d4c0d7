"""A claim's standing as a caller reads it: what became of it, and who must act."""

from typing import Final

from functions.changed_claims import ChangedClaim
from functions.claim_status import ClaimState, ClaimStatus
from functions.language import Language, Sentence
from functions.problem_sentences import who_must_act, why

_SAID: Final[dict[ClaimState, Sentence]] = {
    ClaimState.UNKNOWN: Sentence(
        nb="Kravet finnes ikke, eller du har ikke tilgang til det.",
        en="The claim does not exist, or you have no access to it.",
    ),
    ClaimState.NOT_APPROVED: Sentence(
        nb="Kravet er ikke godkjent.", en="The claim is not approved."
    ),
    ClaimState.ELIGIBLE: Sentence(
        nb="Kravet er klart og blir med i neste eksport.",
        en="The claim is ready and joins the next export.",
    ),
    ClaimState.RESERVED: Sentence(
        nb="Kravet eksporteres nå, i kjøring {run_number}.",
        en="The claim is being exported, in run {run_number}.",
    ),
    ClaimState.EXPORTED: Sentence(
        nb="Kravet ble eksportert i kjøring {run_number}, som bilag {voucher_number}.",
        en="The claim was exported in run {run_number}, as voucher {voucher_number}.",
    ),
    ClaimState.HELD: Sentence(
        nb="Kjøring {run_number} er satt til side og holder på kravet.",
        en="Run {run_number} is set aside and holds the claim.",
    ),
}
_ACTIONS: Final[dict[ClaimState, Sentence]] = {
    ClaimState.NOT_APPROVED: Sentence(
        nb="Den som godkjenner krav, må godkjenne det.",
        en="Whoever approves claims must approve it.",
    ),
    ClaimState.HELD: Sentence(
        nb="En administrator må se på kjøringen.", en="An administrator must look at the run."
    ),
}
_HELD_BACK: Final = Sentence(
    nb="Kravet holdes tilbake fra automatiske eksporter.",
    en="The claim is held back from automatic exports.",
)
_EXPORT_BY_HAND: Final = Sentence(
    nb="En koordinator må starte eksporten når kravet skal med.",
    en="A coordinator must start the export when the claim is to be in it.",
)
_NOT_IN_THE_BOOKS: Final = Sentence(
    nb="Kravet er endret etter eksporten. Regnskapsføreren må vurdere å rette bilaget.",
    en="The claim was changed after the export. The accountant must consider a correction.",
)
_UNAPPROVED_SINCE: Final = Sentence(
    nb="Kravet er ikke lenger godkjent. Regnskapsføreren må vurdere å rette bilaget.",
    en="The claim is no longer approved. The accountant must consider a correction.",
)
_TRIED_AGAIN: Final = Sentence(
    nb="Kravet er endret siden og prøves på nytt i neste eksport.",
    en="The claim was changed since and is tried again by the next export.",
)


def claim_json(claim: ClaimStatus, language: Language) -> dict[str, object]:
    """The claim's fields, with `message` and `action` in the caller's language."""
    action = _action(claim)
    return {
        **claim.model_dump(mode="json", by_alias=True),
        "message": _message(claim, language),
        "action": action.said(language) if action else None,
    }


def changed_claim_json(claim: ChangedClaim, language: Language) -> dict[str, object]:
    """As `claim_json`: the same words about the same claim."""
    action = _UNAPPROVED_SINCE if claim.no_longer_approved else _NOT_IN_THE_BOOKS
    return {**claim.model_dump(mode="json", by_alias=True), "action": action.said(language)}


def _message(claim: ClaimStatus, language: Language) -> str:
    if claim.state is ClaimState.LEFT_OUT and claim.reason:
        return why(claim.reason.code).said(language)
    if claim.state is ClaimState.HELD and claim.run is None:
        return _HELD_BACK.said(language)
    run_number = claim.run.run_number if claim.run else None
    return _SAID[claim.state].said(
        language, run_number=run_number, voucher_number=claim.voucher_number
    )


def _action(claim: ClaimStatus) -> Sentence | None:
    if claim.state is ClaimState.LEFT_OUT and claim.reason:
        if claim.changed_since_export:
            return _TRIED_AGAIN
        return who_must_act(claim.reason.code, claim.reason.field)
    if claim.state is ClaimState.HELD and claim.run is None:
        return _EXPORT_BY_HAND
    if claim.no_longer_approved:
        return _UNAPPROVED_SINCE
    if claim.changed_since_export and claim.state is not ClaimState.HELD:
        return _NOT_IN_THE_BOOKS
    return _ACTIONS.get(claim.state)
