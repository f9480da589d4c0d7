"""GET: where claims stand with the exports, and who must act."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import language_of, user_token
from functions.claim_answer import claim_json
from functions.export_requests import ClaimStatusRequest, parsed_query
from functions.services import Services


async def show_claim_status(request: Request, services: Services) -> JSONResponse:
    """One entry per claim, in the order asked; what the caller may not see is `unknown`."""
    token, language = user_token(request), language_of(request)
    asked = parsed_query(ClaimStatusRequest, request)
    claims = await services.runs_as_user(token).get_claim_status(asked.claim_id)
    headers = {"Content-Language": language.value, "Cache-Control": "no-store"}
    content = {"claims": [claim_json(claim, language) for claim in claims]}
    return JSONResponse(content, headers=headers)
