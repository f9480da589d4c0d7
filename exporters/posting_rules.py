"""From a claim and the posting rules to a voucher: one debit per expense, one payable credit."""

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal

from exporters.claim import Claim, ClaimLine, Member
from exporters.configuration import PostingRule
from exporters.problem import ClaimUnusable, Problem, ProblemCode
from exporters.run_context import RunContext
from exporters.settings import ExporterSettings
from exporters.text_template import TextContext, TextTemplate
from exporters.voucher import JournalLine, Voucher

PAYABLE_LINE_NUMBER: Final = 0

Kind = Literal["entry", "reversal"]


class PostingRules:
    """Applies one organisation's rules to its claims, one voucher per claim.

    Microsoft's Expense Agent books a report in the same shape: a debit per expense with its
    dimensions and one credit for the total, all under one document number.
    """

    def __init__(
        self,
        rules: Iterable[PostingRule],
        settings: ExporterSettings,
        run: RunContext,
    ) -> None:
        self._settings = settings
        self._run = run
        self._expense_rules: dict[str | None, PostingRule] = {}
        self._payable_rule: PostingRule | None = None
        for rule in rules:
            if rule.side == "payable":
                self._payable_rule = rule
            else:
                self._expense_rules[rule.expense_type] = rule
        self._line_texts: dict[Kind, TextTemplate] = {
            "entry": TextTemplate.parse(settings.line_text),
            "reversal": TextTemplate.parse(settings.reversal_line_text),
        }
        self._payable_texts: dict[Kind, TextTemplate] = {
            "entry": TextTemplate.parse(settings.payable_text),
            "reversal": TextTemplate.parse(settings.reversal_payable_text),
        }

    def voucher(self, member: Member, claim: Claim) -> Voucher:
        """Post a claim, or take it back with every sign changed.

        Lines are in the order of their line numbers, the payable line last.

        Raises:
            ClaimUnusable: with every reason why the claim cannot be posted.
        """
        problems = (*_amount_problems(claim), *self._rule_problems(claim))
        if problems or self._payable_rule is None:
            raise ClaimUnusable(problems)
        lines = [
            self._expense_line(member, claim, line)
            for line in sorted(claim.lines, key=lambda line: line.line_number)
        ]
        return Voucher(
            number=member.voucher_number,
            document_number=self._settings.document_number(member.voucher_number),
            kind=member.kind,
            posting_date=self._posting_date(member.kind, claim),
            currency=claim.currency,
            lines=(*lines, self._payable_line(member, claim, self._payable_rule)),
        )

    def _posting_date(self, kind: Kind, claim: Claim) -> date:
        policy = (
            self._settings.posting_date if kind == "entry" else self._settings.reversal_posting_date
        )
        return claim.approved_on if policy == "approval" else self._run.export_date

    def _due_date(self, kind: Kind, claim: Claim) -> date | None:
        """Only what is owed falls due, not what is taken back."""
        days = self._settings.due_days
        if days is None or kind == "reversal":
            return None
        return self._posting_date(kind, claim) + timedelta(days=days)

    def _expense_line(self, member: Member, claim: Claim, line: ClaimLine) -> JournalLine:
        rule = self._expense_rules[line.expense_type]
        context = TextContext(claim, line, member.voucher_number, self._run.run_number)
        return JournalLine(
            claim=claim,
            side="expense",
            line_number=line.line_number,
            expense_type=line.expense_type,
            account_code=rule.account_code,
            tax_code=rule.tax_code or None,
            amount=line.amount if member.kind == "entry" else -line.amount,
            text=self._line_texts[member.kind].fill(context),
            document_date=line.expense_date,
            due_date=None,
            dimensions={**rule.dimensions, **claim.dimensions, **line.dimensions},
            subledger_number=_subledger_number(rule, claim),
        )

    def _payable_line(self, member: Member, claim: Claim, rule: PostingRule) -> JournalLine:
        context = TextContext(claim, None, member.voucher_number, self._run.run_number)
        dimensions = rule.dimensions
        if self._settings.payable_dimensions == "claim":
            dimensions = {**dimensions, **claim.dimensions}
        return JournalLine(
            claim=claim,
            side="payable",
            line_number=PAYABLE_LINE_NUMBER,
            expense_type=None,
            account_code=rule.account_code,
            tax_code=rule.tax_code or None,
            amount=-claim.total if member.kind == "entry" else claim.total,
            text=self._payable_texts[member.kind].fill(context),
            document_date=claim.approved_on,
            due_date=self._due_date(member.kind, claim),
            dimensions=dimensions,
            subledger_number=_subledger_number(rule, claim),
        )

    def _rule_problems(self, claim: Claim) -> list[Problem]:
        problems: list[Problem] = []
        used: list[PostingRule] = []
        if claim.currency != self._settings.currency:
            message = (
                f"The claim is in {claim.currency}, but only {self._settings.currency} can be"
                " exported."
            )
            problems.append(Problem(ProblemCode.CURRENCY_NOT_SUPPORTED, "currency", message))
        for line in claim.lines:
            if rule := self._expense_rules.get(line.expense_type):
                used.append(rule)
                continue
            field = f"lines[{line.line_number}].expense_type"
            message = f"No posting rule gives an account for the expense type {line.expense_type}."
            problems.append(Problem(ProblemCode.NO_ACCOUNT_FOR_EXPENSE_TYPE, field, message))
        if self._payable_rule:
            used.append(self._payable_rule)
        else:
            message = "No posting rule gives the account for what is owed to the claimant."
            problems.append(Problem(ProblemCode.NO_PAYABLE_ACCOUNT, "posting_rules", message))
        if not claim.claimant.number and any(rule.subledger == "claimant" for rule in used):
            message = "The claimant has no number, and the posting rule needs one."
            problems.append(
                Problem(ProblemCode.MISSING_CLAIMANT_NUMBER, "claimant.number", message),
            )
        return problems


def _subledger_number(rule: PostingRule, claim: Claim) -> str | None:
    return claim.claimant.number if rule.subledger == "claimant" else None


def _amount_problems(claim: Claim) -> list[Problem]:
    if not claim.lines:
        return [Problem(ProblemCode.NO_LINES, "lines", "The claim has no lines.")]
    problems = [
        Problem(
            ProblemCode.ZERO_AMOUNT_LINE,
            f"lines[{line.line_number}].amount",
            f"Line {line.line_number} of the claim has the amount zero.",
        )
        for line in claim.lines
        if not line.amount
    ]
    total = sum((line.amount for line in claim.lines), Decimal(0))
    if total != claim.total:
        message = f"The lines sum to {total}, but the claim's total is {claim.total}."
        problems.append(Problem(ProblemCode.TOTAL_MISMATCH, "total", message))
    elif not total:
        message = "The claim's total is zero, so nothing is owed and there is no line to pay."
        problems.append(Problem(ProblemCode.ZERO_TOTAL, "total", message))
    return problems
