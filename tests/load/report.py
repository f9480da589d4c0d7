"""What was measured and what held, as tables in a terminal."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from tests.load.measurement import Measurement
from tests.load.promise import Promise


def show(console: Console, rows: Iterable[Measurement], promises: Iterable[Promise]) -> None:
    """Milliseconds per case, then each promise with what was found."""
    table = Table("case", "answers", *("requests", "p50", "p99", "slowest"), title="Milliseconds")
    for column in table.columns[2:]:
        column.justify = "right"
    for row in rows:
        answers = ", ".join(f"{status}: {times}" for status, times in sorted(row.statuses.items()))
        times = [row.p50, row.p99, row.slowest] if row.seconds else []
        table.add_row(
            row.case, answers, str(len(row.seconds)), *(f"{time * 1000:.0f}" for time in times)
        )
    console.print(table)
    held = Table("promise", "found", "kept", title="Promises")
    for promise in promises:
        held.add_row(promise.text, promise.found, "yes" if promise.is_kept else "NO")
    console.print(held)
