"""Which process is hit how, and when: drawn from a seed before anything starts."""

from dataclasses import dataclass
from typing import Literal

from tests.chaos.dice import dice

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
_MEAN_GAP_SECONDS = 0.55
# Longer than the harness's lease, so that what is stopped wakes up as somebody else's predecessor.
_SHORTEST_STOP, _LONGEST_STOP = 2.3, 5.0


@dataclass(frozen=True)
class Strike:
    """`pause` seconds, then the blow. `victim` is reduced to the number of possible victims."""

    pause: float
    blow: Blow
    victim: int
    stop_seconds: float


def plan_strikes(
    seed: int, count: int, blows: dict[Blow, int] | None = None, gap: float = _MEAN_GAP_SECONDS
) -> list[Strike]:
    """The same strikes for the same arguments."""
    draw = dice(seed, "strikes")
    chances = blows or BLOWS
    return [
        Strike(
            pause=draw.expovariate(1 / gap),
            blow=draw.choices(list(chances), list(chances.values()))[0],
            victim=draw.randrange(1 << 16),
            stop_seconds=draw.uniform(_SHORTEST_STOP, _LONGEST_STOP),
        )
        for _ in range(count)
    ]
