"""GET: every run that one claim is or was in."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import language_of, user_token
from functions.errors import Refused
from functions.export_requests import ClaimRunsRequest, parsed_query
from functions.run_answer import run_json
from functions.services import Services


async def list_claim_runs(request: Request, services: Services) -> JSONResponse:
    """Oldest first, deleted and voided runs too; a foreign claim is answered as an unknown one."""
    token = user_token(request)
    asked = parsed_query(ClaimRunsRequest, request)
    runs = await services.runs_as_user(token).find_runs_by_claim_id(asked.claim_id)
    if not runs:
        raise Refused("claim_not_found")
    headers = {"Content-Language": language_of(request).value, "Cache-Control": "no-store"}
    content = {"claim_id": str(asked.claim_id), "runs": [run_json(run) for run in runs]}
    return JSONResponse(content, headers=headers)
