"""What the accounting system made of exported vouchers, as people report it."""

from dataclasses import dataclass

from functions.export_run import ExportRun, Told


@dataclass(frozen=True)
class ConfirmedVoucher:
    """Our voucher number, and what the accounting system calls the voucher if that is known."""

    voucher_number: int
    external_number: str | None = None
    note: str | None = None


class Confirmation(Told):
    """`recorded` counts what was news: 0 when the same was said before."""

    run: ExportRun
    recorded: int
