"""POST: exports a period, or tells how its export stands."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import JSONResponse
from structlog.contextvars import bind_contextvars

from functions.caller import idempotency_key, language_of, user_token
from functions.export_engine import Completed, Exported
from functions.export_guard import ExportScope, Found
from functions.export_requests import TriggerExportRequest, parsed
from functions.export_run import LeftOutClaim
from functions.json_body import read_json_object
from functions.outcome_answer import outcome_response
from functions.services import Services


async def trigger_export(request: Request, services: Services) -> JSONResponse:
    """Needs a user's token and an Idempotency-Key; the same key never exports twice."""
    token = user_token(request)
    key = idempotency_key(request)
    body = await read_json_object(request, services.settings.export_body_limit)
    asked = parsed(TriggerExportRequest, body)
    bind_contextvars(organization_id=str(asked.organization_id))
    scope = ExportScope(asked.organization_id, asked.target, asked.period_from, asked.period_to)
    exported = await services.engine.export(scope, key=key, token=token)
    left_out = await _left_out(exported, token, services)
    return outcome_response(exported, left_out, language_of(request))


async def _left_out(exported: Exported, token: str, services: Services) -> Sequence[LeftOutClaim]:
    """A repeated answer tells as much as the first one, which may have been lost."""
    match exported:
        case Completed(left_out=left_out):
            return left_out
        case Found(run=run) if run.left_out_count:
            runs = services.runs_as_user(token)
            return (await runs.get_export_run_details(run.run_id)).left_out
        case _:
            return ()
