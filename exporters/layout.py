"""The column layout of a file, as data."""

import re
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from typing import Annotated, ClassVar, Final, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from exporters.column_source import (
    ConstantSource,
    EmptySource,
    LayoutPart,
    SignSource,
    Source,
    shown_paths,
    type_of,
)
from exporters.json_key import key_conflicts
from exporters.problem import ConfigurationInvalid, Problem, ProblemCode, sentence
from exporters.source import SourceType

Encoding = Literal["utf-8", "windows-1252", "iso-8859-1"]
LineEnd = Literal["crlf", "lf"]
ColumnType = Literal["text", "code", "date", "amount", "integer"]

# Keys of objects within objects: account.code.
_KEY: Final = r"^[^.\s]+(\.[^.\s]+)*$"
_DATE_PARTS: Final = re.compile(r"yyyy|mm|dd|[-./]")

# Which values a column of a type can show.
_SHOWS: Final[Mapping[ColumnType, frozenset[SourceType]]] = {
    "text": frozenset({"text", "integer"}),
    "code": frozenset({"text", "integer"}),
    "date": frozenset({"date"}),
    "amount": frozenset({"amount"}),
    "integer": frozenset({"integer", "text"}),
}


class AmountForm(LayoutPart):
    """How an amount is written.

    `side`: both, or only debits or only credits, without sign; what is on the other side is an
    empty cell, or 0.00 (`other_side` = `zero`).
    `sign`: a credit has its minus in front (`leading`) or behind (`trailing`), or every sign is
    changed (`inverted`), or there is none (`omitted`) and another column tells the side.
    `unit`: crowns with two decimals (`major`), or hundredths as a whole number (`minor`).
    """

    side: Literal["both", "debit", "credit"] = "both"
    other_side: Literal["empty", "zero"] = "empty"
    sign: Literal["leading", "trailing", "inverted", "omitted"] = "leading"
    unit: Literal["major", "minor"] = "major"

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.side != "both" and self.sign != "leading":
            raise ValueError("A column of debits or of credits has no sign to form.")
        if self.side == "both" and self.other_side != "empty":
            raise ValueError("A column of both sides has no other side.")
        return self

    @property
    def loses_the_side(self) -> bool:
        """Whether debit and credit look alike in this column."""
        return self.side == "both" and self.sign == "omitted"


class Padding(LayoutPart):
    """What fills a value up to the width, and on which side of the value it stands."""

    side: Literal["left", "right"]
    character: Literal[" ", "0"] = " "

    @model_validator(mode="after")
    def _keeps_the_value(self) -> Self:
        if self.side == "right" and self.character == "0":
            raise ValueError("Zeros on the right would change the value.")
        return self


class TargetField(LayoutPart):
    """The field of the accounting system's table that a column fills, by its number there.

    Fields with a higher `priority` are filled first. For systems that are told what is in the
    file: their definition is made from these.
    """

    number: Annotated[int, Field(ge=1)]
    priority: Annotated[int, Field(ge=1, le=1000)]


