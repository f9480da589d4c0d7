"""Structured log lines on standard output, in the form that Cloud Logging reads.

What goes in: identifiers, codes, counts, durations. Never keys, tokens, names, amounts or text of
claims; so of an exception only its type and where it was raised, not its message.
"""

import sys
import traceback
from collections.abc import MutableMapping
from typing import Final

import structlog

logger: Final[structlog.typing.FilteringBoundLogger] = structlog.get_logger()


def _cloud_logging_fields(
    _logger: object, level: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    event["severity"] = level.upper()
    event["message"] = event.pop("event")
    return event


def configure_log() -> None:
    """Once per process, before the first request."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _cloud_logging_fields,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=True,
    )


def traceback_of(error: BaseException) -> list[str]:
    """Type and places of an exception and of its causes, without any message."""
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        lines.append(type(cause).__name__)
        lines += [
            f"  {frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(cause.__traceback__)
        ]
        cause = cause.__cause__ or cause.__context__
    return lines
