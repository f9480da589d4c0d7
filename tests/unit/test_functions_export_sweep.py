"""The sweep: one run that cannot be continued keeps no other waiting, and the time has an end."""

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from functions.errors import EngineError, Refused, RunFailed, StaleToken, Unavailable
from functions.export_engine import Completed, ExportEngine
from functions.export_guard import Busy, ExportGuard, NothingToResume, Released, StalledRun
from functions.export_run import ExportRun, RunStatus
from functions.export_sweep import ExportSweep
from functions.settings import Settings

if TYPE_CHECKING:
    from functions.export_documents import ExportDocuments
    from functions.export_reconciliation import ExportReconciliation

SETTINGS = Settings(
    supabase_url="https://abc.supabase.co",
    supabase_publishable_key="sb_publishable_x",
    supabase_secret_key=SecretStr("sb_secret_x"),
)


def run_of(status: str) -> ExportRun:
    """A run of which only the status matters."""
    fields: dict[str, Any] = {"run_id": uuid4(), "status": RunStatus(status)}
    return ExportRun.model_construct(**fields)


class ScriptedWorld:
    """Guard and engine at once: each organisation's takeover ends as the script says."""

    def __init__(self, *script: object) -> None:
        self.script = dict(zip((uuid4() for _ in script), script, strict=True))
        self.pages_left = 3
        self.settled = 0
        self.ends: list[float] = []

    async def find_stalled(self, limit: int) -> Sequence[StalledRun]:
        """One run per organisation."""
        assert limit >= len(self.script)
        return [
            StalledRun(
                run_id=uuid4(),
                organization_id=organization,
                status=RunStatus.RELEASING if end == "releasing" else RunStatus.PROCESSING,
            )
            for organization, end in self.script.items()
        ]

    async def take_over(self, organization: UUID) -> object:
        """The scripted end."""
        end = self.script[organization]
        if isinstance(end, EngineError):
            raise end
        return end

    async def continue_release(self, _: UUID) -> Released:
        """One page fewer."""
        self.pages_left -= 1
        return Released(run=run_of("failed"), released=self.pages_left == 0)

    async def settle_claim_changes(self) -> None:
        """Fails, which keeps nothing else from being done."""
        self.settled += 1
        raise Unavailable("database_unavailable")

    async def work_until(self, end: float) -> Counter[str]:
        """One reconciliation, if the sweep's time is not over; documents are another's."""
        self.ends.append(end)
        return Counter({"green": 1} if time.monotonic() < end else {})


class DeafWorld(ScriptedWorld):
    """Its database is away."""

    async def find_stalled(self, limit: int) -> Sequence[StalledRun]:
        """No answer."""
        raise Unavailable("database_unavailable", cause=str(limit))


def sweep_of(world: ScriptedWorld, **settings: object) -> ExportSweep:
    """A sweep over that world."""
    return ExportSweep(
        cast("ExportGuard", world),
        cast("ExportEngine", world),
        cast("ExportDocuments", world),
        cast("ExportReconciliation", world),
        SETTINGS.model_copy(update=settings),
    )


async def test_every_run_has_its_outcome() -> None:
    """Whatever becomes of one run, the next is worked on, and the report counts each once."""
    world = ScriptedWorld(
        Unavailable("storage_unavailable"),
        Completed(run_of("completed"), ()),
        RunFailed("all_claims_left_out", run_id=uuid4()),
        StaleToken("stale_token"),
        Busy(outcome="busy"),
        Refused("organization_held"),
        NothingToResume(outcome="nothing_to_resume"),
        NothingToResume(outcome="nothing_to_resume", run=run_of("parked")),
        NothingToResume(outcome="nothing_to_resume", run=run_of("failed")),
        "releasing",
    )

    report = await sweep_of(world).run()

    assert report.found == 10
    assert report.outcomes == {
        "stopped": 1,
        "completed": 1,
        "failed": 2,
        "busy": 3,
        "held": 1,
        "parked": 1,
        "released": 1,
    }
    assert (world.pages_left, world.settled) == (0, 1)
    assert report.reconciliations == {"green": 1}


async def test_documents_leave_half_of_the_time_to_the_books() -> None:
    """However many files wait for their sheets, each sweep reconciles too."""
    world, began = ScriptedWorld(), time.monotonic()

    await sweep_of(world, export_sweep_seconds=100).run()

    documents, books = (end - began for end in world.ends)
    assert (round(documents), round(books)) == (50, 100)


async def test_a_sweep_without_time_postpones() -> None:
    """Once the time is over no other run is begun; the report says how many wait."""
    world = ScriptedWorld(*(Completed(run_of("completed"), ()) for _ in range(3)))

    report = await sweep_of(world, export_sweep_seconds=0).run()

    assert report.outcomes == {"postponed": 3}
    assert report.reconciliations == {}, "what is left of the time is none"
    assert world.settled == 0


async def test_a_sweep_that_cannot_ask_says_so() -> None:
    """When the database is away there is no report to be mistaken for an idle one."""
    with pytest.raises(Unavailable):
        await sweep_of(DeafWorld()).run()
