"""What stands on a completed run, for those who read its file."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID


@dataclass(frozen=True)
class RunFacts:
    """`completed_at` is for people, in `time_zone`; `completed_at_utc` the same as ISO 8601.

    `layout_version` is None for a format without layouts.
    """

    organization_id: UUID
    organization_name: str
    run_id: UUID
    run_number: int
    reverses_run_number: int | None
    target: str
    format: str
    layout_name: str | None
    layout_version: int | None
    period_from: date | None
    period_to: date
    export_date: date
    time_zone: str
    triggered_by: str | None
    completed_at: str
    completed_at_utc: str
    file_name: str
    file_sha256: str
    file_size: int
    renderer_version: str

    @property
    def layout_in_short(self) -> str:
        """Name and version, empty without a layout."""
        return "" if self.layout_name is None else f"{self.layout_name} v{self.layout_version}"
