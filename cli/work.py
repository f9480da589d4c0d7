"""One command's way to Supabase: settings, services, and errors as sentences with an exit code."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from enum import IntEnum
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import structlog
from pydantic import ValidationError

from functions.error_catalogue import entry_of
from functions.errors import EngineError, SetUpRefused
from functions.language import Language, Sentence, preferred_language
from functions.services import Services
from functions.settings import Settings, load_settings

Result = TypeVar("Result")

# Written by `make up`, so that commands find the stack of this checkout without being told.
_EMBEDDED: Final = Path(__file__).parent.parent / ".local" / "stack" / "environment"
_AGAIN: Final = Sentence(
    nb="Vent litt og kjør kommandoen på nytt. Ingenting blir gjort to ganger.",
    en="Wait a moment and run the command again. Nothing is done twice.",
)


class ExitCode(IntEnum):
    """What a command leaves behind for scripts; 2 is a command line that cannot be read."""

    DONE = 0
    REFUSED = 1
    NOT_SET_UP = 2
    UNAVAILABLE = 3


def carry_out(work: Callable[[Services], Awaitable[Result]]) -> Result:
    """Does the work with the services of the environment's Supabase, or of the embedded stack.

    Raises SystemExit with an ExitCode when it cannot; the sentences go to standard error.
    """
    # What a command says goes to standard output, what the services log to standard error.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    settings = _settings()
    try:
        return asyncio.run(_within(settings, work))
    except EngineError as error:
        stop(error)


async def _within(settings: Settings, work: Callable[[Services], Awaitable[Result]]) -> Result:
    services = Services.of(settings)
    try:
        return await work(services)
    finally:
        await services.connection.aclose()


def stop(error: EngineError) -> NoReturn:
    """Say what went wrong and what to do, and leave."""
    entry, language = entry_of(error.code), spoken_language()
    _complain(f"{entry.detail.said(language)} ({error.code})")
    for problem in error.problems if isinstance(error, SetUpRefused) else ():
        _complain(f"{problem.field}: {problem.message} ({problem.code})")
    for more in (error.reason, error.note):
        if more:
            _complain(more)
    # What the app repeats with its key, a person repeats as a command.
    action = _AGAIN if error.is_transient else entry.action
    _complain(action.said(language))
    raise SystemExit(ExitCode.UNAVAILABLE if error.is_transient else ExitCode.REFUSED)


def spoken_language() -> Language:
    """The terminal's, of the two that the product speaks; English for any other."""
    tag = (os.environ.get("LC_ALL") or os.environ.get("LANG") or "en").partition(".")[0]
    return preferred_language(f"{tag.replace('_', '-')}, en;q=0.5")


def _settings() -> Settings:
    try:
        return load_settings(_EMBEDDED)
    except ValidationError as error:
        names = ", ".join(str(problem["loc"][0]).upper() for problem in error.errors())
        _complain(f"Not set, or not as it should be: {names}.")
        _complain("Set them in the environment, or start the embedded stack with `make up`.")
        raise SystemExit(ExitCode.NOT_SET_UP) from None


def _complain(sentence: str) -> None:
    print(sentence, file=sys.stderr)
