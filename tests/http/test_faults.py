"""Supabase away, and replies lost at every step: nothing is half done, nothing is done twice."""

from collections.abc import Callable
from uuid import UUID

import pytest

from tests.http.app_user import AppUser
from tests.http.fault_proxy import Fault, FaultProxy
from tests.organisation import Organisation, begin

NewUser = Callable[..., AppUser]
BEGIN = "POST /rest/v1/rpc/begin_export"
RESERVE = "POST /rest/v1/rpc/reserve_export_page"
UPLOAD = "POST /storage/v1/object/exports/"
COMPLETE = "POST /rest/v1/rpc/complete_export_run"
SIGN = "POST /storage/v1/object/sign/"


@pytest.mark.parametrize("fault", ["refuse", "gateway_page"])
def test_database_away_is_503_and_the_same_key_succeeds_later(
    proxied_coordinator: AppUser, proxy: FaultProxy, organisation: Organisation, fault: Fault
) -> None:
    """Without the database nothing begins; afterwards the same request is done at once."""
    organisation.add_claim()
    proxy.lose("/rest/v1/", fault)

    refused = proxied_coordinator.trigger(organisation, "key-1")
    assert organisation.execute(
        "select count(*) from public.export_runs where organization_id = %s", organisation.id
    ) == [(0,)]
    proxy.heal()
    done = proxied_coordinator.trigger(organisation, "key-1")

    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert done.status_code == 201


@pytest.mark.parametrize("fault", ["refuse", "gateway_page"])
def test_storage_away_is_503_and_the_same_key_ends_in_the_same_run(
    proxied_coordinator: AppUser, proxy: FaultProxy, organisation: Organisation, fault: Fault
) -> None:
    """Without storage no claim counts as exported; the same key then finishes the run at once."""
    organisation.add_claim()
    proxy.lose("/storage/v1/", fault)

    refused = proxied_coordinator.trigger(organisation, "key-1")
    proxy.heal()
    done = proxied_coordinator.trigger(organisation, "key-1")

    assert (refused.status_code, refused.json()["code"]) == (503, "storage_unavailable")
    assert 0 < int(refused.headers["retry-after"]) <= 10
    assert (done.status_code, done.json()["outcome"]) == (200, "replayed")
    assert (done.json()["run"]["status"], done.json()["run"]["attempt"]) == ("completed", 2)
    assert done.json()["run"]["run_id"] == refused.json()["run_id"]
    assert_exported_once(organisation, done.json()["run"]["run_id"])


@pytest.mark.parametrize("step", [BEGIN, UPLOAD, COMPLETE])
@pytest.mark.parametrize("fault", ["cut_reply", "refuse"])
def test_a_lost_message_is_repeated(
    proxied_coordinator: AppUser,
    proxy: FaultProxy,
    organisation: Organisation,
    step: str,
    fault: Fault,
) -> None:
    """A request or a reply that is lost once is repeated within the call: one run, one file."""
    organisation.add_claim()
    proxy.lose(step, fault, times=1)

    answer = proxied_coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["outcome"]) == (201, "completed")
    assert answer.json()["run"]["attempt"] == 1
    assert proxy.count(step) == 2
    assert_exported_once(organisation, answer.json()["run"]["run_id"])


def test_a_lost_reply_between_pages_loses_no_claim(
    proxied_coordinator: AppUser, proxy: FaultProxy, organisation: Organisation
) -> None:
    """When the reply to a reservation is lost, the same page comes again."""
    claims = organisation.add_claims(2001)
    proxy.lose(RESERVE, "cut_reply", times=1)

    answer = proxied_coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["run"]["claim_count"]) == (201, 2001)
    assert set(organisation.live_memberships()) == set(claims)


