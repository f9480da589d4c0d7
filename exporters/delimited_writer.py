"""Writes vouchers as the records of a delimited file, piece by piece."""

from typing import Final, NamedTuple

from exporters.cell import (
    CODECS,
    Alteration,
    Cell,
    CellRefused,
    cell_for,
    quoted,
    unencodable_character,
)
from exporters.claim_field import claim_field
from exporters.column_source import paths_of
from exporters.layout import Column, Layout, NoHeader, TextHeader
from exporters.notice import Notice
from exporters.problem import ClaimUnusable, ConfigurationInvalid, Problem, ProblemCode
from exporters.source import Sources, Value, ValueOfLine, is_of_line
from exporters.source_value import value_of
from exporters.voucher import JournalLine, Voucher

_LINE_ENDS: Final = {"crlf": "\r\n", "lf": "\n"}
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_TEXT: Final = "line.text"


class _Field(NamedTuple):
    # What stands before the field on every line: a delimiter, and columns that no line changes.
    before: str
    column: Column
    # What decides the value, so that whoever can change it is told.
    paths: tuple[str, ...]
    value: ValueOfLine
    write: Cell


class DelimitedWriter:
    """The state of one file: what has been started, and what was altered.

    `lines` are those of the voucher written last, the file's first line being 1; None before it.

    Columns that no line changes are written once, when the writer is made; so a setting that
    cannot stand in its column is found before any claim.

    Raises:
        ConfigurationInvalid: a constant, a setting or the header does not fit the layout.
    """

    def __init__(self, layout: Layout, sources: Sources) -> None:
        self._dialect = layout.dialect
        self._codec = CODECS[layout.dialect.encoding]
        self._line_end = _LINE_ENDS[layout.dialect.line_end]
        self._fields: list[_Field] = []
        self._after = self._compile(layout, sources)
        self._opening = self._open(layout)
        self._started = False
        # The header is on the first line.
        self._next_line = self._opening.count(b"\n") + 1
        self.lines: range | None = None
        self._notices: dict[Alteration, Notice] = {}

    def check(self, voucher: Voucher) -> tuple[Problem, ...]:
        """List every cell of a voucher that the format cannot take; changes nothing."""
        return tuple(
            problem
            for line in voucher.lines
            for field in self._fields
            if (problem := self._cell_problem(field, voucher, line))
        )

    def write(self, voucher: Voucher) -> bytes:
        """Give the next bytes of the file; the header comes with the first voucher.

        Raises:
            ClaimUnusable: a cell cannot be written; the file is as if the voucher had never come.
        """
        altered: list[Alteration] = []
        try:
            records = [self._record(voucher, line, altered) for line in voucher.lines]
            data = self._join(records)
        except (CellRefused, UnicodeEncodeError) as refusal:
            problems = self.check(voucher)
            if not problems:
                raise AssertionError("A refused voucher has a problem.") from refusal
            raise ClaimUnusable(problems) from refusal
        for alteration in altered:
            self._note(alteration, voucher)
        self.lines = range(self._next_line, self._next_line + len(records))
        self._next_line = self.lines.stop
        if self._started:
            return data
        self._started = True
        return self._opening + data

    def notices(self) -> tuple[Notice, ...]:
        """Count what was altered so far, per column; the claims themselves are not kept."""
        return tuple(self._notices.values())

    def _join(self, records: list[str]) -> bytes:
        text = self._line_end.join(records)
        if not text.isascii():
            for encoding in self._dialect.also_encodable_in:
                text.encode(CODECS[encoding])
        if self._dialect.final_newline:
            text += self._line_end
        elif self._started:
            text = self._line_end + text
        return text.encode(self._codec)

    def _record(self, voucher: Voucher, line: JournalLine, altered: list[Alteration]) -> str:
        fields = [
            before + write(value(voucher, line), altered)
            for before, _, _, value, write in self._fields
        ]
        fields.append(self._after)
        return "".join(fields)

    def _note(self, alteration: Alteration, voucher: Voucher) -> None:
        known = self._notices.get(alteration)
        self._notices[alteration] = Notice(
            alteration.code,
            alteration.column,
            known.count + 1 if known else 1,
            known.first_claim_number if known else voucher.lines[0].claim.claim_number,
        )

    def _cell_problem(self, field: _Field, voucher: Voucher, line: JournalLine) -> Problem | None:
        try:
            text = field.write(field.value(voucher, line), [])
        except CellRefused as refusal:
            return _line_problem(refusal, field, line)
        refused = self._encoding_refusal(text)
        return _line_problem(refused, field, line) if refused else None

    def _encoding_refusal(self, text: str) -> CellRefused | None:
        missing = unencodable_character(text, self._dialect)
        if missing is None:
            return None
        character, encoding = missing
        return CellRefused(
            ProblemCode.TEXT_NOT_ENCODABLE,
            f"holds {character!a} (U+{ord(character):04X}), which the encoding {encoding} lacks",
            character,
        )

    def _compile(self, layout: Layout, sources: Sources) -> str:
        problems: list[Problem] = []
        constant = ""
        for index, column in enumerate(layout.columns):
            constant += layout.dialect.delimiter if index else ""
            try:
                value = value_of(column.source, sources)
                if callable(value):
                    write = cell_for(column, layout.dialect)
                    paths = _paths(column, sources)
                    self._fields.append(_Field(constant, column, paths, value, write))
                    constant = ""
                else:
                    constant += self._constant(column, value, layout)
            except CellRefused as refusal:
                message = f"The column {column.name} {refusal.reason}."
                problems.append(_column_problem(index, column, message))
            except ValueError as error:
                problems.append(_column_problem(index, column, str(error)))
        if problems:
            raise ConfigurationInvalid(tuple(problems))
        return constant

    def _constant(self, column: Column, value: Value, layout: Layout) -> str:
        text = cell_for(column, layout.dialect)(value, [])
        if refused := self._encoding_refusal(text):
            raise refused
        return text

    def _open(self, layout: Layout) -> bytes:
        header = layout.dialect.header
        opening = _BYTE_ORDER_MARK if layout.dialect.bom else b""
        if isinstance(header, NoHeader):
            return opening
        text = (
            header.text
            if isinstance(header, TextHeader)
            else layout.dialect.delimiter.join(_names(layout))
        )
        if refused := self._encoding_refusal(text):
            raise ConfigurationInvalid(
                (
                    Problem(
                        ProblemCode.LAYOUT_INVALID,
                        "layout.dialect.header",
                        f"The header {refused.reason}.",
                    ),
                ),
            )
        return opening + (text + self._line_end).encode(self._codec)


