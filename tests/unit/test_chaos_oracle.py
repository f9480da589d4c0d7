"""An oracle is believed when it has called every kind of wrong world by its name, and a good one good."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.chaos.healthy_world import (
    AMOUNT,
    ORGANISATION,
    at,
    content_of,
    healthy_world,
    identity,
    late,
)
from tests.chaos.oracle import judge
from tests.chaos.stored_file import StoredFile
from tests.chaos.verdict import FIGURES, Figure
from tests.chaos.world import Acknowledgement, Event, HeldLock, World

Spoil = Callable[[World], object]
ONE, FAILED, TWO = 0, 1, 2


def run_with(number: int, **values: Any) -> Spoil:
    def spoil(world: World) -> None:
        runs = list(world.runs)
        runs[number] = runs[number]._replace(**values)
        world.runs = runs

    return spoil


def member_with(number: int, **values: Any) -> Spoil:
    def spoil(world: World) -> None:
        members = list(world.members)
        members[number] = members[number]._replace(**values)
        world.members = members

    return spoil


def without_event(name: str, run: str) -> Spoil:
    def spoil(world: World) -> None:
        world.events = [e for e in world.events if (e.event, e.run_id) != (name, identity(run))]

    return spoil


def file_of_two(*claims: tuple[str, int]) -> Spoil:
    """The second run's stored bytes hold these claims; hash and size fit."""

    def spoil(world: World) -> None:
        file = StoredFile.read(content_of(*claims), "dynamics_bc_csv")
        world.files[identity("two")] = file
        path = f"{ORGANISATION}/{identity('two')}/{file.sha256}.csv"
        run_with(TWO, file_sha256=file.sha256, file_size=file.size, file_path=path)(world)
        world.acknowledgements, world.objects = [], [world.objects[0], path]
        world.events = [
            e._replace(detail={**e.detail, "sha256": file.sha256})
            if (e.event, e.run_id) == ("completed", identity("two"))
            else e
            for e in world.events
        ]

    return spoil


def bytes_of_two(content: bytes) -> Spoil:
    def spoil(world: World) -> None:
        world.files[identity("two")] = StoredFile.read(content, "dynamics_bc_csv")

    return spoil


def entered_again(world: World) -> None:
    world.members = [*world.members, world.members[3]._replace(position=3, voucher_number=9)]


def unbalanced(world: World) -> None:
    content = content_of(("K2", 4), ("K3", 5)).replace(b";50.00", b";50.01")
    bytes_of_two(content)(world)


def stale(function: str, second: float, status: int = 200) -> Spoil:
    """The second run was taken over at 25, and completed at 32."""

    def spoil(world: World) -> None:
        call = replace(world.fenced_calls[1], function=function)
        world.fenced_calls = [*world.fenced_calls[:2], late(call, second, status)]

    return spoil


def doubted_again(world: World) -> None:
    """The run was set aside when the organisation had given out another token."""
    doubt = Event(99, identity("two"), ORGANISATION, "in_doubt", at(26), {})
    world.events = [*world.events[:-1], doubt, world.events[-1]]
    stale("doubt_export_run", 27)(world)


def edited_later(world: World) -> None:
    """The left-out claim was mended, and nobody exported it."""
    world.versions = [*world.versions, world.versions[3]._replace(version=2, stamped_at=at(100))]


def has_rules(world: World) -> None:
    """What was left out for want of an account had one all the time."""
    world.claims = [claim._replace(has_rules=True) for claim in world.claims]


def version_with(**values: Any) -> Spoil:
    """What the second claim was when it was reserved."""

    def spoil(world: World) -> None:
        versions = list(world.versions)
        versions[1] = versions[1]._replace(**values)
        world.versions = versions

    return spoil


def without_claim(world: World) -> None:
    """The file of the second run has a claim that nobody let it have."""
    world.members = [m for m in world.members if m.claim_number != "K2"]


def shuffled_events(world: World) -> None:
    """The last thing that is told of the second run is its takeover."""
    events = list(world.events)
    world.events = [*events[:-2], events[-1], events[-2]]


def event_with(number: int, **values: Any) -> Spoil:
    def spoil(world: World) -> None:
        events = list(world.events)
        events[number] = events[number]._replace(**values)
        world.events = events

    return spoil


def told(run: str) -> Spoil:
    """What a phone was told of a run."""
    answer = Acknowledgement(identity(run), "0" * 64)
    return lambda world: setattr(world, "acknowledgements", [answer])


