"""The guard of a run, from lock to release: one method per SQL function.

Every write after begin carries the fencing token; the database refuses an old one (StaleToken).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, TypeAdapter

from exporters.claim import Member
from exporters.page_lines import PageLines
from exporters.run_renderer import RENDERER_VERSION
from functions.errors import SetUpProblem
from functions.export_run import ExportFile, ExportRun, LeftOutClaim, RunStatus, Told
from functions.supabase_connection import SupabaseConnection


@dataclass(frozen=True)
class ExportScope:
    """What to export: two inclusive dates of approval; `period_from` None is open."""

    organization_id: UUID
    target: str | None
    period_from: date | None
    period_to: date


class Granted(Told):
    """The lock is held. `resumed`: the run is one that another worker left, not the caller's."""

    outcome: Literal["started", "resumed"]
    run: ExportRun
    fencing_token: int
    configuration: Mapping[str, object]
    claims: tuple[Member, ...]
    last_page: bool

    @property
    def is_delivered(self) -> bool:
        """Whether the vouchers go over an API before the file is stored."""
        return "delivery" in self.configuration


class Found(Told):
    """A run that does, or did, what the caller asks for; `retry_after` (s) while it is running."""

    outcome: Literal["replayed", "joined"]
    run: ExportRun
    retry_after: int | None = None


class Busy(Told):
    """The organisation exports another scope, or another begin was faster."""

    outcome: Literal["busy"]
    run: ExportRun | None = None
    retry_after: int | None = None


class NothingToExport(Told):
    """`run` is the latest completed run that took this scope; skipped claims are locked now.

    `parked_run` was set aside and holds claims of the scope.
    `left_out`: claims that were tried before and would be left out again, as nothing changed.
    """

    outcome: Literal["nothing_to_export"]
    run: ExportRun | None = None
    parked_run: ExportRun | None = None
    skipped_count: int = 0
    left_out: tuple[LeftOutClaim, ...] = ()


class Unchecked(Told):
    """The organisation's configuration was changed: check it, write down the result, begin again.

    `configuration` is what a run would freeze; nothing is reserved yet.
    """

    outcome: Literal["unchecked"]
    target: str
    configuration: Mapping[str, object]
    fingerprint: str


class NothingToResume(Told):
    """No run of the organisation waits for a worker. `run` was failed or parked just now."""

    outcome: Literal["nothing_to_resume"]
    run: ExportRun | None = None


class StalledRun(Told):
    """A run that nobody works on.

    `processing` waits for a worker, `in_doubt` for the accounting system's answer, the others let
    claims go.
    """

    run_id: UUID
    organization_id: UUID
    status: Literal[
        RunStatus.PROCESSING, RunStatus.RELEASING, RunStatus.VOIDING, RunStatus.IN_DOUBT
    ]


class _StalledRuns(Told):
    runs: tuple[StalledRun, ...]


class _Settled(Told):
    settled: int


class Page(Told):
    """One page of members, in order of position."""

    claims: tuple[Member, ...]
    last_page: bool


class Released(Told):
    """After a failure members are let go page by page; call again until `released`.

    `latest_run` is the completed run, if there is one, that took the same scope before.
    """

    run: ExportRun
    released: bool
    latest_run: ExportRun | None = None


class _Recorded(Told):
    recorded: bool


class _Lease(Told):
    expires_at: datetime


class _RunTold(Told):
    run: ExportRun


@dataclass(frozen=True)
class FileSummary:
    """What the file holds, for the database to compare with what the pages reserved.

    `notices` count the texts that were altered to fit; they are kept with the completion.
    `breakdown` is what it books per account; `lines` are those of its last page, and None when the
    format's lines lead nobody to a voucher.
    """

    claim_count: int
    voucher_count: int
    line_count: int
    totals: Mapping[str, Decimal]
    renderer_version: str
    layout: Mapping[str, object]
    notices: Sequence[Mapping[str, object]] = ()
    breakdown: Mapping[str, object] | None = None
    lines: PageLines | None = None


Begun = Granted | Found | Busy | NothingToExport
TakenOver = Granted | Busy | NothingToResume