@pytest.mark.parametrize("step", [BEGIN, UPLOAD, COMPLETE])
def test_replies_lost_for_good_end_in_the_same_run(
    proxied_coordinator: AppUser, proxy: FaultProxy, organisation: Organisation, step: str
) -> None:
    """However often a step's reply is lost, the caller's retry finds one run and one file."""
    organisation.add_claim()
    proxy.lose(step, "cut_reply")

    lost = proxied_coordinator.trigger(organisation, "key-1")
    proxy.heal()
    organisation.expire_lease()
    found = proxied_coordinator.trigger(organisation, "key-1")

    assert lost.status_code == 503
    assert (found.status_code, found.json()["run"]["status"]) == (200, "completed")
    assert_exported_once(organisation, found.json()["run"]["run_id"])


def test_a_run_left_before_complete_is_finished_by_the_next_trigger(
    proxied_coordinator: AppUser,
    new_user: NewUser,
    proxy: FaultProxy,
    organisation: Organisation,
) -> None:
    """A worker that stops after the upload leaves a run that the next one completes, same bytes."""
    organisation.add_claim()
    organisation.add_claim([("helicopter", "10.00")])
    proxy.lose(COMPLETE, "refuse")
    left = proxied_coordinator.trigger(organisation)
    [(uploaded,)] = objects_of(organisation)
    organisation.expire_lease()

    colleague = new_user("coordinator", organisation)
    answer = colleague.trigger(organisation)

    # Her own request comes after the dead worker's run, and finds only the claim without account.
    assert (answer.status_code, answer.json()["outcome"]) == (200, "nothing_to_export")
    assert answer.json()["run"]["run_id"] == left.json()["run_id"]
    assert [claim["code"] for claim in answer.json()["left_out"]] == ["no_account_for_expense_type"]
    run = colleague.run(left.json()["run_id"]).json()["run"]
    assert (run["status"], run["attempt"]) == ("completed", 2)
    assert run["file"]["path"] == uploaded
    assert_exported_once(organisation, run["run_id"])


def test_the_callers_own_claims_come_after_the_dead_workers(
    proxied_coordinator: AppUser,
    coordinator: AppUser,
    proxy: FaultProxy,
    organisation: Organisation,
) -> None:
    """One request finishes the run that was left and then exports what came since."""
    organisation.add_claim()
    proxy.lose(UPLOAD, "refuse")
    left = proxied_coordinator.trigger(organisation)
    organisation.expire_lease()
    newer = organisation.add_claim()

    answer = coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["run"]["claim_count"]) == (201, 1)
    statuses = {run: status for [(run, status)] in organisation.live_memberships().values()}
    assert set(statuses.values()) == {"completed"}
    assert left.json()["run_id"] != answer.json()["run"]["run_id"]
    assert str(organisation.live_memberships()[newer][0][0]) == answer.json()["run"]["run_id"]


def test_a_worker_that_was_overtaken_changes_nothing(
    proxied_coordinator: AppUser,
    new_user: NewUser,
    proxy: FaultProxy,
    organisation: Organisation,
) -> None:
    """After a take-over the old worker's token is refused, and it tells that the run goes on."""
    organisation.add_claim()
    colleague = new_user("coordinator", organisation)

    def take_over() -> None:
        organisation.expire_lease()
        with organisation.as_user(colleague.account.user_id) as connection:
            begin(connection, organisation)

    proxy.before(UPLOAD, take_over)

    answer = proxied_coordinator.trigger(organisation, "key-1")

    assert (answer.status_code, answer.json()["outcome"]) == (202, "replayed")
    assert answer.json()["run"]["attempt"] == 2
    assert answer.json()["run"]["file"] is None


def test_two_workers_on_one_run_make_one_file(
    proxied_coordinator: AppUser,
    coordinator: AppUser,
    proxy: FaultProxy,
    organisation: Organisation,
) -> None:
    """When the successor was faster, the old worker finds the same bytes stored and recorded."""
    organisation.add_claim()

    def finish() -> None:
        organisation.expire_lease()
        coordinator.trigger(organisation)

    proxy.before(UPLOAD, finish)

    answer = proxied_coordinator.trigger(organisation, "key-1")

    assert (answer.status_code, answer.json()["run"]["attempt"]) == (201, 2)
    assert_exported_once(organisation, answer.json()["run"]["run_id"])


