"""From a column's source to its value on a line; what no line changes is worked out once."""

from collections.abc import Callable

from exporters.cell import CellRefused
from exporters.column_source import (
    CaseSource,
    ConcatenateSource,
    ConstantSource,
    EmptySource,
    LookUpSource,
    PathSource,
    SignSource,
    Source,
    SubstringSource,
    paths_of,
)
from exporters.problem import ProblemCode
from exporters.source import Sources, Value, ValueOfLine
from exporters.voucher import JournalLine, Voucher

_Text = str | None
_TextOfLine = Callable[[Voucher, JournalLine], _Text]
_Function = ConcatenateSource | CaseSource | LookUpSource | SubstringSource


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
    return _function(source, sources)


def _function(source: _Function, sources: Sources) -> Value | ValueOfLine:
    if isinstance(source, ConcatenateSource):
        return _concatenated(source, sources)
    if isinstance(source, CaseSource):
        return _chosen(source, sources)
    return _changed(source, sources)


def _sign(source: SignSource) -> ValueOfLine:
    return lambda _, line: source.debit if line.amount > 0 else source.credit


def _concatenated(source: ConcatenateSource, sources: Sources) -> Value | ValueOfLine:
    parts = [_text(part, sources) for part in source.parts]
    join = _joined_in_places(source, sources) if source.keep_places else _joined
    if not any(callable(part) for part in parts):
        return join(source.separator, [part for part in parts if not callable(part)])

    def joined(voucher: Voucher, line: JournalLine) -> str:
        texts = [part(voucher, line) if callable(part) else part for part in parts]
        return join(source.separator, texts)

    return joined


def _joined(separator: str, texts: list[_Text]) -> str:
    return separator.join(text for text in texts if text)


def _joined_in_places(
    source: ConcatenateSource, sources: Sources
) -> Callable[[str, list[_Text]], str]:
    paths = [next(paths_of(part), None) for part in source.parts]
    names = [None if path is None else sources.named(path) for path in paths]

    def join(separator: str, texts: list[_Text]) -> str:
        for text, name in zip(texts, names, strict=True):
            if text and separator in text:
                reason = f"cannot hold {text!r}, because {separator!r} stands between its parts"
                code = ProblemCode.FORBIDDEN_CHARACTER
                raise CellRefused(code, reason, separator[0], name)
        return separator.join(text or "" for text in texts) if any(texts) else ""

    return join


def _chosen(source: CaseSource, sources: Sources) -> Value | ValueOfLine:
    by = _text(source.by, sources)
    cases = {name: _text(case, sources) for name, case in source.cases.items()}

    def choose(name: _Text) -> _Text | _TextOfLine:
        if name is None or name not in cases:
            raise CellRefused(ProblemCode.NOT_IN_TABLE, f"has no case for {name!r}")
        return cases[name]

    if not callable(by):
        return choose(by)

    def chosen(voucher: Voucher, line: JournalLine) -> _Text:
        found = choose(by(voucher, line))
        return found(voucher, line) if callable(found) else found

    return chosen


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


def _text(source: Source, sources: Sources) -> _Text | _TextOfLine:
    value = value_of(source, sources)
    if callable(value):
        return lambda voucher, line: _as_text(value(voucher, line))
    return _as_text(value)


def _as_text(value: Value) -> _Text:
    return None if value is None else str(value)
