"""What an accounting system does by itself: it is away, slow, half-hearted, and late."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Final, Literal

from tests.business_central.double_process import DoubleProcess
from tests.business_central.fault import Fault

_BATCH = "$batch"
_AWAY = (429, 503, 504)
_LOST = (500, 502, 504)
_MOST_OPERATIONS = 12
_LONGEST_SLOWNESS = 1.6
# Of every step: as many pass as are hit.
_MOST_AT_ONCE = 4


Mood = Literal[
    "away", "late", "late journal", "let arrive", "reply lost", "inner fault", "slow", "half undone"
]
# Mood -> how often.
MOODS: Final[Mapping[Mood, int]] = {
    "away": 1,
    "late": 2,
    "late journal": 1,
    "let arrive": 1,
    "reply lost": 2,
    "inner fault": 2,
    "slow": 1,
    "half undone": 1,
}


class Temper:
    """Draws the next fault. Each is waiting until the request comes along that it is for."""

    def __init__(self, double: DoubleProcess, moods: Mapping[Mood, int], draw: Random) -> None:
        self._double = double
        self._moods = moods
        self._draw = draw

    def change(self) -> str:
        """Let one more thing go wrong; its name."""
        changes: dict[Mood, Callable[[], object]] = {
            "away": self._be_away,
            "late": lambda: self._be_late(_BATCH),
            "late journal": lambda: self._be_late("/journals"),
            "let arrive": self._double.release,
            "reply lost": self._lose_a_reply,
            "inner fault": self._fail_inside,
            "slow": self._be_slow,
            "half undone": self._change_undoing,
        }
        [mood] = self._draw.choices(list(self._moods), list(self._moods.values()))
        changes[mood]()
        return mood

    def _misbehave(self, kind: str, part: str, **details: object) -> None:
        self._double.misbehave(Fault(kind, part, **details))  # type: ignore[arg-type] # by its draw

    def _be_away(self) -> None:
        status, times = self._draw.choice(_AWAY), self._draw.randint(1, _MOST_AT_ONCE)
        headers = {"Retry-After": "0"} if self._draw.random() < 0.5 else {}
        self._misbehave("status", "/api/", status=status, times=times, headers=headers)

    def _be_late(self, part: str) -> None:
        self._misbehave("arrive_late", part)

    def _lose_a_reply(self) -> None:
        kind = self._draw.choice(("cut_reply", "status_after_work"))
        part = self._draw.choice((_BATCH, _BATCH, "/api/"))
        self._misbehave(kind, part, status=self._draw.choice(_LOST))

    def _fail_inside(self) -> None:
        kind = self._draw.choice(("inner_status", "inner_status", "inner_silence", "inner_twice"))
        operation = self._draw.randrange(_MOST_OPERATIONS)
        self._misbehave(kind, _BATCH, operation=operation, status=self._draw.choice((500, 503)))

    def _be_slow(self) -> None:
        self._misbehave("slow", _BATCH, seconds=self._draw.random() * _LONGEST_SLOWNESS)

    def _change_undoing(self) -> None:
        """A batch that fails was seen to leave lines behind."""
        self._double.set_up(undoes_batches=self._draw.random() < 0.5)
