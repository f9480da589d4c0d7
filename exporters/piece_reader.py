"""What a piece of a file says, for people to read and compare."""

import json
from collections.abc import Mapping
from typing import Final

from exporters.cell import CODECS
from exporters.json_writer import envelope_of
from exporters.layout import DelimitedDialect, JsonDialect, Layout

_LINE_ENDS: Final = {"crlf": "\r\n", "lf": "\n"}
_BYTE_ORDER_MARK: Final = "\ufeff"
_BETWEEN_RECORDS: Final = ","
_END_OF_RECORDS: Final = "]"


class PieceReader:
    """Reads the pieces of one file as `RunRenderer` gives them, each a whole number of vouchers.

    A delimited file is told by its lines, the header included, and JSON by its records, because a
    document of it is one long line. `layout` is the renderer's; it is empty for a format without
    one, which is read as lines of UTF-8.
    """

    def __init__(self, layout: Mapping[str, object]) -> None:
        self._dialect = Layout.from_document(layout).dialect if layout else None
        self._json = json.JSONDecoder()

    def lines(self, piece: bytes) -> list[str]:
        """Give the lines or records of a piece, without what stands between them."""
        if isinstance(self._dialect, JsonDialect):
            return self._records(piece.decode(), self._dialect)
        if isinstance(self._dialect, DelimitedDialect):
            return _delimited(piece, self._dialect)
        return piece.decode(errors="replace").splitlines()

    def _records(self, text: str, dialect: JsonDialect) -> list[str]:
        before, after = (edge.decode() for edge in envelope_of(dialect))
        # A document that is full is closed by the voucher that begins the next one.
        openings = (f"{after}\n{before}", before, _BETWEEN_RECORDS)
        records, start = [], 0
        while start < len(text):
            start += next((len(one) for one in openings if text.startswith(one, start)), 0)
            if text[start] == _END_OF_RECORDS:
                break
            _, end = self._json.raw_decode(text, start)
            records.append(text[start:end])
            start = end
        return records


def _delimited(piece: bytes, dialect: DelimitedDialect) -> list[str]:
    text = piece.decode(CODECS[dialect.encoding]).removeprefix(_BYTE_ORDER_MARK)
    # The line end stands before a piece or behind it; no line of ours is empty.
    return [line for line in text.split(_LINE_ENDS[dialect.line_end]) if line]
