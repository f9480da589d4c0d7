"""The column layout of a file, as data."""

import re
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from exporters.problem import ConfigurationInvalid, Problem, ProblemCode, sentence
from exporters.source import SourceType, source_type

Encoding = Literal["utf-8", "windows-1252", "iso-8859-1"]
LineEnd = Literal["crlf", "lf"]
ColumnType = Literal["text", "code", "date", "amount", "integer"]

_DATE_PARTS: Final = re.compile(r"yyyy|mm|dd|[-./]")

# Which values a column of a type can show.
_SHOWS: Final[Mapping[ColumnType, frozenset[SourceType]]] = {
    "text": frozenset({"text", "integer"}),
    "code": frozenset({"text", "integer"}),
    "date": frozenset({"date"}),
    "amount": frozenset({"amount"}),
    "integer": frozenset({"integer"}),
}


class _LayoutPart(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class PathSource(_LayoutPart):
    """The value at a path, such as `line.amount`; the paths are those of `exporters.source`."""

    kind: Literal["path"]
    path: str

    @field_validator("path")
    @classmethod
    def _is_known(cls, path: str) -> str:
        source_type(path)
        return path


class ConstantSource(_LayoutPart):
    """The same text on every line."""

    kind: Literal["constant"]
    value: Annotated[str, Field(min_length=1)]


class EmptySource(_LayoutPart):
    """A column that is always empty."""

    kind: Literal["empty"] = "empty"


Source = Annotated[PathSource | ConstantSource | EmptySource, Field(discriminator="kind")]


class Column(_LayoutPart):
    """One column: where its value comes from and what the importing system takes.

    - `text` is for people: forbidden and replaced characters follow the dialect, and
      `on_overflow` = `truncate` may shorten it.
    - `code` identifies something, so it is never altered, apart from outer spaces and `case`.
    - `date` needs a `format` of `yyyy`, `mm`, `dd` and the signs `-`, `.`, `/`.
    - `amount` has two decimals, the dialect's decimal mark and a leading minus for credit.

    `max_length` counts in the dialect's `length_unit`. `grade` says how sure the column is: A
    published by the maker, B several independent sources, C one source, D a guess.
    """

    name: Annotated[str, Field(pattern=r'^[^\s;,|"][^;,|\t\r\n"]*$')]
    source: Source = Field(default_factory=EmptySource)
    type: ColumnType = "text"
    format: str | None = None
    max_length: Annotated[int, Field(ge=1)] | None = None
    required: bool = False
    on_overflow: Literal["error", "truncate"] = "error"
    case: Literal["keep", "upper"] = "keep"
    grade: Literal["A", "B", "C", "D"] | None = None
    note: str | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.type == "date") != (self.format is not None):
            raise ValueError("A column has a format exactly when its type is date.")
        if self.format is not None and not _is_date_format(self.format):
            raise ValueError("A date format is yyyy, mm and dd once each, with - . or / between.")
        if self.on_overflow == "truncate" and (self.type != "text" or self.max_length is None):
            raise ValueError("Only a text column with a max_length can be truncated.")
        if self.case == "upper" and self.type not in {"text", "code"}:
            raise ValueError("Only text and code have a case.")
        if isinstance(self.source, EmptySource) and self.required:
            raise ValueError("A required column cannot have an empty source.")
        if isinstance(self.source, ConstantSource) and self.type not in {"text", "code"}:
            raise ValueError("A constant is of type text or code.")
        if isinstance(self.source, PathSource):
            self._check_type(self.source.path)
        return self

    def _check_type(self, path: str) -> None:
        found = source_type(path)
        if found not in _SHOWS[self.type]:
            raise ValueError(f"A column of type {self.type} cannot show {path}, which is {found}.")


class NoHeader(_LayoutPart):
    """The first line of the file is data."""

    kind: Literal["none"] = "none"


class NamesHeader(_LayoutPart):
    """The first line holds the names of the columns."""

    kind: Literal["names"] = "names"


