"""The sweep, as it is deployed: what dead workers left is finished, and nobody living is disturbed."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from stack.embedded_stack import EmbeddedStack
from stack.functions_server import FunctionsServer
from stack.ports import free_port
from tests.http.app_user import PATIENCE_SECONDS, AppUser, sha256_of
from tests.http.fault_proxy import FaultProxy
from tests.organisation import Organisation, begin, call

NewUser = Callable[..., AppUser]
UPLOAD = "POST /storage/v1/object/exports/"
COMPLETE = "POST /rest/v1/rpc/complete_export_run"


@contextmanager
def served(
    stack: EmbeddedStack, directory: Path, target: str, address: str | None = None
) -> Iterator[FunctionsServer]:
    """A functions process of the test's own, which reaches Supabase at the address."""
    environment = {**stack.functions_environment, "SUPABASE_URL": address or stack.url}
    server = FunctionsServer(directory / target, free_port(), environment, target=target)
    try:
        server.start()
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def sweeper(stack: EmbeddedStack, scratch_directory: Path) -> Iterator[FunctionsServer]:
    """The entry point `sweep` in a process of its own."""
    with served(stack, scratch_directory, "sweep") as server:
        yield server


def sweep(sweeper: FunctionsServer) -> dict[str, int]:
    """What became of the runs, by outcome."""
    answer = httpx.post(sweeper.url, timeout=PATIENCE_SECONDS)
    assert answer.status_code == 200, answer.text
    report: dict[str, Any] = answer.json()
    assert report["found"] == sum(report["outcomes"].values())
    outcomes: dict[str, int] = report["outcomes"]
    return outcomes


def runs_of(organisation: Organisation) -> list[tuple[Any, ...]]:
    """Status and attempts of every run."""
    return organisation.execute(
        "select status, attempt from public.export_runs where organization_id = %s order by run_number",
        organisation.id,
    )


@pytest.fixture
def nothing_left_over(sweeper: FunctionsServer) -> None:
    """Runs that other tests left are out of the way."""
    sweep(sweeper)


@pytest.fixture
def mortal_worker(
    stack: EmbeddedStack, scratch_directory: Path, proxy: FaultProxy
) -> Iterator[FunctionsServer]:
    """The app's functions behind the proxy, in a process that can be killed."""
    with served(stack, scratch_directory, "api", proxy.url) as server:
        yield server


@pytest.mark.parametrize("step", [UPLOAD, COMPLETE])
def test_a_killed_workers_run_is_finished_by_one_sweep(  # noqa: PLR0913, PLR0917 - all who take part
    mortal_worker: FunctionsServer,
    proxy: FaultProxy,
    coordinator: AppUser,
    organisation: Organisation,
    sweeper: FunctionsServer,
    step: str,
) -> None:
    """A worker that is killed before upload or before complete leaves a run; one sweep after its lease stores the file."""
    claim = organisation.add_claim()
    proxy.before(step, mortal_worker.kill)
    proxy.lose(step, "refuse", times=1)
    with (
        httpx.Client(base_url=mortal_worker.url, timeout=PATIENCE_SECONDS) as door,
        pytest.raises(httpx.TransportError),
    ):
        coordinator.at(door).trigger(organisation, "key-1")
    assert runs_of(organisation) == [("processing", 1)]
    organisation.expire_lease()

    assert sweep(sweeper)["completed"] >= 1

    assert runs_of(organisation) == [("completed", 2)]
    replay = coordinator.trigger(organisation, "key-1").json()
    content = coordinator.download(replay["run"]["run_id"])
    assert sha256_of(content.content) == replay["run"]["file"]["sha256"]
    assert list(organisation.live_memberships()) == [claim]


@pytest.mark.usefixtures("nothing_left_over")
def test_two_sweeps_at_once_finish_each_run_once(
    stack: EmbeddedStack, sweeper: FunctionsServer
) -> None:
    """Of two sweeps over the same dead runs, each run has one that finishes it."""
    organisations = [Organisation.create(stack.database) for _ in range(8)]
    for organisation in organisations:
        organisation.add_claim()
        with organisation.as_user(organisation.add_member()) as user:
            begin(user, organisation)
        organisation.expire_lease()

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(sweep, [sweeper] * 4))

    # More where a lease of another test's run ends just now; of these eight, each by one attempt.
    assert sum(outcome.get("completed", 0) for outcome in outcomes) >= 8
    assert [runs_of(organisation) for organisation in organisations] == [[("completed", 2)]] * 8


def test_a_slow_but_living_worker_is_left_alone(
    proxied_coordinator: AppUser,
    proxy: FaultProxy,
    organisation: Organisation,
    sweeper: FunctionsServer,
) -> None:
    """While a worker has its lease, sweeps come and go without a trace on its run."""
    organisation.add_claim()
    proxy.before(UPLOAD, lambda: [sweep(sweeper), sweep(sweeper)])

    answer = proxied_coordinator.trigger(organisation)

    assert (answer.status_code, runs_of(organisation)) == (201, [("completed", 1)])


@pytest.mark.usefixtures("nothing_left_over")
def test_a_run_that_no_sweep_gets_on_with_is_parked_and_recovered(
    coordinator: AppUser, organisation: Organisation, sweeper: FunctionsServer
) -> None:
    """After five fruitless attempts the run is set aside, says so to its caller, and a recovery ends in a file."""
    held = organisation.add_claim()
    with organisation.as_user(coordinator.account.user_id) as user:
        run_id = begin(user, organisation, key="key-1")["run"]["run_id"]
    for _ in range(4):
        organisation.expire_lease()
        take_over_and_die(organisation)
    organisation.expire_lease()

    assert sweep(sweeper)["parked"] >= 1
    assert runs_of(organisation) == [("parked", 5)]
    same_key = coordinator.trigger(organisation, "key-1")
    assert (same_key.status_code, same_key.json()["code"]) == (409, "run_parked")
    assert same_key.json()["run_id"] == run_id
    other_key = coordinator.trigger(organisation, "key-2").json()
    assert (other_key["outcome"], other_key["parked_run"]["run_id"]) == (
        "nothing_to_export",
        run_id,
    )
    assert "set aside" in other_key["message"]

    other = organisation.add_claim()
    assert coordinator.trigger(organisation).status_code == 201
    organisation.execute("select public.recover_export_run(%s, 'Mended', 'Kari')", run_id)
    assert sweep(sweeper)["completed"] >= 1
    assert {claim: len(runs) for claim, runs in organisation.live_memberships().items()} == {
        held: 1,
        other: 1,
    }
    assert {status for status, _ in runs_of(organisation)} == {"completed"}


def take_over_and_die(organisation: Organisation) -> None:
    """A worker that takes the run and is never heard of again."""
    with organisation.as_service() as service:
        call(
            service,
            "take_over_export_run",
            p_organization_id=organisation.id,
            p_invocation_id=uuid4(),
        )


def test_the_app_cannot_sweep(coordinator: AppUser, sweeper: FunctionsServer) -> None:
    """The sweep is not below the app's address, and takes POST only."""
    below = coordinator.door.post("/sweep", headers=coordinator.login)
    wrong = httpx.get(sweeper.url)

    assert (below.status_code, below.json()["code"]) == (404, "endpoint_not_found")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
