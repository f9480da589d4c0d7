"""Makes what lies beside a file, for whoever asks and for runs whose turn it is in a sweep.

Nothing is locked: two who make the same store the same bytes and find the row of the first. Whoever
dies between the upload and the row leaves an object that the next one meets again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Final, TypeVar
from uuid import UUID

from pydantic import TypeAdapter
from structlog.contextvars import bound_contextvars

from exporters.claim import Member
from functions.document_rendering import DocumentRendering, DocumentSource, LeftOutMember
from functions.errors import EngineError, Unavailable
from functions.export_run import ExportFile, RunDocument, Told
from functions.export_storage import ExportStorage
from functions.hashed_file import HashedFile
from functions.language import Language
from functions.log import logger
from functions.settings import Settings
from functions.supabase_connection import SupabaseConnection

MANIFEST: Final = "manifest"
# In one sweep; the next one makes more.
_MOST_RUNS: Final = 20
# Of the run itself; any other refusal is of the set-up, and another sweep may find it mended.
_FINAL: Final = frozenset({"sheet_not_reproducible", "file_too_large", "file_conflict"})


def sheet_kind(language: str) -> str:
    """As the database names the sheet in that language."""
    return f"verification_sheet_{language}"


class _MembersPage(Told):
    claims: tuple[Member, ...]
    last_page: bool


class _LeftOutPage(Told):
    claims: tuple[LeftOutMember, ...]
    last_page: bool


class _Documents(Told):
    documents: tuple[RunDocument, ...]


class _DueRun(Told):
    run_id: UUID
    organization_id: UUID


class _DueRuns(Told):
    runs: tuple[_DueRun, ...]


class _Recorded(Told):
    recorded: bool


Page = TypeVar("Page", _MembersPage, _LeftOutPage)

_SOURCE = TypeAdapter(DocumentSource)
_MEMBERS = TypeAdapter(_MembersPage)
_LEFT_OUT = TypeAdapter(_LeftOutPage)
_DOCUMENTS = TypeAdapter(_Documents)
_DUE = TypeAdapter(_DueRuns)
_RECORDED = TypeAdapter(_Recorded)


class ExportDocuments:
    """Stateless; safe to share. Acts as the service: whoever calls it has judged the caller."""

    def __init__(
        self, connection: SupabaseConnection, storage: ExportStorage, settings: Settings
    ) -> None:
        self._connection = connection
        self._storage = storage
        self._attempt_seconds = settings.export_attempt_seconds
        self._language = settings.export_sheet_language

    async def make(self, run_id: UUID, language: str) -> Sequence[RunDocument]:
        """The documents of a run, with the sheet in that language; stored ones are found.

        Raises:
            Refused: `run_is_manual`, `run_has_no_file`, or `sheet_not_reproducible`: the frozen
                claims do not give the bytes of the file.
            Unavailable: nothing is half done; ask again.
        """
        source = await self._connection.as_service().call(
            "get_export_document_source", {"p_run_id": run_id}, _SOURCE
        )
        if {sheet_kind(language), MANIFEST} <= {document.kind for document in source.documents}:
            return source.documents
        try:
            async with asyncio.timeout(self._attempt_seconds):
                return await self._made(source, Language(language))
        except TimeoutError as error:
            raise Unavailable("attempt_timed_out", run_id=run_id) from error

    async def work_until(self, end: float) -> Counter[str]:
        """Makes what is due, for so long as there is time (`end`, of the monotonic clock).

        How many runs got theirs (made), will get none (refused) or wait for another sweep
        (stopped). Raises nothing: a sweep is not to fail for it.
        """
        outcomes: Counter[str] = Counter()
        try:
            while time.monotonic() < end and outcomes.total() < _MOST_RUNS:
                due = await self._take_due()
                if due is None:
                    break
                outcomes[await self._outcome(due)] += 1
        except EngineError as fault:
            logger.warning("documents_stopped", code=fault.code, cause=fault.cause)
        return outcomes

    async def _outcome(self, due: _DueRun) -> str:
        """One run that cannot be rendered again must not keep the others waiting."""
        with bound_contextvars(run_id=str(due.run_id), organization_id=str(due.organization_id)):
            try:
                await self.make(due.run_id, self._language)
            except EngineError as fault:
                logger.warning("documents_not_made", code=fault.code, cause=fault.cause)
                if fault.code not in _FINAL:
                    return "stopped"
                await self._give_up(due.run_id, fault.code)
                return "refused"
            return "made"

    async def _made(self, source: DocumentSource, language: Language) -> Sequence[RunDocument]:
        run_id = source.run.run_id
        async with AsyncExitStack() as files:
            sheet, beside = files.enter_context(HashedFile()), files.enter_context(HashedFile())
            rendering = await asyncio.to_thread(DocumentRendering, source, language, sheet, beside)
            files.push_async_callback(asyncio.to_thread, rendering.discard)
            async for page in self._pages("read_file_members", run_id, _MEMBERS):
                await asyncio.to_thread(rendering.write, page.claims)
            await asyncio.to_thread(rendering.end_file)
            async for rest in self._pages("read_left_out_members", run_id, _LEFT_OUT):
                await asyncio.to_thread(rendering.leave_out, rest.claims)
            await asyncio.to_thread(rendering.finish)
            made = {
                sheet_kind(language.value): rendering.sheet_file(),
                MANIFEST: rendering.manifest_file(),
            }
            await self._storage.store(sheet.finished(), made[sheet_kind(language.value)])
            await self._storage.store(beside.finished(), made[MANIFEST])
        return await self._record(run_id, made)

    async def _pages(
        self, function: str, run_id: UUID, answer: TypeAdapter[Page]
    ) -> AsyncIterator[Page]:
        position, is_last = 0, False
        while not is_last:
            arguments = {"p_run_id": run_id, "p_after_position": position}
            page = await self._connection.as_service().call(function, arguments, answer)
            yield page
            position = page.claims[-1].position if page.claims else position
            is_last = page.last_page

    async def _record(self, run_id: UUID, made: dict[str, ExportFile]) -> Sequence[RunDocument]:
        arguments = {
            "p_run_id": run_id,
            "p_documents": [
                {"kind": kind, **file.model_dump(mode="json")} for kind, file in made.items()
            ],
        }
        session = self._connection.as_service()
        return (await session.call("record_export_documents", arguments, _DOCUMENTS)).documents

    async def _take_due(self) -> _DueRun | None:
        # Not repeated: a lost reply puts that run off, and costs it one of its tries.
        session = self._connection.as_service()
        due = await session.call_once("take_due_documents", {"p_limit": 1}, _DUE)
        return due.runs[0] if due.runs else None

    async def _give_up(self, run_id: UUID, code: str) -> None:
        arguments = {"p_run_id": run_id, "p_problem_code": code}
        session = self._connection.as_service()
        await session.call("give_up_due_documents", arguments, _RECORDED)
