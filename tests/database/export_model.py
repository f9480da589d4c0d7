"""What the engine should do, in plain Python: claims, runs, one lock, and pages of PAGE claims."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

PAGE = 2
MOST_ATTEMPTS = 5
FOREVER = datetime.max.replace(tzinfo=UTC)
# First instant of the scope, its end, and how it is asked for: October, and everything ever.
SCOPES = {
    "october": (datetime(2025, 9, 30, 22, tzinfo=UTC), datetime(2025, 10, 31, 23, tzinfo=UTC)),
    "everything": (datetime.min.replace(tzinfo=UTC), FOREVER),
}
Document = tuple[int, object]


class RefusedError(Exception):
    """The engine should refuse with this code and change nothing."""


@dataclass
class Claim:
    """A claim of the app, with everything that ever became of it."""

    id: UUID
    approved_at: datetime | None
    purpose: int = 0
    tried: list["Member"] = field(default_factory=list)

    def document(self) -> Document:
        """What of it is frozen, as far as it can change here."""
        return (self.purpose, self.approved_at and self.approved_at.date())

    def live(self) -> "Member | None":
        """Its live membership, if it is in a run."""
        return next((member for member in self.tried if member.outcome == "included"), None)

    def class_(self) -> str | None:
        """Its class in claim_export_status; None when it is not shown."""
        if (member := self.live()) is not None:
            return {"completed": "exported", "parked": "held"}.get(member.run.status, "reserved")
        if self.approved_at is None:
            return None
        return "left_out" if self.tried and self.tried[-1].outcome == "left_out" else "pending"


@dataclass
class Member:
    """A claim frozen into a run."""

    run: "Run"
    claim: Claim
    position: int
    document: Document
    outcome: str = "included"

    def repeats_left_out(self) -> bool:
        """True when the run before this one left the same document out."""
        earlier = [member for member in self.claim.tried if member.run is not self.run]
        return (
            bool(earlier)
            and earlier[-1].outcome == "left_out"
            and earlier[-1].document == self.document
        )


@dataclass
class Run:
    """One intention to export."""

    origin: str = "engine"
    scope: str | None = None
    key: str | None = None
    id: str = ""
    cut_off: datetime = FOREVER
    status: str = "processing"
    attempt: int = 0
    fruitless: int = 0
    furthest: int = 0
    is_sealed: bool = False
    is_deleted: bool = False
    released_position: int = 0
    token: int | None = None
    cursor: tuple[datetime, UUID] | None = None
    members: list[Member] = field(default_factory=list)
    ended_attempts: set[int] = field(default_factory=set)

    def included(self, after_position: int = 0) -> list[Member]:
        """Its live members after a position."""
        return [m for m in self.members if m.outcome == "included" and m.position > after_position]

    def repeats_left_out(self) -> bool:
        """True when it would only leave out again what was left out before, and of a run without members."""
        return all(member.repeats_left_out() for member in self.members)

    def freeze(self, claims: list[Claim]) -> None:
        """Take these claims in."""
        for claim in claims:
            member = Member(self, claim, len(self.members) + 1, claim.document())
            self.members.append(member)
            claim.tried.append(member)

    def answers_to(self, key: str | None) -> bool:
        """True while it holds on to the key."""
        return key is not None and self.key == key and self.status not in {"releasing", "failed"}


@dataclass
class ExportModel:
    """One organisation: what is true after every step. Operations raise RefusedError where the engine refuses."""

    claims: dict[UUID, Claim] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    token: int = 0
    holder: Run | None = None
    is_live: bool = False

    def eligible(self, run: Run) -> Iterator[Claim]:
        """Claims that may still join a run, in order."""
        first, end = SCOPES[run.scope or "everything"]
        approved = sorted(
            (claim.approved_at, claim.id) for claim in self.claims.values() if claim.approved_at
        )
        for place in approved:
            claim = self.claims[place[1]]
            is_behind = run.cursor is None or place > run.cursor
            if is_behind and claim.live() is None and first <= place[0] < min(end, run.cut_off):
                yield claim

    def start_attempt(self, run: Run) -> None:
        """Give the lock to a new worker of the run."""
        self.token += 1
        self.holder, self.is_live = run, True
        run.token, run.status = self.token, "processing"
        run.attempt += 1
        run.fruitless += 1

    def reserve_next(self, run: Run) -> None:
        """Take the next page in, and seal the run behind the last one."""
        claims = [claim for _, claim in zip(range(PAGE), self.eligible(run), strict=False)]
        run.freeze(claims)
        if claims:
            assert claims[-1].approved_at is not None
            run.cursor = (claims[-1].approved_at, claims[-1].id)
        run.is_sealed = len(claims) < PAGE

    def take_over(self) -> str:
        """What becomes of the run whose lease is over."""
        run = self.holder
        assert run is not None
        if run.status == "releasing":
            self.release_page(run)
            return "ended" if run.status == "failed" else "busy"
        if run.origin == "manual" or run.fruitless >= MOST_ATTEMPTS:
            run.status = "parked"
            self.free(run)
            return "ended"
        self.start_attempt(run)
        return "resumed"

    def answer_without_work(self, key: str | None, scope: str) -> str | None:
        """Replayed, joined or busy."""
        known = next((run for run in self.runs if run.answers_to(key)), None)
        if known is not None:
            if known.scope != scope:
                raise RefusedError("idempotency_key_reused")
            return "replayed" if known is not self.holder or self.is_live else None
        if not self.is_live or self.holder is None:
            return None
        return "joined" if self.holder.scope == scope else "busy"

    def begin(self, key: str | None, scope: str, now: datetime) -> str:
        """The outcome of a trigger; a new run is the last of self.runs."""
        if (answer := self.answer_without_work(key, scope)) is not None:
            return answer
        if self.holder is not None:
            taken = self.take_over()
            again = self.answer_without_work(key, scope) if taken == "ended" else taken
            if again is not None:
                return again
        return self.start(Run(scope=scope, key=key, cut_off=now))

    def start(self, run: Run) -> str:
        """Begin a run, or leave no trace of it."""
        while not run.is_sealed and len(run.members) <= 4 * PAGE and run.repeats_left_out():
            self.reserve_next(run)
        if run.is_sealed and run.repeats_left_out():
            for member in run.members:
                member.claim.tried.remove(member)
            return "nothing_to_export"
        self.runs.append(run)
        self.start_attempt(run)
        return "started"

    def free(self, run: Run) -> None:
        """Give the lock back, if it is the run's."""
        if self.holder is run:
            self.holder, self.is_live = None, False

    def release_page(self, run: Run) -> None:
        """Let one page of members go; the last one ends a failing run."""
        until = min(run.released_position + PAGE, len(run.members))
        for member in run.members[run.released_position : until]:
            if member.outcome == "included":
                member.outcome = "released"
        run.released_position = until
        if until == len(run.members) and run.status == "releasing":
            run.status = "failed"
            self.free(run)

    def holds(self, run: Run, token: int) -> bool:
        """True for the one worker that may write."""
        return self.holder is run and self.token == token

    def demand(self, run: Run, token: int, *, is_processing: bool = False) -> None:
        """Refuse a worker that does not hold the run, and what makes no sense any more."""
        if not self.holds(run, token):
            raise RefusedError("stale_token")
        if is_processing and run.status != "processing":
            raise RefusedError("illegal_transition")
        self.is_live = True

    def reserve(self, run: Run, token: int, after_position: int) -> None:
        """The worker asks for a page."""
        self.demand(run, token, is_processing=True)
        before = (len(run.members), run.is_sealed)
        if not run.is_sealed and not run.included(after_position):
            self.reserve_next(run)
        come = min(after_position, len(run.members))
        if (len(run.members), run.is_sealed) != before or come > run.furthest:
            run.fruitless, run.furthest = 0, max(run.furthest, come)

    def release(self, run: Run, token: int, *, is_blameless: bool) -> None:
        """The worker gives up."""
        self.demand(run, token)
        self.is_live = False
        if is_blameless and run.attempt not in run.ended_attempts:
            run.fruitless = max(run.fruitless - 1, 0)
        run.ended_attempts.add(run.attempt)

    def leave_out(self, run: Run, token: int, claims: list[Claim]) -> None:
        """The worker cannot use these claims of its run."""
        self.demand(run, token, is_processing=True)
        self._leave_out(run, claims)

    def _leave_out(self, run: Run, claims: list[Claim]) -> None:
        if len(claims) > PAGE:
            raise RefusedError("too_many_claims")
        for member in run.included():
            if member.claim in claims:
                member.outcome = "left_out"

    def complete(self, run: Run, token: int, left_out: list[Claim], content_hash: str) -> None:
        """The worker is done; all its remaining members are in the file."""
        if run.status == "voided":
            raise RefusedError("run_is_voided")
        if run.status == "completed":
            if run.origin == "manual" or content_hash != "a" * 64:
                raise RefusedError("file_mismatch")
            return
        self.demand(run, token, is_processing=True)
        if not run.is_sealed or run.origin == "manual":
            raise RefusedError("run_is_manual" if run.is_sealed else "run_not_sealed")
        if all(m.outcome == "left_out" or m.claim in left_out for m in run.members):
            raise RefusedError("all_claims_left_out")
        self._leave_out(run, left_out)
        run.status = "completed"
        self.free(run)

    def fail(self, run: Run, token: int, left_out: list[Claim]) -> None:
        """The worker gives the run up for good."""
        if run.status == "failed" and run.token == token:
            return
        self.demand(run, token)
        if run.status != "releasing":
            self._leave_out(run, left_out)
            run.status = "releasing"
        self.release_page(run)

    def fail_by_admin(self, run: Run) -> None:
        """An admin ends the run, whoever works on it."""
        if run.status not in {"processing", "parked", "releasing", "failed"}:
            raise RefusedError("illegal_transition")
        self.free(run)
        if run.status != "failed":
            run.status = "releasing"
            self.release_page(run)

    def recover(self, run: Run) -> None:
        """An admin gives a parked run its attempts back."""
        if run.status != "parked" or run.origin == "manual":
            raise RefusedError("illegal_transition")
        if self.holder is not None:
            raise RefusedError("lock_busy")
        self.token += 1
        self.holder, self.is_live = run, False
        run.status, run.fruitless = "processing", 0

    def continue_release(self, run: Run) -> None:
        """The sweep lets the next page go."""
        if self.holder is run and self.is_live:
            raise RefusedError("run_locked")
        if run.status not in {"releasing", "failed", "voided"}:
            raise RefusedError("illegal_transition")
        if run.status == "releasing":
            self.release_page(run)

    def record_by_hand(self, claims: list[Claim]) -> None:
        """Start a run of what was exported beside the engine."""
        if self.holder is not None:
            raise RefusedError("lock_busy")
        if any(claim.live() or not claim.approved_at for claim in claims):
            raise RefusedError("claims_not_reservable")
        run = Run(origin="manual")
        run.freeze(sorted(claims, key=lambda c: (c.approved_at, c.id)))
        run.is_sealed = bool(claims)
        self.runs.append(run)
        self.start_attempt(run)

    def finish_by_hand(self, run: Run, status: str, token: int | None) -> None:
        """Complete a manual run with all its claims, or fail any run, through the repository."""
        if token is not None:
            self.demand(run, token)
        elif self.holder is run and self.is_live:
            raise RefusedError("run_locked")
        if status == "completed" and len(run.members) > PAGE:
            raise RefusedError("too_many_claims")
        if (status, run.status, run.origin) == ("completed", "processing", "engine"):
            raise RefusedError("no_stored_file")
        if status == "failed" and run.status in {"processing", "parked", "releasing"}:
            run.status = "releasing"
            self.release_page(run)
        elif status == "completed" and run.status in (
            {"processing", "parked"} if run.origin == "manual" else set()
        ):
            run.status, run.is_sealed = "completed", True
            self.free(run)
        else:
            raise RefusedError("illegal_transition")

    def void(self, run: Run) -> None:
        """The owner takes a completed run back."""
        for member in run.included():
            member.outcome = "released"
        run.status, run.released_position = "voided", len(run.members)

    def voidable(self) -> list[Run]:
        """Completed runs; a deleted one cannot be voided."""
        return [run for run in self.runs if run.status == "completed" and not run.is_deleted]

    def delete(self, run: Run) -> None:
        """A finished run is hidden."""
        if run.status not in {"completed", "failed", "voided"}:
            raise RefusedError("run_unfinished")
        run.is_deleted = True

    def recoverable(self) -> list[Run]:
        """Parked runs of the engine."""
        return [run for run in self.runs if run.status == "parked" and run.origin == "engine"]
