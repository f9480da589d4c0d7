"""A run as a caller reads it."""

from functions.export_run import ExportRun


def run_json(run: ExportRun) -> dict[str, object]:
    """The run's fields, amounts as strings, and `href`, where more is to be had."""
    return {**run.model_dump(mode="json"), "href": run_href(run)}


def run_href(run: ExportRun) -> str:
    """Relative to the address that the caller used for this function's siblings."""
    return f"/export_run?run_id={run.run_id}"
