"""The file of Ledgerbook: a line of text per journal line."""

from exporters.accounting_exporter import AccountingExporter
from exporters.configuration import FrozenConfiguration
from exporters.json_writer import Record
from exporters.problem import ClaimUnusable, Problem, ProblemCode
from exporters.run_context import RunContext
from exporters.settings import ExporterSettings
from exporters.voucher import Voucher

FORBIDDEN = "7666"


class LedgerbookExporter(AccountingExporter):
    """Knows no layouts: its lines are what they are."""

    format = "ledgerbook_text"
    target = "ledgerbook"
    # One of those that the bucket takes.
    content_type = "text/csv"
    file_extension = "txt"

    def __init__(self, configuration: FrozenConfiguration, run: RunContext) -> None:
        del run
        self._settings = ExporterSettings.from_document(configuration.settings)

    @property
    def settings(self) -> ExporterSettings:
        """None of its own."""
        return self._settings

    @property
    def layout(self) -> dict[str, object]:
        """None."""
        return {}

    def check(self, voucher: Voucher) -> tuple[Problem, ...]:
        """The ledger has a number that it does not take."""
        return tuple(
            Problem(ProblemCode.ACCOUNT_NOT_ALLOWED, f"lines[{line.line_number}]", "Never 7666.")
            for line in voucher.lines
            if line.account_code == FORBIDDEN
        )

    def render(self, voucher: Voucher) -> bytes:
        """Number, account and amount."""
        if problems := self.check(voucher):
            raise ClaimUnusable(problems)
        rows = (
            f"{voucher.number} {one['account']} {one['amount']}\n" for one in self.records(voucher)
        )
        return "".join(rows).encode()

    def finish(self) -> bytes:
        """The end of the book."""
        return b"END\n"

    def records(self, voucher: Voucher) -> tuple[Record, ...]:
        """The same as values."""
        return tuple(
            {"account": line.account_code, "amount": line.amount} for line in voucher.lines
        )
