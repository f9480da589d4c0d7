import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from stack.embedded_stack import EmbeddedStack
from stack.functions_server import FunctionsServer
from tests.organisation import Organisation, begin


def test_the_functions_answer_next_to_the_stack(stack: EmbeddedStack) -> None:
    """The functions that the app calls are behind one address and refuse a caller without login."""
    answer = httpx.post(f"{stack.functions.url}/trigger_export", json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


@pytest.mark.parametrize("target", ["api", "trigger_export"])
def test_each_entry_point_starts_as_it_is_deployed(
    deployed_functions: Callable[[str], FunctionsServer], target: str
) -> None:
    """From a clean copy, with the runtime packages only, an entry point starts and answers."""
    server = deployed_functions(target)
    path = "trigger_export" if target == "api" else ""
    answer = httpx.post(f"{server.url}/{path}", json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


def test_the_stack_sweeps_on_a_schedule(scratch_directory: Path) -> None:
    """With a schedule, a dead worker's run is finished though nobody asks."""
    with EmbeddedStack(scratch_directory / "sweeping", durable=False, sweep_seconds=0.2) as stack:
        organisation = Organisation.create(stack.database)
        organisation.add_claim()
        with organisation.as_user(organisation.add_member()) as user:
            begin(user, organisation)
        organisation.expire_lease()

        deadline = time.monotonic() + 30
        while (status := status_of(organisation)) != "completed":
            assert time.monotonic() < deadline, status
            time.sleep(0.1)


def status_of(organisation: Organisation) -> str:
    """Status of its only run."""
    [(status,)] = organisation.execute(
        "select status from public.export_runs where organization_id = %s", organisation.id
    )
    return str(status)
