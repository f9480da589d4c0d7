"""Under which conditions a campaign is fought: how much of everything, and on which engine."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stack.database import Database
from stack.functions_server import CHECKOUT
from tests.chaos.fault_plan import AIMS, BLOWS, MEAN_GAP_SECONDS, Blow
from tests.chaos.temper import MOODS, Mood

USUAL_ORGANISATIONS = ("xledger", "dynamics", "xledger", "dynamics", "xledger strict")
# Those that export to files beside them must not notice.
PUSHING_ORGANISATIONS = ("dynamics push", "xledger", "dynamics push strict", "dynamics")


def _leave_as_it_is(_: Database) -> None:
    """The engine as it is."""


@dataclass(frozen=True)
class Conditions:
    """`kills` are blows that land; without any the campaign lasts `seconds`.

    `organisations`: a target each; `strict` refuses a run because of one bad claim, `push` sends its
    vouchers to a Business Central of its own, which has `moods`. `page_size` None is the engine's
    own. `bursts`: sizes of batches of claims that come in one piece.
    `break_engine` and `checkout` put a broken engine in the place of the real one.
    """

    seed: int
    kills: int = 100
    triggers: int = 8
    claims: int = 6000
    seconds: float = 5
    servers: int = 4
    sweeps: int = 2
    organisations: tuple[str, ...] = USUAL_ORGANISATIONS
    bursts: tuple[int, ...] = ()
    page_size: int | None = None
    blows: Mapping[Blow, int] = field(default_factory=lambda: BLOWS)
    aims: Mapping[str, int] = field(default_factory=lambda: AIMS)
    seconds_between_blows: float = MEAN_GAP_SECONDS
    mishaps: float = 0.06
    late_packets: float = 0.3
    only_steps: frozenset[str] | None = None
    moods: Mapping[Mood, int] = field(default_factory=lambda: MOODS)
    seconds_between_rogues: float = 1.0
    settle_seconds: float = 120
    break_engine: Callable[[Database], None] = field(default=_leave_as_it_is)
    checkout: Path = CHECKOUT
