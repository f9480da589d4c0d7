"""Whether a lease is over is judged by the database's clock alone, whatever the workers' clocks say."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.embedded_stack import EmbeddedStack
from stack.functions_server import CHECKOUT, FunctionsServer
from stack.ports import free_port
from tests.http.app_user import PATIENCE_SECONDS, AppUser
from tests.http.fault_proxy import FaultProxy
from tests.organisation import Organisation, begin

UPLOAD = "POST /storage/v1/object/exports/"
TEN_MINUTES = 600
# A process imports this before anything else.
SHIFTED_CLOCKS = """
import datetime
import time

SECONDS = {seconds}
_time, _time_ns, _datetime = time.time, time.time_ns, datetime.datetime


class _Kind(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, _datetime)


class _ShiftedDatetime(_datetime, metaclass=_Kind):
    @classmethod
    def now(cls, tz=None):
        return _datetime.now(tz) + datetime.timedelta(seconds=SECONDS)

    @classmethod
    def utcnow(cls):
        return _datetime.now(datetime.timezone.utc).replace(tzinfo=None) + datetime.timedelta(seconds=SECONDS)


time.time = lambda: _time() + SECONDS
time.time_ns = lambda: _time_ns() + SECONDS * 10**9
datetime.datetime = _ShiftedDatetime
"""


@pytest.fixture(scope="module")
def proxy(stack: EmbeddedStack) -> Iterator[FaultProxy]:
    """The way to Supabase, to look around while a request is on it."""
    with FaultProxy(stack.url) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def environment(stack: EmbeddedStack, proxy: FaultProxy) -> Mapping[str, str]:
    """What the functions need to know, the clock apart."""
    return {**stack.functions_environment, "SUPABASE_URL": proxy.url}


@contextmanager
def worker(
    directory: Path, seconds: int, environment: Mapping[str, str]
) -> Iterator[tuple[httpx.Client, Path]]:
    """A functions process whose clocks are shifted; a way to it, and its log."""
    (directory / "clock").mkdir(parents=True, exist_ok=True)
    clock = directory / "clock" / "sitecustomize.py"
    clock.write_text(SHIFTED_CLOCKS.format(seconds=seconds))
    path = {"PYTHONPATH": f"{clock.parent}:{CHECKOUT}"}
    server = FunctionsServer(directory, free_port(), {**environment, **path})
    server.start()
    try:
        server.wait_until_ready()
        with httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS) as door:
            yield door, directory / "functions.log"
    finally:
        server.stop()


@pytest.fixture(scope="module", params=[TEN_MINUTES, -TEN_MINUTES], ids=["ahead", "behind"])
def shifted(
    request: pytest.FixtureRequest, scratch_directory: Path, environment: Mapping[str, str]
) -> Iterator[tuple[int, httpx.Client, Path]]:
    """A worker ten minutes ahead, and one ten minutes behind: shift, door, log."""
    directory = scratch_directory / f"clock{request.param:+}"
    with worker(directory, request.param, environment) as (door, log):
        yield request.param, door, log


def answered_requests(log: Path) -> list[dict[str, Any]]:
    """What the process wrote about its requests."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in map(json.loads, lines) if line["message"] == "request_answered"]


def assert_clock_is_shifted(log: Path, seconds: int) -> None:
    """The latest request, a moment ago, carries the worker's own time."""
    written = datetime.fromisoformat(answered_requests(log)[-1]["timestamp"])
    assert (written - datetime.now(UTC)).total_seconds() == pytest.approx(seconds, abs=60)


def lock_of(organisation: Organisation) -> tuple[int, str, int]:
    """The lock's token, and the status and attempts of the only run."""
    [row] = organisation.execute(
        "select l.fencing_token, r.status, r.attempt from public.export_locks l"
        " join public.export_runs r using (organization_id) where organization_id = %s",
        organisation.id,
    )
    return row[0], row[1], row[2]


def test_exports_are_done_whatever_the_clock_says(
    shifted: tuple[int, httpx.Client, Path],
    coordinator: AppUser,
    organisation: Organisation,
    proxy: FaultProxy,
) -> None:
    """A worker with a wrong clock exports as any other; lease and history are by the database's clock."""
    seconds, door, log = shifted
    organisation.add_claims(3)
    leases: list[float] = []
    left = "select extract(epoch from expires_at - clock_timestamp()) from public.export_locks where organization_id = %s"
    proxy.before(
        UPLOAD, lambda: leases.append(float(organisation.execute(left, organisation.id)[0][0]))
    )

    answer = coordinator.at(door).trigger(organisation)

    assert_clock_is_shifted(log, seconds)
    assert (answer.status_code, answer.json()["outcome"]) == (201, "completed")
    assert leases == [pytest.approx(55, abs=5)]
    assert organisation.execute(
        "select bool_and(abs(extract(epoch from clock_timestamp() - t.at)) < 60), count(*)"
        " from public.export_runs r,"
        " unnest(array[r.created_at, r.processing_at, r.sealed_at, r.completed_at, r.cut_off]) as t (at)"
        " where r.organization_id = %s",
        organisation.id,
    ) == [(True, 5)]


def test_a_live_lease_is_not_taken_over(
    shifted: tuple[int, httpx.Client, Path], coordinator: AppUser, organisation: Organisation
) -> None:
    """By the clock of the fast worker the lease is long over; it is told that a colleague works."""
    seconds, door, log = shifted
    organisation.add_claims(3)
    with organisation.as_user(coordinator.account.user_id) as connection:
        granted = begin(connection, organisation)

    answer = coordinator.at(door).trigger(organisation)

    assert_clock_is_shifted(log, seconds)
    assert (answer.status_code, answer.json()["outcome"]) == (202, "joined")
    assert answer.json()["run"]["run_id"] == granted["run"]["run_id"]
    assert lock_of(organisation) == (granted["fencing_token"], "processing", 1)


def test_a_dead_workers_run_is_taken_over(
    shifted: tuple[int, httpx.Client, Path], coordinator: AppUser, organisation: Organisation
) -> None:
    """By the clock of the slow worker the lease has not begun; it takes the run over and finishes it."""
    seconds, door, log = shifted
    organisation.add_claims(3)
    with organisation.as_user(coordinator.account.user_id) as connection:
        granted = begin(connection, organisation)
    organisation.expire_lease()

    answer = coordinator.at(door).trigger(organisation)

    assert_clock_is_shifted(log, seconds)
    assert (answer.status_code, answer.json()["outcome"]) == (200, "nothing_to_export")
    assert answer.json()["run"]["run_id"] == granted["run"]["run_id"]
    assert lock_of(organisation) == (granted["fencing_token"] + 1, "completed", 2)
