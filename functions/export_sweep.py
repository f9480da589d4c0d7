"""What nobody asks about: runs of dead workers are finished, claims of failing runs let go.

In the time that is left files get the documents that belong beside them, and the books are
reconciled, each organisation's once a day.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from structlog.contextvars import bound_contextvars

from functions.errors import EngineError, LeftInDoubt, RunFailed, StaleToken
from functions.export_documents import ExportDocuments
from functions.export_engine import Completed, ExportEngine
from functions.export_guard import Busy, ExportGuard, NothingToResume, StalledRun
from functions.export_reconciliation import ExportReconciliation
from functions.export_run import RunStatus
from functions.log import logger
from functions.settings import Settings

# More than one sweep ever finishes in its time; the next one finds the rest.
_MOST_RUNS: Final = 200
# Refusals that are no fault of the run, and what they make of it.
_NOT_NOW: Final = {"run_locked": "busy", "organization_held": "held"}
# While one run waits for the database or the storage, others are rendered.
_AT_ONCE: Final = 4
_DOCUMENTS_SHARE: Final = 0.5


@dataclass
class SweepReport:
    """How many runs were found, and what became of them, by outcome.

    completed, failed, parked, in_doubt (the accounting system did not answer),
    released (its claims are free), busy (somebody else is at it),
    held (its organisation was put on hold meanwhile),
    stopped (Supabase away or a defect: the next sweep tries again), postponed (no time left).
    """

    found: int
    outcomes: Counter[str] = field(default_factory=Counter)
    # made, refused (rendering again does not give the file), stopped.
    documents: Counter[str] = field(default_factory=Counter)
    # green, red, unfinished (the next sweep goes on), stopped.
    reconciliations: Counter[str] = field(default_factory=Counter)


class ExportSweep:
    """Stateless; two sweeps at once do no harm, for every run is taken under a fencing token."""

    def __init__(
        self,
        guard: ExportGuard,
        engine: ExportEngine,
        documents: ExportDocuments,
        reconciliation: ExportReconciliation,
        settings: Settings,
    ) -> None:
        self._guard = guard
        self._engine = engine
        self._documents = documents
        self._reconciliation = reconciliation
        self._seconds = settings.export_sweep_seconds

    async def run(self) -> SweepReport:
        """Works through what is stalled until the time is over; an attempt begun is not cut off.

        Raises:
            Unavailable: the database could not even be asked.
        """
        end = time.monotonic() + self._seconds
        stalled = await self._guard.find_stalled(_MOST_RUNS)
        side_by_side = asyncio.Semaphore(_AT_ONCE)
        outcomes = await asyncio.gather(*(self._outcome(run, end, side_by_side) for run in stalled))
        await self._settle_claim_changes(end)
        # At most half of what is left: the books are to be reconciled also while files wait.
        now = time.monotonic()
        documents = await self._documents.work_until(now + (end - now) * _DOCUMENTS_SHARE)
        reconciliations = await self._reconciliation.work_until(end)
        return SweepReport(len(stalled), Counter(outcomes), documents, reconciliations)

    async def _outcome(self, run: StalledRun, end: float, side_by_side: asyncio.Semaphore) -> str:
        async with side_by_side:
            if time.monotonic() > end:
                return "postponed"
            return await self._worked_on(run, end)

    async def _worked_on(self, run: StalledRun, end: float) -> str:
        """One run that cannot be continued must not keep the others waiting."""
        with bound_contextvars(run_id=str(run.run_id), organization_id=str(run.organization_id)):
            try:
                return await self._carried_on(run, end)
            except StaleToken:
                return "busy"
            except LeftInDoubt:
                return "in_doubt"
            except RunFailed as failed:
                logger.warning("swept_run_failed", code=failed.code)
                return "failed"
            except EngineError as fault:
                if fault.code in _NOT_NOW:
                    return _NOT_NOW[fault.code]
                logger.warning("swept_run_stopped", code=fault.code, cause=fault.cause)
                return "stopped"

    async def _carried_on(self, run: StalledRun, end: float) -> str:
        if run.status is RunStatus.PROCESSING:
            return _became(await self._engine.take_over(run.organization_id))
        if run.status is RunStatus.IN_DOUBT:
            return _became(await self._engine.settle_doubt(run.run_id))
        return await self._release(run, end)

    async def _settle_claim_changes(self, end: float) -> None:
        """A page in a sweep, at most: the list of changed claims is right without it."""
        if time.monotonic() > end:
            return
        try:
            await self._guard.settle_claim_changes()
        except EngineError as fault:
            logger.warning("claim_changes_not_settled", code=fault.code, cause=fault.cause)

    async def _release(self, run: StalledRun, end: float) -> str:
        while not (await self._guard.continue_release(run.run_id)).released:
            if time.monotonic() > end:
                return "postponed"
        return "released"


def _became(result: Completed | Busy | NothingToResume) -> str:
    match result:
        case Completed():
            return "completed"
        case NothingToResume(run=ended) if ended is not None:
            return str(ended.status)
        case Busy() | NothingToResume():
            return "busy"
