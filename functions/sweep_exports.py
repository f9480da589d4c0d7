"""POST: continues what dead workers left. Takes no parameters and tells no names."""

from starlette.requests import Request
from starlette.responses import JSONResponse

from functions.services import Services


async def sweep_exports(_: Request, services: Services) -> JSONResponse:
    """Acts as the system: its deployment must be closed to the public."""
    report = await services.sweep.run()
    content = {
        "found": report.found,
        "outcomes": dict(report.outcomes),
        "documents": dict(report.documents),
        "reconciliations": dict(report.reconciliations),
    }
    return JSONResponse(content, headers={"Cache-Control": "no-store"})
