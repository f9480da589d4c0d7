"""GET: the runs of an organisation, newest first."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import language_of, user_token
from functions.export_requests import ExportHistoryRequest, parsed_query
from functions.run_answer import run_json
from functions.services import Services


async def list_export_runs(request: Request, services: Services) -> JSONResponse:
    """One page; ask for the next with `offset`."""
    token = user_token(request)
    asked = parsed_query(ExportHistoryRequest, request)
    runs = await services.runs_as_user(token).get_export_history(
        asked.organization_id, asked.limit, asked.offset
    )
    content = {
        "runs": [run_json(run) for run in runs],
        "limit": asked.limit,
        "offset": asked.offset,
    }
    headers = {"Content-Language": language_of(request).value, "Cache-Control": "no-store"}
    return JSONResponse(content, headers=headers)
