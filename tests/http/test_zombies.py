"""Workers that were taken over and wake up again: each is refused, and nothing that its successor did changes."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from stack.embedded_stack import EmbeddedStack
from stack.functions_server import FunctionsServer
from stack.ports import free_port
from tests.http.app_user import PATIENCE_SECONDS, AppUser
from tests.http.everything_kept import Kept, everything_kept
from tests.http.functions_door import functions_door
from tests.http.listening_proxy import ListeningProxy
from tests.organisation import Organisation, begin, call, complete, store_file, summary_of

NewUser = Callable[..., AppUser]
Ending = Literal["working", "completed", "voiding", "voided"]
TakeOver = Callable[[Ending], "Takeover"]
RPC = "POST /rest/v1/rpc/"
UPLOAD = "POST /storage/v1/object/exports/"
COMPLETE, FAIL = f"{RPC}complete_export_run", f"{RPC}fail_export_run"
RENEW, RELEASE = f"{RPC}renew_export_lock", f"{RPC}release_export_lock"
RESERVE, LEAVE_OUT = f"{RPC}reserve_export_page", f"{RPC}leave_out_export_claims"
MORE_THAN_A_PAGE = 2001

each_ending = pytest.mark.parametrize("ending", ["working", "completed", "voided"])


@dataclass
class Takeover:
    """The lease ends and a colleague takes the run; `kept` is what there was when she had done so."""

    organisation: Organisation
    colleague: AppUser
    ending: Ending
    kept: Kept = field(default_factory=dict)

    def __call__(self) -> None:
        """Take the run over, now."""
        self.organisation.expire_lease()
        if self.ending == "working":
            with self.organisation.as_user(self.colleague.account.user_id) as connection:
                assert begin(connection, self.organisation)["outcome"] == "resumed"
        else:
            assert self.colleague.trigger(self.organisation).status_code == 200
        if self.ending in {"voiding", "voided"}:
            void(self.organisation, self.ending)
        self.kept = everything_kept(self.organisation)

    @property
    def run_id(self) -> str:
        """The run that two workers met on."""
        return str(self.kept["runs"][0]["id"])


def void(organisation: Organisation, until: Ending) -> None:
    """Take the completed runs back, as the database's owner."""
    with organisation.database.connect("postgres", autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        for status in ["voiding", "voided"][: 1 if until == "voiding" else 2]:
            owner.execute(
                "update public.export_runs set status = %s where organization_id = %s",
                [status, organisation.id],
            )


@pytest.fixture
def proxy(stack: EmbeddedStack) -> Iterator[ListeningProxy]:
    """As everywhere, and it remembers the answers."""
    with ListeningProxy(stack.url) as proxy:
        yield proxy


@pytest.fixture
def take_over(organisation: Organisation, new_user: NewUser) -> TakeOver:
    """Make what a colleague does to the run when its lease is over."""

    def make(ending: Ending) -> Takeover:
        return Takeover(organisation, new_user("coordinator", organisation, name="Kari"), ending)

    return make


def assert_nothing_changed(takeover: Takeover) -> None:
    """Run, memberships, lock (holder, token, expiry), counters, events and objects are as they were."""
    assert takeover.kept, "nobody took the run over"
    assert everything_kept(takeover.organisation) == takeover.kept
    [lock] = takeover.kept["lock"]
    held_by_successor = lock["run_id"] == takeover.run_id and lock["fencing_token"] == 2
    assert held_by_successor == (takeover.ending == "working")


def assert_told_how_the_run_stands(answer: httpx.Response, takeover: Takeover) -> None:
    """The zombie's caller reads what became of her run, never that something broke."""
    told = answer.json()
    if answer.status_code == 409:
        assert (told["code"], told["run_id"]) == ("run_is_voided", takeover.run_id)
        assert takeover.ending in {"voiding", "voided"}
        return
    under_way = takeover.ending == "working"
    assert answer.status_code in ({202} if under_way else {200, 201})
    assert told["run"]["run_id"] == takeover.run_id
    assert told["run"]["status"] == ("processing" if under_way else takeover.ending)
    assert told["run"]["attempt"] == 2


@each_ending
def test_a_zombie_uploads(
    proxied_coordinator: AppUser, proxy: ListeningProxy, take_over: TakeOver, ending: Ending
) -> None:
    """It may store the one file that the run can have, never replace it, and nothing else changes."""
    takeover = take_over(ending)
    takeover.organisation.add_claims(3)
    proxy.before(UPLOAD, takeover)

    answer = proxied_coordinator.trigger(takeover.organisation)

    assert_told_how_the_run_stands(answer, takeover)
    if ending != "working":
        assert proxy.codes(UPLOAD) == ["Duplicate"]
        assert_nothing_changed(takeover)
        return
    stored = everything_kept(takeover.organisation)
    assert [file["name"].split("/")[1] for file in stored["objects"]] == [takeover.run_id]
    assert {**stored, "objects": []} == takeover.kept
    takeover.organisation.expire_lease()
    assert takeover.colleague.trigger(takeover.organisation).status_code == 200
    finished = everything_kept(takeover.organisation)
    assert finished["objects"] == stored["objects"]
    assert finished["runs"][0]["file_path"] == stored["objects"][0]["name"]


@pytest.mark.parametrize("ending", ["working", "completed", "voiding", "voided"])
def test_a_zombie_completes(
    proxied_coordinator: AppUser, proxy: ListeningProxy, take_over: TakeOver, ending: Ending
) -> None:
    """Refused while its successor works and when the run was voided; told again what is done already."""
    takeover = take_over(ending)
    takeover.organisation.add_claims(3)
    proxy.before(COMPLETE, takeover)

    answer = proxied_coordinator.trigger(takeover.organisation)

    refusal = {"working": "stale_token", "completed": None}.get(ending, "run_is_voided")
    assert proxy.codes(COMPLETE) == [refusal]
    assert_nothing_changed(takeover)
    assert_told_how_the_run_stands(answer, takeover)


@contextmanager
def bucket_without_room(organisation: Organisation) -> Iterator[Callable[[], object]]:
    """Until the block ends or the function given is called, storage refuses every file."""
    limit = "update storage.buckets set file_size_limit = %s where id = 'exports'"

    def make_room() -> object:
        return organisation.execute(limit, None)

    organisation.execute(limit, 10)
    try:
        yield make_room
    finally:
        make_room()


@each_ending
def test_a_zombie_fails(
    proxied_coordinator: AppUser, proxy: ListeningProxy, take_over: TakeOver, ending: Ending
) -> None:
    """What it could not do is no reason to fail the run of a successor who can."""
    takeover = take_over(ending)
    takeover.organisation.add_claims(3)
    with bucket_without_room(takeover.organisation) as make_room:
        proxy.before(FAIL, make_room)
        proxy.before(FAIL, takeover)

        answer = proxied_coordinator.trigger(takeover.organisation)

    assert proxy.codes(FAIL) == ["stale_token"]
    assert_nothing_changed(takeover)
    assert_told_how_the_run_stands(answer, takeover)


@each_ending
def test_a_zombie_renews(
    stack: EmbeddedStack,
    coordinator: AppUser,
    proxy: ListeningProxy,
    take_over: TakeOver,
    ending: Ending,
) -> None:
    """It cannot prolong the lease of its successor, nor take a lock that is free."""
    takeover = take_over(ending)
    takeover.organisation.add_claims(3)

    def renewal_is_late() -> None:
        proxy.before(RENEW, takeover)
        wait_until(lambda: "stale_token" in proxy.codes(RENEW))

    proxy.before(COMPLETE, renewal_is_late)
    often = {"export_renewal_seconds": 0.05}

    with functions_door(stack.functions_environment, proxy.url, **often) as door:
        answer = coordinator.at(door).trigger(takeover.organisation)

    assert proxy.codes(RENEW)[-1] == "stale_token"
    assert proxy.codes(RENEW).count("stale_token") == 1, "it asks no more"
    assert_nothing_changed(takeover)
    assert_told_how_the_run_stands(answer, takeover)


def set_role(organisation: Organisation, user_id: UUID, role: str) -> object:
    return organisation.execute(
        "update public.organization_members set role = %s where organization_id = %s and user_id = %s",
        role,
        organisation.id,
        user_id,
    )


@each_ending
def test_a_zombie_releases_its_lock(
    proxied_coordinator: AppUser, proxy: ListeningProxy, take_over: TakeOver, ending: Ending
) -> None:
    """What it gives back is no longer its own; its caller's next try tells how the run stands."""
    takeover = take_over(ending)
    takeover.organisation.add_claims(3)
    user_id = proxied_coordinator.account.user_id
    # Whoever lost her role while her export ran gives it up.
    proxy.before(COMPLETE, lambda: set_role(takeover.organisation, user_id, "member"))
    proxy.before(RELEASE, lambda: set_role(takeover.organisation, user_id, "coordinator"))
    proxy.before(RELEASE, takeover)

    stopped = proxied_coordinator.trigger(takeover.organisation, "key-1")
    answer = proxied_coordinator.trigger(takeover.organisation, "key-1")

    assert (stopped.status_code, stopped.json()["code"]) == (403, "role_revoked")
    assert stopped.json()["run_id"] == takeover.run_id
    assert proxy.codes(RELEASE) == ["stale_token"]
    assert_nothing_changed(takeover)
    assert_told_how_the_run_stands(answer, takeover)


@each_ending
def test_a_zombie_reserves_a_page(
    proxied_coordinator: AppUser, proxy: ListeningProxy, take_over: TakeOver, ending: Ending
) -> None:
    """No claim joins the run by a worker that no longer has it."""
    takeover = take_over(ending)
    takeover.organisation.add_claims(MORE_THAN_A_PAGE)
    proxy.before(RESERVE, takeover)

    answer = proxied_coordinator.trigger(takeover.organisation)

    assert proxy.codes(RESERVE) == ["stale_token"]
    assert_nothing_changed(takeover)
    assert_told_how_the_run_stands(answer, takeover)


@each_ending
def test_a_zombie_leaves_claims_out(
    proxied_coordinator: AppUser, proxy: ListeningProxy, take_over: TakeOver, ending: Ending
) -> None:
    """What it would leave out is its successor's to judge."""
    takeover = take_over(ending)
    no_account = takeover.organisation.add_claim([("helicopter", "10.00")])
    takeover.organisation.add_claims(MORE_THAN_A_PAGE)
    proxy.before(LEAVE_OUT, takeover)

    answer = proxied_coordinator.trigger(takeover.organisation)

    assert proxy.codes(LEAVE_OUT) == ["stale_token"]
    outcomes = {row["claim_id"]: row["outcome"] for row in takeover.kept["memberships"]}
    assert outcomes[str(no_account)] == ("included" if ending == "working" else "left_out")
    assert_nothing_changed(takeover)
    assert_told_how_the_run_stands(answer, takeover)


def wait_until(holds: Callable[[], object]) -> None:
    """Wait for something that another thread or process does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def stoppable_server(
    stack: EmbeddedStack, proxy: ListeningProxy, scratch_directory: Path
) -> Iterator[FunctionsServer]:
    """A functions process of its own behind the proxy."""
    environment = {**stack.functions_environment, "SUPABASE_URL": proxy.url}
    server = FunctionsServer(scratch_directory / "stoppable", free_port(), environment)
    server.start()
    server.wait_until_ready()
    yield server
    os.killpg(server.pid, signal.SIGCONT)
    server.stop()


@each_ending
def test_a_process_that_was_stopped_goes_on(
    stoppable_server: FunctionsServer,
    coordinator: AppUser,
    proxy: ListeningProxy,
    take_over: TakeOver,
    ending: Ending,
) -> None:
    """A process stopped after its upload finds, when it goes on, that the run is its successor's."""
    takeover = take_over(ending)
    takeover.organisation.add_claims(3)
    stopped = threading.Event()

    def stop() -> None:
        os.killpg(stoppable_server.pid, signal.SIGSTOP)
        stopped.set()

    proxy.before(UPLOAD, stop)
    with (
        httpx.Client(base_url=stoppable_server.url, timeout=PATIENCE_SECONDS) as door,
        ThreadPoolExecutor(1) as waiting,
    ):
        answer = waiting.submit(coordinator.at(door).trigger, takeover.organisation)
        assert stopped.wait(PATIENCE_SECONDS)
        wait_until(lambda: proxy.codes(UPLOAD))
        takeover()
        assert proxy.count(COMPLETE) == 0
        os.killpg(stoppable_server.pid, signal.SIGCONT)
        told = answer.result()

    refusal = {"working": "stale_token", "completed": None}.get(ending, "run_is_voided")
    assert proxy.codes(COMPLETE) == [refusal]
    assert_nothing_changed(takeover)
    assert_told_how_the_run_stands(told, takeover)


def writes(
    organisation: Organisation, begun: dict[str, Any], token: int
) -> dict[str, dict[str, object]]:
    """Each write that a worker can make of a run that it began, with this token: function and arguments."""
    run_id = begun["run"]["run_id"]
    held = {"p_run_id": run_id, "p_fencing_token": token}
    reason = {"claim_id": begun["claims"][0]["claim_id"], "code": "x", "message": "X."}
    file, summary = store_file(organisation, run_id), summary_of(begun["claims"])
    no_detail: dict[str, object] = {"p_error_detail": {}, "p_left_out": []}
    return {
        "renew_export_lock": {**held},
        "release_export_lock": {**held},
        "reserve_export_page": {**held, "p_after_position": 0},
        "leave_out_export_claims": {**held, "p_left_out": [reason]},
        "fail_export_run": {**held, "p_error_code": "x", **no_detail},
        "complete_export_run": {**held, "p_file": file, "p_summary": summary, "p_left_out": []},
    }


def assert_each_is_refused(organisation: Organisation, begun: dict[str, Any], token: int) -> None:
    """Every write with the old token is answered stale_token and leaves everything as it was."""
    all_writes = writes(organisation, begun, token)
    kept = everything_kept(organisation)
    with organisation.as_service() as service:
        for function, arguments in all_writes.items():
            with pytest.raises(psycopg.Error) as refusal:
                call(service, function, **arguments)
            assert refusal.value.diag.message_detail == "stale_token"
            assert everything_kept(organisation) == kept


def test_an_invocation_used_again_on_the_same_run_is_another_acquisition(
    organisation: Organisation, coordinator: AppUser
) -> None:
    """A worker that lost its run and begins again under its old name gets a new token; its old one is dead."""
    organisation.add_claims(3)
    invocation = uuid4()
    with organisation.as_user(coordinator.account.user_id) as connection:
        first = begin(connection, organisation, invocation=invocation)
        organisation.expire_lease()
        second = begin(connection, organisation)
        organisation.expire_lease()
        third = begin(connection, organisation, invocation=invocation)

    assert [begun["fencing_token"] for begun in (first, second, third)] == [1, 2, 3]
    assert first["run"]["run_id"] == third["run"]["run_id"]
    assert_each_is_refused(organisation, first, 1)
    assert_each_is_refused(organisation, second, 2)
    assert complete(organisation, third)["run"]["status"] == "completed"


def test_an_invocation_used_again_on_a_later_run_is_another_acquisition(
    organisation: Organisation, coordinator: AppUser
) -> None:
    """The name of a finished worker, used for the next run, does not let the finished worker in."""
    organisation.add_claims(3)
    invocation = uuid4()
    with organisation.as_user(coordinator.account.user_id) as connection:
        first = begin(connection, organisation, invocation=invocation)
        complete(organisation, first)
        organisation.add_claims(3)
        second = begin(connection, organisation, invocation=invocation)

    assert (first["fencing_token"], second["fencing_token"]) == (1, 2)
    assert first["run"]["run_id"] != second["run"]["run_id"]
    assert_each_is_refused(organisation, second, 1)
    assert complete(organisation, second)["run"]["status"] == "completed"


def test_completing_a_completed_run_says_so_again(
    organisation: Organisation, coordinator: AppUser
) -> None:
    """The same hash, whatever the token, is answered with the run as it is; another hash is refused."""
    organisation.add_claims(3)
    with organisation.as_user(coordinator.account.user_id) as connection:
        first = begin(connection, organisation)
        organisation.expire_lease()
        second = begin(connection, organisation)
    done = complete(organisation, second)
    other = store_file(organisation, first["run"]["run_id"], "b" * 64)
    kept = everything_kept(organisation)

    assert complete(organisation, first) == complete(organisation, second) == done
    with pytest.raises(psycopg.Error) as refusal:
        complete(organisation, first, content_hash="b" * 64)

    assert refusal.value.diag.message_detail == "file_mismatch"
    assert everything_kept(organisation) == kept
    assert other["path"] != done["run"]["file"]["path"]
