"""What a preview is asked for: a scope, and what is to be tried on it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final
from uuid import UUID

from exporters.configuration import PostingRule
from exporters.problem import ProblemCode
from functions.errors import SetUpProblem, SetUpRefused

MOST_RUNS: Final = 3
_OF_VOUCHERS: Final = ("voucher_per", "most_voucher_lines")
_PARTS: Final = ("settings", "layout", "posting_rules")


@dataclass(frozen=True)
class PreviewScope:
    """As an export's: two inclusive dates of approval; `period_from` None is open."""

    organization_id: UUID
    target: str | None
    period_from: date | None
    period_to: date


@dataclass(frozen=True)
class Candidate:
    """Parts of a configuration that nobody has saved; each replaces the saved one as a whole.

    A `layout` of None is the one that ships with the format. Without any part it is no candidate.
    """

    parts: Mapping[str, object] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.parts)

    def applied_to(self, configuration: Mapping[str, object]) -> dict[str, object]:
        """The configuration with the candidate's parts in place of its own."""
        return {**configuration, **self.parts}

    def of_vouchers(self) -> dict[str, object] | None:
        """What the database must know to form vouchers as it would under the candidate.

        None without a candidate. The rest stays here: a layout may be large, and pages are many.
        """
        if not self.parts:
            return None
        told: dict[str, object] = {}
        settings, rules = self.parts.get("settings"), self.parts.get("posting_rules")
        if isinstance(settings, Mapping):
            told["settings"] = {name: settings[name] for name in _OF_VOUCHERS if name in settings}
        if isinstance(rules, Sequence):
            accounts = (rule.get("tax_account_code") for rule in rules)
            told["posting_rules"] = [{"tax_account_code": one} for one in accounts if one][:1]
        return told

    def check(self) -> None:
        """A frozen rule may have members of a later version; one that is tried has none.

        Raises:
            SetUpRefused: a rule has a member that no rule has, which would be ignored.
        """
        problems = list(_unknown_members(self.parts.get("posting_rules")))
        if problems:
            raise SetUpRefused(problems)


def saved_parts(configuration: Mapping[str, object]) -> Candidate:
    """The saved configuration itself as a candidate, to see what it would make of earlier runs."""
    return Candidate({part: configuration.get(part) for part in _PARTS})


def _unknown_members(rules: object) -> Iterator[SetUpProblem]:
    if not isinstance(rules, Sequence):
        return
    for place, rule in enumerate(rules):
        for name in sorted(set(rule) - set(PostingRule.model_fields)):
            yield SetUpProblem(
                f"posting_rules.{place}.{name}"[:100],
                str(ProblemCode.POSTING_RULE_INVALID),
                f"A posting rule has no {name[:50]}.",
            )
