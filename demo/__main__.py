"""`make demo`: start everything, act as the mobile app, show what happened, stop everything."""

import shutil
import sys
import time
from pathlib import Path

import httpx
import psycopg
from postgrest import APIError
from rich.console import Console
from supabase import AuthError

from demo.failure import DemoFailure
from demo.story import tell
from stack.embedded_stack import EmbeddedStack
from stack.errors import StackError
from stack.example_organisations import EXAMPLES, add_example_organisations

CHECKOUT = Path(__file__).parent.parent
HOME = CHECKOUT / ".local" / "demo"
OUTPUT = CHECKOUT / "demo-output"
_NARROWEST = 140


def run(console: Console, home: Path, output: Path) -> None:
    """Tell every example organisation's story on a new stack in `home`; files go to `output`."""
    started = time.monotonic()
    shutil.rmtree(home, ignore_errors=True)
    shutil.rmtree(output, ignore_errors=True)
    console.print("Starting Postgres, the embedded Supabase and the functions ...")
    with EmbeddedStack(home, durable=False) as stack:
        console.print(f"  up after {time.monotonic() - started:.1f} s, migrations applied")
        console.print("Adding two organisations with their people, posting rules and claims ...")
        organization_ids = add_example_organisations(stack)
        for example in EXAMPLES:
            tell(console, stack, example, organization_ids[example.name], output)
        console.print("Stopping everything ...")
    console.print(f"Took {time.monotonic() - started:.1f} s. The files are in {output.name}/.")


def main() -> int:
    """Return 0 and end with `demo: ok`, or say what failed."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _NARROWEST)
    try:
        run(console, HOME, OUTPUT)
    except (
        DemoFailure,
        StackError,
        AuthError,
        APIError,
        httpx.HTTPError,
        psycopg.Error,
    ) as failure:
        console.print(f"demo: failed: {type(failure).__name__}: {failure}", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("demo: interrupted")
        return 130
    console.print("demo: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
