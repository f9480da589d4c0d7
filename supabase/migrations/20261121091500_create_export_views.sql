-- Purpose: what people look at: the app through row-level security, admins in the dashboard.
-- Views: export_run_overview, export_runs_today, export_locks_held, export_runs_stuck, claim_export_status,
--   export_needs_attention. All run with the reader's own rights (security_invoker).

create view public.export_run_overview
with (security_invoker = true)
as
select
  o.name as organization,
  r.run_number,
  r.status,
  r.target,
  r.format,
  r.period_from,
  r.period_to,
  coalesce(r.triggered_by_name, 'system') as triggered_by,
  r.trigger,
  r.claim_count,
  r.left_out_count,
  r.skipped_count,
  r.totals,
  r.file_name,
  r.file_sha256,
  r.error_code,
  r.attempt,
  r.created_at,
  r.completed_at,
  r.failed_at,
  r.deleted_at is not null as is_deleted,
  r.organization_id,
  r.id as run_id
from public.export_runs as r
join public.organizations as o on o.id = r.organization_id;

comment on view public.export_run_overview is 'Every run with the organisation''s name, one line each.';

create view public.export_runs_today
with (security_invoker = true)
as
select v.*
from public.export_run_overview as v
join public.export_runs as r on r.id = v.run_id
where (v.created_at at time zone r.time_zone)::date = (clock_timestamp() at time zone r.time_zone)::date;

comment on view public.export_runs_today is 'Runs created today, in the time zone of each run.';

create view public.export_locks_held
with (security_invoker = true)
as
select
  o.name as organization,
  r.run_number,
  r.status,
  coalesce(r.triggered_by_name, 'system') as triggered_by,
  l.acquired_at,
  l.expires_at,
  l.expires_at > clock_timestamp() as is_live,
  l.fencing_token,
  l.organization_id,
  l.run_id
from public.export_locks as l
join public.organizations as o on o.id = l.organization_id
join public.export_runs as r on r.id = l.run_id;

comment on view public.export_locks_held is 'Who is exporting right now. is_live = false: the worker is silent; the next trigger takes the run over.';

create view public.export_runs_stuck
with (security_invoker = true)
as
select
  o.name as organization,
  r.run_number,
  r.status,
  coalesce(l.expires_at, r.parked_at, r.in_doubt_at, r.created_at) as silent_since,
  case r.status
    when 'parked' then 'Gave up after several attempts. Recover or fail it.'
    when 'in_doubt' then 'It is not known what the accounting system got. Ask it, then settle the run.'
    when 'pending' then 'Created, never begun. Begin or fail it.'
    when 'processing' then case
      when r.origin = 'manual' then 'Recorded by hand and not finished. Complete or fail it: it keeps the organisation from exporting.'
      else 'Its worker is silent. The next trigger takes it over.'
    end
    else 'Its worker is silent. The next trigger takes it over.'
  end as what_to_do,
  r.attempt,
  r.organization_id,
  r.id as run_id
from public.export_runs as r
join public.organizations as o on o.id = r.organization_id
left join public.export_locks as l on l.run_id = r.id
where
  r.status in ('parked', 'in_doubt')
  or (r.status = 'pending' and r.created_at < clock_timestamp() - interval '1 hour')
  or (r.status in ('processing', 'releasing', 'voiding') and coalesce(l.expires_at < clock_timestamp(), true));

comment on view public.export_runs_stuck is 'Unfinished runs that nobody is working on, and what to do about each.';

create view public.claim_export_status
with (security_invoker = true)
as
select
  c.organization_id,
  c.id as claim_id,
  c.claim_number,
  case
    when live.run_status in ('completed', 'voiding') then 'exported'
    when live.run_status is not null then 'reserved'
    when latest.outcome = 'left_out' then 'left_out'
    else 'pending'
  end as export_status,
  coalesce(live.run_id, latest.run_id) as run_id,
  coalesce(live.run_number, latest.run_number) as run_number,
  live.voucher_number,
  live.file_name,
  case when live.run_status is null then latest.reason_code end as reason_code,
  case when live.run_status is null then latest.reason_field end as reason_field,
  case when live.run_status is null then latest.reason_message end as reason_message
