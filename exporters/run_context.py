"""What an exporter may know about the run that the file is for."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RunContext:
    """Frozen facts of the run: rendering again with the same context gives the same bytes.

    `run_number` counts per organisation; `export_date` is a date in the organisation's time zone.
    """

    run_id: UUID
    run_number: int
    organization_id: UUID
    export_date: date
