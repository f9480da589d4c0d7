"""POST: exports a period, or tells how its export stands."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import idempotency_key, language_of, user_token
from functions.export_guard import ExportScope
from functions.export_requests import TriggerExportRequest, parsed
from functions.json_body import read_json_object
from functions.outcome_answer import outcome_response
from functions.services import Services


async def trigger_export(request: Request, services: Services) -> JSONResponse:
    """Needs a user's token and an Idempotency-Key; the same key never exports twice."""
    token = user_token(request)
    key = idempotency_key(request)
    body = await read_json_object(request, services.settings.export_body_limit)
    asked = parsed(TriggerExportRequest, body)
    scope = ExportScope(asked.organization_id, asked.target, asked.period_from, asked.period_to)
    exported = await services.engine.export(scope, key=key, token=token)
    return outcome_response(exported, language_of(request))