class Column(LayoutPart):
    """One column: where its value comes from and what the importing system takes.

    - `text` is for people: forbidden and replaced characters follow the dialect, and
      `on_overflow` = `truncate` may shorten it.
    - `code` identifies something, so it is never altered, apart from outer spaces and `case`.
    - `date` needs a `format` of `yyyy`, `mm`, `dd` and the signs `-`, `.`, `/`.
    - `integer` is a whole number; a text must be one, too.
    - `amount` has the dialect's decimal mark and the form of `amount_form`.

    `max_length` and `width` count in the dialect's `length_unit`. A `width` is filled up: texts,
    codes and dates with spaces behind, numbers with spaces in front, unless `padding` says
    otherwise. `grade` says how sure the column is: A published by the maker, B several
    independent sources, C one source, D a guess.
    """

    name: Annotated[str, Field(pattern=r'^[^\s;,|"][^;,|\t\r\n"]*$')]
    source: Source = Field(default_factory=EmptySource)
    type: ColumnType = "text"
    format: str | None = None
    amount_form: AmountForm | None = None
    max_length: Annotated[int, Field(ge=1)] | None = None
    width: Annotated[int, Field(ge=1, le=10_000)] | None = None
    padding: Padding | None = None
    required: bool = False
    on_overflow: Literal["error", "truncate"] = "error"
    case: Literal["keep", "upper", "lower"] = "keep"
    target_field: TargetField | None = None
    grade: Literal["A", "B", "C", "D"] | None = None
    note: str | None = None

    @property
    def limit(self) -> int | None:
        """The most that a value may have, before it is filled up."""
        return self.max_length or self.width

    @property
    def leaves_amounts_out(self) -> bool:
        """Whether cells of the other side are empty."""
        form = self.amount_form
        return form is not None and form.side != "both" and form.other_side == "empty"

    @property
    def shows_every_amount(self) -> bool:
        """Whether the column is one of amounts that leaves none out."""
        return self.type == "amount" and (
            self.amount_form is None or self.amount_form.side == "both"
        )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.type == "date") != (self.format is not None):
            raise ValueError("A column has a format exactly when its type is date.")
        if self.format is not None and not _is_date_format(self.format):
            raise ValueError("A date format is yyyy, mm and dd once each, with - . or / between.")
        if self.case != "keep" and self.type not in {"text", "code"}:
            raise ValueError("Only text and code have a case.")
        if isinstance(self.source, EmptySource) and self.required:
            raise ValueError("A required column cannot have an empty source.")
        if isinstance(self.source, ConstantSource) and self.type not in {"text", "code"}:
            raise ValueError("A constant is of type text or code.")
        return self

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.max_length is not None and self.width is not None:
            raise ValueError("A column has a max_length or a width, not both.")
        if self.on_overflow == "truncate" and (self.type != "text" or self.limit is None):
            raise ValueError("Only a text column with a max_length or a width can be truncated.")
        if self.padding is not None and self.width is None:
            raise ValueError("Padding fills a width, and the column has none.")
        if (
            self.padding is not None
            and self.padding.character == "0"
            and self.type in {"text", "date"}
        ):
            raise ValueError("Only numbers and codes are filled up with zeros.")
        return self

    @model_validator(mode="after")
    def _has_an_amount_form(self) -> Self:
        if self.amount_form is None:
            return self
        if self.type != "amount":
            raise ValueError("Only an amount has an amount_form.")
        if self.required and self.leaves_amounts_out:
            raise ValueError("A column of one side is empty on the other, so it is not required.")
        return self

    @model_validator(mode="after")
    def _shows_its_source(self) -> Self:
        found = type_of(self.source)
        if found is not None and found not in _SHOWS[self.type]:
            what = getattr(self.source, "path", f"a {self.source.kind}")
            raise ValueError(
                f"A column of type {self.type} cannot show {what}, which is {found}.",
            )
        return self


class NoHeader(LayoutPart):
    """The first line of the file is data."""

    kind: Literal["none"] = "none"


class NamesHeader(LayoutPart):
    """The first line holds the names of the columns."""

    kind: Literal["names"] = "names"


class TextHeader(LayoutPart):
    """The first line is this text, byte for byte."""

    kind: Literal["text"] = "text"
    text: Annotated[str, Field(min_length=1, pattern=r"^[^\r\n]*$")]


Header = Annotated[NoHeader | NamesHeader | TextHeader, Field(discriminator="kind")]


class TextRules(LayoutPart):
    """What free text and codes may hold, in every dialect.

    Text is composed to NFC. `replaced_characters`, line breaks, and all other control characters
    become one space in `text` columns and are a problem in `code` columns.
    `forbidden_characters` are a problem in both. `invisible_characters` are those without width,
    such as marks of writing direction. `defuse_formulas` puts an apostrophe before text that a
    spreadsheet would run.
    """

    replaced_characters: str = ""
    forbidden_characters: str = "\ufffd"
    invisible_characters: Literal["keep", "remove", "refuse"] = "keep"
    defuse_formulas: bool = False
    length_unit: Literal["characters", "utf16"] = "characters"


class DelimitedDialect(TextRules):
    """How the columns become the bytes of a delimited file.

    Without quoting the delimiter is replaced in texts like `replaced_characters`. Quoting puts a
    value in double quotes, and doubles those inside: where the value needs it (`minimal`), on
    texts and codes (`text`), or on every value (`all`). Without a delimiter every column has a
    width. `also_encodable_in` lists encodings that must know every character too, so that the
    organisation can change to them later.

    The paths `file.part` and `file.place` count parts of `lines_per_part`; a voucher stays in one
    part.
    """

    kind: Literal["delimited"] = "delimited"
    delimiter: Annotated[str, Field(pattern=r"^[;,|\t]?$")]
    quoting: Literal["none", "minimal", "text", "all"]
    header: Header
    encoding: Encoding
    also_encodable_in: Annotated[tuple[Encoding, ...], Field(strict=False)] = ()
    bom: bool
    line_end: LineEnd
    final_newline: bool
    decimal_mark: Literal[".", ","]
    lines_per_part: Annotated[int, Field(ge=2)] | None = None
    replaced_characters: str = '"'

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.bom and self.encoding != "utf-8":
            raise ValueError("Only utf-8 has a byte order mark.")
        if self.decimal_mark == self.delimiter and self.quoting not in {"minimal", "all"}:
            raise ValueError("The decimal mark cannot be the delimiter of unquoted numbers.")
        if not self.delimiter and self.quoting != "none":
            raise ValueError("Only values between delimiters are quoted.")
        return self


