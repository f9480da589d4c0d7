"""Where a column's value comes from, as data: a path, a constant, or one of four functions."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from exporters.source import SourceType, source_type

_MOST_PARTS: Final = 20
_MOST_ENTRIES: Final = 10_000


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
    """Its parts, one after the other, with the separator between those that are not empty."""

    kind: Literal["concatenate"]
    parts: Annotated[
        tuple["TextSource", ...], Field(min_length=2, max_length=_MOST_PARTS, strict=False)
    ]
    separator: str = ""


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
    PathSource | ConstantSource | ConcatenateSource | LookUpSource | SubstringSource | SignSource,
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
    | SignSource,
    Field(discriminator="kind"),
]

for _function in (ConcatenateSource, LookUpSource, SubstringSource):
    _function.model_rebuild()


def parts_of(source: Source) -> tuple[TextSource, ...]:
    """List what a function is made of; nothing for what is no function of others."""
    if isinstance(source, ConcatenateSource):
        return source.parts
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
    """Go through the paths whose whole value can be read in the column."""
    if isinstance(source, PathSource):
        yield source.path
    if isinstance(source, ConcatenateSource):
        for part in source.parts:
            yield from shown_paths(part)


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
        if (found := type_of(part)) not in {"text", "integer"}:
            raise ValueError(f"A {source.kind} is made of texts and whole numbers, not of {found}.")
    return "text"
