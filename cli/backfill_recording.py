"""Writing what a list comes to: one manual run after the other, each whole or not at all."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID, uuid4

from cli.backfill_check import BadRow, PlannedRow, PlannedRun, bad_row, check_list
from cli.backfill_list import ClaimList
from functions.errors import Refused
from functions.export_backfill import (
    PAGE_ROWS,
    BackfillGroup,
    Begun,
    BusyOrganisation,
    ExportBackfill,
    Filling,
    Recorded,
    Verdict,
)
from functions.export_guard import ExportGuard
from functions.export_run import ExportFile, ExportRun
from functions.export_storage import ExportStorage
from functions.hashed_file import HashedFile
from functions.services import Services

# A claim that somebody is saving is free a moment later.
_TRIES_OF_A_PAGE: Final = 4
_PAUSE: Final = 1.0


class Stopped(Exception):  # noqa: N818  # a state that the command reports
    """Claims of a run became unusable after the check; the run was failed, its claims are free."""

    def __init__(self, bad_rows: Sequence[BadRow]) -> None:
        super().__init__()
        self.bad_rows = tuple(bad_rows)


@dataclass(frozen=True)
class RecordedRun:
    """A run that is complete now; `run` None when no claim of its group was left to record."""

    planned: PlannedRun
    run: ExportRun | None
    bad_rows: tuple[BadRow, ...] = ()


@dataclass(frozen=True)
class Recorder:
    """`patience` (s): how long another export is waited for; a dead worker's lease is a minute."""

    organization_id: UUID
    target: str
    claims: ClaimList
    actor: str
    skips_bad_rows: bool
    patience: float
    backfill: ExportBackfill
    guard: ExportGuard
    storage: ExportStorage

    @classmethod
    def of(  # noqa: PLR0913  # the command's own arguments
        cls,
        services: Services,
        organization_id: UUID,
        target: str,
        claims: ClaimList,
        *,
        actor: str,
        skips_bad_rows: bool,
        patience: float,
    ) -> "Recorder":
        """With the services of a command."""
        return cls(
            organization_id,
            target,
            claims,
            actor,
            skips_bad_rows,
            patience,
            ExportBackfill(services.connection),
            ExportGuard(services.connection),
            services.storage,
        )

    async def store_list(self) -> ExportFile:
        """Before any run is begun, so that none has to wait for it. Stored already: the same."""
        claims = self.claims
        file = ExportFile(
            path=f"{self.organization_id}/backfill/{claims.sha256}.{claims.suffix}",
            name=claims.name,
            sha256=claims.sha256,
            size=len(claims.content),
            content_type=claims.content_type,
        )
        with HashedFile() as copy:
            copy.append(claims.content)
            await self.storage.store(copy.finished(), file)
        return file

    async def record(
        self, planned: PlannedRun, file: ExportFile, advance: Callable[[int], None]
    ) -> RecordedRun:
        """Raises Stopped; Refused with `lock_busy` when another export does not end."""
        rows = planned.rows
        bad: tuple[BadRow, ...] = ()
        part = 1
        while rows:
            begun = await self._begin(planned, part)
            if isinstance(begun, Filling):
                return await self._fill(planned, begun, rows, file, advance)
            # Done before, with other rows of the group: what is left becomes a run of its own.
            rows, bad = await self._still_to_record(rows)
            part += 1
        return RecordedRun(planned, None, bad)

    async def _begin(self, planned: PlannedRun, part: int) -> Filling | Recorded:
        """Waits while another export is under way."""
        group = BackfillGroup(
            self.organization_id,
            self.target,
            self.claims.sha256,
            planned.exported_on,
            planned.file_name,
        )
        deadline = time.monotonic() + self.patience
        while True:
            begun: Begun = await self.backfill.begin(
                group, part=part, actor=self.actor, invocation_id=uuid4()
            )
            if not isinstance(begun, BusyOrganisation):
                return begun
            pause = min(begun.retry_after or 1, 5)
            if time.monotonic() + pause > deadline:
                raise Refused("lock_busy", retry_after=begun.retry_after)
            await asyncio.sleep(pause)

    async def _still_to_record(
        self, rows: Sequence[PlannedRow]
    ) -> tuple[tuple[PlannedRow, ...], tuple[BadRow, ...]]:
        """Without those that another worker recorded meanwhile, with the same list."""
        only = replace(self.claims, rows=tuple(row.listed for row in rows), malformed=())
        plan = await check_list(
            self.backfill, self.organization_id, self.target, only, lambda _: None
        )
        if plan.bad_rows and not self.skips_bad_rows:
            raise Stopped(plan.bad_rows)
        return tuple(row for run in plan.runs for row in run.rows), plan.bad_rows

    async def _fill(
        self,
        planned: PlannedRun,
        begun: Filling,
        rows: Sequence[PlannedRow],
        file: ExportFile,
        advance: Callable[[int], None],
    ) -> RecordedRun:
        run_id, token = begun.run.run_id, begun.fencing_token
        bad: list[BadRow] = []
        for start in range(0, len(rows), PAGE_ROWS):
            page = rows[start : start + PAGE_ROWS]
            bad.extend(await self._add(run_id, token, page))
            if bad and not self.skips_bad_rows:
                await self._give_up(run_id, token, bad)
                raise Stopped(bad)
            advance(len(page))
        if len(bad) == len(rows):
            await self._give_up(run_id, token, bad)
            return RecordedRun(planned, None, tuple(bad))
        run = await self.backfill.complete(
            run_id, token, file=file, expected_count=len(rows) - len(bad)
        )
        return RecordedRun(planned, run, tuple(bad))

    async def _add(self, run_id: UUID, token: int, page: Sequence[PlannedRow]) -> list[BadRow]:
        """Those rows that could not be added. Every try is a write, and renews the lease."""
        listed = {row.listed.line: row.listed for row in page}
        sent = [_as_sent(row) for row in page]
        for tries_left in reversed(range(_TRIES_OF_A_PAGE)):
            unusable = await self.backfill.add_page(run_id, token, sent)
            if not tries_left or not any(r.verdict is Verdict.BEING_EDITED for r in unusable):
                return [bad_row(listed[row.line], row) for row in unusable]
            await asyncio.sleep(_PAUSE)
        raise AssertionError  # the last try returns

    async def _give_up(self, run_id: UUID, token: int, bad: Sequence[BadRow]) -> None:
        lines = [{"line": row.line, "verdict": row.verdict} for row in bad[:100]]
        await self.guard.fail(
            run_id, token, code="backfill_stopped", detail={"rows": lines}, left_out=()
        )


def _as_sent(row: PlannedRow) -> Mapping[str, object]:
    return {
        "line": row.listed.line,
        "claim_id": row.claim_id,
        "voucher_number": row.listed.voucher_number,
    }
