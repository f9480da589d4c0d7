"""The judge: whether each approved claim is in exactly one file, and whether history tells the truth.

It knows what must hold, not how the engine does it.
"""

import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TypeVar
from uuid import UUID

from tests.chaos.audit import purpose_of
from tests.chaos.book_judge import book_findings
from tests.chaos.fencing import stale_writes
from tests.chaos.history import contradictions
from tests.chaos.stored_file import PAYABLE_ACCOUNT, JournalLine, StoredFile
from tests.chaos.verdict import Verdict
from tests.chaos.world import Claim, Member, Run, Version, World

Item = TypeVar("Item")

FINAL = frozenset({"completed", "failed", "voided"})
# The one reason for which a claim of the feeder's may be left out.
NO_ACCOUNT = "no_account_for_expense_type"


def judge(world: World) -> Verdict:
    """All findings about a world that has settled."""
    return _Judgement(world).verdict


class _Judgement:
    def __init__(self, world: World) -> None:
        self.world = world
        self.verdict = Verdict()
        self.runs = {run.run_id: run for run in world.runs}
        self.completed = [run for run in world.runs if run.status == "completed"]
        self.members = _grouped(world.members, lambda member: member.run_id)
        self.live = _grouped(
            (m for m in world.members if m.kind == "entry" and m.released_at is None),
            lambda member: member.claim_id,
        )
        self.documents = {document.path for document in world.documents}
        self.tries = _grouped(world.members, lambda member: member.claim_id)
        self.versions = _grouped(world.versions, lambda version: version.claim_id)
        self._doubled()
        self._lost()
        self._stuck()
        self._mismatched()
        self._orphans()
        for figure, sentence in book_findings(world):
            self.verdict.add(figure, sentence)

    # doubled

    def _doubled(self) -> None:
        for claim_id, entries in self.live.items():
            if len(entries) > 1:
                where = ", ".join(self._name(entry.run_id) for entry in entries)
                self.verdict.add("doubled", f"claim {claim_id} has live entries in {where}")
        found: dict[tuple[UUID, str], list[Run]] = defaultdict(list)
        for run, file in self._files():
            for claim_number, lines in file.by_claim.items():
                found[run.organization_id, claim_number].append(run)
                if _is_twice_in(lines):
                    self.verdict.add(
                        "doubled", f"{claim_number} is twice in the file of {_of(run)}"
                    )
        for (_, claim_number), runs in found.items():
            if len(runs) > 1:
                where = ", ".join(_of(run) for run in runs)
                self.verdict.add("doubled", f"{claim_number} lies in the files of {where}")

    # lost

    def _lost(self) -> None:
        for claim in self.world.claims:
            if claim.status == "approved":
                self._lost_claim(claim)
        for run, file in self._files():
            for member in self.members.get(run.run_id, []):
                if member.released_at is None and member.claim_number not in file.by_claim:
                    self.verdict.add(
                        "lost", f"{member.claim_number} is in {_of(run)} but not in its file"
                    )
        for told in set(self.world.acknowledgements):
            kept = self.runs.get(told.run_id)
            if kept is None or (kept.status, kept.file_sha256) != ("completed", told.sha256):
                self.verdict.add("lost", f"a phone was told {told.run_id} with {told.sha256[:8]}")

    def _lost_claim(self, claim: Claim) -> None:
        entries = self.live.get(claim.claim_id, [])
        if not entries and not self._is_rightly_left_out(claim):
            self.verdict.add("lost", f"approved claim {claim.claim_number} is in no run")
        for entry in entries:
            if self.runs[entry.run_id].status in FINAL - {"completed"}:
                self.verdict.add(
                    "lost", f"claim {claim.claim_number} is held by {self._name(entry.run_id)}"
                )

    def _is_rightly_left_out(self, claim: Claim) -> bool:
        tries = self.tries.get(claim.claim_id)
        if not tries or claim.has_rules:
            return False
        latest = max(tries, key=lambda member: member.reserved_at)
        return (
            latest.outcome == "left_out"
            and latest.reason_code == NO_ACCOUNT
            and latest.purpose == self._newest_purpose(claim.claim_id)
        )

    def _newest_purpose(self, claim_id: UUID) -> str | None:
        versions = self.versions.get(claim_id)
        return purpose_of(versions[-1].version, versions[-1].amount) if versions else None

    # stuck

    def _stuck(self) -> None:
        for run in self.world.runs:
            if run.status not in FINAL:
                self.verdict.add("stuck", f"{_of(run)} is {run.status}, attempt {run.attempt}")
        for lock in self.world.held_locks:
            self.verdict.add("stuck", f"the lock of {lock.organization_id} is held")
        for tap in self.world.unanswered:
            self.verdict.add("stuck", f"a phone never got an answer: {tap}")

    # mismatched

    def _mismatched(self) -> None:
        events = _grouped(self.world.events, lambda event: event.run_id)
        below = Counter(_place(name) for name in self.world.objects if name not in self.documents)
        for run in self.world.runs:
            members = self.members.get(run.run_id, [])
            for sentence in contradictions(run, members, events.get(run.run_id, [])):
                self._mismatch(run, sentence)
            for member in members:
                self._check_frozen(run, member)
        for run in self.completed:
            # Beside a JSON file a manifest that nobody recorded would count as a second one.
            is_alone = run.file_path and not run.file_path.endswith(".json")
            if is_alone and (count := below[_place(run.file_path or "")]) > 1:
                self._mismatch(run, f"{count} objects lie below its prefix")
            self._check_file(run)
        self._check_documents()
        self._check_numbers()
        for run, sentence in stale_writes(self.world):
            self._mismatch(run, sentence)

    def _mismatch(self, run: Run, sentence: str) -> None:
        self.verdict.add("mismatched", f"{_of(run)}: {sentence}")

    def _check_frozen(self, run: Run, member: Member) -> None:
        """The document is the version that the claim had, whole, when it was reserved."""
        history = self.versions.get(member.claim_id, [])
        index = bisect.bisect_right(history, member.reserved_at, key=lambda v: v.stamped_at) - 1
        if index < 0:
            return self._mismatch(run, f"{member.claim_number} was frozen before it existed")
        for sentence in _unlike(history[index], member):
            self._mismatch(run, f"{member.claim_number} was frozen {sentence}")
        approved_at = history[index].approved_at
        if approved_at is not None and not (
            (run.approved_from is None or run.approved_from <= approved_at)
            and approved_at < run.approved_before
        ):
            self._mismatch(run, f"{member.claim_number} was approved outside of its period")
        return None

    def _check_file(self, run: Run) -> None:
        extension = (run.file_path or "").rpartition(".")[2]
        expected = f"{run.organization_id}/{run.run_id}/{run.file_sha256}.{extension}"
        if run.file_path != expected or extension not in {"csv", "json"}:
            self._mismatch(run, f"its path is {run.file_path}")
        file = self.world.files.get(run.run_id)
        if file is None:
            return self._mismatch(run, "its file is not in the bucket")
        if (file.sha256, file.size) != (run.file_sha256, run.file_size):
            self._mismatch(run, "the stored bytes have another hash or size")
        if file.problem:
            return self._mismatch(run, f"its file makes no sense, {file.problem}")
        for voucher, balance in file.balances().items():
            if balance != 0:
                self._mismatch(run, f"voucher {voucher} sums to {balance}")
        live = {
            m.claim_number: m for m in self.members.get(run.run_id, []) if m.released_at is None
        }
        self._check_sums(run, file, live)
        for claim_number, lines in file.by_claim.items():
            if claim_number not in live:
                self._mismatch(run, f"{claim_number} is in its file but no live member")
            elif not _shows(lines, live[claim_number]):
                self._mismatch(run, f"{claim_number} is in its file unlike it was frozen")
        return None

    def _check_sums(self, run: Run, file: StoredFile, live: dict[str, Member]) -> None:
        vouchers = len({line.voucher for line in file.lines})
        counted = (len(file.by_claim), vouchers, len(file.lines))
        if counted != (run.claim_count, run.voucher_count, run.line_count):
            self._mismatch(run, f"its file has {counted} claims, vouchers and lines")
        if len(live) != run.claim_count:
            self._mismatch(run, f"it has {len(live)} live members and says {run.claim_count}")
        reserved = sum((member.amount for member in live.values()), Decimal(0))
        told = Decimal((run.totals or {}).get("NOK", "0"))
        if not file.total == reserved == told:
            self._mismatch(
                run, f"totals {file.total} in the file, {reserved} reserved, {told} told"
            )

    def _check_numbers(self) -> None:
        for organization_id, runs in _grouped(self.world.runs, lambda r: r.organization_id).items():
            numbers = [run.run_number for run in runs]
            if sorted(numbers) != list(range(1, len(numbers) + 1)):
                self.verdict.add(
                    "mismatched", f"{organization_id}: run numbers have gaps or doubles"
                )
        vouchers = Counter((m.organization_id, m.voucher_number) for m in self.world.members)
        for (_, number), count in vouchers.items():
            if count > 1:
                self.verdict.add("mismatched", f"voucher number {number} was given {count} times")

    def _check_documents(self) -> None:
        for document in self.world.documents:
            run = self.runs[document.run_id]
            if run.completed_at is None:
                self._mismatch(run, f"it has a {document.kind} and no file")
            if document.stored_sha256 != document.sha256:
                self._mismatch(run, f"its {document.kind} is gone or has other bytes")

    # orphans

    def _orphans(self) -> None:
        kept = {run.file_path for run in self.completed} | self.documents
        for name in self.world.objects:
            if name not in kept:
                self.verdict.add("orphans", name)

    def _files(self) -> Iterable[tuple[Run, StoredFile]]:
        for run in self.completed:
            if run.run_id in self.world.files:
                yield run, self.world.files[run.run_id]

    def _name(self, run_id: UUID) -> str:
        return _of(self.runs[run_id]) if run_id in self.runs else str(run_id)


