"""The table for people and bench.json for machines."""

import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.comparison import Comparison
from tests.bench.scale import Scale


def show(console: Console, scale: Scale, rows: Sequence[Comparison]) -> None:
    """Milliseconds: the median of the rounds and their spread; a ratio with its goal."""
    title = (
        f"Milliseconds, size {scale.name}: {scale.memberships:,} memberships in {scale.runs:,} runs"
    )
    table = Table("what", "against", "there", "here", "ratio", "goal", title=title)
    for row in rows:
        table.add_row(
            row.what, row.against, str(row.base), str(row.figure), f"{row.ratio:.2f}", row.verdict
        )
    console.print(table)


def write(path: Path, scale: Scale, rows: Sequence[Comparison]) -> None:
    """Everything that was measured, with where and when."""
    report = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": scale.name,
        "memberships": scale.memberships,
        "runs": scale.runs,
        "machine": {
            "processors": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "comparisons": [row.as_json() for row in rows],
    }
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
