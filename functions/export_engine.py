"""The whole life of an export, from the request to the stored file.

Nothing here decides who may export what: the database does, at begin, with the caller's own token.
Nothing here undoes anything either: whatever stops half-way is continued by whoever begins next.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID, uuid4

from structlog.contextvars import bind_contextvars

from functions.configuration_check import ConfigurationCheck
from functions.errors import (
    Defect,
    DeliveryRefused,
    DeliveryUnavailable,
    EngineError,
    LeftInDoubt,
    Refused,
    RunFailed,
    SetUpProblem,
    StaleToken,
    Unavailable,
)
from functions.export_guard import (
    Begun,
    Busy,
    ExportGuard,
    ExportScope,
    Found,
    Granted,
    NothingToExport,
    NothingToResume,
    Page,
)
from functions.export_run import ExportRun, LeftOutClaim
from functions.export_storage import ExportStorage
from functions.hashed_file import HashedFile
from functions.log import logger
from functions.meanwhile import meanwhile
from functions.run_delivery import RunDelivery
from functions.run_rendering import MOST_LEFT_OUT_TOLD, RunRendering
from functions.settings import Settings

# Dead runs that one request clears away before its own; more than one is already rare.
_MOST_BEGINS: Final = 5
_SECONDS_UNTIL_NEXT_TRY: Final = 30
_SECONDS_AFTER_RELEASE: Final = 5
_PAUSES_WHILE_LOCKED: Final = (0.2, 0.4, 0.8)
# The database's lease: what was left half-way can be continued when it is over.
_LEASE_SECONDS: Final = 60
# Refusals at the end of a run that no second attempt would change: its claims are let go.
_HOPELESS: Final = frozenset({"file_too_large", "file_conflict", "totals_mismatch"})
_ENDED_BY_ADMIN: Final = "failed_by_admin"
_SECONDS_FOR_A_RENEWAL: Final = 5
_SECONDS_TO_LET_GO: Final = 3
# Ends of an attempt that say nothing about the run: it does not come nearer to being parked.
_BLAMELESS: Final = frozenset(
    {
        "database_unavailable",
        "storage_unavailable",
        "service_misconfigured",
        "role_revoked",
        "organization_held",
    }
)


@dataclass(frozen=True)
class Completed:
    """The file is stored and recorded. `left_out` holds the first thousand left-out claims."""

    run: ExportRun
    left_out: tuple[LeftOutClaim, ...]


Exported = Completed | Found | Busy | NothingToExport


class ExportEngine:
    """Stateless; safe to share."""

    def __init__(
        self,
        guard: ExportGuard,
        storage: ExportStorage,
        delivery: RunDelivery,
        settings: Settings,
    ) -> None:
        self._guard = guard
        self._delivery = delivery
        self._configuration = ConfigurationCheck(guard)
        self._storage = storage
        self._renewal_seconds = settings.export_renewal_seconds
        self._attempt_seconds = settings.export_attempt_seconds

    async def export(self, scope: ExportScope, *, key: str, token: str) -> Exported:
        """Exports as the user of `token`.

        Raises:
            SetUpRefused: nothing began, for the organisation's configuration makes no file.
            RunFailed: the caller's run ended without a file; its claims are free again.
            Unavailable: the run, if one began, waits to be continued; repeat with the same key.
        """
        return await self._carry_through(
            lambda invocation: self._configuration.begin(
                scope.organization_id,
                lambda: self._guard.begin(scope, key=key, token=token, invocation_id=invocation),
            )
        )

    async def export_as_service(
        self, scope: ExportScope, *, key: str | None, trigger: str, triggered_by: UUID | None = None
    ) -> Exported:
        """As `export`, for webhook, sweep and command line."""
        return await self._carry_through(
            lambda invocation: self._configuration.begin(
                scope.organization_id,
                lambda: self._guard.begin_as_service(
                    scope,
                    key=key,
                    invocation_id=invocation,
                    trigger=trigger,
                    triggered_by=triggered_by,
                ),
            )
        )

    async def reverse(self, run_id: UUID, reason: str, *, token: str) -> Exported:
        """Takes an imported run back, with a file of the same vouchers and opposite signs.

        Raises:
            RunFailed: the reversing run ended without a file; the other one counts as before.
            Unavailable: the reversing run, if one began, waits to be continued.
        """
        return await self._carry_through(
            lambda invocation: self._guard.reverse(
                run_id, reason, token=token, invocation_id=invocation
            )
        )

    async def take_over(self, organization_id: UUID) -> Completed | Busy | NothingToResume:
        """Finishes a run of the organisation whose worker fell silent, if there is one.

        Raises:
            RunFailed: the run ended without a file; its claims are free again.
            StaleToken: somebody else took it over meanwhile.
        """
        taken = await self._guard.take_over(organization_id, invocation_id=uuid4())
        if isinstance(taken, Granted):
            return await self._finish(taken, self._deadline())
        return taken

    async def settle_doubt(self, run_id: UUID) -> Completed | Busy | NothingToResume:
        """Asks the accounting system again about a run in doubt, and finishes it if it answers.

        Raises:
            LeftInDoubt: it still is.
            RunFailed: the run ended without a file; its claims are free again.
        """
        taken = await self._guard.resume_doubted(run_id, invocation_id=uuid4())
        if isinstance(taken, Granted):
            return await self._finish(taken, self._deadline())
        return taken

    async def withdraw(self, run_id: UUID) -> None:
        """Removes a completed run's vouchers from the accounting system, if nobody posted them.

        Raises:
            DeliveryRefused: `delivery_was_posted`: they are in the books.
            DeliveryUnavailable: they may still be there.
        """
        await self._delivery.withdraw(run_id, None)

    async def _carry_through(self, begin: Callable[[UUID], Awaitable[Begun]]) -> Exported:
        deadline = self._deadline()
        for _ in range(_MOST_BEGINS):
            begun = await self._begin_patiently(begin)
            if not isinstance(begun, Granted):
                return begun
            try:
                completed = await self._finish(begun, deadline)
            except StaleToken:
                await self._stop_if_ended_by_admin(begun)
                continue  # taken over: the next begin tells how that run stands
            except RunFailed:
                if begun.outcome == "started":
                    raise
                continue  # a dead worker's run; the caller's own comes next
            except LeftInDoubt as left:
                if begun.outcome == "started":
                    return Found(outcome="replayed", run=left.run)
                continue
            if begun.outcome == "started":
                return completed
        return Busy(outcome="busy", retry_after=_SECONDS_UNTIL_NEXT_TRY)

    async def _stop_if_ended_by_admin(self, begun: Granted) -> None:
        """What a person ended is not begun again by the request that she ended it under."""
        run = await self._guard.look_at(begun.run.run_id)
        if run.error_code == _ENDED_BY_ADMIN:
            raise RunFailed(_ENDED_BY_ADMIN, run_id=run.run_id)

    async def _begin_patiently(self, begin: Callable[[UUID], Awaitable[Begun]]) -> Begun:
        """Asks again for a moment while another begin works on this organisation's lock.

        It may be our own: a reply was lost, and the database still works on the request. The same
        invocation gets that run; a new one would be told that somebody else has it.
        """
        invocation = uuid4()
        for pause in _PAUSES_WHILE_LOCKED:
            begun = await begin(invocation)
            if not (isinstance(begun, Busy) and begun.run is None):
                return begun
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
        return await begin(invocation)

    async def _finish(self, granted: Granted, deadline: float) -> Completed:
        """From the lock to its release: render, store, complete; or fail for good."""
        run_id, token = granted.run.run_id, granted.fencing_token
        bind_contextvars(run_id=str(run_id))
        async with self._let_go_when_stopped(run_id, token):
            with _errors_named(run_id), HashedFile() as content:
                async with asyncio.timeout_at(deadline), self._lease_kept(run_id, token):
                    return await self._attempt(granted, content)

    async def _attempt(self, granted: Granted, content: HashedFile) -> Completed:
        started = time.monotonic()
        told: list[LeftOutClaim] = []
        try:
            if granted.is_delivered:
                granted, told = await self._delivered(granted)
            rendering = await self._render(granted, content)
            file = rendering.file()
            await self._storage.store(content.finished(), file)
            run = await self._guard.complete(
                granted.run.run_id,
                granted.fencing_token,
                file=file,
                summary=rendering.summary(),
                left_out=rendering.take_untold(),
            )
        except RunFailed as failed:
            await self._fail(granted, failed)
            raise
        except (DeliveryRefused, DeliveryUnavailable) as fault:
            raise await self._undelivered(granted, fault) from fault
        except Refused as refusal:
            if refusal.code not in _HOPELESS:
                raise
            failure = RunFailed(refusal.code, run_id=granted.run.run_id)
            await self._fail(granted, failure)
            raise failure from refusal
        _log_completion(run, time.monotonic() - started)
        return Completed(run, tuple([*told, *rendering.left_out][:MOST_LEFT_OUT_TOLD]))

    async def _delivered(self, granted: Granted) -> tuple[Granted, list[LeftOutClaim]]:
        """Sends the vouchers over the API; then the file is of those that arrived.

        The run is rendered once before, so that it is sealed and nothing is sent of a claim that
        the file leaves out.
        """
        run_id, token = granted.run.run_id, granted.fencing_token
        with HashedFile() as scratch:
            rendering = await self._render(granted, scratch, keep_lines=False)
            await self._settle(rendering, granted, keep_lines=False)
        refused = await self._delivery.deliver(granted)
        if refused and rendering.refuses_run:
            # Not left out before it is failed: a successor would complete it without them.
            told = refused[:MOST_LEFT_OUT_TOLD]
            raise RunFailed("claims_refused", run_id=run_id, left_out=told, untold=told)
        for start in range(0, len(refused), MOST_LEFT_OUT_TOLD):
            page = refused[start : start + MOST_LEFT_OUT_TOLD]
            await self._guard.settle_page(run_id, token, left_out=page, lines=None)
        first = await self._guard.reserve_page(run_id, token, 0)
        changes = {"claims": first.claims, "last_page": first.last_page}
        return granted.model_copy(update=changes), [*rendering.left_out, *refused]

    async def _undelivered(
        self, granted: Granted, fault: DeliveryRefused | DeliveryUnavailable
    ) -> EngineError:
        """What to tell: the run is in doubt; or it failed, for nothing of it was sent anywhere."""
        run_id, token = granted.run.run_id, granted.fencing_token
        try:
            return LeftInDoubt(await self._delivery.doubt(run_id, token, fault.cause or fault.code))
        except Refused as refusal:
            if refusal.code != "nothing_in_doubt":
                raise
        failure = RunFailed(fault.code, run_id=run_id, problems=_connection_problems(fault))
        failure.retry_after = fault.retry_after
        await self._let_claims_go(granted, failure)
        return failure

    async def _render(
        self, granted: Granted, content: HashedFile, *, keep_lines: bool = True
    ) -> RunRendering:
        """Renders page by page, while the database prepares the next one."""
        rendering = await asyncio.to_thread(RunRendering, granted, content)
        page: Page | None = Page(claims=granted.claims, last_page=granted.last_page)
        position = 0
        while page is not None:
            position = page.claims[-1].position if page.claims else position
            async with meanwhile(self._page_after(page, position, granted)) as following:
                await asyncio.to_thread(rendering.write, page.claims)
            page = following.result()
            # What is to be said of the last page goes along with complete.
            if page is not None:
                await self._settle(rendering, granted, keep_lines=keep_lines)
        await asyncio.to_thread(rendering.finish)
        return rendering

    async def _settle(
        self, rendering: RunRendering, granted: Granted, *, keep_lines: bool = True
    ) -> None:
        left_out = rendering.take_untold()
        lines = rendering.page_lines() if keep_lines else None
        if left_out or lines:
            await self._guard.settle_page(
                granted.run.run_id, granted.fencing_token, left_out=left_out, lines=lines
            )

    async def _page_after(self, page: Page, position: int, granted: Granted) -> Page | None:
        if page.last_page:
            return None
        return await self._guard.reserve_page(granted.run.run_id, granted.fencing_token, position)

    async def _fail(self, granted: Granted, failure: RunFailed) -> None:
        if granted.is_delivered:
            try:
                await self._delivery.withdraw(granted.run.run_id, granted.fencing_token)
            except (DeliveryRefused, DeliveryUnavailable) as fault:
                raise await self._undelivered(granted, fault) from failure
        await self._let_claims_go(granted, failure)

    async def _let_claims_go(self, granted: Granted, failure: RunFailed) -> None:
        released = await self._guard.fail(
            granted.run.run_id,
            granted.fencing_token,
            code=failure.code,
            detail=_detail(failure),
            left_out=failure.untold,
        )
        failure.latest_run = released.latest_run

    @asynccontextmanager
    async def _let_go_when_stopped(self, run_id: UUID, token: int) -> AsyncIterator[None]:
        """Whoever stops half-way says so: the next request need not wait for the lease's end."""
        try:
            yield
        except (StaleToken, RunFailed, LeftInDoubt):
            raise  # the run is no longer this worker's
        except EngineError as stop:
            is_free = await self._let_go(run_id, token, stop.code)
            if stop.is_transient:
                seconds = _SECONDS_AFTER_RELEASE if is_free else _LEASE_SECONDS
                stop.retry_after = stop.retry_after or seconds
            raise

    async def _let_go(self, run_id: UUID, token: int, code: str) -> bool:
        try:
            async with asyncio.timeout(_SECONDS_TO_LET_GO):
                await self._guard.release(run_id, token, code=code, is_blameless=code in _BLAMELESS)
        except (EngineError, TimeoutError) as fault:
            logger.warning("lease_not_released", run_id=str(run_id), cause=type(fault).__name__)
            return False
        return True

    @asynccontextmanager
    async def _lease_kept(self, run_id: UUID, token: int) -> AsyncIterator[None]:
        keeper = asyncio.create_task(self._keep_renewing(run_id, token))
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
            if not keeper.cancelled() and (problem := keeper.exception()):
                logger.error("lease_keeper_stopped", cause=type(problem).__name__)

    async def _keep_renewing(self, run_id: UUID, token: int) -> None:
        while True:
            await asyncio.sleep(self._renewal_seconds)
            try:
                async with asyncio.timeout(_SECONDS_FOR_A_RENEWAL):
                    await self._guard.renew(run_id, token)
            except (Unavailable, TimeoutError) as fault:
                logger.warning("lease_not_renewed", cause=type(fault).__name__)
            except EngineError as refusal:
                # The run is somebody else's now; the next write of this attempt says so.
                logger.warning("lease_lost", code=refusal.code)
                return

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._attempt_seconds


