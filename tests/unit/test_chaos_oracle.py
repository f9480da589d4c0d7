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
from tests.chaos.world import Acknowledgement, HeldLock, World

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


def edited_later(world: World) -> None:
    """The left-out claim was mended, and nobody exported it."""
    world.versions = [*world.versions, world.versions[3]._replace(version=2, stamped_at=at(100))]


def version_with(**values: Any) -> Spoil:
    """What the second claim was when it was reserved."""

    def spoil(world: World) -> None:
        versions = list(world.versions)
        versions[1] = versions[1]._replace(**values)
        world.versions = versions

    return spoil


WRONG: dict[str, tuple[Figure, Spoil]] = {
    "two live entries of a claim": ("doubled", entered_again),
    "a claim in two files": ("doubled", file_of_two(("K2", 4), ("K3", 5), ("K1", 6))),
    "a claim twice in a file": ("doubled", file_of_two(("K2", 4), ("K3", 5), ("K3", 6))),
    "an approved claim in no run": ("lost", member_with(3, outcome="released", released_at=at(22))),
    "a claim left out for no reason": ("lost", member_with(1, reason_code="it_rained")),
    "a claim left out as it was": ("lost", edited_later),
    "a claim held by a failed run": ("lost", run_with(TWO, status="failed", failed_at=at(33))),
    "a member that is not in the file": ("lost", file_of_two(("K2", 4))),
    "a phone was told another hash": (
        "lost",
        lambda w: setattr(w, "acknowledgements", [Acknowledgement(identity("one"), "0" * 64)]),
    ),
    "a phone was told of a failed run": (
        "lost",
        lambda w: setattr(w, "acknowledgements", [Acknowledgement(identity("failed"), "0" * 64)]),
    ),
    "a phone was told of no run": (
        "lost",
        lambda w: setattr(w, "acknowledgements", [Acknowledgement(identity("gone"), "0" * 64)]),
    ),
    **{
        f"a run that is {status}": ("stuck", run_with(TWO, status=status))
        for status in ("pending", "processing", "parked", "in_doubt", "releasing", "voiding")
    },
    "a held lock": (
        "stuck",
        lambda w: setattr(w, "held_locks", [HeldLock(ORGANISATION, identity("two"))]),
    ),
    "a phone without an answer": ("stuck", lambda w: setattr(w, "unanswered", ["key-1"])),
    "other bytes than the hash": ("mismatched", bytes_of_two(b"AccountNo\r\n")),
    "another size": ("mismatched", run_with(TWO, file_size=1)),
    "no bytes at all": ("mismatched", lambda w: w.files.pop(identity("two"))),
    "a path of another kind": (
        "mismatched",
        run_with(TWO, file_path=f"{ORGANISATION}/{identity('two')}/1.csv"),
    ),
    "a second object of a run": (
        "mismatched",
        lambda w: setattr(w, "objects", [*w.objects, f"{ORGANISATION}/{identity('two')}/x.csv"]),
    ),
    "an unbalanced voucher": ("mismatched", unbalanced),
    "another claim count": ("mismatched", run_with(TWO, claim_count=3)),
    "another voucher count": ("mismatched", run_with(TWO, voucher_count=3)),
    "another line count": ("mismatched", run_with(TWO, line_count=5)),
    "other totals": ("mismatched", run_with(TWO, totals={"NOK": "1.00"})),
    "another amount reserved": ("mismatched", member_with(3, amount=Decimal(1))),
    "another voucher number": ("mismatched", member_with(3, voucher_number=7)),
    "a claim that is no member": ("mismatched", file_of_two(("K2", 4), ("K3", 5), ("K9", 6))),
    "torn: an old line": ("mismatched", member_with(3, line_texts=["v1 a", "v0 b"])),
    "torn: other amounts": ("mismatched", member_with(3, line_amounts=[AMOUNT, AMOUNT])),
    "stale: an old version": ("mismatched", version_with(version=2)),
    "frozen while not approved": ("mismatched", version_with(status="submitted")),
    "frozen before it existed": ("mismatched", version_with(stamped_at=at(22))),
    "approved after the cut-off": ("mismatched", version_with(approved_at=at(20.5))),
    "completed without event": ("mismatched", without_event("completed", "two")),
    "failed without event": ("mismatched", without_event("failed", "failed")),
    "a page without event": ("mismatched", without_event("page_reserved", "one")),
    "left out without event": ("mismatched", without_event("claims_left_out", "one")),
    "completed and failed": ("mismatched", run_with(TWO, failed_at=at(33))),
    "completed without its moment": ("mismatched", run_with(TWO, completed_at=None)),
    "sealed after completed": ("mismatched", run_with(TWO, sealed_at=at(40))),
    "an attempt too many": ("mismatched", run_with(TWO, attempt=3)),
    "another token": ("mismatched", run_with(TWO, fencing_token=3)),
    "a failed run with a claim": ("mismatched", member_with(2, released_at=None)),
    "a gap in run numbers": ("mismatched", run_with(TWO, run_number=4)),
    "a voucher number twice": ("mismatched", member_with(2, voucher_number=1)),
    "a stale renewal": ("mismatched", stale("renew_export_lock", 26)),
    "a stale page": ("mismatched", stale("reserve_export_page", 26)),
    "a stale release, long after": ("mismatched", stale("release_export_lock", 40)),
    "a stale completion": ("mismatched", stale("complete_export_run", 26)),
}
GOOD: dict[str, Spoil] = {
    "as it is": lambda _: None,
    "a stale write that was refused": stale("renew_export_lock", 26, 409),
    "a write before the takeover": stale("renew_export_lock", 24),
    "a completion repeated later": stale("complete_export_run", 40),
}


def test_a_healthy_world_is_all_zeros() -> None:
    """Left-out claims, failed runs, takeovers and later edits are no faults."""
    verdict = judge(healthy_world())

    assert verdict.sentences() == []
    assert verdict.figures() == "doubled=0 lost=0 stuck=0 mismatched=0 orphans=0"


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_world_is_called_wrong(name: str) -> None:
    """One thing is spoilt, and the figure it belongs to says so."""
    figure, spoil = WRONG[name]
    world = healthy_world()
    spoil(world)
    verdict = judge(world)

    assert verdict.count(figure) > 0, verdict.sentences()
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


def test_every_figure_has_a_wrong_world() -> None:
    assert {figure for figure, _ in WRONG.values()} == set(FIGURES) - {"orphans"}
