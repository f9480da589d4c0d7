"""Where a line stands in a file whose lines are counted in parts."""

from exporters.voucher import JournalLine, Voucher


class FilePlace:
    """Counts parts, and the lines in a part, both from 1; a voucher stays in one part.

    Claims may share a voucher, one coming after the other. Its first claim decides the part, so
    there must be room for `voucher_lines`, the most that a shared voucher has. Without a limit the
    file is one part.
    """

    def __init__(self, most_lines: int | None = None, voucher_lines: int = 0) -> None:
        self._most_lines = most_lines
        self._voucher_lines = voucher_lines
        self.part = 1
        self._lines_before = 0
        # What is in the file for good: the last part, its lines, the last voucher's number.
        self._written: tuple[int, int, int | None] = (1, 0, None)

    def begin(self, voucher: Voucher) -> None:
        """Turn to a voucher; if it is refused, nothing has happened."""
        part, lines, number = self._written
        needed = max(len(voucher.lines), self._voucher_lines)
        is_full = self._most_lines is not None and lines + needed > self._most_lines
        if lines and is_full and voucher.number != number:
            part, lines = part + 1, 0
        self.part, self._lines_before = part, lines

    def end(self, voucher: Voucher) -> None:
        """Count the lines of the voucher that was begun: they are in the file."""
        self._written = (self.part, self._lines_before + len(voucher.lines), voucher.number)

    def of(self, voucher: Voucher, line: JournalLine) -> int:
        """Tell the place of a line in its part."""
        first = self._lines_before + 1
        return next(place for place, other in enumerate(voucher.lines, first) if other is line)
