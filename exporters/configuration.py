"""The configuration of a run, as the database froze it when the run began."""

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from exporters.claim import Dimensions
from exporters.problem import ConfigurationInvalid, Problem, ProblemCode, sentence

CLAIMANT: Final = "claimant"
"""The condition of a posting rule that is no dimension: the claimant's number."""


class _FrozenSetting(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class PostingRule(_FrozenSetting):
    """Where an expense type, or what is owed to the claimant, is posted.

    A rule of side `expense` is for its `expense_type`, or for every type without one; a rule of
    side `payable` names none. It applies where all `conditions` hold: dimensions by their names,
    and `claimant` for the claimant's number. With `subledger` = `claimant` the line carries that
    number.

    `tax_percent` of an expense are taken out of its amount, which is gross, and posted as a line
    of their own on `tax_account_code`: for accounting systems that do not split a line by its tax
    code. So a rule has a tax code or a tax account, never both.
    """

    side: Literal["expense", "payable"]
    expense_type: str | None = None
    account_code: Annotated[str, Field(min_length=1)]
    tax_code: str | None = None
    dimensions: Dimensions = Field(default_factory=dict)
    subledger: Literal["claimant", "none"] = "none"
    conditions: dict[str, str] = Field(default_factory=dict)
    tax_percent: Annotated[Decimal, Field(strict=False, gt=0, le=100)] | None = None
    tax_account_code: Annotated[str, Field(min_length=1)] | None = None

    @model_validator(mode="after")
    def _names_its_type(self) -> Self:
        if self.expense_type == "" or (self.side == "payable" and self.expense_type):
            raise PydanticCustomError(
                ProblemCode.POSTING_RULE_INVALID,
                "A rule of side payable names no expense type, and no type is an empty text.",
            )
        return self

    @model_validator(mode="after")
    def _splits_tax_once(self) -> Self:
        is_split = self.tax_percent is not None
        if is_split != (self.tax_account_code is not None):
            raise PydanticCustomError(
                ProblemCode.POSTING_RULE_INVALID, "tax_percent and tax_account_code go together."
            )
        if is_split and (self.tax_code or self.side == "payable"):
            raise PydanticCustomError(
                ProblemCode.POSTING_RULE_INVALID,
                "Only an expense without a tax code is split into net and tax.",
            )
        return self


class FrozenConfiguration(_FrozenSetting):
    """How a run's claims become a file.

    `layout` replaces the whole layout that ships with the format. `on_problem` is the caller's to
    act on: rendering lists every claim that it left out, whatever the policy.
    """

    target: str
    format: str
    time_zone: Annotated[str, Field(min_length=1)]
    layout: dict[str, object] | None = None
    settings: dict[str, object] = Field(default_factory=dict)
    on_problem: Literal["leave_out", "refuse_run"]
    posting_rules: Annotated[tuple[PostingRule, ...], Field(strict=False)] = ()

    @model_validator(mode="after")
    def _has_no_rival_rules(self) -> Self:
        counts = Counter(_scope(rule) for rule in self.posting_rules)
        rivals = [name for name, count in counts.items() if count > 1]
        if rivals:
            raise PydanticCustomError(
                ProblemCode.POSTING_RULE_INVALID,
                "More than one posting rule applies to {rivals}.",
                {"rivals": ", ".join(rivals)},
            )
        return self

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> Self:
        """Read a frozen configuration, for example straight from decoded JSON.

        Raises:
            ConfigurationInvalid: the document breaks its shape, or two rules compete for one
                expense type or for the payable side.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ConfigurationInvalid(_problems(error)) from error


def _scope(rule: PostingRule) -> str:
    name = "(payable)" if rule.side == "payable" else rule.expense_type or "(every type)"
    conditions = ", ".join(f"{key} {value}" for key, value in sorted(rule.conditions.items()))
    return f"{name} where {conditions}" if conditions else name


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            ProblemCode.POSTING_RULE_INVALID
            if detail["type"] == ProblemCode.POSTING_RULE_INVALID
            or detail["loc"][:1] == ("posting_rules",)
            else ProblemCode.CONFIGURATION_INVALID,
            ".".join(str(step) for step in detail["loc"]) or "posting_rules",
            sentence(detail["msg"]),
        )
        for detail in error.errors(include_url=False, include_input=False)
    )
