"""Writes vouchers as JSON documents, one per line, each with at most so many journal lines."""

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final, TypeAlias

from exporters.cell import Alteration
from exporters.json_key import JsonKey
from exporters.layout import Column, JsonDialect, Layout
from exporters.problem import ClaimUnusable, Problem, ProblemCode
from exporters.record_writer import LineField, RecordWriter
from exporters.source import Sources
from exporters.voucher import JournalLine, Voucher

Record: TypeAlias = "dict[str, RecordValue]"
RecordValue: TypeAlias = "str | int | Decimal | Record | list[RecordValue]"

# An object has texts as keys, a list the places of its entries.
_Tree: TypeAlias = "dict[str | int, _Node]"
_Node: TypeAlias = "_Tree | str | int | Decimal"

_quoted: Final[Callable[[str], str]] = json.JSONEncoder(ensure_ascii=False).encode

# Stands for the records while the envelope is written; no text of a layout holds it.
_MARK: Final = "\x00records\x00"


class JsonWriter(RecordWriter):
    """One object per journal line, in the envelope of the dialect; a voucher is never split.

    What is empty is left away: a key that is there has a value.
    """

    def __init__(self, layout: Layout, dialect: JsonDialect, sources: Sources) -> None:
        super().__init__(layout, sources)
        self._dialect = dialect
        self._before, self._after = envelope_of(dialect)
        self._places = [(field, JsonKey.parse(field.column.name)) for field in self.fields]
        # Journal lines in the document that is open; none before the first.
        self._open_lines: int | None = None
        # The records of the voucher that the next claim may share: it is written when it is whole.
        self._voucher_number = 0
        self._voucher_records: list[str] = []

    def check(self, voucher: Voucher) -> tuple[Problem, ...]:
        """Also whether the voucher fits into one document."""
        return (*self._too_long(voucher), *super().check(voucher))

    def finish(self) -> bytes:
        """Write the last voucher, and close the document that is open."""
        if not self._voucher_records:
            return b""
        last = self._whole_voucher()
        return last + self._after + (b"\n" if self._dialect.final_newline else b"")

    def _records(self, voucher: Voucher, altered: list[Alteration]) -> bytes:
        if problems := self._too_long(voucher):
            raise ClaimUnusable(problems)
        records = [self._record(voucher, line, altered) for line in voucher.lines]
        if voucher.number == self._voucher_number:
            self._voucher_records += records
            return b""
        before = self._whole_voucher() if self._voucher_records else b""
        self._voucher_number, self._voucher_records = voucher.number, records
        return before

    def _whole_voucher(self) -> bytes:
        records = ",".join(self._voucher_records)
        return self._next_opening(len(self._voucher_records)) + records.encode()

    def _too_long(self, voucher: Voucher) -> tuple[Problem, ...]:
        most = self._dialect.most_records
        lines = voucher.lines_before + len(voucher.lines)
        if most is None or lines <= most:
            return ()
        message = f"The voucher has {lines} lines, and one request takes {most}."
        return (Problem(ProblemCode.TOO_MANY_LINES, "lines", message),)

    def _next_opening(self, lines: int) -> bytes:
        most = self._dialect.most_records
        if self._open_lines is None:
            self._open_lines = lines
            return self._before
        if most is not None and self._open_lines + lines > most:
            self._open_lines = lines
            return self._after + b"\n" + self._before
        self._open_lines += lines
        return b","

    def values(self, voucher: Voucher) -> tuple[Record, ...]:
        """Give the voucher's records as values; the file is as if it had never been asked.

        Raises:
            ClaimUnusable: a value cannot stand in its column.
        """
        if problems := self.check(voucher):
            raise ClaimUnusable(problems)
        trees = (self._tree(voucher, line, [], _value) for line in voucher.lines)
        return tuple(_plain_object(tree) for tree in trees)

    def _record(self, voucher: Voucher, line: JournalLine, altered: list[Alteration]) -> str:
        record = self._tree(voucher, line, altered, self._json)
        if self._dialect.record_key is not None:
            record = {self._dialect.record_key: record}
        return _written(record)

    def _tree(
        self,
        voucher: Voucher,
        line: JournalLine,
        altered: list[Alteration],
        leaf: Callable[[Column, str], str | int | Decimal],
    ) -> _Tree:
        texts = [
            field.write(field.value(voucher, line), altered)
            if isinstance(field, LineField)
            else field.text
            for field, _ in self._places
        ]
        cells = list(zip(self._places, texts, strict=True))
        incomplete = {key.entry for (_, key), text in cells if not text} - {None}
        record: _Tree = {}
        for (field, key), text in cells:
            if text and key.entry not in incomplete:
                _put(record, key, leaf(field.column, text))
        return record

    def _json(self, column: Column, text: str) -> str:
        if column.type == "integer" or (
            column.type == "amount" and self._dialect.amounts == "number"
        ):
            return text
        return _quoted(text)


def _value(column: Column, text: str) -> str | int | Decimal:
    if column.type == "amount":
        return Decimal(text)
    return int(text) if column.type == "integer" else text


def _put(record: _Tree, key: JsonKey, value: str | int | Decimal) -> None:
    for step in key.steps[:-1]:
        inner = record.setdefault(step, {})
        if not isinstance(inner, dict):
            raise TypeError(f"{step} is a value and an object, which the layout forbids.")
        record = inner
    record[key.steps[-1]] = value


def _written(value: _Node) -> str:
    """Join what is JSON already."""
    if not isinstance(value, dict):
        return str(value)
    if _is_list(value):
        return "[" + ",".join(_written(entry) for _, entry in sorted(value.items())) + "]"
    pairs = [f"{_quoted(str(key))}:{_written(inner)}" for key, inner in value.items()]
    return "{" + ",".join(pairs) + "}"


def _plain_object(tree: _Tree) -> Record:
    return {str(key): _plain(value) for key, value in tree.items()}


def _plain(value: _Node) -> RecordValue:
    if not isinstance(value, dict):
        return value
    if _is_list(value):
        return [_plain(entry) for _, entry in sorted(value.items())]
    return _plain_object(value)


def _is_list(tree: _Tree) -> bool:
    return isinstance(next(iter(tree), None), int)


def envelope_of(dialect: JsonDialect) -> tuple[bytes, bytes]:
    """Give what stands before the records of a document, and what stands behind them."""
    marked = (
        _with_mark(dialect.envelope, dialect.records_at.split(".")) if dialect.records_at else _MARK
    )
    text = json.dumps(marked, ensure_ascii=False, separators=(",", ":"))
    before, _, after = text.partition(json.dumps(_MARK))
    return f"{before}[".encode(), f"]{after}".encode()


def _with_mark(envelope: Mapping[str, object], place: list[str]) -> dict[str, object]:
    key, rest = place[0], place[1:]
    inner = envelope.get(key)
    within = inner if isinstance(inner, Mapping) else {}
    return {**envelope, key: _with_mark(within, rest) if rest else _MARK}
