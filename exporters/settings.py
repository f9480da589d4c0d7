"""The settings that every exporter has; each exporter adds its own."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from exporters.layout import Encoding, LineEnd
from exporters.problem import ConfigurationInvalid, Problem, ProblemCode, sentence
from exporters.text_template import CLAIM_PLACEHOLDERS, LINE_PLACEHOLDERS, TextTemplate


def _line_template(text: str) -> str:
    TextTemplate.parse(text, LINE_PLACEHOLDERS)
    return text


def _claim_template(text: str) -> str:
    TextTemplate.parse(text, CLAIM_PLACEHOLDERS)
    return text


LineText = Annotated[str, AfterValidator(_line_template)]
ClaimText = Annotated[str, AfterValidator(_claim_template)]
Code = Annotated[str, Field(min_length=1, pattern=r"^\S(?:.*\S)?$")]
Codes = Annotated[tuple[Code, ...], Field(strict=False)]
Day = Annotated[date, Field(strict=False, ge=date(2000, 1, 1), le=date(2999, 12, 30))]
PostingDatePolicy = Literal["approval", "expense", "export", "fixed"]
_ONE_DAY_FOR_ALL: Final = frozenset({"export", "fixed"})


class ExporterSettings(BaseModel):
    """Facts of the organisation that no layout can know.

    Unknown settings are refused, because a misspelt one would be ignored. A setting is therefore
    never removed or renamed, and a changed default raises the renderer version: stored runs
    freeze only the settings that somebody wrote.

    Posting date: an entry is posted on the day of approval unless `posting_date` says `export`,
    the day that the run began, `expense`, the day of the claim's last expense, or `fixed`, the
    day `fixed_posting_date`. A reversal is a new event in the ledger, so it is posted on the day
    of export unless `reversal_posting_date` says otherwise. Nothing is posted up to the day
    `closed_until`: a claim that would be is left out (`closed_period` = `refuse`), or posted on
    the day after (`move`), which the run's notices count.

    A claim has a voucher of its own, unless `voucher_per` says `claimant` or `run`: then claims
    share one, as long as it has no more than `most_voucher_lines`; a claimant without a number
    still has a voucher per claim. A voucher has one posting date, so both posting dates are then
    `export` or `fixed`.

    `due_days` after the posting date is the due date of what an entry owes; null gives none.

    Texts have the placeholders of `exporters.text_template`.

    Dimensions: `dimension_order` says which of the claim's dimensions are the target's first,
    second and so on; those not listed are not exported. The payable line has the dimensions of
    its posting rule only, unless `payable_dimensions` says `claim`.

    Master data, each checked only when given: `accounts`, `dimension_values` (dimension -> codes),
    `required_dimensions` (account code -> dimensions), `control_accounts` (exactly these carry the
    claimant's number) and `tax_codes`. With `tax_policy` = `empty` no line may have a tax code,
    with `explicit` every expense line must: accounting systems may have a default for a line
    without one, so the two are never mixed.

    `bank_account_numbers` in what people wrote are kept, or written as asterisks (`mask`).
    `identity_numbers` in what people wrote leave the claim out (`refuse`), or are written as
    asterisks (`mask`), which the run's notices count; in a code they always leave it out.

    Dialect: `header`, `header_text`, `encoding` and `line_end` replace the layout's when given.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    posting_date: PostingDatePolicy = "approval"
    reversal_posting_date: PostingDatePolicy = "export"
    fixed_posting_date: Day | None = None
    closed_until: Day | None = None
    closed_period: Literal["refuse", "move"] = "refuse"
    voucher_per: Literal["claim", "claimant", "run"] = "claim"
    # The limits and the default are the database's, too, which forms the vouchers.
    most_voucher_lines: Annotated[int, Field(ge=2, le=10_000)] = 500
    due_days: Annotated[int, Field(ge=0, le=365)] | None = None
    line_text: LineText = "{claim_number} {description}"
    payable_text: ClaimText = "{claim_number} {claimant_name}"
    reversal_line_text: LineText = "Tilbakeføring {claim_number} {description}"
    reversal_payable_text: ClaimText = "Tilbakeføring {claim_number} {claimant_name}"
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "NOK"
    dimension_order: Codes = ("department", "project")
    payable_dimensions: Literal["rule", "claim"] = "rule"
    accounts: Codes | None = None
    control_accounts: Codes | None = None
    dimension_values: dict[str, Codes] = Field(default_factory=dict)
    required_dimensions: dict[str, Codes] = Field(default_factory=dict)
    tax_policy: Literal["empty", "explicit"] = "empty"
    tax_codes: Codes | None = None
    identity_numbers: Literal["refuse", "mask"] = "refuse"
    bank_account_numbers: Literal["keep", "mask"] = "keep"
    header: Literal["none", "names", "text"] | None = None
    header_text: str | None = None
    encoding: Encoding | None = None
    line_end: LineEnd | None = None

    @model_validator(mode="after")
    def _header_has_its_text(self) -> Self:
        if (self.header == "text") != (self.header_text is not None):
            raise ValueError("header_text is given exactly when header is 'text'.")
        return self

    @model_validator(mode="after")
    def _fixed_day_has_its_date(self) -> Self:
        is_asked_for = "fixed" in {self.posting_date, self.reversal_posting_date}
        if is_asked_for != (self.fixed_posting_date is not None):
            raise ValueError("fixed_posting_date is given exactly when a posting date is 'fixed'.")
        return self

    @model_validator(mode="after")
    def _shared_vouchers_have_one_day(self) -> Self:
        policies = {self.posting_date, self.reversal_posting_date}
        if self.voucher_per != "claim" and not policies <= _ONE_DAY_FOR_ALL:
            raise ValueError(
                "A voucher of several claims has one posting date: with voucher_per"
                f" '{self.voucher_per}', posting_date and reversal_posting_date are 'export' or"
                " 'fixed'.",
            )
        return self

    def document_number(self, voucher_number: int) -> str:
        """Write the voucher number as the target wants it."""
        return str(voucher_number)

    def texts_show(self, placeholder: str) -> bool:
        """Tell whether every text setting has a placeholder, so that every line's text does."""
        texts = (
            self.line_text,
            self.payable_text,
            self.reversal_line_text,
            self.reversal_payable_text,
        )
        return all(placeholder in TextTemplate.parse(text).names for text in texts)

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> Self:
        """Read the settings as frozen.

        Raises:
            ConfigurationInvalid: a setting is missing, unknown or not usable.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ConfigurationInvalid(_problems(error)) from error


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    codes = {
        "missing": ProblemCode.SETTING_MISSING,
        "extra_forbidden": ProblemCode.SETTING_UNKNOWN,
    }
    return tuple(
        Problem(
            codes.get(detail["type"], ProblemCode.SETTING_INVALID),
            ".".join(str(step) for step in ("settings", *detail["loc"])),
            sentence(detail["msg"]),
        )
        for detail in error.errors(include_url=False, include_input=False)
    )
