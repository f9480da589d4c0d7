"""What became of a request to export: HTTP status, sentence and body."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, assert_never

from starlette.responses import JSONResponse

from functions.errors import Refused
from functions.export_engine import Completed, Exported
from functions.export_guard import Busy, Found, NothingToExport
from functions.export_run import ExportRun, LeftOutClaim, RunStatus
from functions.language import Language, Sentence
from functions.left_out_answer import left_out_json
from functions.run_answer import run_href, run_json

_UNDER_WAY: Final = frozenset({RunStatus.PENDING, RunStatus.PROCESSING, RunStatus.RELEASING})
_SECONDS_UNTIL_NEXT_LOOK: Final = 5

_COMPLETED: Final = Sentence(
    nb="Kjøring {run_number} er ferdig. Krav i filen: {claim_count}, utelatt: {left_out_count}.",
    en="Run {run_number} is done. Claims in the file: {claim_count}, left out: {left_out_count}.",
)
_REVERSED: Final = Sentence(
    nb="Kjøring {run_number} er ferdig. Importer filen, som tilbakefører {claim_count} krav.",
    en="Run {run_number} is done. Import its file, which reverses {claim_count} claims.",
)
_JOINED: Final = Sentence(
    nb="Denne eksporten er allerede i gang i kjøring {run_number}, startet av {starter}.",
    en="This export is already in progress as run {run_number}, started by {starter}.",
)
_UNKNOWN_STARTER: Final = Sentence(nb="systemet", en="the system")
_NOTHING: Final = Sentence(
    nb="Det er ingen godkjente krav å eksportere i perioden.",
    en="There are no approved claims to export in the period.",
)
_NOTHING_LEFT: Final = Sentence(
    nb="Det er ikke mer å eksportere i perioden. Sist eksportert i kjøring {run_number}.",
    en="There is no more to export in the period. Most recently exported in run {run_number}.",
)
_STILL_LEFT_OUT: Final = Sentence(
    nb="Krav som fortsatt ikke kan eksporteres: {count}. Årsaken står ved hvert krav.",
    en="Claims that still cannot be exported: {count}. The reason is given beside each.",
)
_HELD: Final = Sentence(
    nb="Kjøring {run_number} er satt til side med kravene sine. En administrator må se på den.",
    en="Run {run_number} is set aside with its claims. An administrator must look at it.",
)
_SKIPPED: Final = Sentence(
    nb="Krav som redigeres akkurat nå: {skipped_count}. De kan eksporteres etterpå.",
    en="Claims being edited right now: {skipped_count}. They can be exported afterwards.",
)
_DELETED: Final = Sentence(
    nb="Denne eksporten ble gjort i kjøring {run_number}, som siden er slettet fra listene.",
    en="This export was made in run {run_number}, which has since been deleted from the lists.",
)
_REPLAYED: Final[dict[RunStatus, Sentence]] = {
    RunStatus.COMPLETED: Sentence(
        nb="Denne eksporten er allerede gjort, i kjøring {run_number}.",
        en="This export is already done, in run {run_number}.",
    ),
    RunStatus.PENDING: Sentence(
        nb="Kjøring {run_number} venter på å begynne.", en="Run {run_number} is waiting to begin."
    ),
    RunStatus.PROCESSING: Sentence(
        nb="Kjøring {run_number} pågår fortsatt.", en="Run {run_number} is still in progress."
    ),
    RunStatus.RELEASING: Sentence(
        nb="Kjøring {run_number} mislyktes, og kravene frigjøres.",
        en="Run {run_number} failed, and its claims are being released.",
    ),
    RunStatus.FAILED: Sentence(
        nb="Kjøring {run_number} mislyktes. Start en ny eksport.",
        en="Run {run_number} failed. Start a new export.",
    ),
    RunStatus.VOIDING: Sentence(
        nb="Kjøring {run_number} er i ferd med å bli annullert.",
        en="Run {run_number} is being voided.",
    ),
    RunStatus.VOIDED: Sentence(
        nb="Kjøring {run_number} er annullert. Start en ny eksport med en ny nøkkel.",
        en="Run {run_number} is voided. Start a new export with a new key.",
    ),
    RunStatus.IN_DOUBT: Sentence(
        nb="Om regnskapssystemet fikk kjøring {run_number}, er uvisst. Det blir spurt på nytt.",
        en="It is unknown whether run {run_number} arrived. It will be asked about again.",
    ),
}


_VOIDED: Final = {
    RunStatus.VOIDED: Sentence(
        nb="Kjøring {run_number} er annullert. Kravene venter til noen eksporterer dem.",
        en="Run {run_number} is voided. Its claims wait until somebody exports them.",
    ),
    RunStatus.VOIDING: _REPLAYED[RunStatus.VOIDING],
}


def voided_response(run: ExportRun, language: Language) -> JSONResponse:
    """200 voided; 202 while the claims of a large run are still being let go."""
    is_done = run.status is RunStatus.VOIDED
    content = _content(str(run.status), run, _said(_VOIDED[run.status], run, language))
    status = HTTPStatus.OK if is_done else HTTPStatus.ACCEPTED
    return JSONResponse(content, status, _with_language({}, language))


def outcome_response(
    exported: Exported, left_out: Sequence[LeftOutClaim], language: Language
) -> JSONResponse:
    """201 done now; 200 done before, or nothing to do; 202 under way.

    Raises Refused when busy, and for a parked run.
    """
    match exported:
        case Completed(run=run):
            sentence = _COMPLETED if run.reverses_run_id is None else _REVERSED
            content = _content("completed", run, _said(sentence, run, language))
            content["left_out"] = left_out_json(left_out, language)
            headers = {"Location": run_href(run)}
            return JSONResponse(content, HTTPStatus.CREATED, _with_language(headers, language))
        case Found():
            return _found(exported, left_out, language)
        case NothingToExport():
            return _nothing(exported, language)
        case Busy(run=run, retry_after=retry_after):
            raise Refused(
                "busy",
                run_id=run.run_id if run else None,
                retry_after=retry_after or _SECONDS_UNTIL_NEXT_LOOK,
            )
        case _:
            assert_never(exported)


def _found(found: Found, left_out: Sequence[LeftOutClaim], language: Language) -> JSONResponse:
    run, is_under_way = found.run, found.run.status in _UNDER_WAY
    if run.status is RunStatus.PARKED:
        # Not a success, and nothing that asking again would change.
        raise Refused("run_parked", run_id=run.run_id)
    # A colleague's run that ended in the same moment is no longer in progress.
    sentence = _JOINED if found.outcome == "joined" and is_under_way else _REPLAYED[run.status]
    content = _content(
        found.outcome, run, _said(_DELETED if run.deleted else sentence, run, language)
    )
    content["left_out"] = left_out_json(left_out, language)
    headers = {}
    # Nothing to do for the caller: the sweep asks the accounting system again.
    is_open = is_under_way or run.status is RunStatus.IN_DOUBT
    if is_open:
        content["retry_after"] = found.retry_after or _SECONDS_UNTIL_NEXT_LOOK
        headers["Retry-After"] = str(content["retry_after"])
    status = HTTPStatus.ACCEPTED if is_open else HTTPStatus.OK
    return JSONResponse(content, status, _with_language(headers, language))


def _nothing(nothing: NothingToExport, language: Language) -> JSONResponse:
    sentences = [
        _said(_NOTHING_LEFT, nothing.run, language) if nothing.run else _NOTHING.said(language)
    ]
    if nothing.parked_run:
        is_in_doubt = nothing.parked_run.status is RunStatus.IN_DOUBT
        held = _REPLAYED[RunStatus.IN_DOUBT] if is_in_doubt else _HELD
        sentences.append(_said(held, nothing.parked_run, language))
    if nothing.skipped_count:
        sentences.append(_SKIPPED.said(language, skipped_count=nothing.skipped_count))
    if nothing.left_out:
        sentences.append(_STILL_LEFT_OUT.said(language, count=len(nothing.left_out)))
    content = _content("nothing_to_export", nothing.run, " ".join(sentences))
    content["left_out"] = left_out_json(nothing.left_out, language)
    content["skipped_count"] = nothing.skipped_count
    content["parked_run"] = run_json(nothing.parked_run) if nothing.parked_run else None
    return JSONResponse(content, HTTPStatus.OK, _with_language({}, language))


def _content(outcome: str, run: ExportRun | None, message: str) -> dict[str, object]:
    return {
        "outcome": outcome,
        "run": run_json(run) if run else None,
        "left_out": [],
        "skipped_count": run.skipped_count if run else 0,
        "message": message,
        "retry_after": None,
    }


def _said(sentence: Sentence, run: ExportRun, language: Language) -> str:
    return sentence.said(
        language,
        run_number=run.run_number,
        claim_count=run.claim_count,
        left_out_count=run.left_out_count,
        starter=run.triggered_by_name or _UNKNOWN_STARTER.said(language),
    )


def _with_language(headers: dict[str, str], language: Language) -> dict[str, str]:
    return {**headers, "Content-Language": language.value, "Cache-Control": "no-store"}
