"""`make load`: ten function processes against one stack, much to do, and what must hold then."""

import shutil
import sys
import time

from rich.console import Console

from stack.embedded_stack import EmbeddedStack
from stack.functions_server import CHECKOUT
from tests.load.ordeal import undergo
from tests.load.report import show
from tests.load.scale import FULL

HOME = CHECKOUT / ".local" / "load"
_NARROWEST = 120


def main() -> int:
    """Return 0 when every promise was kept."""
    console, started = Console(highlight=False), time.monotonic()
    console.width = max(console.width, _NARROWEST)
    shutil.rmtree(HOME, ignore_errors=True)
    with EmbeddedStack(HOME, durable=False, with_functions=False) as stack:
        rows, promises = undergo(stack, HOME, FULL)
    show(console, rows, promises)
    are_kept = all(promise.is_kept for promise in promises)
    console.print(f"load: {'ok' if are_kept else 'failed'} ({time.monotonic() - started:.0f} s)")
    return 0 if are_kept else 1


if __name__ == "__main__":
    sys.exit(main())
