"""Xledger: the import definition GL02b, 61 columns, one record per journal line."""

from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field

from exporters.column_source import PathSource
from exporters.delimited_exporter import DelimitedExporter
from exporters.layout import Layout
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


class XledgerSettings(ExporterSettings):
    """Facts of the Xledger tenant.

    `entity_code` and `voucher_type` must exist in Xledger. Account codes have `account_digits`
    digits unless `accounts` lists them; null takes any. `import_system` labels the import: Moment
    writes the name of the import definition.
    """

    entity_code: Code
    voucher_type: Annotated[Code, Field(max_length=8)]
    voucher_types: Codes | None = None
    import_system: str = "GL02b"
    account_digits: Annotated[int, Field(ge=1, le=20)] | None = 4


class XledgerExporter(DelimitedExporter[XledgerSettings]):
    """Writes GL02b.

    Columns 1 to 6, the separator and the date and decimal form are those that Moment documents
    for its format GL02b; the other positions are inferred from working exporters and graded in
    the layout.
    """

    format = "xledger_gl02b"
    target = "xledger"
    layout_name = "xledger_gl02b"
    settings_type = XledgerSettings

    def _configuration_problems(
        self,
        settings: XledgerSettings,
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
