"""Which exporter writes which format: the built-in ones and those that packages add."""

from collections.abc import Mapping
from datetime import date
from importlib.metadata import entry_points
from typing import Any, Final
from uuid import UUID

from exporters.accounting_exporter import AccountingExporter
from exporters.configuration import FrozenConfiguration
from exporters.dynamics import (
    DynamicsExporter,
    DynamicsFinanceExporter,
    DynamicsJsonExporter,
)
from exporters.exchange_definition import exchange_definition
from exporters.layout import Layout
from exporters.layout_exporter import FileRules, LayoutExporter
from exporters.problem import ConfigurationInvalid, Problem, ProblemCode
from exporters.run_context import RunContext
from exporters.xledger import XledgerExporter, XledgerGl02Exporter, XledgerJsonExporter

ENTRY_POINT_GROUP: Final = "accounting_exporters"

BUILT_IN: Final[Mapping[str, type[AccountingExporter]]] = {
    exporter.format: exporter
    for exporter in (
        XledgerExporter,
        XledgerGl02Exporter,
        XledgerJsonExporter,
        DynamicsExporter,
        DynamicsJsonExporter,
        DynamicsFinanceExporter,
    )
}

# Stands in for a run when a configuration is checked without one.
_SAMPLE_RUN: Final = RunContext(
    run_id=UUID(int=0),
    run_number=1,
    organization_id=UUID(int=0),
    export_date=date(2000, 1, 1),
)


def formats() -> tuple[str, ...]:
    """List every format name, in alphabetical order."""
    added = {entry_point.name for entry_point in entry_points(group=ENTRY_POINT_GROUP)}
    return tuple(sorted({*BUILT_IN, *added}))


def exporter_type(format_name: str) -> type[AccountingExporter]:
    """Find the exporter of a format.

    A package adds one with an entry point in the group `accounting_exporters`: the name is the
    format, the object a subclass of `AccountingExporter`. A built-in format cannot be replaced.

    Raises:
        ConfigurationInvalid: there is no such format (the message lists those there are), or the
            entry point is not an exporter.
    """
    if format_name in BUILT_IN:
        return BUILT_IN[format_name]
    for entry_point in entry_points(group=ENTRY_POINT_GROUP, name=format_name):
        found = entry_point.load()
        if isinstance(found, type) and issubclass(found, AccountingExporter):
            return found
        raise _unknown(f"What {entry_point.value} adds for {format_name} is not an exporter.")
    raise _unknown(f"There is no format {format_name}; there are {', '.join(formats())}.")


def exporter_for(configuration: FrozenConfiguration, run: RunContext) -> AccountingExporter:
    """Make the exporter that a run's configuration asks for.

    Raises:
        ConfigurationInvalid: with every problem of the configuration.
    """
    found = exporter_type(configuration.format)
    if found.target != configuration.target:
        message = f"The format {found.format} is for {found.target}, not {configuration.target}."
        raise ConfigurationInvalid((Problem(ProblemCode.TARGET_MISMATCH, "target", message),))
    return found(configuration, run)


def configuration_problems(document: Mapping[str, object]) -> tuple[Problem, ...]:
    """List what is wrong with a configuration that is about to be saved; empty if nothing is."""
    try:
        configuration = FrozenConfiguration.from_document(document)
        exporter_for(configuration, _SAMPLE_RUN)
    except ConfigurationInvalid as invalid:
        return invalid.problems
    return ()


def has_records(format_name: str) -> bool:
    """Tell whether a format gives values for a delivery over its target's API.

    Raises:
        ConfigurationInvalid: there is no such format.
    """
    return exporter_type(format_name).records is not AccountingExporter.records


def shipped_layout_of(format_name: str) -> Layout:
    """Find the layout that a format comes with.

    Raises:
        ConfigurationInvalid: there is no such format, or it has no layout.
    """
    return Layout.shipped(_with_layout(format_name).layout_name)


def file_rules_of(
    format_name: str, layout: Mapping[str, object] | None, settings: Mapping[str, object]
) -> FileRules:
    """Find what a file must keep that was made with these settings and this layout.

    Raises:
        ConfigurationInvalid: with every problem of settings and layout.
    """
    return _exporter_of(format_name, layout, settings).file_rules


def exchange_definition_of(
    format_name: str, layout: Mapping[str, object] | None, settings: Mapping[str, object]
) -> str:
    """Write Business Central's definition of the files that these settings and this layout make.

    Raises:
        ConfigurationInvalid: with every problem of settings and layout, and with what is in the
            layout that a definition cannot say.
    """
    exporter = _exporter_of(format_name, layout, settings)
    if not isinstance(exporter, DynamicsExporter):
        raise _unknown(f"No data exchange definition imports the format {format_name}.")
    rules = exporter.file_rules
    code = exporter.settings.exchange_definition_code
    return exchange_definition(rules.layout, rules.fixed, code)


def _exporter_of(
    format_name: str, layout: Mapping[str, object] | None, settings: Mapping[str, object]
) -> LayoutExporter[Any]:
    document = {
        "target": _with_layout(format_name).target,
        "format": format_name,
        "time_zone": "Europe/Oslo",
        "layout": layout,
        "settings": settings,
        "on_problem": "leave_out",
    }
    exporter = exporter_for(FrozenConfiguration.from_document(document), _SAMPLE_RUN)
    if not isinstance(exporter, LayoutExporter):
        raise _without_layout(format_name)
    return exporter


def _with_layout(format_name: str) -> type[LayoutExporter[Any]]:
    found = exporter_type(format_name)
    if not issubclass(found, LayoutExporter):
        raise _without_layout(format_name)
    return found


def _without_layout(format_name: str) -> ConfigurationInvalid:
    return _unknown(f"The format {format_name} is not made by a layout.")


def _unknown(message: str) -> ConfigurationInvalid:
    return ConfigurationInvalid((Problem(ProblemCode.UNKNOWN_FORMAT, "format", message),))
