"""Xledger: the import definitions GL02b and GL02, and the bodies that its API takes."""

from collections.abc import Iterator
from typing import Annotated, Final, Generic, Self, TypeVar

from pydantic import Field, model_validator

from exporters.column_source import PathSource
from exporters.layout import Layout
from exporters.layout_exporter import LayoutExporter
from exporters.master_data import line_problem
from exporters.problem import Problem, ProblemCode
from exporters.settings import Code, Codes, ExporterSettings
from exporters.text_template import TextTemplate
from exporters.voucher import Voucher

# The claim number has a column of its own of this width, so no longer one reaches a text.
_LONGEST_CLAIM_NUMBER: Final = 25
_TEXT_TEMPLATES: Final = (
    "line_text",
    "payable_text",
    "reversal_line_text",
    "reversal_payable_text",
)


class _XledgerFacts(ExporterSettings):
    """Facts of the Xledger tenant that every format needs.

    `voucher_type` must exist in Xledger. Account codes have `account_digits` digits unless
    `accounts` lists them; null takes any.
    """

    voucher_type: Annotated[Code, Field(max_length=8)]
    voucher_types: Codes | None = None
    account_digits: Annotated[int, Field(ge=1, le=20)] | None = 4


class XledgerSettings(_XledgerFacts):
    """For GL02b: the entity, and the label of the import, which names the import definition."""

    entity_code: Code
    import_system: str = "GL02b"


class XledgerGl02Settings(_XledgerFacts):
    """For GL02, which is for one entity. `xgl_code` is the tenant's, null for none."""

    import_system: str = "GL02"
    xgl_code: Code | None = None


class XledgerJsonSettings(_XledgerFacts):
    """For the API: the entity, and the job level, which every public example sends by one id."""

    entity_code: Code
    job_level_db_id: Annotated[int, Field(ge=0)] | None = None
    job_level_db_sub_id: Annotated[int, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _has_one_job_level(self) -> Self:
        if (self.job_level_db_id is None) == (self.job_level_db_sub_id is None):
            raise ValueError("Give either job_level_db_id or job_level_db_sub_id.")
        return self


FactsT = TypeVar("FactsT", bound=_XledgerFacts)


class _XledgerFormat(LayoutExporter[FactsT], Generic[FactsT]):
    """What Xledger asks of vouchers, in whichever format they come."""

    target = "xledger"

    def _configuration_problems(
        self,
        settings: FactsT,
        layout: Layout,
    ) -> Iterator[Problem]:
        if settings.voucher_types is not None and settings.voucher_type not in (
            settings.voucher_types
        ):
            yield Problem(
                ProblemCode.SETTING_INVALID,
                "settings.voucher_type",
                f"The voucher type {settings.voucher_type} is not among the voucher_types.",
            )
        width = _text_width(layout)
        for name in _TEXT_TEMPLATES:
            if not _keeps_claim_number(TextTemplate.parse(getattr(settings, name)), width):
                yield Problem(
                    ProblemCode.SETTING_INVALID,
                    f"settings.{name}",
                    f"The text needs {{claim_number}} as its first placeholder, early enough to"
                    f" stay within {width} characters: shortening must never cut it off.",
                )

    def _voucher_problems(self, voucher: Voucher) -> Iterator[Problem]:
        digits = self.settings.account_digits
        if self.settings.accounts is not None or digits is None:
            return
        for line in voucher.lines:
            account = line.account_code
            if not (account.isascii() and account.isdigit() and len(account) == digits):
                message = f"The account {account} does not have {digits} digits."
                yield line_problem(ProblemCode.ACCOUNT_NOT_ALLOWED, line, "account_code", message)


class XledgerExporter(_XledgerFormat[XledgerSettings]):
    """Writes GL02b, 61 columns, one record per journal line.

    Columns 1 to 6, the separator and the date and decimal form are those that Moment documents
    for its format GL02b; the other positions are inferred from working exporters and graded in
    the layout.
    """

    format = "xledger_gl02b"
    layout_name = "xledger_gl02b"
    settings_type = XledgerSettings


class XledgerGl02Exporter(_XledgerFormat[XledgerGl02Settings]):
    """Writes GL02, 49 columns: names and order are those of HospitalRun's exporter."""

    format = "xledger_gl02"
    layout_name = "xledger_gl02"
    settings_type = XledgerGl02Settings


class XledgerJsonExporter(_XledgerFormat[XledgerJsonSettings]):
    """Writes bodies of the mutation `addGLImportItems`, one to a line, for whoever sends them.

    Xledger takes at most 500 lines in a request, and all lines of a voucher in the same one
    (Xledger's help centre on GraphQL). The file holds no token.
    """

    format = "xledger_json"
    content_type = "application/json"
    file_extension = "jsonl"
    layout_name = "xledger_json"
    settings_type = XledgerJsonSettings


def _text_width(layout: Layout) -> int | None:
    widths = [
        column.limit
        for column in layout.columns
        if isinstance(column.source, PathSource) and column.source.path == "line.text"
    ]
    return min((width for width in widths if width is not None), default=None)


def _keeps_claim_number(template: TextTemplate, width: int | None) -> bool:
    if template.names[:1] != ("claim_number",):
        return False
    return width is None or len(template.constants[0]) + _LONGEST_CLAIM_NUMBER <= width
