"""The short form of `make load`."""

from pathlib import Path

from rich.console import Console

from stack.embedded_stack import EmbeddedStack
from tests.load.ordeal import undergo
from tests.load.report import show
from tests.load.scale import SHORT


def test_organisations_do_not_wait_for_each_other(
    stack: EmbeddedStack, scratch_directory: Path
) -> None:
    """Held leases, held lock rows and a hundred impatient clients stop nobody else, and make one run."""
    rows, promises = undergo(stack, scratch_directory / "load", SHORT)

    show(Console(width=140), rows, promises)
    assert [promise for promise in promises if not promise.is_kept] == []
