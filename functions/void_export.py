"""POST: an admin takes a completed run back."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import language_of, user_token
from functions.errors import Refused
from functions.export_requests import VoidExportRequest, parsed
from functions.json_body import read_json_object
from functions.outcome_answer import outcome_response, voided_response
from functions.services import Services


async def void_export(request: Request, services: Services) -> JSONResponse:
    """Not imported: the claims are free again. Imported: a file of reversals is made."""
    token, language = user_token(request), language_of(request)
    body = await read_json_object(request, services.settings.export_body_limit)
    asked = parsed(VoidExportRequest, body)
    if asked.imported:
        reversal = await services.engine.reverse(asked.run_id, asked.reason, token=token)
        return outcome_response(reversal, (), language)
    runs = services.runs_as_user(token)
    try:
        run = await runs.void_export(asked.run_id, asked.reason)
    except Refused as refusal:
        if refusal.code != "delivery_not_cleared":
            raise
        # She may void it, as the database says, once its vouchers are out of the journal again.
        await services.engine.withdraw(asked.run_id)
        run = await runs.void_export(asked.run_id, asked.reason)
    return voided_response(run, language)