# What is wrong, the figure that counts it, a part of the sentence that names it, and how to do it.
WRONG: dict[str, tuple[Figure, str, Spoil]] = {
    "two live entries": ("doubled", "has live entries in", entered_again),
    "two files": ("doubled", "in the files of", file_of_two(("K2", 4), ("K3", 5), ("K1", 6))),
    "twice in a file": ("doubled", "is twice in", file_of_two(("K2", 4), ("K3", 5), ("K3", 6))),
    "in no run": ("lost", "is in no run", member_with(3, outcome="released", released_at=at(22))),
    "left out for no reason": ("lost", "is in no run", member_with(1, reason_code="it_rained")),
    "left out as it was": ("lost", "is in no run", edited_later),
    "left out though it has rules": ("lost", "is in no run", has_rules),
    "held by a failed run": ("lost", "is held by", run_with(TWO, status="failed")),
    "not in the file": ("lost", "but not in its file", file_of_two(("K2", 4))),
    "told another hash": ("lost", "a phone was told", told("one")),
    "told of a failed run": ("lost", "a phone was told", told("failed")),
    "told of no run": ("lost", "a phone was told", told("gone")),
    **{
        f"a run that is {status}": ("stuck", f"is {status}", run_with(TWO, status=status))
        for status in ("pending", "processing", "parked", "in_doubt", "releasing", "voiding")
    },
    "a held lock": (
        "stuck",
        "is held",
        lambda w: setattr(w, "held_locks", [HeldLock(ORGANISATION, identity("two"))]),
    ),
    "no answer": ("stuck", "an answer: k", lambda w: setattr(w, "unanswered", ["k"])),
    "other bytes": ("mismatched", "another hash or size", bytes_of_two(b"AccountNo\r\n")),
    "another size": ("mismatched", "another hash or size", run_with(TWO, file_size=1)),
    "no bytes": ("mismatched", "is not in the bucket", lambda w: w.files.pop(identity("two"))),
    "no sense": ("mismatched", "makes no sense", bytes_of_two(b"A;B\r\n1;2\r\n")),
    "another path": (
        "mismatched",
        "its path is",
        run_with(TWO, file_path=f"{ORGANISATION}/{identity('two')}/1.csv"),
    ),
    "a second object": (
        "mismatched",
        "2 objects lie below",
        lambda w: setattr(w, "objects", [*w.objects, f"{ORGANISATION}/{identity('two')}/x.csv"]),
    ),
    "a sheet of other bytes": (
        "mismatched",
        "its verification_sheet_nb is gone",
        lambda w: setattr(w, "documents", [w.documents[0]._replace(stored_sha256=None)]),
    ),
    "a sheet of no file": (
        "mismatched",
        "has a verification_sheet_nb and no file",
        lambda w: setattr(w, "documents", [w.documents[0]._replace(run_id=identity("failed"))]),
    ),
    "unbalanced": ("mismatched", "sums to 0.01", unbalanced),
    "another claim count": ("mismatched", "its file has", run_with(TWO, claim_count=3)),
    "another voucher count": ("mismatched", "its file has", run_with(TWO, voucher_count=3)),
    "another line count": ("mismatched", "its file has", run_with(TWO, line_count=5)),
    "fewer live members": (
        "mismatched",
        "live members and says",
        member_with(3, released_at=at(33)),
    ),
    "other totals": ("mismatched", "totals", run_with(TWO, totals={"NOK": "1.00"})),
    "another amount": ("mismatched", "with the amounts", member_with(3, amount=Decimal(1))),
    "another voucher": ("mismatched", "unlike it was frozen", member_with(3, voucher_number=7)),
    "a file's claim that is no member": ("mismatched", "but no live member", without_claim),
    "an old line": (
        "mismatched",
        "of another version",
        member_with(3, line_texts=["v1 a", "v0 b"]),
    ),
    "torn amounts": ("mismatched", "with the amounts", member_with(3, line_amounts=[AMOUNT] * 2)),
    "an old version": ("mismatched", "was frozen as", version_with(version=2)),
    "not approved": ("mismatched", "while it was submitted", version_with(status="submitted")),
    "before it existed": ("mismatched", "before it existed", version_with(stamped_at=at(22))),
    "after the cut-off": (
        "mismatched",
        "outside of its period",
        version_with(approved_at=at(20.5)),
    ),
    "before the period": (
        "mismatched",
        "outside of its period",
        run_with(TWO, approved_from=at(0)),
    ),
    "no event of completion": (
        "mismatched",
        "events 'completed'",
        without_event("completed", "two"),
    ),
    "no event of failure": ("mismatched", "events 'failed'", without_event("failed", "failed")),
    "an event and no moment": (
        "mismatched",
        "and sealed_at disagree",
        run_with(TWO, sealed_at=None),
    ),
    "no beginning": ("mismatched", "history begins with", event_with(12, event="recovered")),
    "no end": ("mismatched", "'taken_over' came last", shuffled_events),
    "another file in history": ("mismatched", "names another file", event_with(17, detail={})),
    "a page without event": ("mismatched", "0 in events", without_event("page_reserved", "one")),
    "left out silently": ("mismatched", "0 in events", without_event("claims_left_out", "one")),
    "a gap in positions": ("mismatched", "gaps or doubles", member_with(4, position=3)),
    "completed and failed": ("mismatched", "both completed", run_with(TWO, failed_at=at(33))),
    "no moment": ("mismatched", "without completed_at", run_with(TWO, completed_at=None)),
    "backwards": ("mismatched", "run backwards", run_with(TWO, sealed_at=at(40))),
    "an attempt too many": ("mismatched", "attempts in its events", run_with(TWO, attempt=3)),
    "another token": ("mismatched", "the last one given", run_with(TWO, fencing_token=3)),
    "tokens that do not grow": (
        "mismatched",
        "its fencing tokens",
        event_with(13, detail={"fencing_token": 4}),
    ),
    "failed with a claim": ("mismatched", "but holds 1", member_with(2, released_at=None)),
    "failed with a file": ("mismatched", "but has a file", run_with(FAILED, file_path="x")),
    "let go too early": ("mismatched", "before it was reserved", member_with(2, released_at=at(5))),
    "a gap in run numbers": ("mismatched", "run numbers have", run_with(TWO, run_number=4)),
    "a voucher number twice": ("mismatched", "given 2 times", member_with(2, voucher_number=1)),
    "a stale renewal": ("mismatched", "with the old token", stale("renew_export_lock", 26)),
    "a stale page": ("mismatched", "with the old token", stale("reserve_export_page", 26)),
    "a stale release": ("mismatched", "with the old token", stale("release_export_lock", 40)),
    "a stale completion": ("mismatched", "with the old token", stale("complete_export_run", 26)),
    "a stale doubt": ("mismatched", "with the old token", stale("doubt_export_run", 26)),
}
GOOD: dict[str, Spoil] = {
    "as it is": lambda _: None,
    "a stale write that was refused": stale("renew_export_lock", 26, 409),
    "a write before the takeover": stale("renew_export_lock", 24),
    "a completion repeated later": stale("complete_export_run", 40),
    "a doubt repeated": doubted_again,
}


