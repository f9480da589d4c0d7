"""POST: the accountant reports what the accounting system made of a file."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import language_of, user_token
from functions.confirmation import ConfirmedVoucher
from functions.export_requests import ConfirmExportRequest, parsed
from functions.json_body import read_json_object
from functions.run_answer import run_json
from functions.services import Services


async def confirm_export(request: Request, services: Services) -> JSONResponse:
    """For the whole run, or for the vouchers named; saying the same again records nothing."""
    token, language = user_token(request), language_of(request)
    body = await read_json_object(request, services.settings.export_confirmation_limit)
    asked = parsed(ConfirmExportRequest, body)
    vouchers = (
        None
        if asked.vouchers is None
        else [ConfirmedVoucher(v.voucher_number, v.external_number, v.note) for v in asked.vouchers]
    )
    runs = services.runs_as_user(token)
    confirmation = await runs.confirm_export(asked.run_id, asked.outcome, vouchers)
    content = {"run": run_json(confirmation.run), "recorded": confirmation.recorded}
    headers = {"Content-Language": language.value, "Cache-Control": "no-store"}
    return JSONResponse(content, headers=headers)