class JsonDialect(TextRules):
    """How the columns become JSON documents in UTF-8, one to a line.

    A column's name is its key; `account.code` is the key `code` of the object `account`, and
    `dimensions[1].code` that of the first entry of the list `dimensions`. Empty values are left
    away, and an entry of a list that lacks one of its values is left away as a whole.

    Each document is the `envelope` with the list of records at the key `records_at` (or the bare
    list, without one), each record below `record_key` if given, and at most `most_records` of
    them; a voucher stays in one document. Amounts have two decimals, as text or as numbers.
    """

    kind: Literal["json"]
    envelope: dict[str, object] = Field(default_factory=dict)
    records_at: Annotated[str, Field(pattern=_KEY)] | None = None
    record_key: Annotated[str, Field(pattern=r"^[^.\s]+$")] | None = None
    most_records: Annotated[int, Field(ge=2)] | None = None
    amounts: Literal["text", "number"] = "text"
    final_newline: bool = False

    # What every text of JSON is; the writers of cells ask any dialect for it.
    delimiter: ClassVar[str] = ""
    quoting: ClassVar[Literal["none"]] = "none"
    encoding: ClassVar[Encoding] = "utf-8"
    also_encodable_in: ClassVar[tuple[Encoding, ...]] = ()
    decimal_mark: ClassVar[str] = "."

    @model_validator(mode="after")
    def _has_room_for_the_records(self) -> Self:
        if self.envelope and self.records_at is None:
            raise ValueError("An envelope needs to know where the records stand: records_at.")
        return self


def _kind_of(dialect: object) -> str:
    """Layouts that were stored before there were two kinds name none."""
    kind = dialect.get("kind") if isinstance(dialect, dict) else getattr(dialect, "kind", None)
    return "json" if kind == "json" else "delimited"


Dialect: TypeAlias = Annotated[
    Annotated[DelimitedDialect, Tag("delimited")] | Annotated[JsonDialect, Tag("json")],
    Discriminator(_kind_of),
]


class Layout(LayoutPart):
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

    @model_validator(mode="after")
    def _separates_its_columns(self) -> Self:
        without = [column.name for column in self.columns if column.width is None]
        if isinstance(self.dialect, DelimitedDialect) and not self.dialect.delimiter and without:
            raise ValueError(f"Without a delimiter these need a width: {', '.join(without)}.")
        return self

    @model_validator(mode="after")
    def _has_each_key_once(self) -> Self:
        if isinstance(self.dialect, JsonDialect):
            names = [column.name for column in self.columns]
            for conflict in key_conflicts(names):
                raise ValueError(conflict)
        return self

    @model_validator(mode="after")
    def _makes_json_numbers(self) -> Self:
        if not isinstance(self.dialect, JsonDialect):
            return self
        for column in self.columns:
            form = column.amount_form
            if column.width is not None:
                raise ValueError(f"JSON has no widths, and the column {column.name} has one.")
            if self.dialect.amounts == "number" and form and form.sign == "trailing":
                raise ValueError(f"The column {column.name} would be no number in JSON.")
        return self

    @model_validator(mode="after")
    def _keeps_debit_from_credit(self) -> Self:
        forms = [column.amount_form for column in self.columns if column.amount_form]
        sides = {form.side for form in forms} - {"both"}
        if len(sides) == 1 and not any(column.shows_every_amount for column in self.columns):
            raise ValueError("Debits and credits both need a column.")
        tells_side = any(isinstance(column.source, SignSource) for column in self.columns)
        if not tells_side and any(form.loses_the_side for form in forms):
            raise ValueError("Amounts without a sign need a column with the source `sign`.")
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
        """Tell whether the whole value of this source path can be read in any column."""
        return any(path in shown_paths(column.source) for column in self.columns)


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
    for place, step in enumerate(location):
        if place == 1 and location[0] == "dialect" and step in {"delimited", "json"}:
            continue  # the kind is no part of the path
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
