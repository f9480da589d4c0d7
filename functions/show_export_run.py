"""GET: one run with its history, its left-out claims and a link to its file."""

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import language_of, user_token
from functions.document_answer import document_json
from functions.export_requests import ExportRunRequest, parsed_query
from functions.export_run import ExportRun
from functions.left_out_answer import causes_json, left_out_json
from functions.run_answer import run_json
from functions.services import Services


async def show_export_run(request: Request, services: Services) -> JSONResponse:
    """`download` is null while there is no file that this caller may read.

    With `line` in the question there is `claim_at_line`, or the whole is answered 404.
    """
    token, language = user_token(request), language_of(request)
    asked = parsed_query(ExportRunRequest, request)
    runs = services.runs_as_user(token)
    details = await runs.get_export_run_details(asked.run_id)
    content: dict[str, object] = {
        "run": run_json(details.run),
        "events": [event.model_dump(mode="json") for event in details.events],
        "left_out": left_out_json(details.left_out, language),
        "left_out_causes": causes_json(details.left_out_causes, language),
        "breakdown": details.breakdown.model_dump(mode="json") if details.breakdown else None,
        "documents": [document_json(document) for document in details.documents],
        "configuration": details.configuration,
        "download": await _download(details.run, token, services),
    }
    if asked.line is not None:
        claim = await runs.find_claim_at_line(asked.run_id, asked.line)
        content["claim_at_line"] = claim.model_dump(mode="json")
    headers = {"Content-Language": language.value, "Cache-Control": "no-store"}
    return JSONResponse(content, headers=headers)


async def _download(run: ExportRun, token: str, services: Services) -> dict[str, object] | None:
    if run.file is None:
        return None
    link = await services.storage.signed_link(run.file, token)
    return asdict(link) if link else None
