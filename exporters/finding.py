"""What is wrong in a file that somebody made, and where."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`line` counts from 1 and is 0 for the file as a whole; `column` is empty for a whole line.

    In JSON, where a line is a document of many records, a column's `line` counts the records.
    `rule` is a stable code; `message` one plain English sentence.
    """

    line: int
    column: str
    rule: str
    message: str
