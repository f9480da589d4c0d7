"""A page of an organisation's history, and which runs are wanted of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from functions.export_run import ExportRun, RunStatus, RunTrigger, Told


@dataclass(frozen=True)
class HistoryFilter:
    """What is not named is not asked. The period asks for the runs that overlap it."""

    statuses: tuple[RunStatus, ...] = ()
    target: str | None = None
    trigger: RunTrigger | None = None
    triggered_by: UUID | None = None
    period_from: date | None = None
    period_to: date | None = None
    include_deleted: bool = False

    def arguments(self) -> Mapping[str, object]:
        """As the SQL function calls them."""
        return {
            "p_statuses": list(self.statuses) or None,
            "p_target": self.target,
            "p_trigger": self.trigger,
            "p_triggered_by": self.triggered_by,
            "p_period_from": self.period_from,
            "p_period_to": self.period_to,
            "p_include_deleted": self.include_deleted,
        }


class HistoryPage(Told):
    """Runs, newest first. `next_cursor` leads to the next page, and is null on the last."""

    runs: tuple[ExportRun, ...]
    next_cursor: str | None
