-- Purpose: a run in doubt is seen where people look: by whoever exports the same period, and in the list of what is stuck. What the
--   accounting system refused can be tried again when a person asks: it may have been mended there, where nobody here can see it.
-- Tables: none.

create or replace function export_engine.parked_run(p_organization_id uuid, p_target text, p_period_from date, p_period_to date)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select export_engine.run_json(r)
  from public.export_runs as r
  where
    r.organization_id = p_organization_id
    and r.target = p_target
    and r.status in ('parked', 'in_doubt')
    and r.reverses_run_id is null
    and r.period_to >= coalesce(p_period_from, '-infinity'::date)
    and coalesce(r.period_from, '-infinity'::date) <= p_period_to
  order by coalesce(r.parked_at, r.in_doubt_at) desc
  limit 1;
$$;

comment on function export_engine.parked_run is 'The latest run, parked or in doubt, that holds claims of a scope; null if none.';

create or replace view public.export_runs_stuck
with (security_invoker = true)
as
select
  o.name as organization,
  r.run_number,
  r.status,
  coalesce(l.expires_at, r.parked_at, r.in_doubt_at, r.created_at) as silent_since,
  case
    when r.status in ('parked', 'processing') and r.manual_file_name is not null
      then 'Recorded from a list and not finished. Run the same backfill command again, or fail_export_run_by_admin ends it.'
    when r.status = 'parked' and r.origin = 'manual'
      then 'Recorded by hand and not finished in time. Complete or fail it with update_export_run_status, without its token.'
    when r.status = 'parked'
      then 'Gave up without progress; its claims are held. Mend the cause, then recover_export_run, or fail_export_run_by_admin.'
    when r.status = 'in_doubt'
      then 'It is not known what the accounting system got. The sweep asks it again; export_deliveries shows each voucher. If it cannot '
        'tell, look there yourself and say what you found with settle_export_delivery.'
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

create or replace function export_engine.repeats_left_out(p_run public.export_runs, p_after_position integer)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select not exists (
    select
    from public.export_run_claims as m
    where
      m.run_id = p_run.id
      and m.position > p_after_position
      and not coalesce(
        (
          select
            earlier.outcome = 'left_out'
            and earlier.document = m.document
            and run.configuration = p_run.configuration
            and not (
              p_run.trigger = 'user'
              and exists (
                select from public.export_deliveries as d
                where d.run_id = earlier.run_id and d.voucher_number = earlier.voucher_number
              )
            )
          from public.export_run_claims as earlier
          join public.export_runs as run on run.id = earlier.run_id
          where earlier.claim_id = m.claim_id and earlier.run_id <> m.run_id
          order by earlier.reserved_at desc
          limit 1
        ),
        false
      )
  );
$$;

comment on function export_engine.repeats_left_out is
  'True when every claim of the run after a position was left out by the last run that tried it, and neither the claim nor the '
  'configuration changed since: the run would end the same way. What the accounting system refused may have been mended there, so a person '
  'who asks is not told so.';
