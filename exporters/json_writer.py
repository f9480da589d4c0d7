"""Writes vouchers as JSON documents, one per line, each with at most so many journal lines."""

import json
from collections.abc import Mapping
from typing import Final, TypeAlias

from exporters.cell import Alteration
from exporters.layout import JsonDialect, Layout
from exporters.problem import ClaimUnusable, Problem, ProblemCode
from exporters.record_writer import LineField, RecordWriter
from exporters.source import Sources
from exporters.voucher import JournalLine, Voucher

_Leaf: TypeAlias = "str | dict[str, _Leaf]"

# Stands for the records while the envelope is written; no text of a layout holds it.
_MARK: Final = "\x00records\x00"


class JsonWriter(RecordWriter):
    """One object per journal line, in the envelope of the dialect; a voucher is never split.

    What is empty is left away: a key that is there has a value.
    """

    def __init__(self, layout: Layout, dialect: JsonDialect, sources: Sources) -> None:
        super().__init__(layout, sources)
        self._dialect = dialect
        self._before, self._after = _envelope(dialect)
        self._places = [(field, field.column.name.split(".")) for field in self.fields]
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

    def _record(self, voucher: Voucher, line: JournalLine, altered: list[Alteration]) -> str:
        record: dict[str, _Leaf] = {}
        for field, place in self._places:
            text = (
                field.write(field.value(voucher, line), altered)
                if isinstance(field, LineField)
                else field.text
            )
            if text:
                _put(record, place, self._value(field.column.type, text))
        wrapped: _Leaf = record
        if self._dialect.record_key is not None:
            wrapped = {self._dialect.record_key: record}
        return _written(wrapped)

    def _value(self, column_type: str, text: str) -> str:
        if column_type == "integer" or (
            column_type == "amount" and self._dialect.amounts == "number"
        ):
            return text
        return json.dumps(text, ensure_ascii=False)


def _put(record: dict[str, _Leaf], place: list[str], value: str) -> None:
    for key in place[:-1]:
        inner = record.setdefault(key, {})
        if isinstance(inner, str):
            raise TypeError(f"{key} is a value and an object, which the layout forbids.")
        record = inner
    record[place[-1]] = value


def _written(value: _Leaf) -> str:
    if isinstance(value, str):
        return value
    pairs = (f"{json.dumps(key, ensure_ascii=False)}:{_written(v)}" for key, v in value.items())
    return "{" + ",".join(pairs) + "}"


def _envelope(dialect: JsonDialect) -> tuple[bytes, bytes]:
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
