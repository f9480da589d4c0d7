"""POST: what an export of a period would make now, as things are or with a candidate."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from structlog.contextvars import bind_contextvars

from functions.caller import language_of, user_token
from functions.export_requests import PreviewExportRequest, parsed
from functions.json_body import read_json_object
from functions.preview_answer import preview_json
from functions.services import Services


async def preview_export(request: Request, services: Services) -> JSONResponse:
    """Needs a user's token, and no key: nothing is done that could be done twice."""
    token, language = user_token(request), language_of(request)
    body = await read_json_object(request, services.settings.export_candidate_limit)
    asked = parsed(PreviewExportRequest, body)
    bind_contextvars(organization_id=str(asked.organization_id))
    preview = await services.preview_as_user(token).preview(
        asked.scope(),
        asked.candidate.candidate(),
        run_ids=[asked.compare_run_id] if asked.compare_run_id else [],
        latest_runs=asked.compare_runs,
    )
    headers = {"Content-Language": language.value, "Cache-Control": "no-store"}
    return JSONResponse(preview_json(preview, language), headers=headers)
