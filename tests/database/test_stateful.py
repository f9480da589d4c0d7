"""Random lives of an organisation against a model in plain Python; what must hold is checked after every step.

The same examples every time, half a minute. For a long search with new examples each time:

    STATEFUL_EXAMPLES=3000 STATEFUL_STEPS=80 .venv/bin/python -m pytest tests/database/test_stateful.py

A failure prints the steps that lead to it, as few as were found, and a line that repeats them.
"""

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from stack.database import Database
from tests.database.export_machine import ExportMachine
from tests.database.export_place import ExportPlace

LONG = os.environ.get("STATEFUL_EXAMPLES")
STEPS = int(os.environ.get("STATEFUL_STEPS", "40"))
# Chance may keep a batch of lives from something that longer ones meet.
LONGER_BATCHES = (0, 20, 40)
SETTINGS = settings(
    max_examples=int(LONG or 100),
    stateful_step_count=STEPS,
    derandomize=LONG is None,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
MUST_BE_REACHED = {
    "begin started",
    "sweep resumed",
    "parked engine",
    "parked manual",
    "recover",
    "fail by admin",
    "continue release",
    "complete",
    "leave_out",
    "void",
    "repeat",
    "zombie: stale_token",
}


def test_whatever_happens_every_claim_is_exported_once(database: Database) -> None:
    """Any order of triggers, sweeps, deaths, zombies, admins and edits leaves the engine as the model says, and sound."""
    place = ExportPlace(database)
    ExportMachine.reached.clear()

    class Machine(ExportMachine):
        def __init__(self) -> None:
            super().__init__(place)

    for longer in LONGER_BATCHES:
        batch = settings(SETTINGS, stateful_step_count=STEPS + longer)
        run_state_machine_as_test(Machine, settings=batch)
        if set(ExportMachine.reached) >= MUST_BE_REACHED:
            break

    assert set(ExportMachine.reached) >= MUST_BE_REACHED, ExportMachine.reached