_BEGUN: TypeAdapter[Begun] = TypeAdapter(Annotated[Begun, Field(discriminator="outcome")])
_ASKED: TypeAdapter[Begun | Unchecked] = TypeAdapter(
    Annotated[Begun | Unchecked, Field(discriminator="outcome")]
)
_TAKEN_OVER: TypeAdapter[TakenOver] = TypeAdapter(
    Annotated[TakenOver, Field(discriminator="outcome")]
)
_PAGE = TypeAdapter(Page)
_RECORDED = TypeAdapter(_Recorded)
_LEASE = TypeAdapter(_Lease)
_RUN_TOLD = TypeAdapter(_RunTold)
_RELEASED = TypeAdapter(Released)
_STALLED = TypeAdapter(_StalledRuns)
_SETTLED = TypeAdapter(_Settled)


class ExportGuard:
    """Stateless; safe to share. Every call may be repeated, and is when its reply is lost."""

    def __init__(self, connection: SupabaseConnection) -> None:
        self._connection = connection

    async def begin(
        self, scope: ExportScope, *, key: str, token: str, invocation_id: UUID
    ) -> Begun | Unchecked:
        """As the user of `token`. The same invocation gets the same answer again."""
        arguments = _scope_arguments(scope, key, invocation_id)
        return await self._connection.as_user(token).call("begin_export", arguments, _ASKED)

    async def begin_as_service(
        self,
        scope: ExportScope,
        *,
        key: str | None,
        invocation_id: UUID,
        trigger: str,
        triggered_by: UUID | None = None,
    ) -> Begun | Unchecked:
        """For webhook, sweep and command line; a user's request never comes this way."""
        arguments = {
            **_scope_arguments(scope, key, invocation_id),
            "p_trigger": trigger,
            "p_triggered_by": triggered_by,
        }
        session = self._connection.as_service()
        return await session.call("begin_export_as_service", arguments, _ASKED)

    async def record_check(
        self, organization_id: UUID, unchecked: Unchecked, problems: Sequence[SetUpProblem]
    ) -> None:
        """What was found in a configuration; an empty list lets exports begin."""
        arguments = {
            "p_organization_id": organization_id,
            "p_target": unchecked.target,
            "p_fingerprint": unchecked.fingerprint,
            "p_renderer_version": RENDERER_VERSION,
            "p_problems": [asdict(problem) for problem in problems],
        }
        session = self._connection.as_service()
        await session.call("record_configuration_check", arguments, _RECORDED)

    async def reverse(self, run_id: UUID, reason: str, *, token: str, invocation_id: UUID) -> Begun:
        """As the admin of `token`: begins the run that takes another one back."""
        arguments = {
            "p_run_id": run_id,
            "p_reason": reason,
            "p_invocation_id": invocation_id,
        }
        return await self._connection.as_user(token).call("reverse_export", arguments, _BEGUN)

    async def take_over(self, organization_id: UUID, *, invocation_id: UUID) -> TakenOver:
        """Continues a run whose worker fell silent, with a new fencing token."""
        return await self._connection.as_service().call(
            "take_over_export_run",
            {"p_organization_id": organization_id, "p_invocation_id": invocation_id},
            _TAKEN_OVER,
        )

    async def reserve_page(self, run_id: UUID, fencing_token: int, after_position: int) -> Page:
        """The members after a position: those reserved before, then newly reserved ones."""
        arguments = {**_held(run_id, fencing_token), "p_after_position": after_position}
        return await self._connection.as_service().call("reserve_export_page", arguments, _PAGE)

    async def renew(self, run_id: UUID, fencing_token: int) -> datetime:
        """The moment, by the database's clock, after which somebody may take over."""
        session = self._connection.as_service()
        lease = await session.call("renew_export_lock", _held(run_id, fencing_token), _LEASE)
        return lease.expires_at

    async def release(
        self, run_id: UUID, fencing_token: int, *, code: str, is_blameless: bool
    ) -> None:
        """Ends the lease early; the run waits for whoever begins next. Tried once.

        `code` says why. A blameless attempt does not count against the run.
        """
        arguments = {
            **_held(run_id, fencing_token),
            "p_code": code,
            "p_is_blameless": is_blameless,
        }
        session = self._connection.as_service()
        await session.call_once("release_export_lock", arguments, _RUN_TOLD)

    async def settle_page(
        self,
        run_id: UUID,
        fencing_token: int,
        *,
        left_out: Sequence[LeftOutClaim],
        lines: PageLines | None,
    ) -> ExportRun:
        """After each page but the last: what is in no file is released, and the lines are kept.

        At most a page of claims; saying it twice is fine.
        """
        arguments = {
            **_held(run_id, fencing_token),
            "p_left_out": _reasons(left_out),
            "p_lines": _lines(lines),
        }
        session = self._connection.as_service()
        return (await session.call("leave_out_export_claims", arguments, _RUN_TOLD)).run

    async def complete(
        self,
        run_id: UUID,
        fencing_token: int,
        *,
        file: ExportFile,
        summary: FileSummary,
        left_out: Sequence[LeftOutClaim],
    ) -> ExportRun:
        """Records the stored file. Completed already with the same hash: says so again."""
        arguments = {
            **_held(run_id, fencing_token),
            "p_file": file.model_dump(mode="json"),
            "p_summary": _summary(summary),
            "p_left_out": _reasons(left_out),
        }
        session = self._connection.as_service()
        return (await session.call("complete_export_run", arguments, _RUN_TOLD)).run

    async def fail(
        self,
        run_id: UUID,
        fencing_token: int,
        *,
        code: str,
        detail: Mapping[str, object],
        left_out: Sequence[LeftOutClaim],
    ) -> Released:
        """Ends a run for good and frees its claims, however many pages that takes."""
        arguments = {
            **_held(run_id, fencing_token),
            "p_error_code": code,
            "p_error_detail": detail,
            "p_left_out": _reasons(left_out),
        }
        session = self._connection.as_service()
        while True:
            answer = await session.call("fail_export_run", arguments, _RELEASED)
            if answer.released:
                return answer

    async def look_at(self, run_id: UUID) -> ExportRun:
        """The run as it stands, whoever holds it."""
        session = self._connection.as_service()
        return (await session.call("get_export_run", {"p_run_id": run_id}, _RUN_TOLD)).run

    async def find_stalled(self, limit: int) -> Sequence[StalledRun]:
        """Runs of all organisations that somebody should continue, the longest silent first."""
        session = self._connection.as_service()
        found = await session.call("find_stalled_export_runs", {"p_limit": limit}, _STALLED)
        return found.runs

    async def resume_doubted(self, run_id: UUID, *, invocation_id: UUID) -> TakenOver:
        """Continues a run in doubt, with a new fencing token."""
        return await self._connection.as_service().call(
            "resume_doubted_export_run",
            {"p_run_id": run_id, "p_invocation_id": invocation_id},
            _TAKEN_OVER,
        )

    async def settle_claim_changes(self) -> None:
        """Lets notes go of claims that are again as they were exported, or in no run."""
        session = self._connection.as_service()
        await session.call("settle_claim_changes", {}, _SETTLED)

    async def continue_release(self, run_id: UUID) -> Released:
        """Lets one page of claims go of a failing or voided run that no worker holds."""
        session = self._connection.as_service()
        return await session.call("continue_export_release", {"p_run_id": run_id}, _RELEASED)


