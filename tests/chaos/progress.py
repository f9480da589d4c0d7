"""What is seen of a campaign while it works: a bar on a terminal, now and then a line elsewhere."""

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

_SECONDS_BETWEEN_LINES = 15


class CampaignProgress:
    """A context manager; `tell` is what a campaign speaks to."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told_at = 0.0
        self._bar = Progress(
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("starting", total=1.0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def tell(self, share: float, line: str) -> None:
        """Show how far it is."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=share, description=line)
        elif share >= 1 or time.monotonic() - self._told_at > _SECONDS_BETWEEN_LINES:
            self._told_at = time.monotonic()
            self._console.print(f"{share:4.0%}  {line}", highlight=False)
