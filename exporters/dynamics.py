"""Dynamics 365 Business Central: a delimited file for its data exchange framework."""

from collections.abc import Iterator
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from exporters.layout_exporter import LayoutExporter
from exporters.master_data import line_problem
from exporters.problem import Problem, ProblemCode
from exporters.settings import ExporterSettings
from exporters.voucher import Voucher

# Business Central's Document No. is Code 20. A counter of a billion leaves ten for the prefix.
_DOCUMENT_NUMBER_WIDTH: Final = 20
_LONGEST_COUNTER: Final = 10


class DynamicsSettings(ExporterSettings):
    """Facts of the Business Central company.

    The document number is `document_number_prefix` and the voucher number, with zeros in front up
    to `document_number_digits`. It must be in upper case, because Business Central's code fields
    are, and unique in the company's number series.
    """

    document_number_prefix: Annotated[str, Field(pattern=r"^[A-Z0-9ÆØÅ/._-]*$")] = ""
    document_number_digits: Annotated[int, Field(ge=1, le=_LONGEST_COUNTER)] = 1

    @model_validator(mode="after")
    def _document_number_fits(self) -> Self:
        if len(self.document_number_prefix) + _LONGEST_COUNTER > _DOCUMENT_NUMBER_WIDTH:
            raise ValueError("document_number_prefix has at most 10 characters.")
        return self

    def document_number(self, voucher_number: int) -> str:
        """Put the prefix before the padded voucher number."""
        return f"{self.document_number_prefix}{voucher_number:0{self.document_number_digits}}"


class DynamicsExporter(LayoutExporter[DynamicsSettings]):
    """Writes general-ledger lines only.

    Business Central reads an account type by its caption in the session's language, so a file
    without one is read alike everywhere; what is owed to the claimant is then a ledger account.
    """

    format = "dynamics_bc_csv"
    target = "dynamics"
    layout_name = "dynamics_bc_csv"
    settings_type = DynamicsSettings

    def _voucher_problems(self, voucher: Voucher) -> Iterator[Problem]:
        for line in voucher.lines:
            if line.side == "payable" and line.tax_code:
                message = f"The payable line cannot have the VAT number {line.tax_code}."
                yield line_problem(ProblemCode.TAX_CODE_NOT_ALLOWED, line, "tax_code", message)