from public.expense_claims as c
left join lateral (
  select r.status as run_status, r.id as run_id, r.run_number, m.voucher_number, r.file_name
  from export_engine.entered_claims as e
  join public.export_run_claims as m
    on m.claim_id = e.claim_id and m.kind = 'entry' and m.generation = e.generation and m.released_at is null
  join public.export_runs as r on r.id = e.run_id
  where e.claim_id = c.id
  limit 1
) as live on true
left join lateral (
  select m.outcome, m.run_id, r.run_number, m.reason_code, m.reason_field, m.reason_message
  from public.export_run_claims as m
  join public.export_runs as r on r.id = m.run_id
  where m.claim_id = c.id
  order by m.reserved_at desc
  limit 1
) as latest on true
where
  (c.status = 'approved' or live.run_status is not null)
  -- Claimants see their claims but no runs, and would read "pending" for what is exported: only who sees the organisation's
  -- lock sees its memberships.
  and exists (select from public.export_locks as l where l.organization_id = c.organization_id);

comment on view public.claim_export_status is
  'For staff: every claim that is approved or in a run, in exactly one class: exported, reserved, left_out (with the reason), pending.';
comment on column public.claim_export_status.export_status is
  'exported: in a completed run. reserved: in a run that is not finished. left_out: the last run could not use it. pending: waits for a run.';
comment on column public.claim_export_status.reason_code is 'Why it was left out; null otherwise.';

create view public.export_needs_attention
with (security_invoker = true)
as
select
  s.organization,
  'stuck_run' as kind,
  format('Run %s is %s.', s.run_number, s.status) as what,
  s.what_to_do,
  s.silent_since as since,
  1::bigint as how_many,
  s.organization_id,
  s.run_id
from public.export_runs_stuck as s
union all
select
  o.name,
  'failed_run',
  format('Run %s failed: %s.', r.run_number, r.error_code),
  'Its claims are free again. Mend the cause and export again.',
  r.failed_at,
  1::bigint,
  r.organization_id,
  r.id
from public.export_runs as r
join public.organizations as o on o.id = r.organization_id
where r.status = 'failed' and r.deleted_at is null and r.failed_at > clock_timestamp() - interval '7 days'
union all
select
  o.name,
  'left_out_claims',
  format('Claims left out: %s (%s).', m.reason_code, coalesce(m.reason_field, 'claim')),
  min(m.reason_message),
  min(m.released_at),
  count(*),
  m.organization_id,
  null::uuid
from public.export_run_claims as m
join public.expense_claims as c on c.id = m.claim_id and c.status = 'approved'
join public.organizations as o on o.id = m.organization_id
where
  m.outcome = 'left_out'
  and not exists (
    select
    from public.export_run_claims as later
    where later.claim_id = m.claim_id and (later.reserved_at, later.run_id) > (m.reserved_at, m.run_id)
  )
group by o.name, m.organization_id, m.reason_code, m.reason_field;

comment on view public.export_needs_attention is 'What a person should look at: stuck runs, runs that failed within a week, claims that were left out, by cause.';

revoke all on table public.export_run_overview from public, anon, authenticated, service_role;
revoke all on table public.export_runs_today from public, anon, authenticated, service_role;
revoke all on table public.export_locks_held from public, anon, authenticated, service_role;
revoke all on table public.export_runs_stuck from public, anon, authenticated, service_role;
revoke all on table public.claim_export_status from public, anon, authenticated, service_role;
revoke all on table public.export_needs_attention from public, anon, authenticated, service_role;
revoke all on table export_engine.entered_claims from public, anon, authenticated, service_role;
grant select on table public.export_run_overview to authenticated, service_role;
grant select on table public.export_runs_today to authenticated, service_role;
grant select on table public.export_locks_held to authenticated, service_role;
grant select on table public.export_runs_stuck to authenticated, service_role;
grant select on table public.claim_export_status to authenticated, service_role;
grant select on table public.export_needs_attention to authenticated, service_role;
grant select on table export_engine.entered_claims to authenticated, service_role;
