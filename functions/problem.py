"""Errors as problem details (RFC 9457), in the caller's language: the one place that renders them.

The media type is application/json, because mobile client libraries decode no other.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.responses import JSONResponse

from functions.error_catalogue import CATALOGUE, FIELD_SENTENCES, Entry, entry_of
from functions.errors import EngineError, InvalidRequest, RunFailed, SetUpRefused
from functions.language import Language, Sentence
from functions.left_out_answer import left_out_json
from functions.problem_sentences import why
from functions.run_answer import run_json

_SECONDS_UNTIL_NEXT_TRY: Final = 5
_LONGEST_FIELD_NAME: Final = 100


def status_of(error: EngineError) -> int:
    """The catalogue's; for a code that only a newer database knows, the database's."""
    if error.code in CATALOGUE:
        return CATALOGUE[error.code].status
    if error.status in set(HTTPStatus):
        return error.status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def problem_response(error: EngineError, language: Language) -> JSONResponse:
    """Never fails for an error of ours, whatever its code."""
    status, entry = status_of(error), entry_of(error.code)
    retry_after = error.retry_after or (_SECONDS_UNTIL_NEXT_TRY if error.is_transient else None)
    content: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": entry.detail.said(language),
        "code": error.code,
        "action": entry.action.said(language),
    }
    if error.reason is not None:
        content["reason"] = error.reason
    if error.run_id is not None:
        content["run_id"] = str(error.run_id)
    if retry_after is not None:
        content["retry_after"] = retry_after
    if errors := _errors(error, entry, language):
        content["errors"] = errors
    if isinstance(error, RunFailed):
        content["left_out"] = left_out_json(error.left_out, language)
        content["latest_run"] = run_json(error.latest_run) if error.latest_run else None
    return JSONResponse(content, status, _headers(error, status, retry_after, language))


def _errors(error: EngineError, entry: Entry, language: Language) -> Sequence[dict[str, str]]:
    if isinstance(error, InvalidRequest) and error.fields:
        return [
            {
                "field": problem.field[:_LONGEST_FIELD_NAME],
                "message": FIELD_SENTENCES[problem.code].said(language),
            }
            for problem in error.fields
        ]
    if isinstance(error, RunFailed | SetUpRefused):
        return [
            {
                "field": problem.field,
                "message": _of_set_up(problem.code).said(language),
                "note": problem.message,
            }
            for problem in error.problems
        ]
    if entry.field is not None:
        told = {"field": entry.field, "message": entry.detail.said(language)}
        return [told if error.note is None else {**told, "note": error.note}]
    return []


def _of_set_up(code: str) -> Sentence:
    """Of a file's set-up, or of a connection's."""
    return entry_of(code).detail if code in CATALOGUE else why(code)


def _headers(
    error: EngineError, status: int, retry_after: int | None, language: Language
) -> dict[str, str]:
    headers = {"Content-Language": language.value, "Cache-Control": "no-store"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, InvalidRequest) and error.allow:
        headers["Allow"] = error.allow
    return headers
