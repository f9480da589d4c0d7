"""What can go wrong with the embedded stack, in words for the person who started it."""

from pathlib import Path

LOG_LINES_SHOWN = 15


class StackError(Exception):
    """The stack cannot do what was asked; the message says why and what to do."""


class ProgramEnded(StackError):  # noqa: N818 - an event, named as one
    """A program of the stack ended by itself; carries the last lines it wrote."""

    def __init__(self, name: str, log: Path) -> None:
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        super().__init__(f"{name} ended unexpectedly. Last lines of {log}:\n" + "\n".join(lines))


class NotReady(StackError):  # noqa: N818 - a state, named as one
    """A program of the stack runs but does not answer."""
