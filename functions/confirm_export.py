"""POST: the accountant reports what the accounting system made of a file."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import language_of, user_token
from functions.confirmation import Confirmation, ConfirmedVoucher
from functions.confirmation_list import read_confirmation_list
from functions.export_confirmations import ExportConfirmations
from functions.export_requests import (
    ConfirmExportRequest,
    ConfirmListRequest,
    parsed,
    parsed_query,
)
from functions.json_body import read_json_object
from functions.request_body import media_type, read_within, require_media_type
from functions.run_answer import run_json
from functions.services import Services

_CSV = "text/csv"


async def confirm_export(request: Request, services: Services) -> JSONResponse:
    """A whole run, the vouchers named, or a list from the accounting system as CSV."""
    token, language = user_token(request), language_of(request)
    if media_type(request) == _CSV:
        content = await _list_confirmed(request, services, token)
    else:
        content = _told(await _confirmed(request, services, token))
    headers = {"Content-Language": language.value, "Cache-Control": "no-store"}
    return JSONResponse(content, headers=headers)


async def _confirmed(request: Request, services: Services, token: str) -> Confirmation:
    body = await read_json_object(request, services.settings.export_confirmation_limit)
    asked = parsed(ConfirmExportRequest, body)
    vouchers = (
        None
        if asked.vouchers is None
        else [ConfirmedVoucher(v.voucher_number, v.external_number, v.note) for v in asked.vouchers]
    )
    runs = services.runs_as_user(token)
    return await runs.confirm_export(asked.run_id, asked.outcome, vouchers)


async def _list_confirmed(request: Request, services: Services, token: str) -> dict[str, object]:
    require_media_type(request, _CSV)
    asked = parsed_query(ConfirmListRequest, request)
    body = await read_within(request, services.settings.export_confirmation_limit)
    given = read_confirmation_list(body)
    confirmations = ExportConfirmations(services.connection.as_user(token))
    confirmation = await confirmations.confirm_list(asked.run_id, given.vouchers)
    return {
        **_told(confirmation),
        "vouchers": len(given.vouchers),
        "ignored_columns": list(given.ignored_columns),
    }


def _told(confirmation: Confirmation) -> dict[str, object]:
    return {"run": run_json(confirmation.run), "recorded": confirmation.recorded}
