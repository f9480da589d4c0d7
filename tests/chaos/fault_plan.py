"""Which process is hit how, and when: drawn from a seed before anything starts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Literal, TypeVar, get_args

from tests.chaos.ambush import Moment
from tests.chaos.dice import dice

Name = TypeVar("Name", bound=str)
Blow = Literal[
    "kill_worker",
    "end_worker",
    "stop_worker",
    "kill_server",
    "end_server",
    "kill_api",
    "kill_postgres",
    "quit_postgres",
    "kill_backend",
]
# Blow -> how often. A worker comes back in no time, the rest costs the machine up to a second.
BLOWS: dict[Blow, int] = {
    "kill_worker": 34,  # SIGKILL of the process that serves; its server forks another
    "end_worker": 10,  # SIGTERM, as a platform that scales down
    "stop_worker": 14,  # SIGSTOP, and SIGCONT when its lease is over
    "kill_server": 10,  # SIGKILL of server and worker together
    "end_server": 5,  # SIGTERM of the server, as a deployment does
    "kill_api": 12,  # SIGKILL of the data, login and storage API
    "kill_postgres": 6,  # SIGKILL of the postmaster and of all its children
    "quit_postgres": 3,  # SIGQUIT: the immediate shutdown
    "kill_backend": 6,  # SIGKILL of one session's process: Postgres ends all others and recovers
}
# Where vouchers go over an API: mostly at those who send them.
PUSH_BLOWS: dict[Blow, int] = {
    "kill_worker": 50,
    "end_worker": 6,
    "stop_worker": 20,
    "kill_server": 10,
    "end_server": 4,
    "kill_api": 5,
    "kill_postgres": 2,
    "quit_postgres": 1,
    "kill_backend": 2,
}
# Steps at which most blows fall; the rest falls on whoever it hits.
AIMS: dict[str, int] = {
    "begin_export": 3,
    "reserve_export_page": 2,
    "upload": 5,
    "complete_export_run": 5,
    "renew_export_lock": 1,
    "take_over_export_run": 1,
    "leave_out_export_claims": 1,
    "fail_export_run": 1,
}
# With push: also what is noted before and after it, and what is asked there.
PUSH_AIMS: dict[str, int] = {
    **AIMS,
    "open_delivery": 2,
    "clear_delivery": 2,
    "record_deliveries": 5,
    "doubt_export_run": 2,
    "resume_doubted_export_run": 1,
    "GET generalLedgerEntries": 2,
    "POST journals": 2,
    "DELETE journals": 2,
    "POST $batch": 6,
}
_SHARE_OF_AIMED = 0.7
MEAN_GAP_SECONDS = 0.45
# Longer than the harness's lease, so that what is stopped wakes up as somebody else's predecessor.
_SHORTEST_STOP, _LONGEST_STOP = 2.3, 5.0


@dataclass(frozen=True)
class Strike:
    """`pause` seconds, then the blow.

    `aim` is the request at whose passing it falls, on its sender if it is one for a process of
    functions. Without aim, or when no such request comes, `victim` is reduced to the number of
    possible victims.
    """

    pause: float
    blow: Blow
    victim: int
    stop_seconds: float
    aim: tuple[str, Moment] | None = None


def plan_strikes(
    seed: int,
    count: int,
    blows: Mapping[Blow, int] = BLOWS,
    aims: Mapping[str, int] = AIMS,
    gap: float = MEAN_GAP_SECONDS,
) -> list[Strike]:
    """The same strikes for the same arguments."""
    draw = dice(seed, "strikes")
    return [
        Strike(
            pause=draw.expovariate(1 / gap),
            blow=blow,
            victim=draw.randrange(1 << 16),
            stop_seconds=draw.uniform(_SHORTEST_STOP, _LONGEST_STOP),
            aim=_drawn_aim(draw, aims),
        )
        for blow in islice(_dealt(draw, blows), count)
    ]


def _dealt(draw: Random, blows: Mapping[Blow, int]) -> Iterator[Blow]:
    """Like cards: each kind comes as often as its chance says, however short the plan."""
    while True:
        yield from draw.sample(list(blows), counts=list(blows.values()), k=sum(blows.values()))


def _drawn_aim(draw: Random, aims: Mapping[str, int]) -> tuple[str, Moment] | None:
    step, moments = _drawn(draw, aims), get_args(Moment)
    return (step, draw.choice(moments)) if draw.random() < _SHARE_OF_AIMED else None


def _drawn(draw: Random, chances: Mapping[Name, int]) -> Name:
    return draw.choices(list(chances), list(chances.values()))[0]
