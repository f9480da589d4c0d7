"""The matrix goes red when a door is opened or a lock taken off: a test that never fails holds nothing."""

import pytest

from tests.access.functions import functions, wrong_calls
from tests.access.relations import wrong_reading
from tests.access.test_matrix import wrong
from tests.access.world import World
from tests.conftest import OwnDatabase

# What somebody might do, and what of the report shows it.
MISTAKES = {
    "grant select on public.export_counters to anon": "export_counters, anon, her own organisation: 'nothing'",
    'drop policy "Staff sees the runs of the organisation" on public.export_runs': "export_runs, admin, her own organisation: 'nothing'",
    "create policy wide on public.export_holds for select to authenticated using (true)": "export_holds, admin, the other organisation: 'done'",
    "create policy half on public.export_run_events for select to authenticated using (id % 2 = 0)": "export_run_events, member, the other organisation: 'some'",
    "alter view public.export_run_overview set (security_invoker = false)": "export_run_overview, member, the other organisation: 'done'",
    "grant update (reason) on public.export_erasures to authenticated": "export_erasures (update), member, her own organisation: 'done'",
    "grant truncate on public.export_run_pages to service_role": "export_run_pages (truncate), service, her own organisation: 'done'",
    "grant select (holder_id) on public.export_locks to authenticated": "export_locks: nobody reads []",
    "create table public.forgotten (id uuid)": "forgotten is not in the section read",
    "create function public.forgotten_function() returns int language sql as 'select 1'": "forgotten_function is not in the section functions",
    "alter function export_engine.document_changes security definer": "document_changes is no part",
    "alter function public.find_runs_by_claim_id security definer": "find_runs_by_claim_id, member, the other organisation: 'done'",
    "grant execute on function export_engine.find_stalled_export_runs to authenticated": "find_stalled_export_runs, member, her own organisation",
    "grant execute on function public.recover_export_run to authenticated": "public.recover_export_run may be executed by ['authenticated', 'service_role']",
    "revoke execute on function public.void_export from authenticated": "void_export, admin, her own organisation: '.'",
}


@pytest.fixture
def world(database: OwnDatabase) -> World:
    return World.create(database)


def test_every_mistake_is_seen(world: World, database: OwnDatabase) -> None:
    """Opened doors, lost locks and forgotten objects, made by hand in a database of its own."""
    with database.connect("postgres") as owner:
        for mistake in MISTAKES:
            owner.execute(mistake.encode())

    report = list(wrong(world))

    assert [sign for sign in MISTAKES.values() if not any(sign in line for line in report)] == []


def test_a_promise_that_is_not_so_is_seen(world: World) -> None:
    """The file may promise neither less nor more than there is."""
    less = wrong_reading(world, {"organizations": ". own own own own own"})
    more = wrong_calls(world, {"get_export_run": ". own own own own all"}, functions(world))

    assert [line.split(":")[0] for line in (*less, *more)] == [
        "organizations, service, the other organisation",
        "public.get_export_run, member, her own organisation",
    ]
