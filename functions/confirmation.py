"""What the accounting system made of exported vouchers, as people report it."""

from dataclasses import dataclass
from enum import StrEnum

from functions.export_run import ExportRun, Told


class Outcome(StrEnum):
    """What became of a voucher in the accounting system."""

    IMPORTED = "imported"
    BOOKED = "booked"
    REFUSED = "refused"


@dataclass(frozen=True)
class ConfirmedVoucher:
    """Our voucher number, and what the accounting system calls the voucher if that is known."""

    voucher_number: int
    external_number: str | None = None
    note: str | None = None


@dataclass(frozen=True)
class ListedVoucher:
    """A voucher with an outcome of its own, as a list from the accounting system has it."""

    voucher_number: int
    outcome: Outcome
    external_number: str | None = None
    note: str | None = None


class Confirmation(Told):
    """`recorded` counts what was news: 0 when the same was said before."""

    run: ExportRun
    recorded: int
