"""Whether a worker that lost its run could still write: the network knows what passed, history who held."""

from collections import defaultdict
from collections.abc import Iterator
from uuid import UUID

from tests.chaos.fenced_call import FencedCall
from tests.chaos.world import Run, World


def stale_writes(world: World) -> Iterator[tuple[Run, str]]:
    """Calls that were accepted although a newer token had been given before they set out.

    An event is stamped before its transaction ends; whoever sets out in between waits for the lock
    row and must then be refused as well.
    """
    runs = {run.run_id: run for run in world.runs}
    granted = _grants(world)
    for call in world.fenced_calls:
        run = runs.get(call.run_id)
        if run is None or not call.was_accepted:
            continue
        is_stale = any(
            token > call.fencing_token and moment < call.forwarded_at.timestamp()
            for token, moment in granted[run.organization_id]
        )
        if is_stale and not _only_repeats(call, run, world):
            yield run, f"{call.function} with the old token {call.fencing_token} was accepted"


def _grants(world: World) -> dict[UUID, list[tuple[int, float]]]:
    """Organisation -> each token and the moment it was given."""
    granted: dict[UUID, list[tuple[int, float]]] = defaultdict(list)
    for event in world.events:
        if (token := event.granted_token) is not None:
            granted[event.organization_id].append((token, event.occurred_at.timestamp()))
    return granted


def _only_repeats(call: FencedCall, run: Run, world: World) -> bool:
    """Whether it said what was so already, or had become so by the time it got its turn."""
    if call.function == "doubt_export_run":
        return _last_event(run, call, world) == "in_doubt"
    ends = {"complete_export_run": run.completed_at, "fail_export_run": run.failed_at}
    ended = ends.get(call.function)
    if ended is None:
        return False
    return ended < call.forwarded_at or any(
        other.run_id == run.run_id
        and other.function == call.function
        and other.fencing_token == run.fencing_token
        and other.forwarded_at < ended
        for other in world.fenced_calls
    )


def _last_event(run: Run, call: FencedCall, world: World) -> str | None:
    """Of the run, when the call set out."""
    before = [
        event.event
        for event in world.events
        if event.run_id == run.run_id and event.occurred_at < call.forwarded_at
    ]
    return before[-1] if before else None