def test_a_healthy_world_is_all_zeros() -> None:
    """Left-out claims, failed runs, takeovers and later edits are no faults."""
    verdict = judge(healthy_world())

    assert verdict.sentences() == []
    assert verdict.figures() == "doubled=0 lost=0 stuck=0 mismatched=0 orphans=0"


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_world_is_called_wrong(name: str) -> None:
    """One thing is spoilt, and the figure it belongs to says so."""
    figure, words, spoil = WRONG[name]
    world = healthy_world()
    spoil(world)
    verdict = judge(world)

    assert any(words in found for found in verdict.findings[figure]), verdict.sentences()
    assert not verdict.is_healthy
    assert f"{figure}=0" not in verdict.figures()


@pytest.mark.parametrize("name", GOOD)
def test_what_is_allowed_is_not_called_wrong(name: str) -> None:
    """A refused or repeated message changes nothing."""
    world = healthy_world()
    GOOD[name](world)

    assert judge(world).sentences() == []


def test_a_completion_that_waited_for_its_successors_is_allowed() -> None:
    """It set out before the run was completed, but so had the one of the new holder."""
    world = healthy_world()
    taken, current = world.fenced_calls[1:]
    world.fenced_calls = [late(taken, 31, 200), current]

    assert judge(world).is_healthy


def test_orphans_are_counted_and_forgiven() -> None:
    """An object of no completed run is no fault."""
    world = healthy_world()
    world.objects = [*world.objects, f"{ORGANISATION}/{identity('failed')}/x.csv"]
    verdict = judge(world)

    assert verdict.figures() == "doubled=0 lost=0 stuck=0 mismatched=0 orphans=1"
    assert verdict.is_healthy


def test_a_sheet_that_nobody_recorded_is_an_orphan() -> None:
    """Its maker was killed between upload and record: the next one finds it again."""
    world = healthy_world()
    world.objects = [*world.objects, f"{ORGANISATION}/{identity('two')}/x.xlsx"]
    verdict = judge(world)

    assert verdict.figures() == "doubled=0 lost=0 stuck=0 mismatched=0 orphans=1"
    assert verdict.is_healthy


def test_every_figure_has_a_wrong_world() -> None:
    assert {figure for figure, _, _ in WRONG.values()} == set(FIGURES) - {"orphans"}
