"""A list from the accounting system: what became of each voucher, as CSV. Every fault is named."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from functions.confirmation import ListedVoucher, Outcome
from functions.errors import FieldProblem, InvalidRequest

MOST_BYTES: Final = 4_000_000
MOST_ROWS: Final = 50_000
MOST_PROBLEMS: Final = 100

_COLUMNS: Final[Mapping[str, str]] = {
    "voucher_number": "voucher_number",
    "bilagsnummer": "voucher_number",
    "outcome": "outcome",
    "utfall": "outcome",
    "external_number": "external_number",
    "eksternt_nummer": "external_number",
    "note": "note",
    "merknad": "note",
}
_REQUIRED: Final = ("voucher_number", "outcome")
_OUTCOMES: Final[Mapping[str, Outcome]] = {
    "imported": Outcome.IMPORTED,
    "importert": Outcome.IMPORTED,
    "booked": Outcome.BOOKED,
    "bokført": Outcome.BOOKED,
    "refused": Outcome.REFUSED,
    "avvist": Outcome.REFUSED,
}
_LONGEST: Final[Mapping[str, int]] = {"external_number": 100, "note": 500}
_VOUCHER_NUMBER: Final = re.compile(r"[1-9][0-9]{0,7}", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_NO_LETTERS: Final = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class ConfirmationList:
    """What was read; columns with other names were not."""

    vouchers: tuple[ListedVoucher, ...]
    ignored_columns: tuple[str, ...]


@dataclass(frozen=True)
class ListProblem:
    """`line` as an editor counts; `column` None: the line as a whole."""

    line: int
    column: str | None
    code: str


class MalformedList(InvalidRequest):
    """The list has faults; nothing of it is used. `problems` has the first hundred, by line."""

    def __init__(self, problems: Sequence[ListProblem]) -> None:
        self.problems = tuple(problems[:MOST_PROBLEMS])
        super().__init__(
            "confirmation_list_malformed",
            [
                FieldProblem(f"lines[{p.line}]" + (f".{p.column}" if p.column else ""), p.code)
                for p in self.problems
            ],
        )


class _Faulty(Exception):  # noqa: N818  # ends the reading of one cell
    """`code` says what is wrong with it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def read_confirmation_list(content: bytes) -> ConfirmationList:
    """Raises MalformedList (400), or InvalidRequest: a list that is too long (413)."""
    if len(content) > MOST_BYTES:
        raise InvalidRequest("confirmation_list_too_long")
    lines = _Lines(_text(content))
    columns, ignored = _header(lines)
    vouchers: list[ListedVoucher] = []
    problems: list[ListProblem] = []
    taken: set[int] = set()
    for count, (line, cells) in enumerate(lines):
        if count >= MOST_ROWS:
            raise InvalidRequest("confirmation_list_too_long")
        voucher, faults = _voucher(line, columns, cells, taken)
        problems += faults
        if voucher is not None:
            vouchers.append(voucher)
        if len(problems) >= MOST_PROBLEMS:
            break
    problems += lines.faults
    if problems:
        raise MalformedList(problems)
    if not vouchers:
        raise MalformedList([ListProblem(lines.last_line, None, "list_is_empty")])
    return ConfirmationList(tuple(vouchers), ignored)


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise MalformedList([ListProblem(line, None, "not_utf8")]) from error


class _Lines:
    """The lines that are not blank, with their numbers. `faults` is complete after the last one."""

    def __init__(self, text: str) -> None:
        self.faults: list[ListProblem] = []
        self.last_line = 1
        first = next((line for line in text.splitlines() if line.strip()), "")
        delimiter = max(";,\t", key=first.count)
        self._reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[tuple[int, Sequence[str]]]:
        while True:
            # A quoted cell may hold line breaks; a row is where it begins.
            self.last_line = self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                self.last_line = max(self._reader.line_num, 1)
                return
            except csv.Error:
                # Where the next row begins is anybody's guess.
                self.faults.append(ListProblem(self.last_line, None, "not_csv"))
                return
            if any(cell.strip() for cell in cells):
                yield self.last_line, [cell.strip() for cell in cells]


def _header(lines: _Lines) -> tuple[Sequence[str | None], tuple[str, ...]]:
    """The meaning of each column, None for those that are ignored, and the names of these."""
    line, cells = next(iter(lines), (1, ()))
    if lines.faults:
        raise MalformedList(lines.faults)
    columns = [_COLUMNS.get(_NO_LETTERS.sub("_", cell).strip("_").lower()) for cell in cells]
    counts = Counter(columns)
    problems = [
        *(ListProblem(line, name, "required") for name in _REQUIRED if name not in counts),
        *(
            ListProblem(line, name, "repeated_field")
            for name, count in counts.items()
            if name is not None and count > 1
        ),
    ]
    if problems:
        raise MalformedList(problems)
    ignored = [cell for cell, name in zip(cells, columns, strict=True) if name is None and cell]
    return columns, tuple(ignored)


def _voucher(
    line: int, columns: Sequence[str | None], cells: Sequence[str], taken: set[int]
) -> tuple[ListedVoucher | None, Sequence[ListProblem]]:
    """The voucher of one line, or all that is wrong with the line."""
    if len(cells) != len(columns):
        return None, [ListProblem(line, None, "other_cell_count")]
    row = {name: cell for name, cell in zip(columns, cells, strict=True) if name is not None}
    problems: list[ListProblem] = []
    number, outcome = 0, Outcome.IMPORTED
    texts: dict[str, str | None] = {}
    try:
        number = _number(row["voucher_number"], taken)
    except _Faulty as fault:
        problems.append(ListProblem(line, "voucher_number", fault.code))
    try:
        outcome = _outcome(row["outcome"])
    except _Faulty as fault:
        problems.append(ListProblem(line, "outcome", fault.code))
    for column, longest in _LONGEST.items():
        try:
            texts[column] = _words(row.get(column, ""), longest)
        except _Faulty as fault:
            problems.append(ListProblem(line, column, fault.code))
    if problems:
        return None, problems
    return ListedVoucher(number, outcome, texts["external_number"], texts["note"]), ()


def _number(cell: str, taken: set[int]) -> int:
    if not cell:
        raise _Faulty("required")
    if not _VOUCHER_NUMBER.fullmatch(cell):
        raise _Faulty("not_a_voucher_number")
    number = int(cell)
    if number in taken:
        raise _Faulty("repeated_voucher")
    taken.add(number)
    return number


def _outcome(cell: str) -> Outcome:
    if not cell:
        raise _Faulty("required")
    try:
        return _OUTCOMES[cell.lower()]
    except KeyError:
        raise _Faulty("not_an_outcome") from None


def _words(cell: str, longest: int) -> str | None:
    # A note that was written on several lines is kept as one.
    text = " ".join(cell.split())
    if _CONTROL.search(text):
        raise _Faulty("malformed")
    if len(text) > longest:
        raise _Faulty("too_long")
    return text or None
