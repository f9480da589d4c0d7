"""One run's way through the exporter: pages in, a hashed file and the left-out claims out."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from exporters.breakdown import BreakdownGroup
from exporters.claim import Member
from exporters.configuration import FrozenConfiguration
from exporters.page_lines import PageLines
from exporters.problem import ConfigurationInvalid
from exporters.run_renderer import RENDERER_VERSION, RunRenderer
from functions.errors import RunFailed, SetUpProblem
from functions.export_guard import FileSummary, Granted
from functions.export_run import ExportFile, ExportRun, LeftOutClaim
from functions.hashed_file import HashedFile
from functions.run_context import context_of

# A caller reads the first of them; the run's left_out_count tells how many there are.
MOST_LEFT_OUT_TOLD: Final = 1000


class RunRendering:
    """Renders a granted run. Not for two threads at once; blocks, so call it off the event loop."""

    def __init__(self, granted: Granted, content: HashedFile) -> None:
        """Raises RunFailed `configuration_invalid`."""
        self._run = granted.run
        self._content = content
        self._untold: list[LeftOutClaim] = []
        self.left_out: list[LeftOutClaim] = []
        try:
            configuration = FrozenConfiguration.from_document(granted.configuration)
            self._renderer = RunRenderer(configuration, context_of(granted.run))
        except ConfigurationInvalid as invalid:
            raise _unusable(self._run, invalid) from invalid
        # Half a reversal would leave books that no file explains.
        is_reversal = granted.run.reverses_run_id is not None
        self.refuses_run = is_reversal or configuration.on_problem == "refuse_run"

    def write(self, claims: Sequence[Member]) -> None:
        """Appends a page. Raises RunFailed `claims_refused`, with the refusals of this page."""
        self._content.append(self._renderer.render(claims))
        self._collect()
        if self.refuses_run and self._untold:
            raise self._failed("claims_refused")

    def finish(self) -> None:
        """Appends the trailer. Raises RunFailed `all_claims_left_out`: there must be no file."""
        self._content.append(self._renderer.finish())
        if self._renderer.summary().claim_count == 0:
            raise self._failed("all_claims_left_out")

    def take_untold(self) -> list[LeftOutClaim]:
        """The claims left out since the last call, for the database: at most a page of them."""
        untold, self._untold = self._untold, []
        return untold

    def page_lines(self) -> PageLines | None:
        """Where the vouchers of the page written last stand."""
        return self._renderer.page_lines()

    def summary(self) -> FileSummary:
        """What the file holds, with the lines of the last page."""
        told, breakdown = self._renderer.summary(), self._renderer.breakdown()
        return FileSummary(
            claim_count=told.claim_count,
            voucher_count=told.voucher_count,
            line_count=told.line_count,
            totals=told.totals,
            renderer_version=RENDERER_VERSION,
            layout=self._renderer.layout,
            notices=[asdict(notice) for notice in self._renderer.notices()],
            breakdown={
                "groups": [_group(group) for group in breakdown.groups()],
                "cut": breakdown.is_cut,
            },
            lines=self.page_lines(),
        )

    def file(self) -> ExportFile:
        """Where the file belongs: by organisation, run and content, in ASCII."""
        run, extension = self._run, self._renderer.file_extension
        return ExportFile(
            path=f"{run.organization_id}/{run.run_id}/{self._content.sha256}.{extension}",
            name=f"{run.target}-{run.export_date}-{run.run_number:05d}.{extension}",
            sha256=self._content.sha256,
            size=self._content.size,
            content_type=self._renderer.content_type,
        )

    def _collect(self) -> None:
        taken = [
            LeftOutClaim(
                claim_id=claim.claim_id,
                claim_number=claim.claim_number,
                code=claim.code,
                field=claim.field,
                message=claim.message,
            )
            for claim in self._renderer.take_left_out()
        ]
        self._untold += taken
        self.left_out += taken[: MOST_LEFT_OUT_TOLD - len(self.left_out)]

    def _failed(self, code: str) -> RunFailed:
        return RunFailed(code, run_id=self._run.run_id, left_out=self.left_out, untold=self._untold)


def _group(group: BreakdownGroup) -> dict[str, object]:
    amounts = {"debit": str(group.debit), "credit": str(group.credit)}
    return {**group._asdict(), **amounts}


def _unusable(run: ExportRun, invalid: ConfigurationInvalid) -> RunFailed:
    problems = [SetUpProblem(p.field, str(p.code), p.message) for p in invalid.problems]
    return RunFailed("configuration_invalid", run_id=run.run_id, problems=problems)
