"""Why a claim or a configuration cannot be exported."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class ProblemCode(StrEnum):
    """The stable codes that callers translate and count; a code is never renamed or reused."""

    # of a claim
    DOCUMENT_INVALID = "document_invalid"
    NATIONAL_IDENTITY_NUMBER = "national_identity_number"
    AMOUNT_NOT_EXACT = "amount_not_exact"
    NO_LINES = "no_lines"
    ZERO_AMOUNT_LINE = "zero_amount_line"
    TOTAL_MISMATCH = "total_mismatch"
    ZERO_TOTAL = "zero_total"
    CURRENCY_NOT_SUPPORTED = "currency_not_supported"
    NO_ACCOUNT_FOR_EXPENSE_TYPE = "no_account_for_expense_type"
    NO_PAYABLE_ACCOUNT = "no_payable_account"
    AMBIGUOUS_POSTING_RULE = "ambiguous_posting_rule"
    PERIOD_CLOSED = "period_closed"
    MISSING_CLAIMANT_NUMBER = "missing_claimant_number"
    # of a voucher, against the accounting system's master data
    ACCOUNT_NOT_ALLOWED = "account_not_allowed"
    DIMENSION_NOT_ALLOWED = "dimension_not_allowed"
    DIMENSION_MISSING = "dimension_missing"
    TAX_CODE_NOT_ALLOWED = "tax_code_not_allowed"
    TAX_CODE_MISSING = "tax_code_missing"
    SUBLEDGER_MISSING = "subledger_missing"
    SUBLEDGER_NOT_ALLOWED = "subledger_not_allowed"
    # of a value in a cell of the file
    REQUIRED_VALUE_MISSING = "required_value_missing"
    VALUE_TOO_LONG = "value_too_long"
    FORBIDDEN_CHARACTER = "forbidden_character"
    TEXT_NOT_ENCODABLE = "text_not_encodable"
    NOT_IN_TABLE = "not_in_table"
    NOT_A_NUMBER = "not_a_number"
    TOO_MANY_LINES = "too_many_lines"
    # of a configuration
    CONFIGURATION_INVALID = "configuration_invalid"
    UNKNOWN_FORMAT = "unknown_format"
    TARGET_MISMATCH = "target_mismatch"
    SETTING_MISSING = "setting_missing"
    SETTING_UNKNOWN = "setting_unknown"
    SETTING_INVALID = "setting_invalid"
    POSTING_RULE_INVALID = "posting_rule_invalid"
    LAYOUT_INVALID = "layout_invalid"


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason, for people (`message`, one plain English sentence) and programs (`code`).

    `field` is the path of the value at fault: `lines[2].expense_type` (2 is the line number of
    the claim), `settings.entity_code`, `layout.columns[33] (Amount).source`.
    `code` is one of `ProblemCode`, or a third-party exporter's own.
    """

    code: str
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A claim that is not in the file, with the first of its problems.

    `claim_number` is empty if the claim's document was too damaged to hold one.
    """

    claim_id: UUID
    claim_number: str
    code: str
    field: str
    message: str


def sentence(reason: str) -> str:
    """End a validator's reason with a period, and drop the prefix that pydantic gives ours."""
    return reason.removeprefix("Value error, ").removesuffix(".") + "."


class ProblemsFoundError(ValueError):
    """Carries every problem that was found, in a fixed order, never none."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{problem.field}: {problem.message}" for problem in problems))
        self.problems = problems


class ConfigurationInvalid(ProblemsFoundError):  # noqa: N818  # a state that callers handle
    """No claim can be exported under this configuration."""


class ClaimUnusable(ProblemsFoundError):  # noqa: N818  # a state that callers handle
    """This claim must be left out; others may go on."""
