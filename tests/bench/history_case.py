"""Does a question about one claim, or one page, take longer when there are years of history?"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from stack.embedded_stack import EmbeddedStack
from tests.bench.comparison import Comparison
from tests.bench.data_api import Call, DataApi, alternate
from tests.bench.figure import Figure
from tests.bench.long_history import LongHistory, write_history
from tests.bench.scale import SHORT_HISTORY, Scale

LOOK_UP_GOAL = 1.3
PAGE_GOAL = 1.5
DEPTH = 10_000
PAGE = 50


class World:
    """A stack with one history in it, and somebody who asks."""

    def __init__(
        self, stack: EmbeddedStack, scale: Scale, say: Callable[[str], None], cleanup: ExitStack
    ) -> None:
        self.history: LongHistory = write_history(stack.database, scale, say)
        self.api = cleanup.enter_context(DataApi(stack, self.history.organisation))
        self._dice = Random(7)  # noqa: S311 - the same questions in every run

    @property
    def organisation_id(self) -> str:
        """Whose history it is."""
        return str(self.history.organisation.id)

    def ask(self, function: str, arguments: Callable[[], dict[str, Any]]) -> Call:
        """A call with new arguments each time; only the call is timed."""

        def once() -> float:
            return self.api.call(function, **arguments())[1]

        return once

    def random_claims(self, step: int, how_many: int) -> Iterator[str]:
        """Claim ids without end, drawn from every step-th one; looked up beforehand, not while timing."""
        last = self.history.scale.memberships // step
        numbers = [step * self._dice.randint(1, last) for _ in range(how_many)]
        ids = self.history.claim_ids(numbers)
        return (ids[n % len(ids)] for n in count())

    def page(self, **wanted: Any) -> Call:
        """A page of the history."""
        return self.ask(
            "get_export_history",
            lambda: {"p_organization_id": self.organisation_id, "p_limit": PAGE, **wanted},
        )

    def cursor_at(self, depth: int) -> str:
        """Where the page begins that so many runs come before."""
        answer, _ = self.api.call(
            "get_export_history",
            p_organization_id=self.organisation_id,
            p_limit=1,
            p_offset=depth - 1,
        )
        return str(answer["next_cursor"])


def measure(home: Path, scale: Scale, say: Callable[[str], None]) -> list[Comparison]:
    """Compare a long history with a short one beside it, and a deep page with the first."""
    with ExitStack() as cleanup:
        worlds = []
        for size in (SHORT_HISTORY, scale):
            stack = EmbeddedStack(home / size.name, durable=False, with_functions=False)
            worlds.append(World(cleanup.enter_context(stack), size, say, cleanup))
        short, long = worlds
        return [*_across(short, long, scale, say), *_within(long, scale, say)]


def _across(
    short: World, long: World, scale: Scale, say: Callable[[str], None]
) -> Iterator[Comparison]:
    """The same question in both worlds."""

    def claim_asker(world: World) -> Call:
        ids = world.random_claims(1, scale.calls * scale.rounds)
        return world.ask("find_runs_by_claim_id", lambda: {"p_claim_id": next(ids)})

    def passport_asker(world: World) -> Call:
        ids = world.random_claims(world.history.claim_step, scale.calls)
        return world.ask("get_claim_status", lambda: {"p_claim_ids": [next(ids)]})

    def voucher_asker(world: World) -> Call:
        numbers = (str(1 + n * 7919 % world.history.scale.memberships) for n in count())
        return world.ask(
            "find_exports",
            lambda: {"p_organization_id": world.organisation_id, "p_text": next(numbers)},
        )

    against = f"{short.history.scale.memberships:,} memberships"
    for name, asker, goal in (
        ("find_runs_by_claim_id", claim_asker, LOOK_UP_GOAL),
        ("get_claim_status, one claim", passport_asker, None),
        ("find_exports, a voucher number", voucher_asker, None),
        ("get_export_history, first page", lambda world: world.page(), None),
    ):
        calls = scale.calls if goal else scale.calls // 4
        base, figure = alternate(scale.rounds, calls, [asker(short), asker(long)])
        yield Comparison(
            f"{name}, p99", against, Figure.of(base, 0.99), Figure.of(figure, 0.99), goal
        )
        yield Comparison(f"{name}, p50", against, Figure.of(base, 0.5), Figure.of(figure, 0.5))
        say(f"measured: {name}")


def _within(long: World, scale: Scale, say: Callable[[str], None]) -> Iterator[Comparison]:
    """Pages of the long history beside its first page."""
    against = f"first page of {long.history.scale.runs:,} runs"
    deep = long.cursor_at(DEPTH)
    for name, side, goal in (
        (f"page at depth {DEPTH:,} by cursor", long.page(p_cursor=deep), PAGE_GOAL),
        (f"page at depth {DEPTH:,} by offset", long.page(p_offset=DEPTH), None),
        (
            "first page of completed runs of a target",
            long.page(p_statuses=["completed"], p_target="xledger"),
            None,
        ),
    ):
        base, figure = alternate(scale.rounds, scale.calls // 4, [long.page(), side])
        yield Comparison(
            f"{name}, p50", against, Figure.of(base, 0.5), Figure.of(figure, 0.5), goal
        )
        say(f"measured: {name}")