def test_a_role_taken_away_meanwhile_completes_nothing(
    proxied_coordinator: AppUser, proxy: FaultProxy, organisation: Organisation
) -> None:
    """Whoever lost the role while her export ran does not complete it: 403 with the run."""
    organisation.add_claim()
    proxy.before(
        UPLOAD,
        lambda: organisation.execute(
            "update public.organization_members set role = 'member' where organization_id = %s",
            organisation.id,
        ),
    )

    answer = proxied_coordinator.trigger(organisation)

    assert (answer.status_code, answer.json()["code"]) == (403, "role_revoked")
    [[(run_id, status)]] = organisation.live_memberships().values()
    assert (str(run_id), status) == (answer.json()["run_id"], "processing")


def test_a_file_above_the_limit_fails_the_run(
    coordinator: AppUser,
    proxied_coordinator: AppUser,
    proxy: FaultProxy,
    organisation: Organisation,
) -> None:
    """What storage refuses for its size is 422, and the claims are free for a shorter period."""
    organisation.add_claim()
    limit = "update storage.buckets set file_size_limit = %s where id = 'exports'"
    proxy.before(UPLOAD, lambda: organisation.execute(limit, 10))
    try:
        answer = proxied_coordinator.trigger(organisation)
    finally:
        organisation.execute(limit, None)

    assert (answer.status_code, answer.json()["code"]) == (422, "file_too_large")
    assert organisation.live_memberships() == {}
    assert coordinator.trigger(organisation).status_code == 201


def test_other_bytes_at_the_same_place_are_never_taken_for_ours(
    proxied_coordinator: AppUser, proxy: FaultProxy, organisation: Organisation
) -> None:
    """An object with another hash under the run's path fails that run, and the caller's own is exported."""
    organisation.add_claim()
    proxy.lose(COMPLETE, "refuse")
    left = proxied_coordinator.trigger(organisation)
    proxy.heal()
    organisation.execute(
        "update storage.objects set user_metadata = jsonb_build_object('sha256', 'other')"
        " where name like %s",
        f"{organisation.id}/%",
    )
    organisation.expire_lease()

    answer = proxied_coordinator.trigger(organisation)

    stopped = proxied_coordinator.run(left.json()["run_id"]).json()["run"]
    assert (stopped["status"], stopped["error_code"]) == ("failed", "file_conflict")
    assert (answer.status_code, answer.json()["outcome"]) == (201, "completed")
    own = UUID(answer.json()["run"]["run_id"])
    assert list(organisation.live_memberships().values()) == [[(own, "completed")]]


def test_storage_away_while_reading_is_503(
    proxied_coordinator: AppUser, proxy: FaultProxy, organisation: Organisation
) -> None:
    """A run whose link cannot be made now is 503, not a run without a file."""
    organisation.add_claim()
    run_id = proxied_coordinator.trigger(organisation).json()["run"]["run_id"]
    proxy.lose(SIGN, "gateway_page")

    answer = proxied_coordinator.run(run_id)

    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert int(answer.headers["retry-after"]) > 0


def objects_of(organisation: Organisation) -> list[tuple[str]]:
    """The paths in the bucket that belong to the organisation."""
    return organisation.execute(
        "select name from storage.objects where bucket_id = 'exports' and name like %s",
        f"{organisation.id}/%",
    )


def assert_exported_once(organisation: Organisation, run_id: str) -> None:
    """One completed run holds the claims, and the bucket holds its file and no other."""
    rows = organisation.execute(
        "select id::text, file_path, file_sha256 from public.export_runs"
        " where organization_id = %s and status = 'completed'",
        organisation.id,
    )
    [(completed, path, sha256)] = rows
    assert completed == run_id
    assert objects_of(organisation) == [(path,)]
    assert sha256 in path
    assert {
        (str(run), status)
        for memberships in organisation.live_memberships().values()
        for run, status in memberships
    } == {(run_id, "completed")}
