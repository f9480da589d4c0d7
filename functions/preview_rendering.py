"""A file that is made to be looked at: its beginning, its sums and the claims that it lacks."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from exporters.breakdown import Breakdown
from exporters.claim import Member
from exporters.configuration import FrozenConfiguration
from exporters.notice import Notice
from exporters.piece_reader import PieceReader
from exporters.problem import ConfigurationInvalid, LeftOut, Problem
from exporters.run_context import RunContext
from exporters.run_renderer import RenderSummary, RunRenderer
from functions.errors import SetUpProblem, SetUpRefused

MOST_LINES: Final = 20
_MOST_CAUSES: Final = 200
_MOST_NAMED: Final = 5
_LINE_NUMBER: Final = re.compile(r"\[(\d+)\]")
# What a posting rule decides: the same rule's fault in all claims with this type of expense.
_OF_A_RULE: Final = re.compile(
    r"lines\[(\d+)\]\.(?:expense_type|account_code|tax_code|dimensions\..*)"
)


class CauseKey(NamedTuple):
    """`field` without line numbers; `expense_type` where the posting rules decide by it."""

    code: str
    field: str
    expense_type: str | None


@dataclass
class Cause:
    """How many claims one thing blocks; the first of them by number, and what was said of it."""

    key: CauseKey
    example_field: str
    note: str
    count: int = 0
    claim_numbers: list[str] = field(default_factory=list)

    def add(self, claim: LeftOut) -> None:
        """Count one more."""
        self.count += 1
        if len(self.claim_numbers) < _MOST_NAMED:
            self.claim_numbers.append(claim.claim_number)


class PreviewRendering:
    """The engine's renderer, and of the bytes only the first lines are kept. Blocks: use a thread.

    Memory does not grow with the claims: causes beyond a number are counted together.
    """

    def __init__(self, configuration: Mapping[str, object], context: RunContext) -> None:
        """Raises SetUpRefused with every problem of the configuration."""
        self._renderer, frozen = renderer_of(configuration, context)
        self._reader = PieceReader(self._renderer.layout)
        self._causes: dict[CauseKey, Cause] = {}
        self.refuses_run = frozen.on_problem == "refuse_run"
        self.first_lines: list[str] = []
        self.seen = 0
        self.left_out_count = 0
        self.other_causes_count = 0

    def write(self, members: Sequence[Member]) -> None:
        """Renders a page."""
        documents = {member.claim_id: member.document for member in members}
        begun = self._begin(members)
        self._renderer.render(members[begun:])
        for claim in self._renderer.take_left_out():
            self._count(claim, documents[claim.claim_id])
        self.seen += len(members)

    def finish(self) -> None:
        """Ends the file: a format that must know a voucher whole gives its last one here."""
        self._keep(self._renderer.finish())

    def summary(self) -> RenderSummary:
        """What would be in the file."""
        return self._renderer.summary()

    def breakdown(self) -> Breakdown:
        """What it would book."""
        return self._renderer.breakdown()

    def notices(self) -> tuple[Notice, ...]:
        """What would be altered to fit."""
        return self._renderer.notices()

    def causes(self) -> list[Cause]:
        """Why claims are left out, what blocks most first."""
        return sorted(self._causes.values(), key=lambda cause: (-cause.count, str(cause.key)))

    def _begin(self, members: Sequence[Member]) -> int:
        """Renders one by one until there are lines enough; the bytes do not depend on it."""
        for place, member in enumerate(members):
            if len(self.first_lines) >= MOST_LINES:
                return place
            self._keep(self._renderer.render([member]))
        return len(members)

    def _keep(self, piece: bytes) -> None:
        if len(self.first_lines) < MOST_LINES:
            self.first_lines += self._reader.lines(piece)
            del self.first_lines[MOST_LINES:]

    def _count(self, claim: LeftOut, document: Mapping[str, object]) -> None:
        self.left_out_count += 1
        key = CauseKey(
            claim.code, _LINE_NUMBER.sub("[]", claim.field), _expense_type(claim.field, document)
        )
        if key not in self._causes and len(self._causes) >= _MOST_CAUSES:
            self.other_causes_count += 1
            return
        self._causes.setdefault(key, Cause(key, claim.field, claim.message)).add(claim)


def renderer_of(
    configuration: Mapping[str, object], context: RunContext
) -> tuple[RunRenderer, FrozenConfiguration]:
    """The engine's renderer for this configuration. Raises SetUpRefused with every problem."""
    try:
        frozen = FrozenConfiguration.from_document(configuration)
        return RunRenderer(frozen, context), frozen
    except ConfigurationInvalid as invalid:
        raise SetUpRefused(set_up_problems(invalid.problems)) from invalid


def set_up_problems(problems: Iterable[Problem]) -> list[SetUpProblem]:
    """The exporters' problems of a configuration, as callers are told them."""
    return [SetUpProblem(one.field, str(one.code), one.message) for one in problems]


def _expense_type(field_of_claim: str, document: Mapping[str, object]) -> str | None:
    match, lines = _OF_A_RULE.fullmatch(field_of_claim), document.get("lines")
    if match is None or not isinstance(lines, list):
        return None
    for line in lines:
        if isinstance(line, dict) and line.get("line_number") == int(match[1]):
            told = line.get("expense_type")
            return told if isinstance(told, str) else None
    return None
