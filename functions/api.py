"""Which address takes which method, and the edge where errors become answers."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import language_of
from functions.confirm_export import confirm_export
from functions.errors import Defect, EngineError, InvalidRequest
from functions.find_exports import find_exports
from functions.list_changed_claims import list_changed_claims
from functions.list_claim_runs import list_claim_runs
from functions.list_export_runs import list_export_runs
from functions.log import logger, traceback_of
from functions.preview_export import preview_export
from functions.problem import problem_response
from functions.services import Services
from functions.show_claim_status import show_claim_status
from functions.show_export_run import show_export_run
from functions.show_verification_sheet import show_verification_sheet
from functions.sweep_exports import sweep_exports
from functions.trigger_export import trigger_export
from functions.void_export import void_export


@dataclass(frozen=True)
class Endpoint:
    """One thing that can be asked for."""

    method: str
    answer: Callable[[Request, Services], Awaitable[JSONResponse]]


APP_ENDPOINTS: Final[dict[str, Endpoint]] = {
    "trigger_export": Endpoint("POST", trigger_export),
    "preview_export": Endpoint("POST", preview_export),
    "confirm_export": Endpoint("POST", confirm_export),
    "void_export": Endpoint("POST", void_export),
    "export_run": Endpoint("GET", show_export_run),
    "verification_sheet": Endpoint("POST", show_verification_sheet),
    "export_history": Endpoint("GET", list_export_runs),
    "claim_status": Endpoint("GET", show_claim_status),
    "claim_runs": Endpoint("GET", list_claim_runs),
    "find_export": Endpoint("GET", find_exports),
    "changed_claims": Endpoint("GET", list_changed_claims),
}
# Deployed apart, closed to the public, and never below the app's address.
ENDPOINTS: Final = {**APP_ENDPOINTS, "sweep": Endpoint("POST", sweep_exports)}


async def answer_by_path(request: Request, services: Services) -> JSONResponse:
    """The app's one address: /<name> for every endpoint of the app."""
    name = request.url.path.strip("/")
    return await answer(name if name in APP_ENDPOINTS else "", request, services)


async def answer(name: str, request: Request, services: Services) -> JSONResponse:
    """Never raises but for cancellation: functions-framework has no error handler for async."""
    started = time.monotonic()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(
        endpoint=name if name in ENDPOINTS else None,
        execution_id=request.headers.get("function-execution-id"),
    )
    response, error = await _outcome(name, request, services)
    logger.info(
        "request_answered",
        status=response.status_code,
        code=error.code if error else None,
        cause=error.cause if error else None,
        duration_ms=round((time.monotonic() - started) * 1000),
    )
    return response


async def _outcome(
    name: str, request: Request, services: Services
) -> tuple[JSONResponse, EngineError | None]:
    language = language_of(request)
    try:
        return await _endpoint(name, request).answer(request, services), None
    except EngineError as error:
        if isinstance(error, Defect):
            logger.error("defect", cause=error.cause, traceback=traceback_of(error))
        return problem_response(error, language), error
    except Exception as unexpected:  # noqa: BLE001  # the last edge: a caller gets JSON, whatever breaks
        logger.error("defect", traceback=traceback_of(unexpected))
        defect = Defect(type(unexpected).__name__)
        return problem_response(defect, language), defect


def _endpoint(name: str, request: Request) -> Endpoint:
    endpoint = ENDPOINTS.get(name)
    if endpoint is None:
        raise InvalidRequest("endpoint_not_found")
    if request.method != endpoint.method:
        raise InvalidRequest("method_not_allowed", allow=endpoint.method)
    return endpoint
