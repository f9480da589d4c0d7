"""Checks of a voucher against what the accounting system knows.

Accounting systems take only accounts, dimensions, sub-ledger numbers and tax codes that exist in
them, and say so only when the file is processed. What the organisation lists in its settings is
checked before; what it does not list is left to the accounting system.
"""

from collections.abc import Iterator
from typing import Final

from exporters.problem import Problem, ProblemCode
from exporters.settings import ExporterSettings
from exporters.voucher import JournalLine, Voucher


class MasterData:
    """The lists of one organisation, ready to be asked many times."""

    def __init__(self, settings: ExporterSettings) -> None:
        self._dimension_order: Final = settings.dimension_order
        self._tax_policy: Final = settings.tax_policy
        self._accounts = _codes(settings.accounts)
        self._control_accounts = _codes(settings.control_accounts)
        self._tax_codes = _codes(settings.tax_codes)
        self._required_dimensions = settings.required_dimensions
        self._dimension_values = {
            name: frozenset(codes) for name, codes in settings.dimension_values.items()
        }

    def problems(self, voucher: Voucher) -> Iterator[Problem]:
        """Go through the lines in order: account, sub-ledger, dimensions, tax code."""
        for line in voucher.lines:
            yield from self._account_problems(line)
            yield from self._dimension_problems(line)
            yield from self._tax_problems(line)

    def _account_problems(self, line: JournalLine) -> Iterator[Problem]:
        account = line.account_code
        if self._accounts is not None and account not in self._accounts:
            message = f"The account {account} is not among the accounts in the settings."
            yield line_problem(ProblemCode.ACCOUNT_NOT_ALLOWED, line, "account_code", message)
        if self._control_accounts is None:
            return
        if account in self._control_accounts and not line.subledger_number:
            message = f"The control account {account} needs the claimant's number."
            yield line_problem(ProblemCode.SUBLEDGER_MISSING, line, "subledger_number", message)
        if account not in self._control_accounts and line.subledger_number:
            message = f"The account {account} is no control account, so it takes no claimant."
            yield line_problem(ProblemCode.SUBLEDGER_NOT_ALLOWED, line, "subledger_number", message)

    def _dimension_problems(self, line: JournalLine) -> Iterator[Problem]:
        for name in self._required_dimensions.get(line.account_code, ()):
            if name not in line.dimensions:
                message = f"The account {line.account_code} needs the dimension {name}."
                yield line_problem(
                    ProblemCode.DIMENSION_MISSING,
                    line,
                    f"dimensions.{name}",
                    message,
                )
        for name in self._dimension_order:
            code = line.dimensions.get(name)
            allowed = self._dimension_values.get(name)
            if code is not None and allowed is not None and code not in allowed:
                message = f"The code {code} is not among the settings' codes for {name}."
                yield line_problem(
                    ProblemCode.DIMENSION_NOT_ALLOWED,
                    line,
                    f"dimensions.{name}",
                    message,
                )

    def _tax_problems(self, line: JournalLine) -> Iterator[Problem]:
        code = line.tax_code
        if code is None:
            if self._tax_policy == "explicit" and line.side == "expense":
                message = "The posting rule gives no tax code, and the settings ask for one."
                yield line_problem(ProblemCode.TAX_CODE_MISSING, line, "tax_code", message)
        elif self._tax_policy == "empty" or (
            self._tax_codes is not None and code not in self._tax_codes
        ):
            message = f"The settings do not allow the tax code {code}."
            yield line_problem(ProblemCode.TAX_CODE_NOT_ALLOWED, line, "tax_code", message)


def line_problem(code: str, line: JournalLine, field: str, message: str) -> Problem:
    """Name the line by its number in the claim; the payable line is line 0."""
    return Problem(code, f"lines[{line.line_number}].{field}", message)


def _codes(codes: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if codes is None else frozenset(codes)
