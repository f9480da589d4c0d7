"""Walks a reconciliation to its end: the database does page after page, the bytes are read here."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import date
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter
from structlog.contextvars import bound_contextvars

from functions.errors import EngineError
from functions.export_run import Told
from functions.export_storage import ExportStorage, StoredBytes
from functions.log import logger
from functions.reconciliation import FileToRead, Reconciliation
from functions.settings import Settings
from functions.supabase_connection import SupabaseConnection


class _Next(Told):
    reconciliation: Reconciliation | None


_RECONCILIATION = TypeAdapter(Reconciliation)
_NEXT = TypeAdapter(_Next)
# A file whose reading was cut off is given up only when it had most of a sweep to itself.
_FAIR_SHARE: Final = 0.8
# To say so, before the sweep's own time is over.
_LAST_WORDS_SECONDS: Final = 1.0


class ExportReconciliation:
    """Stateless; safe to share. Two who walk the same one do one page after the other."""

    def __init__(
        self, connection: SupabaseConnection, storage: ExportStorage, settings: Settings
    ) -> None:
        self._connection = connection
        self._storage = storage
        self._fair_seconds = settings.export_sweep_seconds * _FAIR_SHARE

    async def walk(
        self, organization_id: UUID, period_from: date | None = None, period_to: date | None = None
    ) -> AsyncIterator[Reconciliation]:
        """A new one, told after every step; the last one told is finished.

        Raises:
            Refused: `unknown_target` or `period_reversed`.
        """
        arguments = {
            "p_organization_id": organization_id,
            "p_period_from": period_from,
            "p_period_to": period_to,
        }
        session = self._connection.as_service()
        told = await session.call_once("begin_reconciliation", arguments, _RECONCILIATION)
        yield told
        while told.finished_at is None:
            told = await self._continue(told)
            yield told
            for file in told.files:
                yield await self._check(told, file)

    async def work_until(self, end: float) -> Counter[str]:
        """What is due, for so long as there is time (`end`, of the monotonic clock).

        How many were green, red, unfinished (the next sweep goes on) or stopped: Supabase was away,
        or a defect. Raises nothing: a sweep is not to fail for it.
        """
        outcomes: Counter[str] = Counter()
        while time.monotonic() < end:
            outcome = await self._outcome(end)
            if outcome is None:
                break
            outcomes[outcome] += 1
            if outcome in {"unfinished", "stopped"}:
                break
        return outcomes

    async def _outcome(self, end: float) -> str | None:
        """Of one reconciliation; None when none is due."""
        try:
            async with asyncio.timeout(_seconds_to(end)):
                due = await self._next()
                return None if due is None else await self._worked_on(due, end)
        except TimeoutError:
            return "unfinished"
        except EngineError as fault:
            logger.warning("reconciliation_stopped", code=fault.code)
            return "stopped"

    async def _worked_on(self, due: Reconciliation, end: float) -> str:
        with bound_contextvars(
            organization_id=str(due.organization_id), reconciliation_id=str(due.reconciliation_id)
        ):
            try:
                told = await self._walk_until(due, end)
            except EngineError as fault:
                logger.warning("reconciliation_stopped", code=fault.code)
                return "stopped"
            if told.finished_at is None:
                return "unfinished"
            if told.is_green:
                return "green"
            logger.warning("reconciliation_red", codes=dict(told.finding_counts))
            return "red"

    async def _walk_until(self, told: Reconciliation, end: float) -> Reconciliation:
        while told.finished_at is None and time.monotonic() < end:
            told = await self._continue(told)
            for file in told.files:
                if not await self._check_until(told, file, end):
                    return told
        return told

    async def _check_until(self, told: Reconciliation, file: FileToRead, end: float) -> bool:
        """False when the time was over before the file was read."""
        seconds = end - _LAST_WORDS_SECONDS - time.monotonic()
        if seconds <= 0:
            return False
        try:
            async with asyncio.timeout(seconds):
                await self._check(told, file)
        except TimeoutError:
            if seconds >= self._fair_seconds:
                # No sweep will have more time for it.
                await self._record(told, file, None, gave_up=True)
            return False
        return True

    async def _check(self, told: Reconciliation, file: FileToRead) -> Reconciliation:
        return await self._record(told, file, await self._storage.read_through(file.path))

    async def _next(self) -> Reconciliation | None:
        session = self._connection.as_service()
        return (await session.call("next_reconciliation", {}, _NEXT)).reconciliation

    async def _continue(self, told: Reconciliation) -> Reconciliation:
        # A repeated call does the next page, so that a lost reply loses nothing.
        arguments = {"p_reconciliation_id": told.reconciliation_id}
        session = self._connection.as_service()
        return await session.call("continue_reconciliation", arguments, _RECONCILIATION)

    async def _record(
        self,
        told: Reconciliation,
        file: FileToRead,
        stored: StoredBytes | None,
        *,
        gave_up: bool = False,
    ) -> Reconciliation:
        arguments = {
            "p_reconciliation_id": told.reconciliation_id,
            "p_run_id": file.run_id,
            "p_sha256": stored and stored.sha256,
            "p_size": stored and stored.size,
            "p_gave_up": gave_up,
        }
        session = self._connection.as_service()
        return await session.call("record_file_check", arguments, _RECONCILIATION)


def _seconds_to(end: float) -> float:
    return max(0.0, end - time.monotonic())
