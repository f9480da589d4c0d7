from importlib.metadata import EntryPoint, EntryPoints

import pytest

from exporters.accounting_exporter import AccountingExporter
from exporters.configuration import FrozenConfiguration
from exporters.problem import ConfigurationInvalid, Problem
from exporters.registry import (
    ENTRY_POINT_GROUP,
    configuration_problems,
    exporter_type,
    formats,
)
from exporters.run_context import RunContext
from exporters.settings import ExporterSettings
from exporters.voucher import Voucher
from exporters.xledger import XledgerExporter
from tests.unit.claim_factory import claim, render_claims, xledger_document


class TotalsExporter(AccountingExporter):
    """A third party's format: one line per voucher, and a trailer."""

    format = "totals"
    target = "paper"
    content_type = "text/plain"
    file_extension = "txt"

    def __init__(self, configuration: FrozenConfiguration, run: RunContext) -> None:
        self._settings = ExporterSettings.from_document(configuration.settings)
        self._run = run

    @property
    def settings(self) -> ExporterSettings:
        """The common settings only."""
        return self._settings

    @property
    def layout(self) -> dict[str, object]:
        """There is no layout."""
        return {}

    def check(self, voucher: Voucher) -> tuple[Problem, ...]:
        """Accept every voucher."""
        del voucher
        return ()

    def render(self, voucher: Voucher) -> bytes:
        """Give the voucher's number."""
        return f"{voucher.number}\n".encode()

    def finish(self) -> bytes:
        """Give the trailer."""
        return f"end of run {self._run.run_number}\n".encode()


@pytest.fixture
def added_format(monkeypatch: pytest.MonkeyPatch) -> str:
    """Add a format as an installed package would, and a rival of a built-in one."""
    points = EntryPoints(
        EntryPoint(name, f"{value.__module__}:{value.__name__}", ENTRY_POINT_GROUP)
        for name, value in {"totals": TotalsExporter, "xledger_gl02b": TotalsExporter}.items()
    )
    broken = EntryPoint("broken", "decimal:Decimal", ENTRY_POINT_GROUP)
    monkeypatch.setattr(
        "exporters.registry.entry_points",
        lambda **chosen: EntryPoints([*points, broken]).select(**chosen),
    )
    monkeypatch.setattr(EntryPoint, "load", _load)
    return "totals"


def _load(entry_point: EntryPoint) -> object:
    return TotalsExporter if entry_point.name == "totals" else int


def test_the_built_in_formats_are_known() -> None:
    """Both first targets have a format."""
    assert {"dynamics_bc_csv", "xledger_gl02b"} <= set(formats())


def test_an_unknown_format_lists_those_there_are() -> None:
    """The message of an unknown format names every known one."""
    problems = configuration_problems(xledger_document(format="xledger_gl03"))

    assert [problem.code for problem in problems] == ["unknown_format"]
    assert all(name in problems[0].message for name in formats())


def test_a_package_adds_a_format(added_format: str) -> None:
    """A format from an entry point renders like a built-in one, trailer included."""
    configuration = xledger_document(format=added_format, target="paper") | {"settings": {}}

    assert added_format in formats()
    assert render_claims(configuration, claim(1), claim(2)).data == b"1001\n1002\nend of run 7\n"
    assert render_claims(configuration, claim(currency="EUR")).data == b""


@pytest.mark.usefixtures("added_format")
def test_a_package_cannot_replace_a_built_in_format() -> None:
    """A built-in format stays what it is."""
    assert exporter_type("xledger_gl02b") is XledgerExporter


@pytest.mark.usefixtures("added_format")
def test_an_entry_point_that_is_no_exporter_is_refused() -> None:
    """What a package adds must be an exporter."""
    with pytest.raises(ConfigurationInvalid):
        exporter_type("broken")


def test_a_sound_configuration_has_no_problems() -> None:
    """Nothing is said against a sound configuration."""
    assert configuration_problems(xledger_document()) == ()
