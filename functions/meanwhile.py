"""Two things at once: the next page is fetched while this one is rendered."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

Result = TypeVar("Result")


@asynccontextmanager
async def meanwhile(work: Coroutine[None, None, Result]) -> AsyncIterator[asyncio.Task[Result]]:
    """Work that goes on during the block and has ended when it is left, whatever happens in it."""
    task = asyncio.create_task(work)
    try:
        yield task
    except BaseException:
        task.cancel()
        raise
    finally:
        await asyncio.wait([task])
