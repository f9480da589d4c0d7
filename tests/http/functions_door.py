"""The functions in this process, against a Supabase address of the test's choice."""

import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import httpx
import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from functions.api import answer_by_path
from functions.services import Services
from functions.settings import Settings
from tests.http.app_user import PATIENCE_SECONDS

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@contextmanager
def functions_door(
    environment: Mapping[str, str], address: str, **settings: object
) -> Iterator[httpx.Client]:
    """Serve the router as functions-framework would, with these settings over the defaults."""
    services = Services.of(
        Settings.model_validate(
            {
                "supabase_url": address,
                "supabase_publishable_key": environment["SUPABASE_PUBLISHABLE_KEY"],
                "supabase_secret_key": SecretStr(environment["SUPABASE_SECRET_KEY"]),
                **settings,
            }
        )
    )

    async def api(request: Request) -> JSONResponse:
        return await answer_by_path(request, services)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await services.connection.aclose()

    routes = [Route("/{path:path}", api, methods=METHODS)]
    app = Starlette(routes=routes, lifespan=lifespan)
    with (
        _served(app) as url,
        httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as client,
    ):
        yield client


@contextmanager
def _served(app: Starlette) -> Iterator[str]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()
