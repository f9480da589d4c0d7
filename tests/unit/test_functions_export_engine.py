"""The life of a run in the worker: leases, deadlines and who gets which answer."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from functions import export_engine
from functions.errors import Refused, RunFailed, StaleToken, Unavailable
from functions.export_engine import Completed, ExportEngine
from functions.export_guard import (
    Begun,
    Busy,
    ExportGuard,
    ExportScope,
    FileSummary,
    Found,
    Granted,
    NothingToExport,
    Page,
    Released,
)
from functions.export_run import ExportFile, ExportRun, LeftOutClaim, RunStatus
from functions.language import Language
from functions.meanwhile import meanwhile
from functions.outcome_answer import outcome_response
from functions.settings import Settings

if TYPE_CHECKING:
    from functions.export_storage import ExportStorage
    from functions.run_delivery import RunDelivery

NOW = datetime(2026, 11, 1, tzinfo=UTC)
SCOPE = ExportScope(uuid4(), None, None, date(2026, 10, 31))


def run_of(status: str = "processing") -> ExportRun:
    """A run as the database tells it."""
    told: dict[str, object] = dict.fromkeys(ExportRun.model_fields)
    counts = ("attempt", "run_number", "reserved_count", "left_out_count", "skipped_count")
    return ExportRun.model_validate(
        {
            **told,
            **dict.fromkeys(counts, 1),
            "run_id": uuid4(),
            "organization_id": SCOPE.organization_id,
            "origin": "engine",
            "trigger": "user",
            "target": "xledger",
            "format": "xledger_gl02b",
            "period_to": "2026-10-31",
            "time_zone": "Europe/Oslo",
            "cut_off": NOW,
            "export_date": "2026-11-01",
            "status": status,
            "created_at": NOW,
            "deleted": False,
        }
    )


def granted(outcome: str = "started", **changes: object) -> Granted:
    """A lock with one claim to export."""
    claim_id = uuid4()
    document = {
        "claim_id": str(claim_id),
        "claim_number": "2026-0001",
        "claimant": {"name": "Åse Ødegård", "number": "10023"},
        "purpose": "Møte",
        "currency": "NOK",
        "approved_on": "2026-10-05",
        "dimensions": {},
        "total": "100.00",
        "lines": [
            {
                "line_number": 1,
                "expense_type": "mileage",
                "description": "Tur",
                "expense_date": "2026-09-30",
                "amount": "100.00",
                "quantity": None,
                "unit": None,
                "dimensions": {},
            }
        ],
    }
    rules = [
        {"side": "expense", "expense_type": "mileage", "account_code": "7100"},
        {"side": "payable", "expense_type": None, "account_code": "2990"},
    ]
    return Granted.model_validate(
        {
            "outcome": outcome,
            "run": run_of(),
            "fencing_token": 1,
            "configuration": {
                "target": "xledger",
                "format": "xledger_gl02b",
                "time_zone": "Europe/Oslo",
                "layout": None,
                "settings": {"entity_code": "10010", "voucher_type": "GL"},
                "on_problem": "leave_out",
                "posting_rules": rules,
            },
            "claims": [
                {
                    "position": 1,
                    "claim_id": str(claim_id),
                    "kind": "entry",
                    "generation": 1,
                    "voucher_number": 1001,
                    "document": document,
                }
            ],
            "last_page": True,
            **changes,
        }
    )


class ScriptedGuard:
    """Answers begin from a script and notes every other call."""

    def __init__(self, *begun: Begun) -> None:
        self.script = list(begun)
        self.calls: list[str] = []
        self.invocations: set[UUID] = set()
        self.refusals: dict[str, Exception] = {}
        self.released_for: tuple[str, bool] | None = None
        self.left_as = run_of("processing")

    def note(self, call: str) -> None:
        """Remember a call, and refuse it if the test says so."""
        self.calls.append(call)
        if call in self.refusals:
            raise self.refusals[call]

    async def begin(self, _: ExportScope, *, key: str, token: str, invocation_id: UUID) -> Begun:
        """The next answer of the script; the last one is repeated."""
        assert key
        assert token
        self.invocations.add(invocation_id)
        self.note("begin")
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    async def reserve_page(self, *_: object) -> Page:
        """No more claims."""
        self.note("reserve")
        return Page(claims=(), last_page=True)

    async def renew(self, *_: object) -> datetime:
        """Renewed."""
        self.note("renew")
        return NOW

    async def begin_as_service(self, _: ExportScope, **request: object) -> Begun:
        """The next answer of the script."""
        self.note(f"begin as {request['trigger']}")
        return self.script[0]

    async def take_over(self, _: UUID, **__: object) -> Begun:
        """The next answer of the script."""
        self.note("take over")
        return self.script[0]

    async def release(self, *_: object, code: str, is_blameless: bool) -> None:
        """Released; the reason is noted too."""
        self.released_for = code, is_blameless
        self.note("release")

    async def look_at(self, _: UUID) -> ExportRun:
        """As somebody else left it."""
        self.note("look")
        return self.left_as

    async def settle_page(self, *_: object, **__: object) -> None:
        """Settled."""
        self.note("settle_page")

    async def complete(
        self, *_: object, file: ExportFile, summary: FileSummary, left_out: Sequence[LeftOutClaim]
    ) -> ExportRun:
        """Completed."""
        assert file.path.endswith(f"{file.sha256}.csv")
        assert summary.claim_count == 1
        assert not left_out
        self.note("complete")
        return run_of("completed")

    async def fail(self, *_: object, code: str, **__: object) -> Released:
        """Failed."""
        self.note(f"fail {code}")
        return Released(run=run_of("failed"), released=True)


class HangingGuard(ScriptedGuard):
    """Its renewals never come back."""

    async def renew(self, *_: object) -> datetime:
        """Hang."""
        self.note("renew")
        await asyncio.sleep(60)
        return NOW


class SlowStorage:
    """Takes its time and keeps what it got."""

    def __init__(self, seconds: float = 0, error: Exception | None = None) -> None:
        self.seconds = seconds
        self.error = error
        self.stored: list[bytes] = []

    async def store(self, content: Path, file: ExportFile) -> None:
        """Store after a while, or fail."""
        await asyncio.sleep(self.seconds)
        if self.error:
            raise self.error
        self.stored.append(await asyncio.to_thread(content.read_bytes))
        assert len(self.stored[-1]) == file.size


def engine_of(
    guard: ScriptedGuard, storage: SlowStorage, *, renewal: float = 15, attempt: float = 60
) -> ExportEngine:
    """An engine over stand-ins."""
    settings = Settings(
        supabase_url="https://abc.supabase.co",
        supabase_publishable_key="p",
        supabase_secret_key=SecretStr("s"),
        export_renewal_seconds=renewal,
        export_attempt_seconds=attempt,
    )
    # None of these runs is delivered over an API.
    delivery = cast("RunDelivery", None)
    return ExportEngine(
        cast("ExportGuard", guard), cast("ExportStorage", storage), delivery, settings
    )


async def test_an_export_begins_stores_and_completes() -> None:
    """The plain case: one begin, one file, one completion, no renewal."""
    guard, storage = ScriptedGuard(granted()), SlowStorage()

    exported = await engine_of(guard, storage).export(SCOPE, key="k", token="a.b.c")

    assert isinstance(exported, Completed)
    assert guard.calls == ["begin", "complete"]
    assert len(storage.stored) == 1


async def test_a_slow_upload_keeps_the_lease() -> None:
    """While storing takes longer than the renewal interval, the lease is renewed."""
    guard, storage = ScriptedGuard(granted()), SlowStorage(seconds=0.1)

    await engine_of(guard, storage, renewal=0.02).export(SCOPE, key="k", token="a.b.c")

    assert guard.calls.count("renew") >= 2
    assert guard.calls[-1] == "complete"


@pytest.mark.parametrize("error", [Unavailable("database_unavailable"), StaleToken("stale_token")])
async def test_a_failed_renewal_does_not_stop_the_work(error: Exception) -> None:
    """Only the token decides, at the next write; a renewal that fails is not the end."""
    guard, storage = ScriptedGuard(granted()), SlowStorage(seconds=0.1)
    guard.refusals["renew"] = error

    exported = await engine_of(guard, storage, renewal=0.02).export(SCOPE, key="k", token="a.b.c")

    assert isinstance(exported, Completed)


async def test_an_attempt_has_a_deadline() -> None:
    """What takes too long ends as 503 with the run, and the run is neither completed nor failed."""
    grant = granted()
    guard, storage = ScriptedGuard(grant), SlowStorage(seconds=10)

    with pytest.raises(Unavailable) as late:
        await engine_of(guard, storage, renewal=0.02, attempt=0.1).export(
            SCOPE, key="k", token="a.b.c"
        )

    assert (late.value.code, late.value.run_id) == ("attempt_timed_out", grant.run.run_id)
    assert set(guard.calls) <= {"begin", "renew", "release"}
    assert guard.calls[-1] == "release"
    assert guard.released_for == ("attempt_timed_out", False), "a run that is too slow is parked"


async def test_a_begin_that_is_still_at_work_is_asked_again_under_its_own_name() -> None:
    """While the database works on a begin, the same invocation asks again, and gets the run that it started."""
    guard = ScriptedGuard(Busy(outcome="busy"), granted())

    exported = await engine_of(guard, SlowStorage()).export(SCOPE, key="k", token="a.b.c")

    assert isinstance(exported, Completed)
    assert guard.calls == ["begin", "begin", "complete"]
    assert len(guard.invocations) == 1


async def test_another_run_of_the_organisation_is_not_waited_for() -> None:
    """Busy with a run is an answer for the caller, at once."""
    guard = ScriptedGuard(Busy(outcome="busy", run=granted().run, retry_after=3))

    exported = await engine_of(guard, SlowStorage()).export(SCOPE, key="k", token="a.b.c")

    assert isinstance(exported, Busy)
    assert guard.calls == ["begin"]


async def test_a_dead_workers_run_comes_first() -> None:
    """After finishing what another worker left, the caller's own request begins anew."""
    guard = ScriptedGuard(granted("resumed"), granted("started"))

    exported = await engine_of(guard, SlowStorage()).export(SCOPE, key="k", token="a.b.c")

    assert isinstance(exported, Completed)
    assert guard.calls == ["begin", "complete", "begin", "complete"]
    assert len(guard.invocations) == 2


