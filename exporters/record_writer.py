"""What the writers of columns share: values checked and written, cell by cell, line by line."""

from abc import ABC, abstractmethod
from typing import Final, NamedTuple

from exporters.cell import (
    Alteration,
    Cell,
    CellRefused,
    cell_for,
    unencodable_character,
)
from exporters.claim_field import claim_field
from exporters.column_source import paths_of
from exporters.layout import Column, Layout
from exporters.notice import Notice
from exporters.problem import ClaimUnusable, ConfigurationInvalid, Problem, ProblemCode
from exporters.source import Sources, ValueOfLine, is_of_line
from exporters.source_value import value_of
from exporters.voucher import JournalLine, Voucher

_TEXT: Final = "line.text"
_OF_SETTINGS: Final = ("settings.", "dimension_codes.")


class LineField(NamedTuple):
    """A column whose value lines decide; `paths` lead to whoever can change it."""

    column: Column
    paths: tuple[str, ...]
    value: ValueOfLine
    write: Cell


class FixedField(NamedTuple):
    """A column that no line changes, written already."""

    column: Column
    text: str


class RecordWriter(ABC):
    """The state of one file: what has been started, and what was altered.

    `lines` are those of the voucher written last, the file's first line being 1; None before it,
    and where a line number leads nobody to a voucher.

    Columns that no line changes are written once, when the writer is made; so a setting that
    cannot stand in its column is found before any claim.

    Raises:
        ConfigurationInvalid: a constant, a setting or the header does not fit the layout.
    """

    def __init__(self, layout: Layout, sources: Sources) -> None:
        self._layout = layout
        self._place = sources.place
        self.fields = self._compile(sources)
        self._of_lines = [field for field in self.fields if isinstance(field, LineField)]
        self.lines: range | None = None
        self._notices: dict[Alteration, Notice] = {}

    def check(self, voucher: Voucher) -> tuple[Problem, ...]:
        """List every cell of a voucher that the format cannot take; changes nothing."""
        return tuple(
            problem
            for line in voucher.lines
            for field in self._of_lines
            if (problem := self._cell_problem(field, voucher, line))
        )

    def write(self, voucher: Voucher) -> bytes:
        """Give the next bytes of the file; what opens it comes with the first voucher.

        Raises:
            ClaimUnusable: a cell cannot be written; the file is as if the voucher had never come.
        """
        altered: list[Alteration] = []
        self._place.begin(voucher)
        try:
            data = self._records(voucher, altered)
        except (CellRefused, UnicodeEncodeError) as refusal:
            problems = self.check(voucher)
            if not problems:
                raise AssertionError("A refused voucher has a problem.") from refusal
            raise ClaimUnusable(problems) from refusal
        self._place.end(voucher)
        for alteration in altered:
            self._note(alteration, voucher)
        return data

    def finish(self) -> bytes:
        """Give what closes the file, once it was opened."""
        return b""

    def notices(self) -> tuple[Notice, ...]:
        """Count what was altered so far, per column; the claims themselves are not kept."""
        return tuple(self._notices.values())

    def texts_of_settings(self) -> dict[str, str]:
        """Give what settings put on every line, by column; empty columns are left away."""
        return {
            field.column.name: field.text
            for field in self.fields
            if isinstance(field, FixedField)
            and field.text
            and all(path.startswith(_OF_SETTINGS) for path in paths_of(field.column.source))
        }

    @abstractmethod
    def _records(self, voucher: Voucher, altered: list[Alteration]) -> bytes:
        """Write a voucher's lines; the file goes on only if nothing is refused."""

    def encoding_refusal(self, text: str) -> CellRefused | None:
        """Say which character of a text an encoding of the dialect lacks, if one does."""
        missing = unencodable_character(text, self._layout.dialect)
        if missing is None:
            return None
        character, encoding = missing
        return CellRefused(
            ProblemCode.TEXT_NOT_ENCODABLE,
            f"holds {character!a} (U+{ord(character):04X}), which the encoding {encoding} lacks",
            character,
        )

    def _note(self, alteration: Alteration, voucher: Voucher) -> None:
        known = self._notices.get(alteration)
        self._notices[alteration] = Notice(
            alteration.code,
            alteration.column,
            known.count + 1 if known else 1,
            known.first_claim_number if known else voucher.lines[0].claim.claim_number,
        )

    def _cell_problem(
        self, field: LineField, voucher: Voucher, line: JournalLine
    ) -> Problem | None:
        try:
            text = field.write(field.value(voucher, line), [])
        except CellRefused as refusal:
            return _line_problem(refusal, field, line)
        refused = self.encoding_refusal(text)
        return _line_problem(refused, field, line) if refused else None

    def _compile(self, sources: Sources) -> list[LineField | FixedField]:
        fields: list[LineField | FixedField] = []
        problems: list[Problem] = []
        for index, column in enumerate(self._layout.columns):
            try:
                fields.append(self._field(column, sources))
            except CellRefused as refusal:
                message = f"The column {column.name} {refusal.reason}."
                problems.append(_column_problem(index, column, message))
            except ValueError as error:
                problems.append(_column_problem(index, column, str(error)))
        if problems:
            raise ConfigurationInvalid(tuple(problems))
        return fields

    def _field(self, column: Column, sources: Sources) -> LineField | FixedField:
        value = value_of(column.source, sources)
        write = cell_for(column, self._layout.dialect)
        if callable(value):
            return LineField(column, _paths(column, sources), value, write)
        text = write(value, [])
        if refused := self.encoding_refusal(text):
            raise refused
        return FixedField(column, text)


def _paths(column: Column, sources: Sources) -> tuple[str, ...]:
    named = (sources.named(path) for path in paths_of(column.source))
    return tuple(path for path in named if is_of_line(path))


def _column_problem(index: int, column: Column, message: str) -> Problem:
    settings = [path for path in paths_of(column.source) if path.startswith("settings.")]
    if settings:
        return Problem(ProblemCode.SETTING_INVALID, settings[0], message)
    field = f"layout.columns[{index + 1}] ({column.name})"
    return Problem(ProblemCode.LAYOUT_INVALID, field, message)


def _line_problem(refusal: CellRefused, field: LineField, line: JournalLine) -> Problem:
    place = f"line {line.line_number}" if line.line_number else "the payable line"
    message = f"The column {field.column.name} of {place} {refusal.reason}."
    blamed = claim_field(_path_to_blame(field.paths, refusal), line, refusal.character)
    return Problem(refusal.code, blamed, message)


def _path_to_blame(paths: tuple[str, ...], refusal: CellRefused) -> str:
    """Find the path that the refusal names, or the free text where a character is at fault."""
    if refusal.path in paths:
        return refusal.path
    return _TEXT if refusal.character and _TEXT in paths else paths[0]
