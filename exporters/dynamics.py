"""Microsoft Dynamics 365: Business Central by file and by API, Finance by file."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Generic, Literal, Self, TypeVar

from pydantic import Field, model_validator

from exporters.column_source import EmptySource, paths_of
from exporters.journal_fields import ACCOUNT_TYPE, field_problems
from exporters.json_writer import JsonWriter, Record
from exporters.layout import Column, DelimitedDialect, Layout, NamesHeader
from exporters.layout_exporter import LayoutExporter
from exporters.master_data import line_problem
from exporters.notice import Notice
from exporters.problem import Problem, ProblemCode
from exporters.settings import Code, ExporterSettings
from exporters.voucher import Voucher

# Business Central's Document No. is Code 20, and so is Finance's voucher at least. A counter of a
# billion leaves ten for the prefix.
_DOCUMENT_NUMBER_WIDTH: Final = 20
_LONGEST_COUNTER: Final = 10

# Without these a line could not be found again in Business Central, or not be posted.
_NEEDED_BY_THE_API: Final = (
    "accountType",
    "accountNumber",
    "postingDate",
    "documentNumber",
    "externalDocumentNumber",
    "amount",
)
# The API gives these itself and refuses whoever sends them, or vouchers never have them.
_NEVER_SENT: Final = (
    "id",
    "journalId",
    "journalDisplayName",
    "lineNumber",
    "lastModifiedDateTime",
    "documentType",
    "balanceAccountType",
    "balancingAccountId",
    "balancingAccountNumber",
)

# What Finance needs in a file of its entity General journal.
_NEEDED_IN_FINANCE: Final = (
    "JOURNALBATCHNUMBER",
    "LINENUMBER",
    "JOURNALNAME",
    "ACCOUNTDISPLAYVALUE",
    "TRANSDATE",
    "VOUCHER",
    "CURRENCYCODE",
    "DEBITAMOUNT",
    "CREDITAMOUNT",
)
_HEADER_OF_FINANCE: Final = ("JOURNALNAME", "DESCRIPTION", "POSTINGLAYER")
_OF_JOURNAL: Final = ("settings.", "run.", "file.part")
_OF_ACCOUNT_TYPES: Final = ("settings.", "line.account_kind")
# Finance's advice: larger vouchers make the import slow.
_ADVISED_LINES: Final = 10


class _DynamicsFacts(ExporterSettings):
    """Facts that every format needs.

    The document number is `document_number_prefix` and the voucher number, with zeros in front up
    to `document_number_digits`. It must be in upper case, because Business Central's code fields
    are, and unique in the company's number series. Comments and descriptions go to the ledger as
    they are written, so bank account numbers are masked there.
    """

    bank_account_numbers: Literal["keep", "mask"] = "mask"
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


class DynamicsSettings(_DynamicsFacts):
    """For files of Business Central.

    `exchange_definition_code` names the definition that `python -m cli exchange-definition` makes.
    The two account types are the captions of a layout that has a column of them, letter by letter
    as the client of whoever imports shows them.
    """

    exchange_definition_code: Annotated[str, Field(pattern=r"^[A-Z0-9][A-Z0-9_-]{0,19}$")] = (
        "EXPENSE-CLAIMS"
    )
    ledger_account_type: Code | None = None
    claimant_account_type: Code | None = None


class DynamicsJsonSettings(_DynamicsFacts):
    """For Business Central's API.

    `claimant_account_type` says what a claimant's number is the number of. `dimension_codes` are
    the company's codes of our dimensions, by our names; a name that is not there is its own code.
    """

    claimant_account_type: Literal["Employee", "Vendor", "Customer"] = "Employee"
    dimension_codes: dict[str, Annotated[Code, Field(max_length=20)]] = Field(default_factory=dict)


class DynamicsFinanceSettings(_DynamicsFacts):
    """For Finance: `journal_name` must exist there; the journal's number is a placeholder.

    The placeholder is `journal_prefix`, the run's number and the number of the journal in the
    file. Finance puts a number of its own sequence in its place.
    """

    journal_name: Annotated[Code, Field(max_length=10)]
    journal_description: Annotated[Code, Field(max_length=50)] = "Utlegg"
    journal_prefix: Annotated[str, Field(pattern=r"^[A-Z0-9]{1,3}$")] = "U"
    posting_layer: Annotated[Code, Field(max_length=20)] = "Current"
    claimant_account_type: Literal["Vendor", "Customer", "Bank"] = "Vendor"


FactsT = TypeVar("FactsT", bound=_DynamicsFacts)


class _DynamicsFormat(LayoutExporter[FactsT], Generic[FactsT]):
    """What Dynamics asks of vouchers, in whichever format they come."""

    target = "dynamics"

    def _voucher_problems(self, voucher: Voucher) -> Iterator[Problem]:
        for line in voucher.lines:
            if not line.tax_code:
                continue
            if line.side == "payable":
                message = f"The payable line cannot have the VAT number {line.tax_code}."
                yield line_problem(ProblemCode.TAX_CODE_NOT_ALLOWED, line, "tax_code", message)
            elif line.subledger_number is not None:
                message = f"A claimant's own account cannot have the VAT number {line.tax_code}."
                yield line_problem(ProblemCode.TAX_CODE_NOT_ALLOWED, line, "tax_code", message)


class DynamicsExporter(_DynamicsFormat[DynamicsSettings]):
    """Writes general-ledger lines for an import by a data exchange definition.

    Business Central reads an account type by its caption in the session's language, so a file
    without one is read alike everywhere; what is owed to the claimant is then a ledger account.
    A layout of the organisation's own can have a column of account types, with the captions of
    the settings.
    """

    format = "dynamics_bc_csv"
    layout_name = "dynamics_bc_csv"
    settings_type = DynamicsSettings

    def _configuration_problems(
        self, settings: DynamicsSettings, layout: Layout
    ) -> Iterator[Problem]:
        for place, column in enumerate(layout.columns, 1):
            field = f"layout.columns[{place}] ({column.name})"
            for reason in field_problems(column):
                message = f"The column {column.name} {reason}."
                yield Problem(ProblemCode.LAYOUT_INVALID, field, message)
            if column.target_field is not None and column.target_field.number == ACCOUNT_TYPE:
                yield from _account_type_problems(column, field, settings.model_dump())


class DynamicsJsonExporter(_DynamicsFormat[DynamicsJsonSettings]):
    """Writes journal lines by the names that Business Central's API v2.0 has for them.

    The list `dimensions` is beside what a journal line of the API has; there each entry is a
    request of its own. The file holds no token.
    """

    format = "dynamics_bc_json"
    content_type = "application/json"
    file_extension = "json"
    layout_name = "dynamics_bc_json"
    settings_type = DynamicsJsonSettings

    def _configuration_problems(
        self, settings: DynamicsJsonSettings, layout: Layout
    ) -> Iterator[Problem]:
        del settings
        names = {column.name for column in layout.columns}
        messages = [
            *(f"The API needs {name}." for name in _NEEDED_BY_THE_API if name not in names),
            *(f"A journal line is not sent with {name}." for name in _NEVER_SENT if name in names),
        ]
        for message in messages:
            yield Problem(ProblemCode.LAYOUT_INVALID, "layout.columns", message)

    def records(self, voucher: Voucher) -> tuple[Record, ...]:
        """Give a voucher's lines as values, amounts as Decimal; nothing of the file changes.

        Raises:
            ClaimUnusable: the voucher could not stand in the file either.
        """
        self.refuse_unusable(voucher)
        if not isinstance(self._writer, JsonWriter):
            raise TypeError("The layout of this format is one of JSON.")
        return self._writer.values(voucher)


class DynamicsFinanceExporter(_DynamicsFormat[DynamicsFinanceSettings]):
    """Writes rows of Finance's entity General journal, for its set-based import."""

    format = "dynamics_fo_csv"
    layout_name = "dynamics_fo_csv"
    settings_type = DynamicsFinanceSettings

    _long_vouchers = 0
    _first_long = ""

    def render(self, voucher: Voucher) -> bytes:
        """Also count the vouchers that Finance calls large."""
        data = super().render(voucher)
        # Of claims that share a voucher, only the one that makes it large counts.
        if voucher.lines_before <= _ADVISED_LINES < voucher.lines_before + len(voucher.lines):
            self._long_vouchers += 1
            self._first_long = self._first_long or voucher.lines[0].claim.claim_number
        return data

    def notices(self) -> tuple[Notice, ...]:
        """Also tell of large vouchers, which Finance imports slowly."""
        if not self._long_vouchers:
            return super().notices()
        long = Notice("voucher_long", "lines", self._long_vouchers, self._first_long)
        return (*super().notices(), long)

    def _configuration_problems(
        self, settings: DynamicsFinanceSettings, layout: Layout
    ) -> Iterator[Problem]:
        del settings
        columns = {column.name: column for column in layout.columns}
        for name in _NEEDED_IN_FINANCE:
            if name not in columns:
                message = f"Finance needs the column {name}."
                yield Problem(ProblemCode.LAYOUT_INVALID, "layout.columns", message)
        for place, column in enumerate(layout.columns, 1):
            yield from _finance_column_problems(column, f"layout.columns[{place}] ({column.name})")
        dialect = layout.dialect
        if isinstance(dialect, DelimitedDialect) and not isinstance(dialect.header, NamesHeader):
            message = "Finance finds columns by their names, so the header must be the names."
            yield Problem(ProblemCode.LAYOUT_INVALID, "layout.dialect.header", message)