class TextHeader(_LayoutPart):
    """The first line is this text, byte for byte."""

    kind: Literal["text"] = "text"
    text: Annotated[str, Field(min_length=1, pattern=r"^[^\r\n]*$")]


Header = Annotated[NoHeader | NamesHeader | TextHeader, Field(discriminator="kind")]


class Dialect(_LayoutPart):
    """How the columns become the bytes of a delimited file.

    Text is composed to NFC. `replaced_characters`, the delimiter, line breaks, and all other
    control characters become one space in `text` columns and are a problem in `code` columns.
    `forbidden_characters` are a problem in both. `also_encodable_in` lists encodings that must
    know every character too, so that the organisation can change to them later.
    `defuse_formulas` puts an apostrophe before text that a spreadsheet would run.
    """

    delimiter: Annotated[str, Field(pattern=r"^[;,|\t]$")]
    quoting: Literal["none"]
    header: Header
    encoding: Encoding
    also_encodable_in: Annotated[tuple[Encoding, ...], Field(strict=False)] = ()
    bom: bool
    line_end: LineEnd
    final_newline: bool
    decimal_mark: Literal[".", ","]
    replaced_characters: str = '"'
    forbidden_characters: str = "\ufffd"
    defuse_formulas: bool = False
    length_unit: Literal["characters", "utf16"] = "characters"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.bom and self.encoding != "utf-8":
            raise ValueError("Only utf-8 has a byte order mark.")
        if self.decimal_mark == self.delimiter:
            raise ValueError("The decimal mark cannot be the delimiter.")
        return self


class Layout(_LayoutPart):
    """An ordered set of columns and the dialect they are written in.

    `version` is raised with every change to a shipped layout.
    """

    name: Annotated[str, Field(min_length=1)]
    version: Annotated[int, Field(ge=1)]
    description: str = ""
    dialect: Dialect
    columns: Annotated[tuple[Column, ...], Field(min_length=1, strict=False)]

    @model_validator(mode="after")
    def _names_each_column_once(self) -> Self:
        counts = Counter(column.name for column in self.columns)
        twice = sorted(name for name, count in counts.items() if count > 1)
        if twice:
            raise ValueError(f"More than one column is named {', '.join(twice)}.")
        return self

    @classmethod
    def from_document(cls, document: Mapping[str, object]) -> Self:
        """Read a layout as JSON decodes it.

        Raises:
            ConfigurationInvalid: each problem names the column and the reason.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ConfigurationInvalid(_problems(error, document)) from error

    @classmethod
    def shipped(cls, name: str) -> Self:
        """Read a layout that comes with this package."""
        text = files("exporters").joinpath("layouts", f"{name}.json").read_text("utf-8")
        return cls.model_validate_json(text)

    def shows(self, path: str) -> bool:
        """Tell whether any column has this source path."""
        return any(
            isinstance(column.source, PathSource) and column.source.path == path
            for column in self.columns
        )


def _is_date_format(text: str) -> bool:
    parts = _DATE_PARTS.findall(text)
    return "".join(parts) == text and sorted(part for part in parts if len(part) > 1) == [
        "dd",
        "mm",
        "yyyy",
    ]


def _problems(error: ValidationError, document: Mapping[str, object]) -> tuple[Problem, ...]:
    return tuple(
        Problem(
            ProblemCode.LAYOUT_INVALID,
            _path(detail["loc"], document),
            sentence(detail["msg"]),
        )
        for detail in error.errors(include_url=False, include_input=False)
    )


def _path(location: tuple[int | str, ...], document: Mapping[str, object]) -> str:
    path = "layout"
    for step in location:
        if isinstance(step, int):
            path += f"[{step + 1}]"
            if location[0] == "columns" and path.startswith("layout.columns["):
                path += _column_name(document, step)
        else:
            path += f".{step}"
    return path


def _column_name(document: Mapping[str, object], index: int) -> str:
    columns = document.get("columns")
    column = columns[index] if isinstance(columns, list) and index < len(columns) else None
    name = column.get("name") if isinstance(column, dict) else None
    return f" ({name})" if isinstance(name, str) else ""
