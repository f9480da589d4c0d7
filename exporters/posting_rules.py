"""From a claim and the posting rules to a voucher: one debit per expense, one payable credit."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final, Literal

from exporters.claim import Claim, ClaimLine, Member
from exporters.configuration import PostingRule
from exporters.notice import Notice
from exporters.posting_day import PostingDay, posting_day
from exporters.problem import ClaimUnusable, Problem, ProblemCode
from exporters.rule_book import RuleBook
from exporters.run_context import RunContext
from exporters.settings import ExporterSettings
from exporters.text_template import TextContext, TextTemplate
from exporters.voucher import JournalLine, Voucher

PAYABLE_LINE_NUMBER: Final = 0
_CENT: Final = Decimal("0.01")
_HUNDRED: Final = Decimal(100)
# Enough digits that only the rounding to the hundredth counts.
_EXACT: Final = Context(prec=50, rounding=ROUND_HALF_UP)

Kind = Literal["entry", "reversal"]


class PostingRules:
    """Applies one organisation's rules to its claims.

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
        self._rules = RuleBook(rules)
        self._moved = 0
        self._first_moved = ""
        self._line_texts: dict[Kind, TextTemplate] = {
            "entry": TextTemplate.parse(settings.line_text),
            "reversal": TextTemplate.parse(settings.reversal_line_text),
        }
        self._payable_texts: dict[Kind, TextTemplate] = {
            "entry": TextTemplate.parse(settings.payable_text),
            "reversal": TextTemplate.parse(settings.reversal_payable_text),
        }

    def voucher(self, member: Member, claim: Claim, lines_before: int = 0) -> Voucher:
        """Post a claim, or take it back with every sign changed.

        Lines are in the order of their line numbers, the payable line last. Claims that share a
        document have a payable line each, so that every payment leads to its claim.

        Raises:
            ClaimUnusable: with every reason why the claim cannot be posted.
        """
        day = posting_day(member.kind, claim, self._settings, self._run) if claim.lines else None
        rules = [self._rules.of_line(claim, line) for line in claim.lines]
        payable = self._rules.of_payable(claim)
        problems = (
            *_amount_problems(claim),
            *self._rule_problems(claim, rules, payable),
            *([day] if isinstance(day, Problem) else []),
        )
        if problems or not isinstance(day, PostingDay) or isinstance(payable, Problem):
            raise ClaimUnusable(problems)
        posted = sorted(zip(claim.lines, rules, strict=True), key=lambda pair: pair[0].line_number)
        lines = [
            journal_line
            for line, rule in posted
            if isinstance(rule, PostingRule)
            for journal_line in self._expense_lines(member, claim, line, rule)
        ]
        if day.is_moved:
            self._note_move(claim)
        return Voucher(
            number=member.voucher_number,
            document_number=self._settings.document_number(member.voucher_number),
            kind=member.kind,
            posting_date=day.day,
            currency=claim.currency,
            lines=(*lines, self._payable_line(member, claim, payable, day.day)),
            lines_before=lines_before,
        )

    def notices(self) -> tuple[Notice, ...]:
        """Count the vouchers that were moved out of a closed period."""
        if not self._moved:
            return ()
        return (Notice("posting_date_moved", "posting_date", self._moved, self._first_moved),)

    def _note_move(self, claim: Claim) -> None:
        self._first_moved = self._first_moved or claim.claim_number
        self._moved += 1

    def _due_date(self, kind: Kind, posted_on: date) -> date | None:
        """Only what is owed falls due, not what is taken back."""
        days = self._settings.due_days
        if days is None or kind == "reversal":
            return None
        return posted_on + timedelta(days=days)

    def _expense_lines(
        self, member: Member, claim: Claim, line: ClaimLine, rule: PostingRule
    ) -> Iterator[JournalLine]:
        """Give the expense's own line, and after it the tax that its rule takes out of it."""
        whole = self._expense_line(member, claim, line, rule)
        tax = _tax_within(whole.amount, rule)
        if tax:
            yield whole._replace(amount=whole.amount - tax)
            yield whole._replace(
                amount=tax,
                account_code=rule.tax_account_code or "",
                subledger_number=None,
                dimensions=rule.dimensions,
            )
        else:
            yield whole

    def _expense_line(
        self, member: Member, claim: Claim, line: ClaimLine, rule: PostingRule
    ) -> JournalLine:
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

    def _payable_line(
        self, member: Member, claim: Claim, rule: PostingRule, posted_on: date
    ) -> JournalLine:
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
            due_date=self._due_date(member.kind, posted_on),
            dimensions=dimensions,
            subledger_number=_subledger_number(rule, claim),
        )

    def _rule_problems(
        self, claim: Claim, rules: Sequence[PostingRule | Problem], payable: PostingRule | Problem
    ) -> list[Problem]:
        problems: list[Problem] = []
        if claim.currency != self._settings.currency:
            message = (
                f"The claim is in {claim.currency}, but only {self._settings.currency} can be"
                " exported."
            )
            problems.append(Problem(ProblemCode.CURRENCY_NOT_SUPPORTED, "currency", message))
        found = [*rules, payable]
        problems += [rule for rule in found if isinstance(rule, Problem)]
        used = [rule for rule in found if isinstance(rule, PostingRule)]
        if not claim.claimant.number and any(rule.subledger == "claimant" for rule in used):
            message = "The claimant has no number, and the posting rule needs one."
            problems.append(
                Problem(ProblemCode.MISSING_CLAIMANT_NUMBER, "claimant.number", message),
            )
        return problems


def _tax_within(amount: Decimal, rule: PostingRule) -> Decimal:
    """Take the tax out of a gross amount, to the hundredth; the rest is net, so nothing is lost."""
    if rule.tax_percent is None:
        return Decimal(0)
    tax = _EXACT.divide(amount * rule.tax_percent, _HUNDRED + rule.tax_percent)
    rounded = tax.quantize(_CENT, rounding=ROUND_HALF_UP)
    # Of a hundredth nothing can be taken out: there is no line of zero.
    return Decimal(0) if rounded == amount else rounded


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
