"""Which posting rule applies to a claim line, and to what is owed to the claimant."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from exporters.claim import Claim, ClaimLine
from exporters.configuration import CLAIMANT, PostingRule
from exporters.problem import Problem, ProblemCode


class RuleBook:
    """The rules of one organisation, ready to be asked many times.

    Of the rules whose conditions all hold, one for the expense type goes before one for every
    type, and then the one with the most conditions. Two that are alike in this leave the claim
    out: nothing is posted by the order of a table.
    """

    def __init__(self, rules: Iterable[PostingRule]) -> None:
        self._expense: dict[str | None, list[PostingRule]] = defaultdict(list)
        self._payable: list[PostingRule] = []
        for rule in rules:
            if rule.side == "payable":
                self._payable.append(rule)
            else:
                self._expense[rule.expense_type].append(rule)
        # Most types have one rule and no conditions: nothing of the claim has to be looked at.
        self._whatever_holds = {
            expense_type: rules[0]
            for expense_type, rules in self._expense.items()
            if len(rules) == 1 and not rules[0].conditions and expense_type is not None
        }

    def of_line(self, claim: Claim, line: ClaimLine) -> PostingRule | Problem:
        """Find the rule of an expense, or say why there is none."""
        if rule := self._whatever_holds.get(line.expense_type):
            return rule
        facts = _facts(claim, {**claim.dimensions, **line.dimensions})
        for rules in (self._expense.get(line.expense_type), self._expense.get(None)):
            if found := _most_special(rules or (), facts):
                return _only(found, f"lines[{line.line_number}].expense_type")
        return Problem(
            ProblemCode.NO_ACCOUNT_FOR_EXPENSE_TYPE,
            f"lines[{line.line_number}].expense_type",
            f"No posting rule gives an account for the expense type {line.expense_type}.",
        )

    def of_payable(self, claim: Claim) -> PostingRule | Problem:
        """Find the rule for what is owed to the claimant, or say why there is none."""
        if found := _most_special(self._payable, _facts(claim, claim.dimensions)):
            return _only(found, "posting_rules")
        message = "No posting rule gives the account for what is owed to the claimant."
        return Problem(ProblemCode.NO_PAYABLE_ACCOUNT, "posting_rules", message)


def _facts(claim: Claim, dimensions: Mapping[str, str]) -> Mapping[str, str]:
    return {**dimensions, CLAIMANT: claim.claimant.number or ""}


def _most_special(rules: Iterable[PostingRule], facts: Mapping[str, str]) -> list[PostingRule]:
    holding = [
        rule
        for rule in rules
        if all(facts.get(name) == value for name, value in rule.conditions.items())
    ]
    most = max((len(rule.conditions) for rule in holding), default=0)
    return [rule for rule in holding if len(rule.conditions) == most]


def _only(found: list[PostingRule], field: str) -> PostingRule | Problem:
    if len(found) == 1:
        return found[0]
    accounts = ", ".join(sorted(rule.account_code for rule in found))
    message = f"Several posting rules apply alike; their accounts are {accounts}."
    return Problem(ProblemCode.AMBIGUOUS_POSTING_RULE, field, message)
