"""The one interface of every export format."""

from abc import ABC, abstractmethod
from typing import ClassVar

from exporters.configuration import FrozenConfiguration
from exporters.json_writer import Record
from exporters.notice import Notice
from exporters.problem import ConfigurationInvalid, Problem, ProblemCode
from exporters.run_context import RunContext
from exporters.settings import ExporterSettings
from exporters.voucher import Voucher


class AccountingExporter(ABC):
    """Turns one run's vouchers into the bytes of one file.

    An exporter is made for one run and used once, from the first voucher to `finish`. It is pure:
    the same configuration, run and vouchers in the same order give the same bytes.

    Construction validates the configuration and raises `ConfigurationInvalid` with every problem
    it found.
    """

    format: ClassVar[str]
    target: ClassVar[str]
    content_type: ClassVar[str]
    file_extension: ClassVar[str]

    @abstractmethod
    def __init__(self, configuration: FrozenConfiguration, run: RunContext) -> None: ...

    @property
    @abstractmethod
    def settings(self) -> ExporterSettings:
        """The settings in full, defaults included."""

    @property
    @abstractmethod
    def layout(self) -> dict[str, object]:
        """The layout that is used, in full and as JSON holds it; empty if there is none."""

    @abstractmethod
    def check(self, voucher: Voucher) -> tuple[Problem, ...]:
        """List everything that keeps a voucher out of the file; changes nothing."""

    @abstractmethod
    def render(self, voucher: Voucher) -> bytes:
        """Give the next bytes of the file.

        Raises:
            ClaimUnusable: the voucher has problems; the file is as if it had never come.
        """

    @abstractmethod
    def finish(self) -> bytes:
        """Give what closes the file; empty if no voucher got into it."""

    @property
    def shown_dimensions(self) -> tuple[str, ...]:
        """The dimensions that stand in the file, by name: totals tell no others apart."""
        return self.settings.dimension_order

    def lines(self) -> range | None:
        """Give the lines of the file on which the voucher rendered last stands.

        The first line of the file is 1, a header counts, as an editor numbers them. None for a
        format in which a line number leads nobody to a voucher, such as JSON in one line.
        """
        return None

    def notices(self) -> tuple[Notice, ...]:
        """Count the texts that were altered to fit; none, unless a format says otherwise."""
        return ()

    def records(self, voucher: Voucher) -> tuple[Record, ...]:
        """Give a voucher's lines as values, for a delivery over the target's API.

        Raises:
            ConfigurationInvalid: this format is for files only.
            ClaimUnusable: the voucher could not stand in the file either.
        """
        del voucher
        raise ConfigurationInvalid((no_records(self.format),))


def no_records(format_name: str) -> Problem:
    """Say that a format cannot be delivered over an API."""
    message = f"The format {format_name} is for files only; it cannot be sent over an API."
    return Problem(ProblemCode.CONFIGURATION_INVALID, "format", message)
