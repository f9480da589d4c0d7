"""The day that a voucher is posted on: by policy, and never in a closed period."""

from datetime import date, timedelta
from typing import Literal, NamedTuple

from exporters.claim import Claim
from exporters.problem import Problem, ProblemCode
from exporters.run_context import RunContext
from exporters.settings import ExporterSettings


class PostingDay(NamedTuple):
    """`is_moved` says that the policy's day was in a closed period."""

    day: date
    is_moved: bool = False


def posting_day(
    kind: Literal["entry", "reversal"], claim: Claim, settings: ExporterSettings, run: RunContext
) -> PostingDay | Problem:
    """Apply the organisation's policy; a closed period moves the day or refuses the claim."""
    day = _by_policy(kind, claim, settings, run)
    closed = settings.closed_until
    if closed is None or day > closed:
        return PostingDay(day)
    if settings.closed_period == "move":
        return PostingDay(closed + timedelta(days=1), is_moved=True)
    message = f"The posting date {day} is in a period that is closed until {closed}."
    return Problem(ProblemCode.PERIOD_CLOSED, "posting_date", message)


def _by_policy(
    kind: Literal["entry", "reversal"], claim: Claim, settings: ExporterSettings, run: RunContext
) -> date:
    policy = settings.posting_date if kind == "entry" else settings.reversal_posting_date
    if policy == "approval":
        return claim.approved_on
    if policy == "expense":
        return max(line.expense_date for line in claim.lines)
    if policy == "fixed" and settings.fixed_posting_date is not None:
        return settings.fixed_posting_date
    return run.export_date