def _scope_arguments(scope: ExportScope, key: str | None, invocation_id: UUID) -> dict[str, object]:
    return {
        "p_organization_id": scope.organization_id,
        "p_target": scope.target,
        "p_period_from": scope.period_from,
        "p_period_to": scope.period_to,
        "p_idempotency_key": key,
        "p_invocation_id": invocation_id,
        "p_renderer_version": RENDERER_VERSION,
    }


def _held(run_id: UUID, fencing_token: int) -> dict[str, object]:
    return {"p_run_id": run_id, "p_fencing_token": fencing_token}


def _summary(summary: FileSummary) -> dict[str, object]:
    return {
        "claim_count": summary.claim_count,
        "voucher_count": summary.voucher_count,
        "line_count": summary.line_count,
        "totals": {currency: str(amount) for currency, amount in summary.totals.items()},
        "renderer_version": summary.renderer_version,
        "layout": summary.layout,
        "notices": list(summary.notices),
        "breakdown": summary.breakdown,
        "lines": _lines(summary.lines),
    }


def _lines(lines: PageLines | None) -> dict[str, object] | None:
    return asdict(lines) if lines else None


def _reasons(left_out: Sequence[LeftOutClaim]) -> list[dict[str, object]]:
    return [
        claim.model_dump(mode="json", include={"claim_id", "code", "field", "message"})
        for claim in left_out
    ]
