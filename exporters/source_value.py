"""From a column's source to its value on a line; what no line changes is worked out once."""

from collections.abc import Callable

from exporters.cell import CellRefused
from exporters.column_source import (
    ConcatenateSource,
    ConstantSource,
    EmptySource,
    LookUpSource,
    PathSource,
    SignSource,
    Source,
    SubstringSource,
    TextSource,
)
from exporters.problem import ProblemCode
from exporters.source import Sources, Value, ValueOfLine
from exporters.voucher import JournalLine, Voucher

_Text = str | None
_TextOfLine = Callable[[Voucher, JournalLine], _Text]


def value_of(source: Source, sources: Sources) -> Value | ValueOfLine:
    """Give the value that no line changes, or the function of the line.

    Raises:
        ValueError: a path names a setting that this exporter does not have.
        CellRefused: a table lacks a text that no line changes. The function raises it too.
    """
    if isinstance(source, EmptySource):
        return None
    if isinstance(source, PathSource):
        return sources.resolve(source.path)
    if isinstance(source, ConstantSource):
        return source.value
    if isinstance(source, SignSource):
        return _sign(source)
    if isinstance(source, ConcatenateSource):
        return _concatenated(source, sources)
    return _changed(source, sources)


def _sign(source: SignSource) -> ValueOfLine:
    return lambda _, line: source.debit if line.amount > 0 else source.credit


def _concatenated(source: ConcatenateSource, sources: Sources) -> Value | ValueOfLine:
    parts = [_text(part, sources) for part in source.parts]
    if not any(callable(part) for part in parts):
        return source.separator.join(part for part in parts if isinstance(part, str) and part)

    def joined(voucher: Voucher, line: JournalLine) -> str:
        texts = (part(voucher, line) if callable(part) else part for part in parts)
        return source.separator.join(text for text in texts if text)

    return joined


def _changed(source: LookUpSource | SubstringSource, sources: Sources) -> Value | ValueOfLine:
    change = _looked_up(source) if isinstance(source, LookUpSource) else _substring(source)
    text = _text(source.source, sources)
    if callable(text):
        return lambda voucher, line: change(text(voucher, line))
    return change(text)


def _looked_up(source: LookUpSource) -> Callable[[_Text], _Text]:
    def look_up(text: _Text) -> _Text:
        if not text:
            return None
        if text in source.table:
            return source.table[text]
        if source.otherwise == "refuse":
            raise CellRefused(ProblemCode.NOT_IN_TABLE, f"has no entry for {text!r} in its table")
        return text if source.otherwise == "keep" else None

    return look_up


def _substring(source: SubstringSource) -> Callable[[_Text], _Text]:
    def cut(text: _Text) -> _Text:
        if text is None:
            return None
        first = source.start - 1 if source.start > 0 else max(len(text) + source.start, 0)
        return text[first:] if source.length is None else text[first : first + source.length]

    return cut


def _text(source: TextSource, sources: Sources) -> _Text | _TextOfLine:
    value = value_of(source, sources)
    if callable(value):
        return lambda voucher, line: _as_text(value(voucher, line))
    return _as_text(value)


def _as_text(value: Value) -> _Text:
    return None if value is None else str(value)
