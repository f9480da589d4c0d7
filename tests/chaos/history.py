"""Whether a run's state, timestamps, counts and events tell one story."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.chaos.world import Event, Member, Run

# Event -> how often a run of a state has it; None: does not matter.
_EXPECTED: dict[str, dict[str, int]] = {
    "completed": {
        "created": 1,
        "started": 1,
        "sealed": 1,
        "completed": 1,
        "releasing": 0,
        "failed": 0,
    },
    "failed": {"created": 1, "started": 1, "completed": 0, "releasing": 1, "failed": 1},
}
_STAMPED = ("completed", "releasing", "failed", "sealed")


def contradictions(run: Run, members: Sequence[Member], events: Sequence[Event]) -> list[str]:
    """One sentence for each contradiction; `events` in the order in which they were written."""
    return [
        *_in_events(run, events),
        *_in_counts(run, members, events),
        *_in_times(run),
        *_in_tokens(run, events),
        *_in_members(run, members),
    ]


def _in_events(run: Run, events: Sequence[Event]) -> Iterator[str]:
    counted = Counter(event.event for event in events)
    for event, times in _EXPECTED.get(run.status, {}).items():
        if counted[event] != times:
            yield f"{run.status} with {counted[event]} events '{event}'"
    for event in _STAMPED:
        if (getattr(run, f"{event}_at") is not None) != (counted[event] > 0):
            yield f"its event '{event}' and {event}_at disagree"
    if events and events[0].event != "created":
        yield f"its history begins with '{events[0].event}'"
    if run.status in {"completed", "failed"} and events and events[-1].event != run.status:
        yield f"{run.status}, but '{events[-1].event}' came last"
    for event_row in events:
        if event_row.event == "completed" and event_row.detail.get("sha256") != run.file_sha256:
            yield "its history names another file"


def _in_counts(run: Run, members: Sequence[Member], events: Sequence[Event]) -> Iterator[str]:
    left_out = sum(member.outcome == "left_out" for member in members)
    reserved_by_events = _claims_in(events, "page_reserved")
    left_out_by_events = _claims_in(events, "claims_left_out")
    if not run.reserved_count == len(members) == reserved_by_events:
        yield f"{run.reserved_count} reserved, {len(members)} members, {reserved_by_events} in events"
    if not run.left_out_count == left_out == left_out_by_events:
        yield f"{run.left_out_count} left out, {left_out} members, {left_out_by_events} in events"
    if sorted(member.position for member in members) != list(range(1, len(members) + 1)):
        yield "the positions of its members have gaps or doubles"


def _claims_in(events: Sequence[Event], name: str) -> int:
    return sum(int(event.detail["claims"]) for event in events if event.event == name)


def _in_times(run: Run) -> Iterator[str]:
    stations = (run.created_at, run.processing_at, run.sealed_at, run.completed_at)
    passed = [moment for moment in stations if moment is not None]
    if passed != sorted(passed):
        yield "its timestamps run backwards"
    if run.status in {"completed", "failed"} and getattr(run, f"{run.status}_at") is None:
        yield f"{run.status} without {run.status}_at"
    if run.completed_at is not None and (run.failed_at is not None or run.releasing_at is not None):
        yield "both completed and failed"


def _in_tokens(run: Run, events: Sequence[Event]) -> Iterator[str]:
    tokens = [event.granted_token for event in events if event.granted_token is not None]
    if any(later <= earlier for earlier, later in pairwise(tokens)):
        yield f"its fencing tokens are {tokens}"
    if tokens and run.fencing_token != tokens[-1]:
        yield f"its token is {run.fencing_token}, the last one given {tokens[-1]}"
    if run.attempt != len(tokens):
        yield f"attempt {run.attempt}, {len(tokens)} attempts in its events"


def _in_members(run: Run, members: Sequence[Member]) -> Iterator[str]:
    if run.status == "failed":
        held = sum(member.released_at is None for member in members)
        if held:
            yield f"failed, but holds {held} claims"
        if run.file_path is not None:
            yield "failed, but has a file"
    for member in members:
        if member.released_at is not None and member.released_at < member.reserved_at:
            yield f"{member.claim_number} was let go before it was reserved"
