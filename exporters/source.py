"""The values that a column can show, by path: a closed list, because no code is evaluated."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Final, Literal, NamedTuple

from exporters.file_place import FilePlace
from exporters.run_context import RunContext
from exporters.voucher import JournalLine, Voucher

SourceType = Literal["text", "integer", "date", "amount"]
Value = str | int | date | Decimal | None
ValueOfLine = Callable[[Voucher, JournalLine], Value]


class _LineSource(NamedTuple):
    type: SourceType
    value: ValueOfLine


class _RunSource(NamedTuple):
    type: SourceType
    value: Callable[[RunContext], Value]


# `line.place` counts the lines of the voucher from 1.
# `line.account_kind` is `claimant` where the posting rule gives the claimant's number, or `ledger`.
# `line.reference` is the claim number and the line number, which is 0 on the payable line.
_LINE_SOURCES: Final[Mapping[str, _LineSource]] = {
    "voucher.number": _LineSource("integer", lambda voucher, _: voucher.number),
    "voucher.document_number": _LineSource("text", lambda voucher, _: voucher.document_number),
    "voucher.posting_date": _LineSource("date", lambda voucher, _: voucher.posting_date),
    "voucher.fiscal_year": _LineSource("integer", lambda voucher, _: voucher.posting_date.year),
    "voucher.period": _LineSource("integer", lambda voucher, _: voucher.posting_date.month),
    "voucher.currency": _LineSource("text", lambda voucher, _: voucher.currency),
    "voucher.kind": _LineSource("text", lambda voucher, _: voucher.kind),
    "line.place": _LineSource("integer", lambda voucher, line: voucher.place_of(line)),
    "line.line_number": _LineSource("integer", lambda _, line: line.line_number),
    "line.reference": _LineSource(
        "text",
        lambda _, line: f"{line.claim.claim_number}-{line.line_number}",
    ),
    "line.expense_type": _LineSource("text", lambda _, line: line.expense_type),
    "line.account_code": _LineSource("text", lambda _, line: line.account_code),
    "line.account_kind": _LineSource(
        "text",
        lambda _, line: "ledger" if line.subledger_number is None else "claimant",
    ),
    "line.tax_code": _LineSource("text", lambda _, line: line.tax_code),
    "line.amount": _LineSource("amount", lambda _, line: line.amount),
    "line.text": _LineSource("text", lambda _, line: line.text),
    "line.document_date": _LineSource("date", lambda _, line: line.document_date),
    "line.due_date": _LineSource("date", lambda _, line: line.due_date),
    "line.subledger_number": _LineSource("text", lambda _, line: line.subledger_number),
    "claim.claim_id": _LineSource("text", lambda _, line: str(line.claim.claim_id)),
    "claim.claim_number": _LineSource("text", lambda _, line: line.claim.claim_number),
    "claim.purpose": _LineSource("text", lambda _, line: line.claim.purpose),
    "claim.approved_on": _LineSource("date", lambda _, line: line.claim.approved_on),
    "claimant.name": _LineSource("text", lambda _, line: line.claim.claimant.name),
    "claimant.number": _LineSource("text", lambda _, line: line.claim.claimant.number),
}

# Where a line stands in a file that is cut into parts: the writer keeps count.
_FILE_SOURCES: Final[Mapping[str, Callable[[FilePlace], ValueOfLine]]] = {
    "file.part": lambda place: lambda *_: place.part,
    "file.place": lambda place: place.of,
}

LINE_PATHS: Final = (*_LINE_SOURCES, *_FILE_SOURCES)
"""The listed paths whose value a line decides; each has its field in `exporters.claim_field`."""

_RUN_SOURCES: Final[Mapping[str, _RunSource]] = {
    "run.run_id": _RunSource("text", lambda run: str(run.run_id)),
    "run.run_number": _RunSource("integer", lambda run: run.run_number),
    "run.export_date": _RunSource("date", lambda run: run.export_date),
}

_SETTING: Final = re.compile(r"settings\.([a-z][a-z0-9_]*)")
_DIMENSION_IN_ORDER: Final = re.compile(r"dimensions\.([1-9])")
_DIMENSION_CODE: Final = re.compile(r"dimension_codes\.([1-9])")
_DIMENSION_BY_NAME: Final = re.compile(r"line\.dimensions\.(\S+)")
_NAMED: Final = (_SETTING, _DIMENSION_IN_ORDER, _DIMENSION_CODE, _DIMENSION_BY_NAME)


def source_type(path: str) -> SourceType:
    """Tell what a path leads to.

    Besides the listed paths there are `settings.<name>`, `dimensions.<n>` (the nth name of the
    setting `dimension_order`), `dimension_codes.<n>` (what the accounting system calls it, by the
    setting `dimension_codes`) and `line.dimensions.<name>`, all of them text.

    Raises:
        ValueError: no such path.
    """
    if found := _LINE_SOURCES.get(path) or _RUN_SOURCES.get(path):
        return found.type
    if path in _FILE_SOURCES:
        return "integer"
    if any(pattern.fullmatch(path) for pattern in _NAMED):
        return "text"
    known = ", ".join((*LINE_PATHS, *_RUN_SOURCES))
    raise ValueError(
        f"There is no source {path}; there are {known}, settings.<name>, dimensions.<1-9>,"
        " dimension_codes.<1-9> and line.dimensions.<name>.",
    )


def is_of_line(path: str) -> bool:
    """Tell whether lines differ in what a path leads to; dimensions go by their names."""
    return path in LINE_PATHS or _DIMENSION_BY_NAME.fullmatch(path) is not None


class Sources:
    """Resolves paths for one run: to a value that no line changes, or to a function of the line."""

    def __init__(
        self,
        run: RunContext,
        settings: Mapping[str, object],
        dimension_order: tuple[str, ...],
        place: FilePlace,
    ) -> None:
        self._run = run
        self._settings = settings
        self._dimension_order = dimension_order
        self.place = place

    def resolve(self, path: str) -> Value | ValueOfLine:
        """Find what a known path leads to.

        Raises:
            ValueError: the path names a setting that this exporter does not have, or that is
                neither text nor a whole number.
        """
        if on_line := _LINE_SOURCES.get(path):
            return on_line.value
        if on_run := _RUN_SOURCES.get(path):
            return on_run.value(self._run)
        if on_file := _FILE_SOURCES.get(path):
            return on_file(self.place)
        if setting := _SETTING.fullmatch(path):
            return self._setting(setting[1])
        if code := _DIMENSION_CODE.fullmatch(path):
            return self._dimension_code(int(code[1]))
        by_name = _DIMENSION_BY_NAME.fullmatch(self.named(path))
        return _dimension(by_name[1]) if by_name else None

    def named(self, path: str) -> str:
        """Write `dimensions.<n>` with the name of the dimension, if the order has an nth."""
        dimension = _DIMENSION_IN_ORDER.fullmatch(path)
        place = int(dimension[1]) - 1 if dimension else len(self._dimension_order)
        if place >= len(self._dimension_order):
            return path
        return f"line.dimensions.{self._dimension_order[place]}"

    def _dimension_code(self, place: int) -> str | None:
        if place > len(self._dimension_order):
            return None
        name = self._dimension_order[place - 1]
        codes = self._settings.get("dimension_codes")
        found = codes.get(name, name) if isinstance(codes, Mapping) else name
        return str(found)

    def _setting(self, name: str) -> str | None:
        value = self._settings.get(name)
        if name not in self._settings or not isinstance(value, str | int | None):
            raise ValueError(f"There is no setting {name} that a column can show.")
        return None if value is None else str(value)


def _dimension(name: str) -> ValueOfLine:
    return lambda _, line: line.dimensions.get(name)
