"""What can go wrong, as one tree. What each code means to a reader is in error_catalogue.

EngineError
├── Refused               asking again the same way gives the same answer
│   ├── InvalidRequest    the request itself, by field
│   ├── StaleToken        somebody else continues this run
│   ├── SetUpRefused      no run began: the organisation's configuration makes no file
│   ├── RunFailed         the run ended without a file and its claims are free again
│   └── DeliveryRefused   the accounting system, or the set-up of its connection, said no
├── Unavailable           database or storage; asking again later is right
│   └── DeliveryUnavailable   the accounting system
└── Defect                ours to mend
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from functions.export_run import ExportRun, LeftOutClaim


@dataclass(frozen=True)
class FieldProblem:
    """`field` is a dotted path in the body, a query parameter or a header name."""

    field: str
    code: str


class EngineError(Exception):
    """Every error that a caller may be told about. `code` is stable and a key of the catalogue."""

    is_transient: ClassVar[bool] = False

    def __init__(
        self,
        code: str,
        *,
        status: int | None = None,
        run_id: UUID | None = None,
        retry_after: int | None = None,
        cause: str | None = None,
    ) -> None:
        """`cause` goes to the log only; `status` counts only for a code the catalogue lacks."""
        super().__init__(code)
        self.code = code
        self.status = status
        self.run_id = run_id
        self.retry_after = retry_after
        self.cause = cause
        # For the caller, in the words of the person who gave it.
        self.reason: str | None = None
        # Which ones, where a refusal is about some of many; the database's sentence, in English.
        self.note: str | None = None


class Refused(EngineError):  # noqa: N818  # a state that callers handle
    """Terminal: the database or we said no, and will say no again."""


class InvalidRequest(Refused):
    """The request cannot be read or breaks a bound; `fields` says where."""

    def __init__(
        self, code: str, fields: Sequence[FieldProblem] = (), *, allow: str | None = None
    ) -> None:
        """`allow` is the method that the address does take (405)."""
        super().__init__(code)
        self.fields = tuple(fields)
        self.allow = allow


class StaleToken(Refused):
    """A newer fencing token exists: whoever holds it finishes the run, and nothing was changed."""


@dataclass(frozen=True)
class SetUpProblem:
    """What is wrong in an organisation's configuration; `message` is the exporter's, in English."""

    field: str
    code: str
    message: str


class SetUpRefused(Refused):
    """Nothing began and nothing was reserved: every problem of the configuration is named."""

    def __init__(self, problems: Sequence[SetUpProblem]) -> None:
        super().__init__("configuration_invalid")
        self.problems = tuple(problems)


class RunFailed(Refused):
    """The run ended, or must end, without a file, and its claims are free again."""

    def __init__(
        self,
        code: str,
        *,
        run_id: UUID,
        left_out: Sequence[LeftOutClaim] = (),
        untold: Sequence[LeftOutClaim] = (),
        problems: Sequence[SetUpProblem] = (),
    ) -> None:
        """`left_out` is for the caller; `untold` are those that the database must still learn."""
        super().__init__(code, run_id=run_id)
        self.left_out = tuple(left_out)
        self.untold = tuple(untold)
        self.problems = tuple(problems)
        # The completed run that took the same scope before: a second tap must not hide it.
        self.latest_run: ExportRun | None = None


class Unavailable(EngineError):  # noqa: N818  # a state that callers handle
    """Transient: nothing was half done, and the same request with the same key may be repeated."""

    is_transient: ClassVar[bool] = True

    def __init__(
        self,
        code: str,
        *,
        passes_soon: bool = False,
        run_id: UUID | None = None,
        retry_after: int | None = None,
        cause: str | None = None,
    ) -> None:
        """`passes_soon`: worth repeating within seconds. A time-out is not: it would add load."""
        super().__init__(code, run_id=run_id, retry_after=retry_after, cause=cause)
        self.passes_soon = passes_soon


class DeliveryRefused(Refused):
    """The accounting system, or the set-up of the connection to it, says no and will say no again.

    `field` is the setting that somebody must correct. `remote_code`, `remote_message` and
    `correlation_id` are the accounting system's own, the message in its language and without
    secrets.
    """

    def __init__(
        self,
        code: str,
        *,
        field: str | None = None,
        remote_code: str | None = None,
        remote_message: str | None = None,
        correlation_id: str | None = None,
    ) -> None:
        super().__init__(code, cause=remote_code)
        self.field = field
        self.remote_code = remote_code
        self.remote_message = remote_message
        self.correlation_id = correlation_id


class DeliveryUnavailable(Unavailable):
    """The accounting system did not answer, or asks for patience; `retry_after` is its own wish."""


class LeftInDoubt(EngineError):  # noqa: N818  # a state that callers handle
    """Nobody knows what the accounting system got of the run; the sweep asks again."""

    def __init__(self, run: ExportRun) -> None:
        super().__init__("delivery_in_doubt", run_id=run.run_id)
        self.run = run


class Defect(EngineError):  # noqa: N818  # a state that callers handle
    """An answer or a state that the engine does not expect."""

    def __init__(self, cause: str) -> None:
        """`cause` must name no data, only shapes."""
        super().__init__("internal_error", cause=cause)
