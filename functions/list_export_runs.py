"""GET: the runs of an organisation, newest first."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import language_of, user_token
from functions.export_requests import ExportHistoryRequest, parsed_query
from functions.run_answer import run_json
from functions.services import Services


async def list_export_runs(request: Request, services: Services) -> JSONResponse:
    """One page; ask for the next with `cursor`, which runs that are added do not disturb."""
    token = user_token(request)
    asked = parsed_query(ExportHistoryRequest, request)
    page = await services.runs_as_user(token).get_export_history_page(
        asked.organization_id,
        asked.filter(),
        limit=asked.limit,
        offset=asked.offset,
        cursor=asked.cursor,
    )
    content = {
        "runs": [run_json(run) for run in page.runs],
        "limit": asked.limit,
        "offset": None if asked.cursor else asked.offset or 0,
        "next_cursor": page.next_cursor,
    }
    headers = {"Content-Language": language_of(request).value, "Cache-Control": "no-store"}
    return JSONResponse(content, headers=headers)
