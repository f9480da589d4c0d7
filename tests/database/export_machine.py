"""Random lives of one organisation: every step is done by the engine and by the model, and compared."""

import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import event
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from tests.database.export_model import Claim, ExportModel, RefusedError, Run
from tests.database.export_place import ExportPlace
from tests.database.organisation_snapshot import (
    assert_only_grown,
    assert_sound,
    take_snapshot,
    without_lease,
)
from tests.database.reconciler import Reconciler
from tests.database.voiding import void
from tests.database.worker import Worker
from tests.organisation import begin, call

PERIODS: dict[str, tuple[str | None, str]] = {
    "october": ("2025-10-01", "2025-10-31"),
    "everything": (None, "2199-12-31"),
}
OCTOBER = datetime(2025, 10, 5, 12, tzinfo=UTC)
WHY = {"p_reason": "Somebody decided so.", "p_actor": "Ingrid Vik"}
Act = Callable[[], dict[str, Any]]
CLASSES = {"exported", "reserved", "held", "left_out", "pending"}

any_number = st.integers(0, 1000)
# Mostly whoever holds the run; else any worker there ever was.
by_holder = st.sampled_from([True, True, True, False])
scopes = st.sampled_from(sorted(PERIODS))


class ExportMachine(RuleBasedStateMachine):
    """One organisation in a database whose pages hold two claims, beside one that must not notice."""

    reached: ClassVar[Counter[str]] = Counter()
    claims: Bundle[Claim] = Bundle("claims")
    workers: Bundle[Worker] = Bundle("workers")

    def __init__(self, place: ExportPlace) -> None:
        super().__init__()
        self.place = place
        self.organisation = place.settle()
        self.model = ExportModel()
        self.every_worker: list[Worker] = []
        self.repeat: Act | None = None
        self.snapshot = self.look()

    # --- seeing and comparing

    def look(self) -> dict[str, Any]:
        """Everything of the organisation now."""
        return take_snapshot(self.place.owner, self.organisation.id)

    def note(self, what: str) -> None:
        """Count what was reached."""
        self.reached[what] += 1
        event(what)

    def run_at(self, number: int) -> Run:
        """Any run."""
        return self.model.runs[number % len(self.model.runs)]

    def run_of(self, worker: Worker) -> Run:
        """The model's run of a worker."""
        return next(run for run in self.model.runs if run.id == worker.run_id)

    def act(
        self, what: str, expected: Callable[[], object], act: Act, *, again: bool = False
    ) -> dict[str, Any] | None:
        """Do the same in model and engine; both accept it, or both refuse it with one code and change nothing."""
        was_live, self.repeat = self.model.is_live, None
        try:
            expected()
        except RefusedError as refused:
            self.model.is_live = was_live
            self.demand_refusal(what, str(refused), act)
            return None
        answer = act()
        self.note(what)
        self.repeat = act if again else None
        return answer

    def demand_refusal(self, what: str, code: str, act: Act) -> None:
        """I7: the engine says this code, and not one row is another than before."""
        with pytest.raises(psycopg.Error) as error:
            act()
        assert error.value.diag.message_detail == code, f"{what}: {error.value}"
        self.note(f"{what}: {code}")
        assert self.look() == self.snapshot, f"I7: {what} changed something although refused"

    # --- the app

    @initialize(target=claims, minutes=st.lists(st.integers(0, 3), min_size=3, max_size=7))
    def start_with_claims(self, minutes: list[int]) -> Any:
        """A life begins with something to export."""
        return multiple(*[self.hand_in_and_approve(minute, 1000 + minute) for minute in minutes])

    @rule(target=claims, minute=st.integers(0, 3), cents=st.integers(1, 99_999))
    def hand_in_and_approve(self, minute: int, cents: int) -> Claim:
        """A claim, approved at one of few moments, so that many are approved at the same one."""
        approved_at = OCTOBER + timedelta(minutes=minute)
        claim_id = self.organisation.add_numbered_claim(
            len(self.model.claims) + 1,
            f"{cents // 100}.{cents % 100:02}",
            "EUR" if cents % 7 == 0 else "NOK",
            approved_at,
        )
        claim = self.model.claims[claim_id] = Claim(claim_id, approved_at)
        return claim

    @rule(claim=claims)
    def un_approve(self, claim: Claim) -> None:
        """The approval is taken back, whether the claim is in a run or not."""
        self.organisation.execute(
            "update public.expense_claims set status = 'submitted', approved_at = null where id = %s",
            claim.id,
        )
        claim.approved_at = None

    @rule(claim=claims)
    @precondition(lambda self: any(not c.approved_at for c in self.model.claims.values()))
    def approve(self, claim: Claim) -> None:
        """A claim that lost its approval gets it back, now."""
        if claim.approved_at is None:
            [[claim.approved_at]] = self.organisation.execute(
                "update public.expense_claims set status = 'approved', approved_at = clock_timestamp()"
                " where id = %s returning approved_at",
                claim.id,
            )

    @rule(claim=claims)
    def edit(self, claim: Claim) -> None:
        """Head and lines change, whether the claim is in a run or not."""
        claim.purpose += 1
        self.organisation.execute(
            "with head as (update public.expense_claims set purpose = %s where id = %s returning id)"
            " update public.expense_claim_lines set amount = amount + 1 where claim_id = (select id from head)",
            f"Møte {claim.purpose}",
            claim.id,
        )

    # --- triggers, sweeps and the clock

    @rule(
        target=workers,
        user=st.integers(0, 1),
        key=st.sampled_from([None, "tap-1", "tap-2"]),
        scope=scopes,
    )
    def trigger(self, user: int, key: str | None, scope: str) -> Any:
        """A coordinator's begin, its outcome foretold."""
        invocation = uuid4()
        [[now]] = self.organisation.execute("select clock_timestamp()")
        runs = len(self.model.runs)
        parked = self.parked()
        told: list[str] = []
        answer = self.act(
            "begin",
            lambda: told.append(self.model.begin(key, scope, now)),
            lambda: begin(
                self.place.users[user],
                self.organisation,
                PERIODS[scope],
                key=key,
                invocation=invocation,
            ),
            again=True,
        )
        if answer is None:
            return multiple()
        self.note_parking(parked)
        self.note(f"begin {told[0]}")
        assert answer["outcome"] == told[0]
        if answer["outcome"] == "nothing_to_export":
            assert (answer["parked_run"] is not None) == bool(self.parked())
        if len(self.model.runs) > runs:
            self.model.runs[-1].id = answer["run"]["run_id"]
            self.model.runs[-1].cut_off = datetime.fromisoformat(answer["run"]["cut_off"])
        return self.hire(answer)

    def parked(self) -> list[Run]:
        """Runs that are set aside."""
        return [run for run in self.model.runs if run.status == "parked"]

    def note_parking(self, before: list[Run]) -> None:
        """Count a parking."""
        for run in self.parked():
            if run not in before:
                self.note(f"parked {run.origin}")

    def hire(self, answer: dict[str, Any]) -> Any:
        """A worker for an answer with a token; the model agrees on its members."""
        if "fencing_token" not in answer or answer["fencing_token"] is None:
            return multiple()
        worker = Worker.of(self.organisation, self.place.service, answer)
        run = self.run_of(worker)
        assert worker.token == self.model.token
        page = [(member.position, str(member.claim.id)) for member in run.included()][:2]
        assert [(claim["position"], claim["claim_id"]) for claim in worker.claims] == page
        self.every_worker.append(worker)
        return worker

    @rule(target=workers)
    @precondition(lambda self: self.model.holder is not None)
    def sweep(self) -> Any:
        """The sweep takes the organisation's run over, if its lease is over."""
        if self.model.is_live:
            return multiple()
        parked, run = self.parked(), self.model.holder
        assert run is not None
        outcome = self.model.take_over()
        invocation = uuid4()
        answer = self.take_over(invocation)
        self.repeat = (lambda: self.take_over(invocation)) if outcome == "resumed" else None
        self.note_parking(parked)
        self.note(f"sweep {outcome}")
        expected = {"ended": "nothing_to_resume"}.get(outcome, outcome)
        assert (answer["outcome"], answer["run"]["run_id"]) == (expected, run.id)
        return self.hire(answer)

    def take_over(self, invocation: UUID) -> dict[str, Any]:
        """The sweep's call."""
        return call(
            self.place.service,
            "take_over_export_run",
            p_organization_id=self.organisation.id,
            p_invocation_id=invocation,
        )

    @rule()
    @precondition(lambda self: self.model.is_live)
    def silence(self) -> None:
        """The worker falls silent until its lease is over."""
        self.organisation.expire_lease()
        self.model.is_live, self.repeat = False, None

    @rule(deaths=st.sampled_from([1, 2, 6, 7]))
    @precondition(lambda self: self.model.holder is not None)
    def workers_die(self, deaths: int) -> None:
        """One worker after another dies without having done anything."""
        for _ in range(deaths):
            if self.model.is_live:
                self.silence()
            if self.model.holder is not None:
                self.sweep()
                self.agree()

    # --- workers, alive or taken over since

    def holder_or(self, worker: Worker, *, is_holder: bool) -> Worker:
        """The worker that holds the organisation's run, if there is one and it is wanted."""
        holders = [w for w in self.every_worker if self.model.holds(self.run_of(w), w.token)]
        return holders[0] if holders and is_holder else worker

    @rule(worker=workers, after_position=st.integers(0, 8), is_holder=by_holder)
    def reserve(self, worker: Worker, after_position: int, *, is_holder: bool) -> None:
        """The next page, or one that was read before."""
        worker = self.holder_or(worker, is_holder=is_holder)
        run = self.run_of(worker)
        page = self.act(
            "reserve",
            lambda: self.model.reserve(run, worker.token, after_position),
            lambda: worker.reserve(after_position),
            # Who asks for what comes after members that there never were gets the next page each time.
            again=after_position <= len(run.members),
        )
        if page is not None:
            members = [(m.position, str(m.claim.id)) for m in run.included(after_position)]
            assert [(c["position"], c["claim_id"]) for c in page["claims"]] == members[:2]
            assert page["last_page"] == (run.is_sealed and len(members) <= 2)

    @rule(worker=workers, is_holder=by_holder)
    def renew(self, worker: Worker, *, is_holder: bool) -> None:
        """A sign of life."""
        worker = self.holder_or(worker, is_holder=is_holder)
        run = self.run_of(worker)
        self.act("renew", lambda: self.model.demand(run, worker.token), worker.renew, again=True)

    @rule(worker=workers, is_blameless=st.booleans(), is_holder=by_holder)
    def release(self, worker: Worker, *, is_blameless: bool, is_holder: bool) -> None:
        """The worker gives up."""
        worker = self.holder_or(worker, is_holder=is_holder)
        run = self.run_of(worker)
        self.act(
            "release",
            lambda: self.model.release(run, worker.token, is_blameless=is_blameless),
            lambda: worker.release("storage_away", is_blameless=is_blameless),
            again=True,
        )

    def some_claims(self, run: Run, mask: int) -> list[Claim]:
        """Some live members of a run."""
        return [m.claim for n, m in enumerate(run.included()) if mask & (1 << n)]

    @rule(worker=workers, mask=st.integers(1, 7), is_holder=by_holder)
    def leave_out(self, worker: Worker, mask: int, *, is_holder: bool) -> None:
        """Some claims cannot be used."""
        worker = self.holder_or(worker, is_holder=is_holder)
        run = self.run_of(worker)
        chosen = self.some_claims(run, mask)
        self.act(
            "leave_out",
            lambda: self.model.leave_out(run, worker.token, chosen),
            lambda: worker.leave_out([claim.id for claim in chosen]),
            again=True,
        )

    @rule(
        worker=workers,
        mask=st.integers(0, 3),
        content_hash=st.sampled_from(["a", "a", "b"]),
        is_holder=by_holder,
    )
    def complete(
        self, worker: Worker, mask: int, content_hash: str, *, is_holder: bool = False
    ) -> None:
        """A file of all live members, but for some that are left out with it."""
        worker = self.holder_or(worker, is_holder=is_holder)
        run = self.run_of(worker)
        members, chosen = run.included(), self.some_claims(run, mask)
        if run.status == "processing":
            content_hash = "a"
        kept = self.documents([m.position for m in members if m.claim not in chosen], run)
        self.act(
            "complete",
            lambda: self.model.complete(run, worker.token, chosen, content_hash * 64),
            lambda: worker.complete(kept, [claim.id for claim in chosen], content_hash * 64),
            again=True,
        )

    def documents(self, positions: list[int], run: Run) -> list[dict[str, Any]]:
        """Members as a worker holds them."""
        return [
            {"document": member["document"]}
            for member in self.snapshot["members"]
            if member["run_id"] == run.id and member["position"] in positions
        ]

    @rule(worker=workers, mask=st.integers(0, 3), is_holder=by_holder)
    def fail(self, worker: Worker, mask: int, *, is_holder: bool) -> None:
        """The worker gives the run up for good, or lets the next page go."""
        worker = self.holder_or(worker, is_holder=is_holder)
        run = self.run_of(worker)
        chosen = self.some_claims(run, mask)
        answer = self.act(
            "fail",
            lambda: self.model.fail(run, worker.token, chosen),
            lambda: worker.fail([claim.id for claim in chosen]),
        )
        # While claims are left, the same call again lets the next page go.
        self.repeat = worker.fail if answer is not None and answer["released"] else None

    def read_on(self, pages: int) -> Worker | None:
        """Whoever holds the run reads it further, up to a number of pages."""
        holders = [w for w in self.every_worker if self.model.holds(self.run_of(w), w.token)]
        if not holders or self.run_of(holders[0]).status != "processing":
            return None
        run = self.run_of(holders[0])
        for _ in range(pages):
            if not run.is_sealed:
                self.reserve(holders[0], len(run.members), is_holder=True)
                self.agree()
        return holders[0]

    @rule(pages=st.integers(1, 3))
    @precondition(lambda self: self.model.holder is not None)
    def get_on(self, pages: int) -> None:
        """A worker makes progress."""
        self.read_on(pages)

    @rule()
    @precondition(lambda self: self.model.holder is not None)
    def finish_what_is_begun(self) -> None:
        """Whoever holds the run reads all of it and completes it."""
        worker = self.read_on(len(self.model.claims))
        if worker is not None and self.run_of(worker).origin == "engine":
            self.complete(worker, 0, "a")

    @rule()
    @precondition(lambda self: len(self.every_worker) > 1)
    def zombies_try_everything(self) -> None:
        """I7: every write of every old worker is refused, or answered where it asks for what is so; no row changes."""
        self.repeat = None
        old = [w for w in self.every_worker if not self.model.holds(self.run_of(w), w.token)]
        voided = [worker for worker in old if self.run_of(worker).status == "voided"]
        for worker in (voided + old)[:2] + old[-2:]:
            for name, write in worker.writes().items():
                self.zombie_tries(worker, name, write)
        assert self.look() == self.snapshot, "I7: an old worker changed something"

    def zombie_tries(self, worker: Worker, name: str, write: Act) -> None:
        """One write of one worker that was taken over."""
        run = self.run_of(worker)
        allowed = {"stale_token"}
        if name == "complete" and run.status in {"completed", "voided"}:
            allowed = (
                {"answered", "file_mismatch"} if run.status == "completed" else {"run_is_voided"}
            )
        if name == "fail" and run.status == "failed" and run.token == worker.token:
            allowed = {"answered"}
        try:
            write()
            told = "answered"
        except psycopg.Error as error:
            told = str(error.diag.message_detail)
        assert told in allowed, f"I7: {name} of an old worker: {told}, not {allowed}"
        self.note(f"zombie: {told}")

    # --- by hand, by an admin, by the owner

    @rule(target=workers, chosen=st.sets(any_number, max_size=2))
    @precondition(lambda self: self.model.claims)
    def record_by_hand(self, chosen: set[int]) -> Any:
        """A run of up to two claims that were exported beside the engine."""
        every = list(self.model.claims.values())
        claims = list({every[number % len(every)].id for number in chosen})
        answer = self.act(
            "record by hand",
            lambda: self.model.record_by_hand([self.model.claims[c] for c in claims]),
            lambda: self.started_by_hand(claims),
        )
        if answer is None:
            return multiple()
        run = self.model.runs[-1]
        run.id, run.cut_off = answer["run_id"], datetime.fromisoformat(answer["cut_off"])
        worker = Worker(self.organisation, self.place.service, run.id, answer["fencing_token"], ())
        self.every_worker.append(worker)
        return worker

    def started_by_hand(self, claim_ids: list[UUID]) -> dict[str, Any]:
        """Created and started, or neither."""
        with self.place.service.transaction():
            run = call(
                self.place.service,
                "create_export_run",
                p_organization_id=self.organisation.id,
                p_triggered_by=None,
                p_format="xledger_gl02b",
                p_origin="manual",
            )
            return self.set_status(run["run_id"], "processing", claim_ids, None)

    def set_status(
        self, run_id: str, status: str, claim_ids: list[UUID], token: int | None
    ) -> dict[str, Any]:
        """The repository's call."""
        return call(
            self.place.service,
            "update_export_run_status",
            p_run_id=run_id,
            p_status=status,
            p_claim_ids=claim_ids,
            p_fencing_token=token,
        )

    @rule(number=any_number, status=st.sampled_from(["completed", "failed"]), knows=st.booleans())
    @precondition(lambda self: self.model.runs)
    def finish_by_hand(self, number: int, status: str, *, knows: bool) -> None:
        """The repository completes or fails any run, with or without the last token."""
        manual = [run for run in self.model.runs if run.origin == "manual"]
        run = manual[number % len(manual)] if manual and number % 3 else self.run_at(number)
        token = run.token if knows else None
        kept = [m.claim.id for m in run.included()] if status == "completed" else []
        done = self.act(
            f"{status} by hand",
            lambda: self.model.finish_by_hand(run, status, token),
            lambda: self.set_status(run.id, status, kept[:2], token),
        )
        if done is not None:
            self.note(f"{status} by hand {run.origin}")

    @rule(number=any_number)
    @precondition(lambda self: self.model.runs)
    def recover_any(self, number: int) -> None:
        """An admin would like to recover some run."""
        self.recover(self.run_at(number))

    @rule(is_sweep=st.booleans())
    @precondition(lambda self: self.model.recoverable())
    def recover_and_go_on(self, *, is_sweep: bool) -> None:
        """An admin recovers a parked run, and perhaps the sweep comes at once."""
        self.recover(self.model.recoverable()[0])
        if is_sweep and self.model.holder is not None:
            self.agree()
            self.sweep()

    def recover(self, run: Run) -> None:
        """The admin's call."""
        self.act(
            "recover",
            lambda: self.model.recover(run),
            lambda: call(self.place.service, "recover_export_run", p_run_id=run.id, **WHY),
        )

    @rule(number=any_number)
    @precondition(lambda self: self.model.runs)
    def fail_by_admin(self, number: int) -> None:
        """An admin fails a run, mostly one that is worked on, and often one of several pages."""
        if number % 3 == 0:
            self.read_on(2)
        run = self.model.holder if number % 2 and self.model.holder else self.run_at(number)

        def fail() -> dict[str, Any]:
            return call(self.place.service, "fail_export_run_by_admin", p_run_id=run.id, **WHY)

        answer = self.act("fail by admin", lambda: self.model.fail_by_admin(run), fail)
        self.repeat = fail if answer is not None and answer["released"] else None

    @rule(number=any_number)
    @precondition(lambda self: self.model.runs)
    def continue_release(self, number: int) -> None:
        """The sweep lets a page of a failing run go."""
        releasing = [run for run in self.model.runs if run.status == "releasing"]
        self.let_go(releasing[0] if releasing and number % 2 else self.run_at(number))

    def let_go(self, run: Run) -> None:
        """One call of the sweep for a failing run."""
        self.act(
            "continue release",
            lambda: self.model.continue_release(run),
            lambda: call(self.place.service, "continue_export_release", p_run_id=run.id),
        )

    @rule(number=any_number)
    @precondition(lambda self: self.model.voidable())
    def void(self, number: int) -> None:
        """The owner takes a completed run back."""
        completed = self.model.voidable()
        run = completed[number % len(completed)]
        void(self.place.owner, run.id)
        self.model.void(run)
        self.note("void")
        self.repeat = None

    @rule(number=any_number)
    @precondition(lambda self: len(self.model.runs) > 2)
    def delete(self, number: int) -> None:
        """A finished run is hidden; nothing else changes."""
        run = self.run_at(number)
        self.act(
            "delete",
            lambda: self.model.delete(run),
            lambda: call(
                self.place.service,
                "delete_export_run",
                p_run_id=run.id,
                p_deleted_by=None,
                p_reason="By mistake.",
            ),
            again=True,
        )

    @rule()
    @precondition(lambda self: self.repeat is not None)
    def repeat_last_request(self) -> None:
        """I8: the last accepted request again changes nothing but the lease."""
        assert self.repeat is not None
        self.repeat()
        self.note("repeat")
        now = self.look()
        assert without_lease(now) == without_lease(self.snapshot), "I8: a repeated request counted"
        [[is_live]] = self.organisation.execute(
            "select coalesce(expires_at > clock_timestamp(), false) from public.export_locks"
            " where organization_id = %s",
            self.organisation.id,
        )
        self.model.is_live = is_live

    # --- after every step

    @invariant()
    def agree(self) -> None:
        """The engine is in the state that the model foretold, sound, and nobody else noticed."""
        before, self.snapshot = self.snapshot, self.look()
        assert_only_grown(before, self.snapshot)
        assert_sound(self.snapshot)
        told, expected = self.told_runs(), self.expected_runs()
        assert told == expected, f"runs are {told}, not {expected}"
        assert self.told_members() == self.expected_members(), "members"
        classes = {row["claim_id"]: row["export_status"] for row in self.snapshot["classes"]}
        assert classes == {
            str(claim.id): claim.class_() for claim in self.model.claims.values() if claim.class_()
        }
        lock, holder = self.snapshot["lock"], self.model.holder
        assert lock["run_id"] == (holder and holder.id)
        assert lock["fencing_token"] == self.model.token
        self.place.assert_others_unmoved(self.organisation.id)

    def told_runs(self) -> dict[str, Any]:
        """The engine's runs, as far as the model knows them."""
        return {
            run["id"]: (
                run["status"],
                run["attempt"],
                run["attempts_without_progress"],
                run["furthest_position"],
                run["sealed_at"] is not None,
                run["released_position"],
                run["fencing_token"],
            )
            for run in self.snapshot["runs"]
        }

    def expected_runs(self) -> dict[str, Any]:
        """The model's runs."""
        return {
            run.id: (
                run.status,
                run.attempt,
                run.fruitless,
                run.furthest,
                run.is_sealed,
                run.released_position,
                run.token,
            )
            for run in self.model.runs
        }

    def told_members(self) -> set[tuple[str, int, str, str]]:
        """The engine's memberships."""
        return {
            (m["run_id"], m["position"], m["claim_id"], m["outcome"])
            for m in self.snapshot["members"]
        }

    def expected_members(self) -> set[tuple[str, int, str, str]]:
        """The model's memberships."""
        return {
            (run.id, m.position, str(m.claim.id), m.outcome)
            for run in self.model.runs
            for m in run.members
        }

    def assert_reconciled(self) -> None:
        """The database's own account of the organisation is green, and its classes are the model's."""
        told = Reconciler(self.organisation, self.place.service).reconcile()
        assert told["is_green"], told["findings"]
        expected = Counter(claim.class_() for claim in self.model.claims.values())
        counted = {name: told_of["count"] for name, told_of in told["classes"].items()}
        assert counted == {name: n for name, n in expected.items() if name in CLASSES}

    def teardown(self) -> None:
        """I5: from wherever this ended, few sweeps lead to runs that are final or parked, and the rest is exported."""
        if sys.exc_info()[0] is not None:
            return
        self.assert_reconciled()
        for _ in range(8 + 2 * len(self.model.claims) + 2 * len(self.model.runs)):
            if not self.sweep_once():
                break
        self.agree()
        unfinished = {run.status for run in self.model.runs} - {"failed", "completed", "voided"}
        assert unfinished <= {"parked"}, f"I5: {unfinished} after the sweeps"
        waiting = {claim.id for claim in self.model.claims.values() if claim.class_() == "pending"}
        self.trigger(0, None, "everything")
        self.agree()
        self.finish_what_is_begun()
        self.agree()
        exported = {c.id for c in self.model.claims.values() if c.class_() == "exported"}
        assert waiting <= exported, "I5: a fresh begin exports what is free"

    def sweep_once(self) -> bool:
        """One round of the sweep over this organisation, in which every worker dies; False when nothing stalls."""
        if self.model.is_live:
            self.silence()
        stalled = call(self.place.service, "find_stalled_export_runs", p_limit=1000)["runs"]
        mine = [run for run in self.model.runs if run.id in {s["run_id"] for s in stalled}]
        for run in mine:
            if run.status == "releasing":
                self.let_go(run)
            elif run is self.model.holder:
                self.sweep()
            self.agree()
        return bool(mine)
