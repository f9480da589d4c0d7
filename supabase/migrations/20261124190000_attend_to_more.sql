-- Purpose: everything that a person should look at, in one list: red reconciliations, set-ups that make no file, and claims that were
--   changed after their export come to what was there. Each line says what it is about, and what to do.
-- Surprising: at most a thousand changed claims are counted per organisation. Each is compared with what was exported, and the list
--   itself has them all.

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
  format('Claims left out: %s (%s). %s', m.reason_code, coalesce(m.reason_field, 'claim'), min(m.reason_message)),
  'Mend what the reason names: the claim, the posting rules or the set-up. The claims join the next export by themselves; '
  'claim_export_status names them.',
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
group by h.organization, h.organization_id, h.what, h.cause
union all
select
  o.name,
  'changed_after_export',
  'Claims were changed after they were exported.',
  'The accounting system still has them as they were. export_changed_claims names them and what changed.',
  changed.since,
  changed.how_many,
  o.id,
  null::uuid
from public.organizations as o
cross join lateral (
  select min(c.changed_since) as since, count(*) as how_many
  from (
    select x.changed_since from public.export_changed_claims as x where x.organization_id = o.id order by x.note_id limit 1000
  ) as c
) as changed
where changed.how_many > 0
union all
select
  l.organization,
  'red_reconciliation',
  l.sentence,
  'Money or trust is at stake: put the organisation on hold, and read the findings in export_reconciliations.',
  l.finished_at,
  l.red_count::bigint,
  l.organization_id,
  null::uuid
from public.export_reconciliation_latest as l
where l.result = 'red'
union all
select
  c.organization,
  'configuration_invalid',
  format('Nothing can be exported to %s: %s', c.target, min(c.problem)),
  'Mend the set-up, then export again. export_configuration_problems names each field.',
  min(c.checked_at),
  count(*),
  c.organization_id,
  null::uuid
from public.export_configuration_problems as c
group by c.organization, c.organization_id, c.target;

comment on view public.export_needs_attention is
  'What a person should look at: red reconciliations, set-ups that no file can be made of, stuck runs, runs that failed within a week, '
  'claims that were left out or are held, by cause, organisations on hold, and how many claims were changed after they were exported (a '
  'thousand stands for more).';