async def test_a_dead_workers_hopeless_run_does_not_fail_the_caller() -> None:
    """A foreign run that must fail is failed, and the caller's own request goes on."""
    hopeless = granted("resumed", configuration={})
    guard = ScriptedGuard(hopeless, NothingToExport(outcome="nothing_to_export"))

    exported = await engine_of(guard, SlowStorage()).export(SCOPE, key="k", token="a.b.c")

    assert isinstance(exported, NothingToExport)
    assert guard.calls == ["begin", "fail configuration_invalid", "begin"]


@pytest.mark.parametrize("code", ["file_too_large", "file_conflict", "totals_mismatch"])
async def test_a_dead_workers_refused_file_does_not_fail_the_caller(code: str) -> None:
    """Whatever ends a foreign run for good, the caller's own request goes on."""
    guard = ScriptedGuard(granted("resumed"), NothingToExport(outcome="nothing_to_export"))

    exported = await engine_of(guard, SlowStorage(error=Refused(code))).export(
        SCOPE, key="k", token="a.b.c"
    )

    assert isinstance(exported, NothingToExport)
    assert guard.calls == ["begin", f"fail {code}", "begin"]


async def test_a_renewal_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewal without an answer does not keep the next one from being tried in time."""
    monkeypatch.setattr(export_engine, "_SECONDS_FOR_A_RENEWAL", 0.02)
    guard, storage = HangingGuard(granted()), SlowStorage(seconds=0.3)

    await engine_of(guard, storage, renewal=0.02).export(SCOPE, key="k", token="a.b.c")

    assert guard.calls.count("renew") >= 3


async def test_the_system_exports_and_takes_over_by_the_same_way() -> None:
    """The forms for webhook, sweep and command line finish runs like a user's request does."""
    guard = ScriptedGuard(granted())
    engine = engine_of(guard, SlowStorage())

    exported = await engine.export_as_service(SCOPE, key=None, trigger="sweep")
    taken = await engine.take_over(SCOPE.organization_id)

    assert isinstance(exported, Completed)
    assert isinstance(taken, Completed)
    assert guard.calls == ["begin as sweep", "complete", "take over", "complete"]


