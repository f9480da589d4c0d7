-- Purpose: admins see what is on hold, why, and what to do.

create view public.export_holds_standing
with (security_invoker = true)
as
select
  o.name as organization,
  case when h.claim_id is null then 'organisation' else 'claim' end as what,
  c.claim_number,
  h.cause,
  h.reason,
  h.held_by,
  h.held_at,
  case
    when h.claim_id is null
      then format('Nothing is exported. Settle the reason, then: select lift_export_hold(%L, null, ''<who you are>'').', h.organization_id)
    else format(
      'Automatic triggers pass it by. Export by hand, or: select lift_export_hold(%L, array[%L]::uuid[], ''<who you are>'').',
      h.organization_id, h.claim_id
    )
  end as what_to_do,
  h.organization_id,
  h.claim_id
from public.export_holds as h
join public.organizations as o on o.id = h.organization_id
left join public.expense_claims as c on c.id = h.claim_id
where h.lifted_at is null;

comment on view public.export_holds_standing is
  'What is on hold now, organisations and claims, with reason, person and what to do. Lifted holds are in export_holds.';
comment on column public.export_holds_standing.claim_number is 'Null when the whole organisation is on hold.';

create or replace view public.export_runs_stuck
with (security_invoker = true)
as
select
  o.name as organization,
  r.run_number,
  r.status,
  coalesce(l.expires_at, r.parked_at, r.in_doubt_at, r.created_at) as silent_since,
  case
    when r.status = 'parked' and r.origin = 'manual'
      then 'Recorded by hand and not finished in time. Complete or fail it with update_export_run_status, without its token.'
    when r.status = 'parked'
      then 'Gave up without progress; its claims are held. Mend the cause, then recover_export_run, or fail_export_run_by_admin.'
    when r.status = 'in_doubt' then 'It is not known what the accounting system got. Ask it, then settle the run.'
    when r.status = 'pending' then 'Created, never begun. Begin or fail it.'
    when r.status = 'processing' and r.origin = 'manual'
      then 'Recorded by hand and not finished. Complete or fail it; the next sweep or trigger sets it aside.'
    when r.status in ('releasing', 'voiding') then 'Its worker is silent. The next sweep lets its remaining claims go.'
    when exists (
      select from public.export_holds as h where h.organization_id = r.organization_id and h.claim_id is null and h.lifted_at is null
    )
      then 'Waits, because the organisation is on hold. It goes on after lift_export_hold; fail_export_run_by_admin ends it.'
    else 'Its worker is silent. The next sweep or trigger takes it over.'
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

create or replace view public.export_needs_attention
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
group by o.name, m.organization_id, m.reason_code, m.reason_field
union all
select
  h.organization,
  case h.what when 'organisation' then 'held_organization' else 'held_claims' end,
  case h.what
    when 'organisation' then format('On hold by %s: %s', min(h.held_by), min(h.reason))
    else format('Claims on hold: %s.', h.cause)
  end,
  case h.what
    when 'organisation' then min(h.what_to_do)
    else 'Automatic triggers pass them by. Export by hand, or lift the holds: export_holds_standing names them.'
  end,
  min(h.held_at),
  count(*),
  h.organization_id,
  null::uuid
from public.export_holds_standing as h
group by h.organization, h.organization_id, h.what, h.cause;

comment on view public.export_needs_attention is
  'What a person should look at: stuck runs, runs that failed within a week, claims that were left out or are held, by cause, and '
  'organisations on hold.';

revoke all on table public.export_holds_standing from public, anon, authenticated, service_role;
grant select on table public.export_holds_standing to authenticated, service_role;
