"""Reconciling in a sweep: it ends in time, fails nobody, and a file that no sweep has time for is given up."""

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest
from pydantic import SecretStr, TypeAdapter

from functions.errors import Unavailable
from functions.export_reconciliation import ExportReconciliation
from functions.export_storage import ExportStorage, StoredBytes
from functions.settings import Settings

if TYPE_CHECKING:
    from functions.supabase_connection import SupabaseConnection

NOTHING = {"count": 0, "amounts": {}}


class Desk:
    """Database and storage at once: one reconciliation of one file, told by a script."""

    def __init__(self, *, reading: float = 0.0, is_green: bool = True) -> None:
        self.reading, self.is_green = reading, is_green
        self.recorded: list[Mapping[str, Any]] = []
        self.fault: Exception | None = None
        self.is_due = True

    def as_service(self) -> "Desk":
        """The same for everybody."""
        return self

    async def call(
        self, function: str, arguments: Mapping[str, Any], answer: TypeAdapter[Any]
    ) -> object:
        """One SQL function."""
        if self.fault is not None:
            raise self.fault
        if function == "next_reconciliation":
            told = self.told("claims") if self.is_due else None
            return answer.validate_python({"reconciliation": told})
        if function == "record_file_check":
            self.recorded.append(arguments)
        if function == "continue_reconciliation" and self.recorded:
            self.is_due = False
            return answer.validate_python(self.told("done"))
        return answer.validate_python(self.told("files"))

    def told(self, phase: str) -> dict[str, Any]:
        """A reconciliation in a phase."""
        is_done = phase == "done"
        return {
            "reconciliation_id": uuid4(),
            "organization_id": uuid4(),
            "period_from": None,
            "period_to": None,
            "time_zone": "Europe/Oslo",
            "asked_by": "sweep",
            "started_at": "2026-11-21T00:00:00Z",
            "finished_at": "2026-11-21T00:01:00Z" if is_done else None,
            "is_green": self.is_green if is_done else None,
            "phase": phase,
            "whole": NOTHING,
            "classes": {},
            "checked": {},
            "red_count": 0 if self.is_green else 1,
            "note_count": 0,
            "finding_counts": {},
            "findings": [],
            "files": [{"run_id": uuid4(), "path": "o/r/h.csv", "size": 3}]
            if phase == "files"
            else [],
        }

    async def read_through(self, _: str) -> StoredBytes:
        """Takes its time."""
        await asyncio.sleep(self.reading)
        return StoredBytes("a" * 64, 3)


def reconciliation_of(desk: Desk, seconds: float = 20.0) -> ExportReconciliation:
    settings = Settings(
        supabase_url="https://abc.supabase.co",
        supabase_publishable_key="sb_publishable_x",
        supabase_secret_key=SecretStr("sb_secret_x"),
        export_sweep_seconds=seconds,
    )
    return ExportReconciliation(
        cast("SupabaseConnection", desk), cast("ExportStorage", desk), settings
    )


@pytest.mark.parametrize(("is_green", "outcome"), [(True, "green"), (False, "red")])
async def test_what_is_due_is_done(is_green: object, outcome: str) -> None:
    """And told by its result; when nothing more is due it ends before its time."""
    desk = Desk(is_green=bool(is_green))

    assert await reconciliation_of(desk).work_until(time.monotonic() + 20) == {outcome: 1}

    assert [(r["p_sha256"], r["p_size"], r["p_gave_up"]) for r in desk.recorded] == [
        ("a" * 64, 3, False)
    ]


async def test_a_fault_fails_no_sweep() -> None:
    """The next sweep tries again."""
    desk = Desk()
    desk.fault = Unavailable("database_unavailable")

    assert await reconciliation_of(desk).work_until(time.monotonic() + 20) == {"stopped": 1}


async def test_there_is_nothing_without_time() -> None:
    assert await reconciliation_of(Desk()).work_until(time.monotonic() - 1) == {}


async def test_a_file_that_no_sweep_has_time_for_is_given_up() -> None:
    """It had a whole sweep to itself, so that it would never be read; it is told in time."""
    desk = Desk(reading=30)
    began = time.monotonic()

    outcomes = await reconciliation_of(desk, seconds=1.0).work_until(began + 2.0)

    assert outcomes == {"unfinished": 1}
    assert [(r["p_sha256"], r["p_gave_up"]) for r in desk.recorded] == [(None, True)]
    assert time.monotonic() - began < 2.5


async def test_a_file_that_came_late_is_left_to_the_next_sweep() -> None:
    """It had only what others left."""
    desk = Desk(reading=30)

    outcomes = await reconciliation_of(desk).work_until(time.monotonic() + 1.5)

    assert (outcomes, desk.recorded) == ({"unfinished": 1}, [])