async def test_an_own_hopeless_run_is_the_callers_answer() -> None:
    """The caller's own run that must fail is failed, and says what to mend."""
    guard = ScriptedGuard(granted(configuration={}))

    with pytest.raises(RunFailed) as failed:
        await engine_of(guard, SlowStorage()).export(SCOPE, key="k", token="a.b.c")

    assert failed.value.problems


async def test_a_transient_fault_leaves_the_run_to_takeover() -> None:
    """Storage away is no reason to fail a run: its lease is released, so that a retry continues soon."""
    grant = granted()
    guard = ScriptedGuard(grant)
    storage = SlowStorage(error=Unavailable("storage_unavailable"))

    with pytest.raises(Unavailable) as fault:
        await engine_of(guard, storage).export(SCOPE, key="k", token="a.b.c")

    assert guard.calls == ["begin", "release"]
    assert guard.released_for == ("storage_unavailable", True), "the run is not to blame"
    assert (fault.value.run_id, fault.value.retry_after) == (grant.run.run_id, 5)


async def test_an_overtaken_worker_releases_nothing() -> None:
    """The lease is its successor's: a worker whose token is stale only looks how that run stands."""
    guard = ScriptedGuard(granted(), NothingToExport(outcome="nothing_to_export"))
    guard.refusals["complete"] = StaleToken("stale_token")

    exported = await engine_of(guard, SlowStorage()).export(SCOPE, key="k", token="a.b.c")

    assert isinstance(exported, NothingToExport)
    assert guard.calls == ["begin", "complete", "look", "begin"]


