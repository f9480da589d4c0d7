"""GET: claims that were changed after their export, with the difference."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import language_of, user_token
from functions.claim_answer import changed_claim_json
from functions.export_requests import ChangedClaimsRequest, parsed_query
from functions.services import Services


async def list_changed_claims(request: Request, services: Services) -> JSONResponse:
    """One page; ask for the next with `cursor` until `next_cursor` is null."""
    token, language = user_token(request), language_of(request)
    asked = parsed_query(ChangedClaimsRequest, request)
    page = await services.runs_as_user(token).list_changed_claims(
        asked.organization_id, limit=asked.limit, cursor=asked.cursor
    )
    content = {
        "claims": [changed_claim_json(claim, language) for claim in page.claims],
        "limit": asked.limit,
        "next_cursor": page.next_cursor,
    }
    headers = {"Content-Language": language.value, "Cache-Control": "no-store"}
    return JSONResponse(content, headers=headers)