def _finance_column_problems(column: Column, field: str) -> Iterator[Problem]:
    reasons = []
    if column.name != column.name.upper():
        reasons.append("must be named in capital letters, as in the entity")
    if column.name.startswith("OFFSET") and not isinstance(column.source, EmptySource):
        reasons.append("must be empty, because vouchers balance by their own lines")
    of_line = [path for path in paths_of(column.source) if not path.startswith(_OF_JOURNAL)]
    if column.name in _HEADER_OF_FINANCE and of_line:
        reasons.append(f"is the same on every line of a journal, and cannot show {of_line[0]}")
    for reason in reasons:
        yield Problem(ProblemCode.LAYOUT_INVALID, field, f"The column {column.name} {reason}.")


def _account_type_problems(
    column: Column, field: str, settings: Mapping[str, object]
) -> Iterator[Problem]:
    paths = tuple(paths_of(column.source))
    if strangers := [path for path in paths if not path.startswith(_OF_ACCOUNT_TYPES)]:
        message = f"An account type is told by line.account_kind, not by {strangers[0]}."
        yield Problem(ProblemCode.LAYOUT_INVALID, field, message)
    for path in paths:
        name = path.removeprefix("settings.")
        if name != path and settings.get(name) is None:
            message = f"The column {column.name} needs the caption of the account type."
            yield Problem(ProblemCode.SETTING_MISSING, path, message)