def _names(layout: Layout) -> list[str]:
    names = [column.name for column in layout.columns]
    if layout.dialect.quoting in {"text", "all"}:
        return [quoted(name) for name in names]
    if layout.dialect.delimiter:
        return names
    return [f"{column.name:{column.width}}"[: column.width] for column in layout.columns]


def _paths(column: Column, sources: Sources) -> tuple[str, ...]:
    named = (sources.named(path) for path in paths_of(column.source))
    return tuple(path for path in named if is_of_line(path))


def _column_problem(index: int, column: Column, message: str) -> Problem:
    settings = [path for path in paths_of(column.source) if path.startswith("settings.")]
    if settings:
        return Problem(ProblemCode.SETTING_INVALID, settings[0], message)
    field = f"layout.columns[{index + 1}] ({column.name})"
    return Problem(ProblemCode.LAYOUT_INVALID, field, message)


def _line_problem(refusal: CellRefused, field: _Field, line: JournalLine) -> Problem:
    place = f"line {line.line_number}" if line.line_number else "the payable line"
    message = f"The column {field.column.name} of {place} {refusal.reason}."
    blamed = claim_field(_path_to_blame(field.paths, refusal), line, refusal.character)
    return Problem(refusal.code, blamed, message)


def _path_to_blame(paths: tuple[str, ...], refusal: CellRefused) -> str:
    """Find the free text where a character is at fault, or else the first."""
    return _TEXT if refusal.character and _TEXT in paths else paths[0]