def _place(name: str) -> str:
    """Folder and kind: a sheet whose maker died before it was recorded is no second file."""
    return f"{name.rpartition('/')[0]}/*.{name.rpartition('.')[2]}"


def _of(run: Run) -> str:
    return f"run {run.run_number} ({run.run_id})"


def _is_twice_in(lines: Sequence[JournalLine]) -> bool:
    payables = sum(line.account == PAYABLE_ACCOUNT for line in lines)
    return payables > 1 or len({line.voucher for line in lines}) > 1


def _unlike(version: Version, member: Member) -> list[str]:
    found = []
    if version.status != "approved":
        found.append(f"while it was {version.status}")
    if member.purpose != purpose_of(version.version, version.amount):
        found.append(f"as '{member.purpose}' when it was v{version.version} {version.amount}")
    if any(not text.startswith(f"v{version.version} ") for text in member.line_texts):
        found.append(f"with lines {member.line_texts} of another version than v{version.version}")
    if not member.amount == member.total == version.amount == sum(member.line_amounts):
        found.append(f"with the amounts {member.amount}, {member.total}, {member.line_amounts}")
    return found


def _shows(lines: Sequence[JournalLine], member: Member) -> bool:
    expenses = [line for line in lines if line.account != PAYABLE_ACCOUNT]
    said = {int(member.purpose.split(" ")[1].removeprefix("v"))}
    return (
        sorted(line.amount for line in expenses) == sorted(member.line_amounts)
        and {line.version for line in expenses} == said
        and {line.voucher for line in lines} == {str(member.voucher_number)}
    )


def _grouped(items: Iterable[Item], key: Callable[[Item], UUID]) -> dict[UUID, list[Item]]:
    groups: dict[UUID, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)
