"""From a value to the text of one cell, or to the problem with it."""

import re
import string
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from exporters.layout import Column, Dialect, Encoding
from exporters.problem import ProblemCode
from exporters.source import Value

CODECS: Final[dict[Encoding, str]] = {
    "utf-8": "utf-8",
    "windows-1252": "cp1252",
    "iso-8859-1": "latin-1",
}

# Line and paragraph separators, and the control characters of ASCII and Latin-1.
_BREAKS: Final = r"\x00-\x1f\x7f-\x9f\u2028\u2029"
_ANY_LENGTH: Final = 1 << 62
_PLAIN_LETTERS: Final = string.ascii_letters + string.digits + "æøåÆØÅé"
_SPACES: Final = re.compile("  +")
_FORMULA_STARTS: Final = ("=", "+", "-", "@")


class CellRefused(ValueError):  # noqa: N818  # becomes a Problem once the line is known
    """The value cannot stand in this column; the message is the end of a sentence."""

    def __init__(self, code: ProblemCode, reason: str, character: str | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.character = character


@dataclass(frozen=True, slots=True)
class Alteration:
    """What a cell changed in a text so that it fits: `text_shortened`, `character_replaced`."""

    code: str
    column: str


Cell = Callable[[Value, list[Alteration]], str]


class _Limit(NamedTuple):
    length: int
    length_of: Callable[[str], int]


def cell_for(column: Column, dialect: Dialect) -> Cell:
    """Make the function that writes a column's values; it raises `CellRefused`."""
    write = _WRITERS[column.type](column, dialect)
    required = column.required

    def write_cell(value: Value, altered: list[Alteration]) -> str:
        text = "" if value is None else write(value, altered)
        if required and not text:
            raise CellRefused(ProblemCode.REQUIRED_VALUE_MISSING, "must not be empty")
        return text

    return write_cell


def unencodable_character(text: str, dialect: Dialect) -> tuple[str, Encoding] | None:
    """Find the first character that an encoding of the dialect lacks, and which encoding."""
    for encoding in (dialect.encoding, *dialect.also_encodable_in):
        try:
            text.encode(CODECS[encoding])
        except UnicodeEncodeError as error:
            return text[error.start], encoding
    return None


def shorten(text: str, limit: int, length_of: Callable[[str], int]) -> str:
    """Cut a text at its end so that it fits, between characters and their combining marks."""
    end = min(len(text), limit)
    while length_of(text[:end]) > limit:
        end -= 1
    while 0 < end < len(text) and unicodedata.combining(text[end]):
        end -= 1
    return text[:end].rstrip()


def _utf16_length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def _limit(column: Column, dialect: Dialect) -> _Limit | None:
    if column.max_length is None:
        return None
    length_of = _utf16_length if dialect.length_unit == "utf16" else len
    return _Limit(column.max_length, length_of)


def _check_length(text: str, limit: _Limit | None) -> str:
    if limit and limit.length_of(text) > limit.length:
        raise CellRefused(
            ProblemCode.VALUE_TOO_LONG,
            f"is longer than {limit.length} characters",
        )
    return text


def _plain(dialect: Dialect) -> Callable[[str], object]:
    """Match the texts that no rule of the dialect could alter or refuse, which most are."""
    special = dialect.delimiter + dialect.replaced_characters + dialect.forbidden_characters
    letters = "".join(character for character in _PLAIN_LETTERS if character not in special)
    signs = "".join(re.escape(sign) for sign in "-./:" if sign not in special)
    pattern = f"[{letters}](?:[{letters}{signs} ]*[{letters}{signs}])?"
    return re.compile(pattern if letters else "(?!)").fullmatch


def _composed(value: Value, column: Column) -> str:
    text = str(value)
    if column.case == "upper":
        text = text.upper()
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _name(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'without a name')}"


def _refuse_character(character: str) -> CellRefused:
    return CellRefused(
        ProblemCode.FORBIDDEN_CHARACTER,
        f"holds the character {_name(character)}, which the format does not allow",
        character,
    )


def _text_writer(column: Column, dialect: Dialect) -> Cell:
    replaced = re.compile(
        f"[{_BREAKS}{re.escape(dialect.delimiter + dialect.replaced_characters)}]+",
    )
    forbidden = _class(dialect.forbidden_characters)
    plain = _plain(dialect)
    limit = _limit(column, dialect)
    # Every plain letter is one character and one UTF-16 unit.
    plain_length = limit.length if limit else _ANY_LENGTH

    def write(value: Value, altered: list[Alteration]) -> str:
        text = _composed(value, column)
        if len(text) <= plain_length and plain(text):
            return text
        if replaced.search(text):
            text = _SPACES.sub(" ", replaced.sub(" ", text))
            altered.append(Alteration("character_replaced", column.name))
        text = text.strip()
        if found := forbidden.search(text):
            raise _refuse_character(found[0])
        if dialect.defuse_formulas and text.startswith(_FORMULA_STARTS):
            text = f"'{text}"
        if limit and column.on_overflow == "truncate" and limit.length_of(text) > limit.length:
            text = shorten(text, limit.length, limit.length_of)
            altered.append(Alteration("text_shortened", column.name))
        return _check_length(text, limit)

    return write


def _code_writer(column: Column, dialect: Dialect) -> Cell:
    forbidden = re.compile(
        f"[{_BREAKS}"
        + re.escape(dialect.delimiter + dialect.replaced_characters + dialect.forbidden_characters)
        + "]",
    )
    plain = _plain(dialect)
    limit = _limit(column, dialect)
    plain_length = limit.length if limit else _ANY_LENGTH

    def write(value: Value, _: list[Alteration]) -> str:
        text = _composed(value, column)
        if len(text) <= plain_length and plain(text):
            return text
        if found := forbidden.search(text):
            raise _refuse_character(found[0])
        text = text.strip()
        if dialect.defuse_formulas and text.startswith(_FORMULA_STARTS):
            raise _refuse_character(text[0])
        return _check_length(text, limit)

    return write


def _class(characters: str) -> re.Pattern[str]:
    # A look-ahead for nothing matches nowhere, which is what an empty set of characters means.
    return re.compile(f"[{re.escape(characters)}]" if characters else "(?!)")


def _integer_writer(column: Column, dialect: Dialect) -> Cell:
    limit = _limit(column, dialect)
    return lambda value, _: _check_length(str(value), limit)


def _amount_writer(column: Column, dialect: Dialect) -> Cell:
    limit = _limit(column, dialect)

    def write(value: Value, _: list[Alteration]) -> str:
        if not isinstance(value, Decimal):
            raise TypeError(f"{value!r} is not an amount.")
        # The voucher vouches for two decimals, so nothing is rounded here. A zero is written
        # without the sign that Decimal keeps for it.
        text = f"{value:.2f}" if value else "0.00"
        if dialect.decimal_mark != ".":
            text = text.replace(".", dialect.decimal_mark)
        return _check_length(text, limit)

    return write


def _date_writer(column: Column, dialect: Dialect) -> Cell:
    limit = _limit(column, dialect)
    pattern = column.format or ""

    def write(value: Value, _: list[Alteration]) -> str:
        if not isinstance(value, date):
            raise TypeError(f"{value!r} is not a date.")
        iso = value.isoformat()
        text = pattern.replace("yyyy", iso[:4]).replace("mm", iso[5:7]).replace("dd", iso[8:])
        return _check_length(text, limit)

    return write


_WRITERS: Final = {
    "text": _text_writer,
    "code": _code_writer,
    "date": _date_writer,
    "amount": _amount_writer,
    "integer": _integer_writer,
}
