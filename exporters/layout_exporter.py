"""What the formats with a layout share; each adds its settings, its layout and its own checks."""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Generic, NamedTuple, TypeVar

from exporters.accounting_exporter import AccountingExporter
from exporters.column_source import paths_of, shown_paths
from exporters.configuration import FrozenConfiguration
from exporters.delimited_writer import DelimitedWriter
from exporters.file_place import FilePlace
from exporters.json_writer import JsonWriter
from exporters.layout import DelimitedDialect, JsonDialect, Layout
from exporters.master_data import MasterData
from exporters.notice import Notice
from exporters.problem import ClaimUnusable, ConfigurationInvalid, Problem, ProblemCode
from exporters.record_writer import RecordWriter
from exporters.run_context import RunContext
from exporters.settings import ExporterSettings
from exporters.source import Sources
from exporters.voucher import Voucher

SettingsT = TypeVar("SettingsT", bound=ExporterSettings)

# Without these columns a file could not be posted at all.
_NEEDED_COLUMNS = ("line.account_code", "line.amount", "voucher.posting_date")
_VOUCHER_NUMBERS = ("voucher.number", "voucher.document_number")
_CLAIM_NUMBERS = ("claim.claim_number", "line.reference")
_DIMENSION = "line.dimensions."
_ACCOUNT_KIND = "line.account_kind"
_MIXED = frozenset({"line.account_code", "line.subledger_number"})


class FileRules(NamedTuple):
    """A layout with its dialect, and the texts that settings put on every line, by column."""

    layout: Layout
    fixed: Mapping[str, str]


class LayoutExporter(AccountingExporter, Generic[SettingsT]):
    """Writes one record per journal line, in the columns of a layout.

    A format sets `settings_type` and `layout_name` and overrides `_configuration_problems` and
    `_voucher_problems` where it knows more.
    """

    content_type: ClassVar[str] = "text/csv"
    file_extension: ClassVar[str] = "csv"
    layout_name: ClassVar[str]
    # A class variable cannot be generic, so subclasses narrow it by their type argument.
    settings_type: type[SettingsT]

    def __init__(self, configuration: FrozenConfiguration, run: RunContext) -> None:
        self._settings = self.settings_type.from_document(configuration.settings)
        layout = (
            Layout.shipped(self.layout_name)
            if configuration.layout is None
            else Layout.from_document(configuration.layout)
        )
        self._layout = _with_dialect_of(self._settings, layout)
        problems = (
            *_kind_problems(self._layout, Layout.shipped(self.layout_name)),
            *_column_problems(self._layout, configuration),
            *_account_kind_problems(self._layout, configuration),
            *_reference_problems(self._layout, self._settings),
            *_room_problems(self._layout, self._settings),
            *self._configuration_problems(self._settings, self._layout),
        )
        if problems:
            raise ConfigurationInvalid(problems)
        sources = Sources(
            run,
            self._settings.model_dump(),
            self._settings.dimension_order,
            _file_place(self._layout, self._settings),
        )
        self._writer = _writer(self._layout, sources)
        self._shown_dimensions = _shown_dimensions(self._layout, sources)
        self._master_data = MasterData(self._settings)

    @property
    def settings(self) -> SettingsT:
        """The settings in full, defaults included."""
        return self._settings

    @property
    def layout(self) -> dict[str, object]:
        """The layout in full, with the dialect that the settings chose."""
        return self._layout.model_dump(mode="json")

    @property
    def shown_dimensions(self) -> tuple[str, ...]:
        """The dimensions that a column shows."""
        return self._shown_dimensions

    @property
    def file_rules(self) -> FileRules:
        """What any file of this configuration must keep, whichever run made it."""
        return FileRules(self._layout, self._writer.texts_of_settings())

    def check(self, voucher: Voucher) -> tuple[Problem, ...]:
        """List what the master data, the target and the columns say against a voucher."""
        return (*self._own_problems(voucher), *self._writer.check(voucher))

    def render(self, voucher: Voucher) -> bytes:
        """Give the voucher's records, after the header if it is the first."""
        self.refuse_unusable(voucher)
        return self._writer.write(voucher)

    def refuse_unusable(self, voucher: Voucher) -> None:
        """Raise ClaimUnusable for what the master data or the target says against a voucher."""
        if self._own_problems(voucher):
            raise ClaimUnusable(self.check(voucher))

    def finish(self) -> bytes:
        """Give what closes the file; nothing for a delimited one."""
        return self._writer.finish()

    def lines(self) -> range | None:
        """Give a line for each journal line of a delimited file; none for JSON."""
        return self._writer.lines

    def notices(self) -> tuple[Notice, ...]:
        """Count the texts that were altered to fit, per column."""
        return self._writer.notices()

    def _own_problems(self, voucher: Voucher) -> tuple[Problem, ...]:
        return (*self._master_data.problems(voucher), *self._voucher_problems(voucher))

    def _configuration_problems(self, settings: SettingsT, layout: Layout) -> Iterable[Problem]:
        """Check what only this format knows about its settings and layout."""
        del settings, layout
        return ()

    def _voucher_problems(self, voucher: Voucher) -> Iterable[Problem]:
        """Check what only this format knows about vouchers."""
        del voucher
        return ()