def _connection_problems(fault: DeliveryRefused | DeliveryUnavailable) -> list[SetUpProblem]:
    if not isinstance(fault, DeliveryRefused) or fault.field is None:
        return []
    words = [fault.remote_code, fault.remote_message, fault.correlation_id]
    message = " ".join(word for word in words if word) or fault.code
    return [SetUpProblem(f"connection.{fault.field}", fault.code, message)]


def _detail(failure: RunFailed) -> dict[str, object]:
    problems = [asdict(problem) for problem in failure.problems]
    return {"problems": problems} if problems else {}


@contextmanager
def _errors_named(run_id: UUID) -> Iterator[None]:
    try:
        yield
    except EngineError as error:
        error.run_id = error.run_id or run_id
        raise
    except TimeoutError as error:
        raise Unavailable("attempt_timed_out", run_id=run_id) from error
    except Exception as error:
        defect = Defect(type(error).__name__)
        defect.run_id = run_id
        raise defect from error


def _log_completion(run: ExportRun, seconds: float) -> None:
    """A restored database forgets runs whose files accountants hold; the log does not."""
    logger.info(
        "export_completed",
        run_id=str(run.run_id),
        organization_id=str(run.organization_id),
        run_number=run.run_number,
        path=run.file.path if run.file else None,
        sha256=run.file.sha256 if run.file else None,
        claim_count=run.claim_count,
        left_out_count=run.left_out_count,
        duration_ms=round(seconds * 1000),
    )
