"""From the members of a run to the bytes of its file."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from exporters.bank_account_number import without_bank_account_numbers
from exporters.breakdown import Breakdown
from exporters.claim import Claim, Member
from exporters.configuration import FrozenConfiguration
from exporters.json_writer import Record
from exporters.masking import Masking
from exporters.national_identity_number import identity_number_problems, masked
from exporters.notice import Notice
from exporters.page_lines import PageLines
from exporters.posting_rules import PostingRules
from exporters.problem import ClaimUnusable, ConfigurationInvalid, LeftOut, Problem, ProblemCode
from exporters.registry import exporter_for
from exporters.run_context import RunContext
from exporters.voucher import Voucher

__all__ = [
    "RENDERER_VERSION",
    "ConfigurationInvalid",
    "FrozenConfiguration",
    "LeftOut",
    "Member",
    "RenderSummary",
    "RunContext",
    "RunRenderer",
]

RENDERER_VERSION: Final = "3"
"""Written on every run: the same version makes the same bytes of the same members.

Raise it whenever any file that could be made before would come out with other bytes: a changed
shipped layout, a changed default of a setting, a changed rule. A new format or a new setting whose
default keeps the bytes needs nothing.
"""


class MembersOutOfOrderError(ValueError):
    """A page came twice or in the wrong order, which would double or mix vouchers."""


@dataclass(frozen=True, slots=True)
class RenderSummary:
    """What is in the file.

    `totals` sums the claims' own totals per currency, with two decimals; a reversal counts with the
    opposite sign, as its lines do in the file.
    """

    claim_count: int
    voucher_count: int
    line_count: int
    totals: dict[str, Decimal]


class RunRenderer:
    """Renders one run, page by page, in memory that does not grow with the run.

    The bytes do not depend on where the pages are cut. A claim that cannot be exported is left
    out and reported, whatever the policy `on_problem` says; with `refuse_run` it is the caller
    who gives up the run.

    `observe` is given each voucher that got into the file, in the file's order.

    Raises:
        ConfigurationInvalid: with every problem of settings, posting rules and layout.
    """

    def __init__(
        self,
        configuration: FrozenConfiguration,
        run: RunContext,
        *,
        observe: Callable[[Voucher], None] | None = None,
    ) -> None:
        self._observe = observe
        self._exporter = exporter_for(configuration, run)
        self._posting_rules = PostingRules(
            configuration.posting_rules,
            self._exporter.settings,
            run,
        )
        self._last_position = 0
        self._claim_count = 0
        self._voucher_count = 0
        # The document that the next claim may share, and the lines it has.
        self._voucher_number = 0
        self._voucher_lines = 0
        self._line_count = 0
        self._totals: dict[str, Decimal] = {}
        self._breakdown = Breakdown(self._exporter.shown_dimensions)
        self._lines: list[tuple[int, range]] = []
        self._identity_numbers = Masking("identity_number_masked", masked)
        self._bank_account_numbers = Masking(
            "bank_account_number_masked", without_bank_account_numbers
        )
        self.left_out: list[LeftOut] = []

    @property
    def content_type(self) -> str:
        """The media type of the file."""
        return self._exporter.content_type

    @property
    def file_extension(self) -> str:
        """The end of the file's name, without a period."""
        return self._exporter.file_extension

    @property
    def shown_dimensions(self) -> tuple[str, ...]:
        """The dimensions that stand in the file, by name."""
        return self._exporter.shown_dimensions

    @property
    def layout(self) -> dict[str, object]:
        """The layout that was used, in full."""
        return self._exporter.layout

    @property
    def settings(self) -> dict[str, object]:
        """The settings that were used, defaults included, as JSON holds them."""
        return self._exporter.settings.model_dump(mode="json")

    def render(self, members: Iterable[Member]) -> bytes:
        """Give the next piece of the file: call once per page, in the order of positions.

        What a page gives may end before its last claim, if the format must know a voucher whole.

        Raises:
            MembersOutOfOrderError: a position is not above the one before it.
        """
        self._lines = []
        return b"".join(self._render_member(member) for member in members)

    def finish(self) -> bytes:
        """Give the end of the file; call once, after the last page."""
        return self._exporter.finish() if self._voucher_count else b""

    def records(self, voucher: Voucher) -> tuple[Record, ...]:
        """Give the lines of a voucher of the file as values; nothing of the file changes.

        Raises:
            ConfigurationInvalid: the format is for files only.
        """
        return self._exporter.records(voucher)

    def take_left_out(self) -> list[LeftOut]:
        """Hand over the claims left out since the last call, and forget them."""
        taken, self.left_out = self.left_out, []
        return taken

    def page_lines(self) -> PageLines | None:
        """Tell where the vouchers of the page rendered last stand.

        None if it has none, or if the format's lines lead nobody to a voucher.
        """
        if not self._lines:
            return None
        return PageLines(
            positions=tuple(position for position, _ in self._lines),
            first_lines=tuple(lines.start for _, lines in self._lines),
            last_line=self._lines[-1][1].stop - 1,
        )

    def breakdown(self) -> Breakdown:
        """Sum what is in the file so far, per account, dimensions and currency."""
        return self._breakdown

    def notices(self) -> tuple[Notice, ...]:
        """Count what was altered so that it fits: texts, and dates in closed periods."""
        notices = [*self._exporter.notices(), *self._posting_rules.notices()]
        notices += self._identity_numbers.notices()
        notices += self._bank_account_numbers.notices()
        return tuple(notices)

    def summary(self) -> RenderSummary:
        """Count what is in the file so far."""
        return RenderSummary(
            claim_count=self._claim_count,
            voucher_count=self._voucher_count,
            line_count=self._line_count,
            totals=dict(sorted(self._totals.items())),
        )

    def _render_member(self, member: Member) -> bytes:
        if member.position <= self._last_position:
            raise MembersOutOfOrderError(
                f"Position {member.position} came after position {self._last_position}.",
            )
        self._last_position = member.position
        try:
            claim = self._without_personal_numbers(member, _claim_of(member))
            voucher = self._posting_rules.voucher(member, claim, self._lines_before(member))
            data = self._exporter.render(voucher)
        except ClaimUnusable as unusable:
            self.left_out.append(_left_out(member, unusable.problems[0]))
            return b""
        self._count(claim, voucher)
        if lines := self._exporter.lines():
            self._lines.append((member.position, lines))
        return data

    def _lines_before(self, member: Member) -> int:
        return self._voucher_lines if member.voucher_number == self._voucher_number else 0

    def _without_personal_numbers(self, member: Member, claim: Claim) -> Claim:
        settings = self._exporter.settings
        if settings.identity_numbers == "mask":
            claim = self._identity_numbers.masked(claim)
        # What is in the books already must be possible to take back, whatever its texts hold.
        if member.kind == "entry" and (problems := identity_number_problems(claim)):
            raise ClaimUnusable(problems)
        # Last, because the check digits of an identity number make it a bank account number, too.
        if settings.bank_account_numbers == "mask":
            claim = self._bank_account_numbers.masked(claim)
        return claim

    def _count(self, claim: Claim, voucher: Voucher) -> None:
        self._claim_count += 1
        self._voucher_count += voucher.number != self._voucher_number
        self._voucher_number = voucher.number
        self._voucher_lines = voucher.lines_before + len(voucher.lines)
        self._line_count += len(voucher.lines)
        total = self._totals.get(claim.currency, Decimal("0.00"))
        amount = claim.total if voucher.kind == "entry" else -claim.total
        self._totals[claim.currency] = total + amount
        self._breakdown.add(voucher)
        if self._observe is not None:
            self._observe(voucher)


def _claim_of(member: Member) -> Claim:
    claim = Claim.from_document(member.document)
    if claim.claim_id != member.claim_id:
        message = "The claim document belongs to another claim."
        raise ClaimUnusable((Problem(ProblemCode.DOCUMENT_INVALID, "claim_id", message),))
    return claim


def _left_out(member: Member, problem: Problem) -> LeftOut:
    number = member.document.get("claim_number")
    return LeftOut(
        claim_id=member.claim_id,
        claim_number=number if isinstance(number, str) else "",
        code=problem.code,
        field=problem.field,
        message=problem.message,
    )
