"""GET: from a number in the books, or a file, back to the run and the claim."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import language_of, user_token
from functions.export_requests import FindExportRequest, parsed_query
from functions.run_answer import run_json
from functions.services import Services


async def find_exports(request: Request, services: Services) -> JSONResponse:
    """Nothing found is an answer, not an error."""
    token = user_token(request)
    asked = parsed_query(FindExportRequest, request)
    found = await services.runs_as_user(token).find_exports(asked.organization_id, asked.q)
    content = {
        "runs": [run_json(run) for run in found.runs],
        "claims": [claim.model_dump(mode="json") for claim in found.claims],
        "has_more": found.has_more,
    }
    headers = {"Content-Language": language_of(request).value, "Cache-Control": "no-store"}
    return JSONResponse(content, headers=headers)
