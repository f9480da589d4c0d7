"""From a value to the text of one cell, or to the problem with it."""

import re
import string
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from exporters.layout import AmountForm, Column, Dialect, Encoding, Padding
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
# Zero-width spaces and joiners, soft hyphen, byte order mark, and the marks of writing direction.
_INVISIBLE: Final = "\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
_MINOR_UNITS: Final = 100
_QUOTE: Final = '"'
_WHOLE_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)")
_WHOLE: Final = AmountForm()
_NOTHING: Final = Decimal(0)


class CellRefused(ValueError):  # noqa: N818  # becomes a Problem once the line is known
    """The value cannot stand in this column; the message is the end of a sentence.

    `path` leads to the value at fault, where a column has several.
    """

    def __init__(
        self,
        code: ProblemCode,
        reason: str,
        character: str | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.character = character
        self.path = path


@dataclass(frozen=True, slots=True)
class Alteration:
    """What a cell changed in a text so that it fits: `text_shortened`, `character_replaced`."""

    code: str
    column: str


Cell = Callable[[Value, list[Alteration]], str]


class _Limit(NamedTuple):
    length: int
    length_of: Callable[[str], int]


def value_writer_for(column: Column, dialect: Dialect) -> Cell:
    """Make the function that writes a value itself, before it is filled up or quoted."""
    return _WRITERS[column.type](column, dialect)


def cell_for(column: Column, dialect: Dialect) -> Cell:
    """Make the function that writes a column's values; it raises `CellRefused`."""
    write = value_writer_for(column, dialect)
    required = column.required

    def write_cell(value: Value, altered: list[Alteration]) -> str:
        text = "" if value is None else write(value, altered)
        if required and not text:
            raise CellRefused(ProblemCode.REQUIRED_VALUE_MISSING, "must not be empty")
        return text

    if column.width is not None:
        return _filled_up(write_cell, column, dialect)
    return write_cell if dialect.quoting == "none" else _quoted(write_cell, column, dialect)


def _filled_up(write: Cell, column: Column, dialect: Dialect) -> Cell:
    is_number = column.type in {"amount", "integer"}
    padding = column.padding or Padding(side="left" if is_number else "right")
    width, length = column.width or 0, length_of(dialect)

    def write_filled_up(value: Value, altered: list[Alteration]) -> str:
        text = write(value, altered)
        filling = padding.character * (width - length(text))
        if padding.side == "right":
            return text + filling
        if padding.character == "0" and text.startswith("-"):
            return f"-{filling}{text[1:]}"
        # Nothing is no number, so it is not filled up with zeros.
        return filling + text if text else " " * width

    return _quoted(write_filled_up, column, dialect)


def _quoted(write: Cell, column: Column, dialect: Dialect) -> Cell:
    if dialect.quoting == "none" or (
        dialect.quoting == "text" and column.type not in {"text", "code"}
    ):
        return write
    always = dialect.quoting != "minimal"
    needs_quotes = re.compile(f"[{re.escape(dialect.delimiter)}{_QUOTE}]|^ | $").search

    def write_quoted(value: Value, altered: list[Alteration]) -> str:
        text = write(value, altered)
        if always or needs_quotes(text):
            return quoted(text)
        return text

    return write_quoted


def quoted(text: str) -> str:
    """Put a text in double quotes and double those inside, as RFC 4180 section 2 has it."""
    return f"{_QUOTE}{text.replace(_QUOTE, _QUOTE * 2)}{_QUOTE}"


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


def length_of(dialect: Dialect) -> Callable[[str], int]:
    """Give the way in which the target counts characters."""
    return _utf16_length if dialect.length_unit == "utf16" else len


def _limit(column: Column, dialect: Dialect) -> _Limit | None:
    return None if column.limit is None else _Limit(column.limit, length_of(dialect))


def _separators(dialect: Dialect) -> str:
    """What would end a value: nothing, where quotes keep it together."""
    return dialect.delimiter if dialect.quoting == "none" else ""


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
    if column.case != "keep":
        text = text.upper() if column.case == "upper" else text.lower()
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
        f"[{_BREAKS}{re.escape(_separators(dialect) + dialect.replaced_characters)}]+",
    )
    forbidden = _forbidden(dialect, "")
    removed = re.compile(f"[{_INVISIBLE}]+")
    plain = _plain(dialect)
    limit = _limit(column, dialect)
    # Every plain letter is one character and one UTF-16 unit.
    plain_length = limit.length if limit else _ANY_LENGTH

    def write(value: Value, altered: list[Alteration]) -> str:
        text = _composed(value, column)
        if len(text) <= plain_length and plain(text):
            return text
        if dialect.invisible_characters == "remove" and removed.search(text):
            text = removed.sub("", text)
            altered.append(Alteration("character_removed", column.name))
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
    forbidden = _forbidden(
        dialect, _BREAKS + re.escape(_separators(dialect) + dialect.replaced_characters)
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


def _forbidden(dialect: Dialect, also: str) -> re.Pattern[str]:
    """Match what the dialect refuses, and what stands in the class `also`."""
    characters = also + re.escape(dialect.forbidden_characters)
    # A code is never altered, so what would be removed from a text is refused there.
    if dialect.invisible_characters == "refuse" or (
        also and dialect.invisible_characters == "remove"
    ):
        characters += _INVISIBLE
    # A look-ahead for nothing matches nowhere, which is what an empty set of characters means.
    return re.compile(f"[{characters}]" if characters else "(?!)")


def _integer_writer(column: Column, dialect: Dialect) -> Cell:
    limit = _limit(column, dialect)

    def write(value: Value, _: list[Alteration]) -> str:
        text = str(value)
        if isinstance(value, str) and text and not _WHOLE_NUMBER.fullmatch(text):
            raise CellRefused(ProblemCode.NOT_A_NUMBER, "must be a whole number")
        return _check_length(text, limit)

    return write


def _amount_writer(column: Column, dialect: Dialect) -> Cell:
    limit = _limit(column, dialect)
    form = column.amount_form or _WHOLE

    def write(value: Value, _: list[Alteration]) -> str:
        if not isinstance(value, Decimal):
            raise TypeError(f"{value!r} is not an amount.")
        if _is_of_other_side(value, form):
            if form.other_side == "empty":
                return ""
            value = _NOTHING
        text = _signed(_digits(abs(value), form), value, form)
        if dialect.decimal_mark != ".":
            text = text.replace(".", dialect.decimal_mark)
        return _check_length(text, limit)

    return write


def _is_of_other_side(amount: Decimal, form: AmountForm) -> bool:
    return (form.side == "debit" and amount < 0) or (form.side == "credit" and amount > 0)


def _digits(amount: Decimal, form: AmountForm) -> str:
    # The voucher vouches for two decimals, so nothing is rounded here.
    return f"{amount * _MINOR_UNITS:.0f}" if form.unit == "minor" else f"{amount:.2f}"


def _signed(digits: str, amount: Decimal, form: AmountForm) -> str:
    is_negative = amount > 0 if form.sign == "inverted" else amount < 0
    if not is_negative or form.sign == "omitted" or form.side != "both":
        return digits
    return f"{digits}-" if form.sign == "trailing" else f"-{digits}"


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
