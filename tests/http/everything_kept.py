"""All that the engine keeps about an organisation, to be compared before and after."""

from typing import Any

from tests.organisation import Organisation

Kept = dict[str, list[Any]]
_ROWS = {
    "runs": "select to_jsonb(r) from public.export_runs r where r.organization_id = %s order by r.run_number",
    "memberships": "select to_jsonb(m) from public.export_run_claims m where m.organization_id = %s order by m.run_id, m.position",
    "lock": "select to_jsonb(l) from public.export_locks l where l.organization_id = %s",
    "counters": "select to_jsonb(c) from public.export_counters c where c.organization_id = %s order by c.name",
    "events": "select to_jsonb(e) from public.export_run_events e join public.export_runs r on r.id = e.run_id"
    " where r.organization_id = %s order by e.run_id, e.id",
    "objects": "select to_jsonb(o) from storage.objects o where o.bucket_id = 'exports' and starts_with(o.name, %s::text) order by o.name",
}


def everything_kept(organisation: Organisation) -> Kept:
    """Runs, memberships, lock, counters, events and stored objects, column by column."""
    return {
        what: [row for (row,) in organisation.execute(query, str(organisation.id))]
        for what, query in _ROWS.items()
    }
