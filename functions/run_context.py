"""What exporters know of the run they write for."""

from exporters.run_context import RunContext
from functions.export_run import ExportRun


def context_of(run: ExportRun) -> RunContext:
    """Give what columns can show of a run."""
    return RunContext(run.run_id, run.run_number, run.organization_id, run.export_date)
