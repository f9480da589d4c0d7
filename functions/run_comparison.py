"""What another configuration would have made of a run: rendered twice, compared claim by claim."""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

from exporters.claim import Member
from exporters.piece_reader import PieceReader
from exporters.problem import LeftOut
from exporters.run_renderer import RunRenderer
from functions.errors import SetUpProblem
from functions.export_run import ExportRun, LeftOutClaim

_MOST_CHANGES: Final = 20
_MOST_LINES_OF_A_CLAIM: Final = 10
_MOST_LEFT_OUT: Final = 100
_NOTHING: Final = Decimal("0.00")


@dataclass(frozen=True)
class LineChange:
    """The first lines of a claim that are not alike; None where there is no such line."""

    claim_number: str
    voucher_number: int
    lines: tuple[tuple[str | None, str | None], ...]


class AccountShift(NamedTuple):
    """What is booked on an account in the run, and what would be."""

    account_code: str | None
    currency: str
    debit_before: Decimal
    debit_after: Decimal
    credit_before: Decimal
    credit_after: Decimal


@dataclass
class RunComparison:
    """The run itself is as it was: everything here is made in memory and let go.

    `is_reproduced` says whether today's code made the run's own bytes again: False under another
    renderer version or after an erasure, and then a change may not be the candidate's; None while
    not all of it was rendered. `problems` are those of the candidate with this run's other parts.
    """

    run: ExportRun
    is_reproduced: bool | None = None
    is_cut: bool = False
    seen: int = 0
    changed_count: int = 0
    changed_line_count: int = 0
    left_out_count: int = 0
    joining_count: int = 0
    changes: list[LineChange] = field(default_factory=list)
    left_out: list[LeftOutClaim] = field(default_factory=list)
    header: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    shifts: tuple[AccountShift, ...] = ()
    problems: tuple[SetUpProblem, ...] = ()


@dataclass
class _Told:
    """What one file says of a member, once all of it is written."""

    member: Member
    line_count: int
    left_out: LeftOut | None
    lines: list[str] = field(default_factory=list)


class _Side:
    """One of the two files.

    A format that must know a voucher whole writes a claim after the next one came, so lines are
    given to the members in their order, to each as many as it has journal lines.
    """

    def __init__(self, renderer: RunRenderer) -> None:
        self.renderer = renderer
        self._reader = PieceReader(renderer.layout)
        self._hash = hashlib.sha256()
        self._line_count = 0
        self._waiting: deque[_Told] = deque()
        self.told: deque[_Told] = deque()
        self.header: tuple[str, ...] = ()

    def write(self, member: Member) -> None:
        """Goes on with the next member; `told` has those that are written."""
        piece = self.renderer.render([member])
        left_out = next(iter(self.renderer.take_left_out()), None)
        lines, place = self._reader.lines(piece), self.renderer.page_lines()
        self._waiting.append(_Told(member, self._lines_of_last(lines), left_out))
        if place is not None:
            # What opens the file comes with its first claim, and is no line of hers.
            opening = len(lines) - (place.last_line - place.first_lines[0] + 1)
            self.header = self.header or tuple(lines[:opening])
            lines = lines[opening:]
        self._hash.update(piece)
        self._hand_out(lines)

    def _lines_of_last(self, lines: Sequence[str]) -> int:
        if not self.renderer.layout:
            # Nobody knows how many lines such a format has for each; it gives them at once.
            return len(lines)
        before, self._line_count = self._line_count, self.renderer.summary().line_count
        return self._line_count - before

    def finish(self) -> str:
        """The rest; the file's SHA-256."""
        piece = self.renderer.finish()
        self._hash.update(piece)
        self._hand_out(self._reader.lines(piece))
        return self._hash.hexdigest()

    def _hand_out(self, lines: Sequence[str]) -> None:
        rest = deque(lines)
        while self._waiting:
            first = self._waiting[0]
            while rest and len(first.lines) < first.line_count:
                first.lines.append(rest.popleft())
            if len(first.lines) < first.line_count:
                return
            self.told.append(self._waiting.popleft())


class ComparedRendering:
    """Renders the pages of a run under both configurations. Blocks: use a thread.

    Claims keep the vouchers that the run put them in, whatever the candidate says of vouchers.
    """

    def __init__(self, run: ExportRun, before: RunRenderer, after: RunRenderer) -> None:
        self._before = _Side(before)
        self._after = _Side(after)
        self.result = RunComparison(run)

    def write(self, members: Sequence[Member]) -> None:
        """Compares a page."""
        for member in members:
            self._before.write(member)
            self._after.write(member)
            self._compare_what_is_told()
        self.result.seen += len(members)

    def finish(self, *, is_cut: bool) -> RunComparison:
        """What came of all pages; `is_cut`: there would have been more."""
        result, file = self.result, self.result.run.file
        sha256, _ = self._before.finish(), self._after.finish()
        self._compare_what_is_told()
        result.is_cut = is_cut
        if not is_cut and file is not None:
            result.is_reproduced = sha256 == file.sha256
        if self._before.header != self._after.header:
            result.header = (self._before.header, self._after.header)
        result.shifts = tuple(_shifts(self._before.renderer, self._after.renderer))
        return result

    def _compare_what_is_told(self) -> None:
        while self._before.told and self._after.told:
            self._compare(self._before.told.popleft(), self._after.told.popleft())

    def _compare(self, before: _Told, after: _Told) -> None:
        result, member = self.result, before.member
        if after.left_out is not None and before.left_out is None:
            result.left_out_count += 1
            if len(result.left_out) < _MOST_LEFT_OUT:
                result.left_out.append(_left_out(after.left_out))
            return
        result.joining_count += before.left_out is not None and after.left_out is None
        pairs = tuple(_unlike(before.lines, after.lines))
        if not pairs:
            return
        result.changed_count += 1
        result.changed_line_count += len(pairs)
        if len(result.changes) < _MOST_CHANGES:
            number = str(member.document.get("claim_number", ""))
            told = pairs[:_MOST_LINES_OF_A_CLAIM]
            result.changes.append(LineChange(number, member.voucher_number, told))


def _unlike(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[str | None, str | None]]:
    longest = max(len(before), len(after))
    for place in range(longest):
        pair = (
            before[place] if place < len(before) else None,
            after[place] if place < len(after) else None,
        )
        if pair[0] != pair[1]:
            yield pair


def _left_out(claim: LeftOut) -> LeftOutClaim:
    return LeftOutClaim(
        claim_id=claim.claim_id,
        claim_number=claim.claim_number,
        code=claim.code,
        field=claim.field,
        message=claim.message,
    )


_Sums = dict[tuple[str | None, str], tuple[Decimal, Decimal]]


def _shifts(before: RunRenderer, after: RunRenderer) -> Iterator[AccountShift]:
    old, new = _sums(before), _sums(after)
    none = (_NOTHING, _NOTHING)
    for key in sorted({*old, *new}, key=lambda one: (one[0] or "", one[1])):
        was, would_be = old.get(key, none), new.get(key, none)
        if was != would_be:
            yield AccountShift(*key, was[0], would_be[0], was[1], would_be[1])


def _sums(renderer: RunRenderer) -> _Sums:
    sums: _Sums = {}
    for group in renderer.breakdown().groups():
        key = (group.account_code, group.currency)
        debit, credit = sums.get(key, (_NOTHING, _NOTHING))
        sums[key] = (debit + group.debit, credit + group.credit)
    return sums
