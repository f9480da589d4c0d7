"""On which lines of the file the vouchers of a page stand."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PageLines:
    """`first_lines[i]` is where the voucher of the member at `positions[i]` begins.

    It ends where the next one begins, the last one on `last_line`. Positions are those of the
    members in the file, in order; lines are counted from 1, the header included.
    """

    positions: tuple[int, ...]
    first_lines: tuple[int, ...]
    last_line: int
