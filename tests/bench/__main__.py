"""`make bench`: what is promised about speed, as ratios measured side by side on this machine.

`python -m tests.bench [CASE ...]`; SIZE=full in the environment for the real sizes. Exits with 1 when a goal is missed.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from stack.functions_server import CHECKOUT
from tests.bench import history_case, preview_case
from tests.bench.comparison import Comparison
from tests.bench.report import show, write
from tests.bench.scale import SCALES, Scale

HOME = CHECKOUT / ".local" / "bench"
REPORT = HOME / "bench.json"
_NARROWEST = 150

# A new case is a function that builds what it needs below a directory of its own, and one line here.
CASES: dict[str, Callable[[Path, Scale, Callable[[str], None]], list[Comparison]]] = {
    "history": history_case.measure,
    "preview": preview_case.measure,
}


def main(names: list[str]) -> int:
    """Run the named cases, or all."""
    console = Console(highlight=False)
    scale = SCALES.get(os.environ.get("SIZE") or "small")
    if scale is None or not set(names) <= set(CASES):
        console.print(f"SIZE is one of {', '.join(SCALES)}; a case is one of {', '.join(CASES)}.")
        return 2
    started = time.monotonic()
    console.width = max(console.width, _NARROWEST)
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)

    def say(what: str) -> None:
        console.print(f"{time.monotonic() - started:6.0f} s  {what}")

    rows: list[Comparison] = []
    for name in names or CASES:
        home = HOME / name
        rows += CASES[name](home, scale, say)
        shutil.rmtree(home, ignore_errors=True)
    show(console, scale, rows)
    write(REPORT, scale, rows)
    missed = sum(row.is_missed for row in rows)
    console.print(f"bench: {f'{missed} goals missed' if missed else 'ok'}, all figures in {REPORT}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
