"""POST: the verification sheet and the manifest of a run's file, made if they are not there yet."""

import asyncio
from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.caller import language_of, user_token
from functions.document_answer import document_json
from functions.export_documents import MANIFEST, sheet_kind
from functions.export_requests import VerificationSheetRequest, parsed
from functions.export_run import RunDocument
from functions.json_body import read_json_object
from functions.services import Services


async def show_verification_sheet(request: Request, services: Services) -> JSONResponse:
    """Whoever sees the run may have its sheet; asking again finds the same one."""
    token, language = user_token(request), language_of(request)
    body = await read_json_object(request, services.settings.export_body_limit)
    asked = parsed(VerificationSheetRequest, body)
    # Before anything is made the database judges the caller.
    details = await services.runs_as_user(token).get_export_run_details(asked.run_id)
    wanted = asked.language or services.settings.export_sheet_language
    kinds = {sheet_kind(wanted), MANIFEST}
    by_kind = {document.kind: document for document in details.documents}
    if not kinds <= by_kind.keys():
        made = await services.documents.make(asked.run_id, wanted)
        by_kind = {document.kind: document for document in made}
    sheet, manifest = await asyncio.gather(
        _linked(by_kind[sheet_kind(wanted)], token, services),
        _linked(by_kind[MANIFEST], token, services),
    )
    content = {
        "run_id": str(asked.run_id),
        "file": details.run.file and details.run.file.model_dump(mode="json", exclude={"path"}),
        "verification_sheet": sheet,
        "manifest": manifest,
    }
    headers = {"Content-Language": language.value, "Cache-Control": "no-store"}
    return JSONResponse(content, headers=headers)


async def _linked(document: RunDocument, token: str, services: Services) -> dict[str, object]:
    """`download` is null if the object is gone from the bucket."""
    link = await services.storage.signed_link(document, token)
    return {**document_json(document), "download": asdict(link) if link else None}
