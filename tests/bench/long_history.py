"""Years of exports in one organisation, made by a few statements: finished runs with all their members.

Made as a restore makes it: without triggers, the indexes built at the end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import psycopg

from stack.database import Database
from tests.bench.scale import Scale
from tests.organisation import Organisation

# Claims that are in the app's table too: what is asked about by claim, and not by member.
KNOWN_CLAIMS = 2_000
_SLICE = 500_000


@dataclass(frozen=True)
class LongHistory:
    """An organisation with its runs; claims and runs are found by their number, from 1."""

    organisation: Organisation
    scale: Scale

    def claim_id(self, number: int) -> UUID:
        """The claim that is the number-th member of all; a known one when number is a multiple of claim_step."""
        [[claim_id]] = self.organisation.execute(
            "select md5('claim ' || %s::integer)::uuid", number
        )
        return UUID(str(claim_id))

    def claim_ids(self, numbers: list[int]) -> list[str]:
        """Many of them."""
        rows = self.organisation.execute(
            "select md5('claim ' || n)::uuid from unnest(%s::integer[]) with ordinality as x (n, place) order by place",
            numbers,
        )
        return [str(row[0]) for row in rows]

    @property
    def claim_step(self) -> int:
        """Every so many-th claim is in the app's table."""
        return max(1, self.scale.memberships // KNOWN_CLAIMS)


def write_history(database: Database, scale: Scale, say: Callable[[str], None]) -> LongHistory:
    """Fill the database; every run completed, with a file, its lines and its members."""
    organisation = Organisation.create(database, name=f"{scale.name} history")
    history = LongHistory(organisation, scale)
    with database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute("set maintenance_work_mem = '1GB'")
        superuser.execute("set work_mem = '256MB'")
        say(f"{scale.runs:,} runs")
        superuser.execute(
            _RUNS,
            {"organization": organisation.id, "runs": scale.runs, "claims": scale.claims_per_run},
        )
        superuser.execute(_PAGES, {"claims": scale.claims_per_run})
        _write_members(superuser, history, say)
        superuser.execute(
            _CLAIMS,
            {
                "organization": organisation.id,
                "step": history.claim_step,
                "last": scale.memberships,
            },
        )
        superuser.execute(_LINES)
        superuser.execute(
            _COUNTERS,
            {
                "organization": organisation.id,
                "runs": scale.runs,
                "members": scale.memberships,
            },
        )
        say("vacuum and analyze")
        superuser.execute("vacuum analyze")
    return history


def _write_members(
    superuser: psycopg.Connection, history: LongHistory, say: Callable[[str], None]
) -> None:
    indexes = superuser.execute(
        "select indexname, indexdef from pg_indexes where tablename = 'export_run_claims' and indexname !~ '_pkey$'"
    ).fetchall()
    for name, _ in indexes:
        superuser.execute(f"drop index public.{name}".encode())
    last = history.scale.memberships
    for first in range(1, last + 1, _SLICE):
        superuser.execute(
            _MEMBERS,
            {
                "organization": history.organisation.id,
                "claims": history.scale.claims_per_run,
                "first": first,
                "last": min(last, first + _SLICE - 1),
            },
        )
        say(f"{min(last, first + _SLICE - 1):,} of {last:,} members")
    for name, definition in indexes:
        superuser.execute(definition.encode())
        say(f"index {name}")


_RUNS = b"""
insert into public.export_runs (
  id, organization_id, run_number, trigger, target, format, period_to, time_zone, cut_off, export_date, status, attempt,
  fencing_token, configuration, reserved_count, reserved_totals, claim_count, voucher_count, line_count, totals, file_path,
  file_name, file_sha256, file_size, content_type, renderer_version, layout, created_at, processing_at, sealed_at, completed_at
)
select
  md5('run ' || n)::uuid, %(organization)s, n, 'cli', 'xledger', 'xledger_gl02b',
  (timestamp '2016-01-01' + n * interval '3 hours')::date, 'Europe/Oslo', timestamptz '2016-01-01' + n * interval '3 hours',
  (timestamp '2016-01-01' + n * interval '3 hours')::date, 'completed', 1, n, '{"settings": {}, "posting_rules": []}', %(claims)s, '{"NOK": "100.00"}', %(claims)s,
  %(claims)s, 2 * %(claims)s::integer, '{"NOK": "100.00"}', %(organization)s || '/' || n || '.csv', 'export-' || n || '.csv',
  encode(sha256(n::text::bytea), 'hex'), 1000, 'text/csv', '1', '{}',
  timestamptz '2016-01-01' + n * interval '3 hours', timestamptz '2016-01-01' + n * interval '3 hours',
  timestamptz '2016-01-01' + n * interval '3 hours', timestamptz '2016-01-01' + n * interval '3 hours'
from generate_series(1, %(runs)s::integer) as n
"""
_PAGES = b"""
insert into public.export_run_pages (run_id, fencing_token, organization_id, positions, first_lines, last_line)
select r.id, r.fencing_token, r.organization_id, p.positions, p.first_lines, 2 * %(claims)s::integer + 1
from public.export_runs as r
cross join (
  select array_agg(n order by n) as positions, array_agg(2 * n order by n) as first_lines from generate_series(1, %(claims)s::integer) as n
) as p
"""
_MEMBERS = b"""
insert into public.export_run_claims (
  run_id, position, organization_id, claim_id, voucher_number, document, amount, currency, reserved_at
)
select
  md5('run ' || 1 + (n - 1) / %(claims)s::integer)::uuid,
  1 + (n - 1) %% %(claims)s::integer,
  %(organization)s,
  md5('claim ' || n)::uuid,
  n,
  jsonb_build_object(
    'claim_number', 'C-' || n, 'claimant', '{"name": "Member", "number": "1"}'::jsonb, 'purpose', 'Meeting', 'currency', 'NOK',
    'total', '100.00', 'lines',
    '[{"line_number": 1, "expense_type": "mileage", "description": "Trip", "expense_date": "2026-09-30", "amount": "100.00"}]'::jsonb
  ),
  100,
  'NOK',
  timestamptz '2016-01-01' + (1 + (n - 1) / %(claims)s::integer) * interval '3 hours'
from generate_series(%(first)s::integer, %(last)s::integer) as n
"""
_CLAIMS = b"""
insert into public.expense_claims (id, organization_id, claim_number, claimant_name, purpose, status, approved_at)
select md5('claim ' || n)::uuid, %(organization)s, 'C-' || n, 'Member', 'Meeting', 'approved', '2016-03-01'
from generate_series(%(step)s::integer, %(last)s::integer, %(step)s::integer) as n
"""
_LINES = b"""
insert into public.expense_claim_lines (claim_id, line_number, expense_type, description, expense_date, amount)
select c.id, 1, 'mileage', 'Trip', '2026-09-30', 100 from public.expense_claims as c
"""
_COUNTERS = b"""
insert into public.export_counters (organization_id, name, last_value)
values (%(organization)s, 'run_number', %(runs)s), (%(organization)s, 'voucher_number', %(members)s)
on conflict (organization_id, name) do update set last_value = excluded.last_value
"""
