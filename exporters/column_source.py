"""Where a column's value comes from, as data: a path, a constant, or one of five functions."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from exporters.source import SourceType, source_type

_MOST_PARTS: Final = 20
_MOST_ENTRIES: Final = 10_000
_ACCOUNT_KIND: Final = "line.account_kind"


class LayoutPart(BaseModel):
    """What every part of a layout has in common: nothing is converted, nothing unknown is taken."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class PathSource(LayoutPart):
    """The value at a path, such as `line.amount`; the paths are those of `exporters.source`."""

    kind: Literal["path"]
    path: str

    @field_validator("path")
    @classmethod
    def _is_known(cls, path: str) -> str:
        source_type(path)
        return path


class ConstantSource(LayoutPart):
    """The same text on every line."""

    kind: Literal["constant"]
    value: Annotated[str, Field(min_length=1)]


class EmptySource(LayoutPart):
    """A column that is always empty."""

    kind: Literal["empty"] = "empty"


class ConcatenateSource(LayoutPart):
    """Its parts, one after the other, with the separator between those that are not empty.

    With `keep_places` empty parts stay, so that each has its place, as in `7100-410--`. A part that
    holds the separator would move the others: the claim is left out. Nothing but empty parts gives
    nothing.
    """

    kind: Literal["concatenate"]
    parts: Annotated[
        tuple["TextSource", ...], Field(min_length=2, max_length=_MOST_PARTS, strict=False)
    ]
    separator: str = ""
    keep_places: bool = False

    @model_validator(mode="after")
    def _can_tell_places_apart(self) -> "ConcatenateSource":
        if self.keep_places and not self.separator:
            raise ValueError("Parts keep their places only with a separator between them.")
        return self


class LookUpSource(LayoutPart):
    """What a table says for a text.

    `otherwise` says what a text gives that is not in the table: the claim is left out (`refuse`),
    the text itself (`keep`), or nothing (`empty`). No text gives nothing.
    """

    kind: Literal["look_up"]
    source: "TextSource"
    table: Annotated[dict[str, str], Field(min_length=1, max_length=_MOST_ENTRIES)]
    otherwise: Literal["refuse", "keep", "empty"] = "refuse"


class SubstringSource(LayoutPart):
    """Some characters of a text, from the first (1) or counted from its end (-1 is the last)."""

    kind: Literal["substring"]
    source: "TextSource"
    start: int = 1
    length: Annotated[int, Field(ge=1)] | None = None

    @field_validator("start")
    @classmethod
    def _is_a_place(cls, start: int) -> int:
        if start == 0:
            raise ValueError("The first character is 1 and the last is -1.")
        return start


class CaseSource(LayoutPart):
    """One source for each text that `by` may give; a claim with another text is left out."""

    kind: Literal["case"]
    by: PathSource
    cases: Annotated[dict[str, "Source"], Field(min_length=1, max_length=_MOST_PARTS)]


class SignSource(LayoutPart):
    """One text for a debit, another for a credit, such as `D` and `K`."""

    kind: Literal["sign"]
    debit: str
    credit: str

    @model_validator(mode="after")
    def _tells_them_apart(self) -> "SignSource":
        if self.debit == self.credit:
            raise ValueError("Debit and credit need different texts.")
        return self


TextSource: TypeAlias = Annotated[
    PathSource
    | ConstantSource
    | ConcatenateSource
    | LookUpSource
    | SubstringSource
    | CaseSource
    | SignSource,
    Field(discriminator="kind"),
]
"""What a function can be made of; each must show text or a whole number."""

Source: TypeAlias = Annotated[
    PathSource
    | ConstantSource
    | EmptySource
    | ConcatenateSource
    | LookUpSource
    | SubstringSource
    | CaseSource
    | SignSource,
    Field(discriminator="kind"),
]

for _function in (ConcatenateSource, LookUpSource, SubstringSource, CaseSource):
    _function.model_rebuild()


def parts_of(source: Source) -> tuple[Source, ...]:
    """List what a function is made of; nothing for what is no function of others."""
    if isinstance(source, ConcatenateSource):
        return source.parts
    if isinstance(source, CaseSource):
        return (source.by, *source.cases.values())
    return (source.source,) if isinstance(source, LookUpSource | SubstringSource) else ()


def paths_of(source: Source) -> Iterator[str]:
    """Go through every path that decides the value, at any depth."""
    if isinstance(source, PathSource):
        yield source.path
    if isinstance(source, SignSource):
        yield "line.amount"
    for part in parts_of(source):
        yield from paths_of(part)


def shown_paths(source: Source) -> Iterator[str]:
    """Go through the paths whose whole value can be read in the column.

    Of cases, those that every case shows. By the kind of account it is those of any case: on the
    claimant's own account the claimant's number stands for the account.
    """
    if isinstance(source, PathSource):
        yield source.path
    if isinstance(source, ConcatenateSource):
        for part in source.parts:
            yield from shown_paths(part)
    if isinstance(source, CaseSource):
        shown = [frozenset(shown_paths(case)) for case in source.cases.values()]
        by_kind = source.by.path == _ACCOUNT_KIND
        yield from sorted(
            frozenset[str]().union(*shown) if by_kind else shown[0].intersection(*shown)
        )


def type_of(source: Source) -> SourceType | None:
    """Tell what a source gives; none for a column that is always empty.

    Raises:
        ValueError: a function is made of a date or an amount.
    """
    if isinstance(source, EmptySource):
        return None
    if isinstance(source, PathSource):
        return source_type(source.path)
    for part in parts_of(source):
        if (found := type_of(part)) not in {"text", "integer", None}:
            raise ValueError(f"A {source.kind} is made of texts and whole numbers, not of {found}.")
    return "text"