def _shown_dimensions(layout: Layout, sources: Sources) -> tuple[str, ...]:
    paths = [sources.named(path) for column in layout.columns for path in paths_of(column.source)]
    shown = [path.removeprefix(_DIMENSION) for path in paths if path.startswith(_DIMENSION)]
    return tuple(dict.fromkeys(shown))


def _file_place(layout: Layout, settings: ExporterSettings) -> FilePlace:
    dialect = layout.dialect
    most = dialect.lines_per_part if isinstance(dialect, DelimitedDialect) else None
    is_shared = settings.voucher_per != "claim"
    return FilePlace(most, settings.most_voucher_lines if is_shared else 0)


def _writer(layout: Layout, sources: Sources) -> RecordWriter:
    dialect = layout.dialect
    if isinstance(dialect, JsonDialect):
        return JsonWriter(layout, dialect, sources)
    return DelimitedWriter(layout, dialect, sources)


def _kind_problems(layout: Layout, shipped: Layout) -> Iterable[Problem]:
    """The file's name and media type are the format's, so its kind is, too."""
    if layout.dialect.kind != shipped.dialect.kind:
        message = f"This format writes {shipped.dialect.kind} files, not {layout.dialect.kind}."
        yield Problem(ProblemCode.LAYOUT_INVALID, "layout.dialect.kind", message)


def _with_dialect_of(settings: ExporterSettings, layout: Layout) -> Layout:
    if not isinstance(layout.dialect, DelimitedDialect):
        return layout
    changes: dict[str, object] = {}
    if settings.header is not None:
        changes["header"] = {"kind": settings.header}
        if settings.header_text is not None:
            changes["header"] = {"kind": "text", "text": settings.header_text}
    if settings.encoding is not None:
        changes["encoding"] = settings.encoding
        if settings.encoding != "utf-8":
            changes["bom"] = False
    if settings.line_end is not None:
        changes["line_end"] = settings.line_end
    if not changes:
        return layout
    document = layout.model_dump(mode="json")
    return Layout.from_document({**document, "dialect": {**document["dialect"], **changes}})


def _account_kind_problems(layout: Layout, configuration: FrozenConfiguration) -> Iterable[Problem]:
    """A column of accounts and claimants' numbers needs one beside it that tells them apart."""
    if not any(rule.subledger == "claimant" for rule in configuration.posting_rules):
        return
    mixed = {
        column.name for column in layout.columns if frozenset(shown_paths(column.source)) >= _MIXED
    }
    tells = any(
        _ACCOUNT_KIND in paths_of(column.source) and column.name not in mixed
        for column in layout.columns
    )
    if mixed and not tells:
        yield Problem(
            ProblemCode.LAYOUT_INVALID,
            "layout.columns",
            f"The column {min(mixed)} shows accounts and claimants' numbers, and no other column"
            " tells which (line.account_kind).",
        )


def _column_problems(layout: Layout, configuration: FrozenConfiguration) -> list[Problem]:
    needed = dict.fromkeys(_NEEDED_COLUMNS, "the file cannot be posted without it")
    for rule in configuration.posting_rules:
        if rule.subledger == "claimant":
            needed["line.subledger_number"] = "a posting rule asks for the claimant's number"
        if rule.tax_code:
            needed["line.tax_code"] = "a posting rule gives a tax code"
    return [
        Problem(
            ProblemCode.LAYOUT_INVALID,
            "layout.columns",
            f"No column shows {path}, but {reason}.",
        )
        for path, reason in needed.items()
        if not layout.shows(path)
    ]


def _reference_problems(layout: Layout, settings: ExporterSettings) -> Iterable[Problem]:
    if not any(layout.shows(path) for path in _VOUCHER_NUMBERS):
        yield Problem(
            ProblemCode.LAYOUT_INVALID,
            "layout.columns",
            "No column shows the voucher number (voucher.number or voucher.document_number), so"
            " the accounting system could not tell which lines belong together.",
        )
    in_text = layout.shows("line.text") and settings.texts_show("claim_number")
    if not in_text and not any(layout.shows(path) for path in _CLAIM_NUMBERS):
        yield Problem(
            ProblemCode.LAYOUT_INVALID,
            "layout.columns",
            "No column shows the claim number (claim.claim_number, line.reference, or line.text"
            " with {claim_number} in every text setting), so nobody could find the claim of a"
            " posted line.",
        )


def _room_problems(layout: Layout, settings: ExporterSettings) -> Iterable[Problem]:
    """What may share a voucher must fit into one request, or into one part of the file."""
    dialect = layout.dialect
    most = dialect.most_records if isinstance(dialect, JsonDialect) else dialect.lines_per_part
    if most is None or settings.voucher_per == "claim" or settings.most_voucher_lines <= most:
        return
    message = (
        f"A voucher may have {settings.most_voucher_lines} lines, but one request or part of the"
        f" file takes {most}."
    )
    yield Problem(ProblemCode.SETTING_INVALID, "settings.most_voucher_lines", message)