async def test_what_an_admin_ended_is_not_begun_again() -> None:
    """The request whose run a person ended tells so, instead of starting the same export anew."""
    guard = ScriptedGuard(granted(), granted())
    guard.refusals["complete"] = StaleToken("stale_token")
    guard.left_as = run_of("failed").model_copy(update={"error_code": "failed_by_admin"})

    with pytest.raises(RunFailed, match="failed_by_admin"):
        await engine_of(guard, SlowStorage()).export(SCOPE, key="k", token="a.b.c")

    assert guard.calls == ["begin", "complete", "look"]


async def test_work_beside_a_failing_block_is_ended_with_it() -> None:
    """A reservation that is on its way does not outlive the rendering that failed beside it."""
    beside = asyncio.Event()

    async def reserve() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            beside.set()

    async def fail_beside() -> None:
        async with meanwhile(reserve()):
            await asyncio.sleep(0)
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the block's own, nothing else raises it
        await asyncio.wait_for(fail_beside(), timeout=5)

    assert beside.is_set()


def test_a_colleagues_run_that_just_ended_is_told_as_done() -> None:
    """Joined, but completed in the same moment: nobody is told that it is still in progress."""
    run = granted().run.model_copy(update={"status": RunStatus.COMPLETED})

    response = outcome_response(Found(outcome="joined", run=run), (), Language.ENGLISH)

    assert response.status_code == 200
    assert "already done" in bytes(response.body).decode()


async def test_a_lease_that_cannot_be_released_runs_out() -> None:
    """When releasing fails too, the caller is told to wait for the end of the lease."""
    guard = ScriptedGuard(granted())
    guard.refusals["release"] = Unavailable("database_unavailable")
    storage = SlowStorage(error=Unavailable("storage_unavailable"))

    with pytest.raises(Unavailable) as fault:
        await engine_of(guard, storage).export(SCOPE, key="k", token="a.b.c")

    assert (fault.value.code, fault.value.retry_after) == ("storage_unavailable", 60)


async def test_a_refused_file_lets_the_claims_go() -> None:
    """A file that storage will never take fails the run under its code."""
    guard = ScriptedGuard(granted())

    with pytest.raises(Refused):
        await engine_of(guard, SlowStorage(error=Refused("file_too_large"))).export(
            SCOPE, key="k", token="a.b.c"
        )

    assert guard.calls == ["begin", "fail file_too_large"]


async def test_a_stale_token_asks_how_the_run_stands() -> None:
    """Whoever was overtaken begins again and is told."""
    guard = ScriptedGuard(granted(), Found(outcome="replayed", run=run_of()))
    guard.refusals["complete"] = StaleToken("stale_token")

    exported = await engine_of(guard, SlowStorage()).export(SCOPE, key="k", token="a.b.c")

    assert isinstance(exported, Found)


async def test_one_request_does_not_clear_up_for_ever() -> None:
    """A caller who meets one dead run after another is told to come back."""
    guard = ScriptedGuard(granted("resumed"))

    exported = await engine_of(guard, SlowStorage()).export(SCOPE, key="k", token="a.b.c")

    assert isinstance(exported, Busy)
    assert exported.retry_after
    assert guard.calls.count("begin") == 5


async def test_a_bug_in_rendering_names_the_run() -> None:
    """An unexpected error after begin still tells the caller which run it was."""
    grant = granted()
    guard = ScriptedGuard(grant)
    storage = SlowStorage(error=ZeroDivisionError())

    with pytest.raises(Exception, match="internal_error") as defect:
        await engine_of(guard, storage).export(SCOPE, key="k", token="a.b.c")

    assert getattr(defect.value, "run_id", None) == grant.run.run_id
    assert guard.calls == ["begin", "release"]
    assert guard.released_for == ("internal_error", False), (
        "a run that breaks every worker is parked"
    )
