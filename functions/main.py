"""Entry points, each deployable by its own name; `api` serves the app's under one address.

functions-framework loads this file under another module name, so nothing is defined here that
other modules could meet twice. Nothing is opened here either: the server forks after the import.
"""

from functions_framework import aio
from starlette.requests import Request
from starlette.responses import Response

from functions.api import answer, answer_by_path
from functions.log import configure_log
from functions.services import Services
from functions.settings import load_settings

configure_log()
SERVICES = Services.of(load_settings())


@aio.http
async def trigger_export(request: Request) -> Response:
    """POST: export a period."""
    return await answer("trigger_export", request, SERVICES)


@aio.http
async def preview_export(request: Request) -> Response:
    """POST: what an export would make, without making it."""
    return await answer("preview_export", request, SERVICES)


@aio.http
async def confirm_export(request: Request) -> Response:
    """POST: what the accounting system made of a file."""
    return await answer("confirm_export", request, SERVICES)


@aio.http
async def void_export(request: Request) -> Response:
    """POST: take a completed run back."""
    return await answer("void_export", request, SERVICES)


@aio.http
async def export_run(request: Request) -> Response:
    """GET: one run, with a link to its file."""
    return await answer("export_run", request, SERVICES)


@aio.http
async def verification_sheet(request: Request) -> Response:
    """POST: the accountant's sheet beside a file, and its manifest."""
    return await answer("verification_sheet", request, SERVICES)


@aio.http
async def export_history(request: Request) -> Response:
    """GET: the runs of an organisation."""
    return await answer("export_history", request, SERVICES)


@aio.http
async def claim_status(request: Request) -> Response:
    """GET: where claims stand, and who must act."""
    return await answer("claim_status", request, SERVICES)


@aio.http
async def claim_runs(request: Request) -> Response:
    """GET: the runs that a claim is or was in."""
    return await answer("claim_runs", request, SERVICES)


@aio.http
async def find_export(request: Request) -> Response:
    """GET: from a number or a file back to the run."""
    return await answer("find_export", request, SERVICES)


@aio.http
async def changed_claims(request: Request) -> Response:
    """GET: claims that were changed after their export."""
    return await answer("changed_claims", request, SERVICES)


@aio.http
async def sweep(request: Request) -> Response:
    """POST, by a scheduler: continue what dead workers left. Deploy it closed to the public."""
    return await answer("sweep", request, SERVICES)


@aio.http
async def api(request: Request) -> Response:
    """All that the app calls, by path."""
    return await answer_by_path(request, SERVICES)
