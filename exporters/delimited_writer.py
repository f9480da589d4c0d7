"""Writes vouchers as the records of a delimited file, piece by piece."""

from typing import Final

from exporters.cell import CODECS, Alteration, Cell, quoted
from exporters.layout import DelimitedDialect, Layout, NoHeader, TextHeader
from exporters.problem import ConfigurationInvalid, Problem, ProblemCode
from exporters.record_writer import LineField, RecordWriter
from exporters.source import Sources, ValueOfLine
from exporters.voucher import JournalLine, Voucher

_LINE_ENDS: Final = {"crlf": "\r\n", "lf": "\n"}
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class DelimitedWriter(RecordWriter):
    """One record per journal line, after the header: nothing in our files breaks a line."""

    def __init__(self, layout: Layout, dialect: DelimitedDialect, sources: Sources) -> None:
        super().__init__(layout, sources)
        self._dialect = dialect
        self._codec = CODECS[dialect.encoding]
        self._line_end = _LINE_ENDS[dialect.line_end]
        # What stands before a value on every line: a delimiter, and columns that no line changes.
        self._cells: list[tuple[str, ValueOfLine, Cell]] = []
        self._after = self._put_together()
        self._opening = self._open()
        self._started = False
        # The header is on the first line.
        self._next_line = self._opening.count(b"\n") + 1

    def _records(self, voucher: Voucher, altered: list[Alteration]) -> bytes:
        data = self._join([self._record(voucher, line, altered) for line in voucher.lines])
        self.lines = range(self._next_line, self._next_line + len(voucher.lines))
        self._next_line = self.lines.stop
        if self._started:
            return data
        self._started = True
        return self._opening + data

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
            before + write(value(voucher, line), altered) for before, value, write in self._cells
        ]
        fields.append(self._after)
        return "".join(fields)

    def _put_together(self) -> str:
        before = ""
        for index, field in enumerate(self.fields):
            before += self._dialect.delimiter if index else ""
            if isinstance(field, LineField):
                self._cells.append((before, field.value, field.write))
                before = ""
            else:
                before += field.text
        return before

    def _open(self) -> bytes:
        header = self._dialect.header
        opening = _BYTE_ORDER_MARK if self._dialect.bom else b""
        if isinstance(header, NoHeader):
            return opening
        text = (
            header.text
            if isinstance(header, TextHeader)
            else self._dialect.delimiter.join(self._names())
        )
        if refused := self.encoding_refusal(text):
            message = f"The header {refused.reason}."
            problem = Problem(ProblemCode.LAYOUT_INVALID, "layout.dialect.header", message)
            raise ConfigurationInvalid((problem,))
        return opening + (text + self._line_end).encode(self._codec)

    def _names(self) -> list[str]:
        columns = self._layout.columns
        if self._dialect.quoting in {"text", "all"}:
            return [quoted(column.name) for column in columns]
        if self._dialect.delimiter:
            return [column.name for column in columns]
        return [f"{column.name:{column.width}}"[: column.width] for column in columns]
