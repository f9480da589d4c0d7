"""The repository over the real data API: the interface that the rest of the app uses."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from functions.claim_status import ClaimState
from functions.errors import Refused, StaleToken
from functions.export_history import HistoryFilter
from functions.export_run import RunStatus, RunTrigger
from functions.export_run_repository import ExportRunRepository
from functions.settings import Settings
from functions.supabase_connection import SupabaseConnection
from stack.embedded_stack import EmbeddedStack
from tests.http.app_user import AppUser
from tests.organisation import Organisation


@pytest.fixture
async def connection(stack: EmbeddedStack) -> AsyncIterator[SupabaseConnection]:
    """A connection to the stack's Supabase."""
    connection = SupabaseConnection(
        Settings(
            supabase_url=stack.url,
            supabase_publishable_key=stack.credentials.publishable_key,
            supabase_secret_key=SecretStr(stack.credentials.secret_key),
        )
    )
    yield connection
    await connection.aclose()


@pytest.fixture
async def runs(connection: SupabaseConnection) -> ExportRunRepository:
    """The repository with the service's rights."""
    return ExportRunRepository(connection.as_service())


async def test_a_run_is_created_pending(
    runs: ExportRunRepository, organisation: Organisation
) -> None:
    """The format determines the target, and nothing is reserved yet."""
    member = organisation.add_member()

    run = await runs.create_export_run(organisation.id, member, "xledger_gl02b")

    assert (run.status, run.target, run.triggered_by) == (RunStatus.PENDING, "xledger", member)
    assert (await runs.get_export_run_by_id(run.run_id)) == run


async def test_a_format_that_is_not_set_up_is_refused(
    runs: ExportRunRepository, organisation: Organisation
) -> None:
    """No run is made for a format that the organisation does not use."""
    with pytest.raises(Refused, match="format_not_configured"):
        await runs.create_export_run(organisation.id, None, "dynamics_bc_csv")


async def test_status_and_claims_change_in_one_step(
    runs: ExportRunRepository, organisation: Organisation
) -> None:
    """A manual run takes exactly the named claims, completes with some, and releases the rest."""
    kept, released = organisation.add_claim(), organisation.add_claim()
    run = await runs.create_export_run(organisation.id, None, "xledger_gl02b", origin="manual")

    taken = await runs.update_export_run_status(run.run_id, RunStatus.PROCESSING, [kept, released])
    done = await runs.update_export_run_status(
        run.run_id, RunStatus.COMPLETED, [kept], fencing_token=taken.fencing_token
    )

    assert (done.status, done.claim_count) == (RunStatus.COMPLETED, 1)
    assert set(organisation.live_memberships()) == {kept}
    [found] = await runs.find_runs_by_claim_id(released)
    assert (found.run_id, found.membership.outcome) == (run.run_id, "released")


async def test_a_held_run_needs_its_current_token(
    runs: ExportRunRepository, organisation: Organisation
) -> None:
    """Without the token the run is locked, and with an old one the change is refused."""
    claim = organisation.add_claim()
    run = await runs.create_export_run(organisation.id, None, "xledger_gl02b")
    held = await runs.update_export_run_status(run.run_id, RunStatus.PROCESSING, [claim])

    with pytest.raises(Refused, match="run_locked"):
        await runs.update_export_run_status(run.run_id, RunStatus.FAILED, [])
    with pytest.raises(StaleToken):
        await runs.update_export_run_status(
            run.run_id, RunStatus.FAILED, [], fencing_token=(held.fencing_token or 0) - 1
        )


async def test_a_completed_run_stays_completed(
    runs: ExportRunRepository, coordinator: AppUser, organisation: Organisation
) -> None:
    """A terminal status is not changed by an update."""
    organisation.add_claim()
    run_id = UUID(coordinator.trigger(organisation).json()["run"]["run_id"])

    with pytest.raises(Refused, match="illegal_transition"):
        await runs.update_export_run_status(run_id, RunStatus.FAILED, [])


async def test_a_deleted_run_is_hidden_but_found_by_its_claims(
    runs: ExportRunRepository, coordinator: AppUser, organisation: Organisation
) -> None:
    """Deleting hides a run from the list; where doubles are checked it is there, marked."""
    claim = organisation.add_claim()
    run_id = UUID(coordinator.trigger(organisation).json()["run"]["run_id"])

    deleted = await runs.delete_export_run(run_id, reason="made by mistake")

    assert deleted.deleted
    assert await runs.get_export_history(organisation.id) == ()
    [listed] = await runs.get_export_history(organisation.id, include_deleted=True)
    [found] = await runs.find_runs_by_claim_id(claim)
    assert listed.run_id == found.run_id == run_id
    assert found.deleted
    assert coordinator.trigger(organisation).json()["outcome"] == "nothing_to_export"


async def test_an_unfinished_run_is_not_deleted(
    runs: ExportRunRepository, organisation: Organisation
) -> None:
    """Only what is finished can be deleted."""
    run = await runs.create_export_run(organisation.id, None, "xledger_gl02b")

    with pytest.raises(Refused, match="run_unfinished"):
        await runs.delete_export_run(run.run_id)


async def test_history_is_walked_page_by_page(
    runs: ExportRunRepository, organisation: Organisation
) -> None:
    """A filter and a cursor go along; the old form by offset answers the same runs."""
    made = [
        (await runs.create_export_run(organisation.id, None, "xledger_gl02b")).run_id
        for _ in range(3)
    ]
    pending = HistoryFilter(statuses=(RunStatus.PENDING,), trigger=RunTrigger.REPOSITORY)

    first = await runs.get_export_history_page(organisation.id, pending, limit=2)
    second = await runs.get_export_history_page(
        organisation.id, pending, limit=2, cursor=first.next_cursor
    )

    assert [run.run_id for run in (*first.runs, *second.runs)] == made[::-1]
    assert second.next_cursor is None
    counted = await runs.get_export_history(organisation.id, 2, 1, wanted=pending)
    assert [run.run_id for run in counted] == made[1::-1]
    with pytest.raises(Refused, match="invalid_cursor"):
        await runs.get_export_history_page(organisation.id, cursor=first.next_cursor)


async def test_a_claim_is_found_from_both_ends(
    runs: ExportRunRepository, coordinator: AppUser, organisation: Organisation
) -> None:
    """The service asks for claims and searches like a user of any organisation."""
    claim_id = organisation.add_claim()
    run_id = UUID(coordinator.trigger(organisation).json()["run"]["run_id"])

    [status, unknown] = await runs.get_claim_status([claim_id, uuid4()])
    found = await runs.find_exports(organisation.id, "1")

    assert (status.state, unknown.state) == (ClaimState.EXPORTED, ClaimState.UNKNOWN)
    assert [run.run_id for run in found.runs] == [run_id]
    assert [(claim.claim_id, claim.found_by) for claim in found.claims] == [
        (claim_id, ("voucher_number",))
    ]


async def test_users_read_and_do_not_write(
    connection: SupabaseConnection, coordinator: AppUser, organisation: Organisation
) -> None:
    """A user's session lists her organisation's runs and cannot create any."""
    repository = ExportRunRepository(connection.as_user(coordinator.account.access_token))

    assert await repository.get_export_history(organisation.id) == ()
    with pytest.raises(Refused, match="not_allowed"):
        await repository.create_export_run(organisation.id, None, "xledger_gl02b")
    with pytest.raises(Refused, match="run_not_found"):
        await repository.get_export_run_by_id(uuid4())
