-- Purpose: a filter of the history that few runs match, or none, reads those and not all runs of all organisations.
-- Each index ends in the order of the answer, so that a filter which many runs match is walked and not sorted.

create index export_runs_status_idx on public.export_runs (organization_id, status, created_at desc, run_number desc);
create index export_runs_target_idx on public.export_runs (organization_id, target, created_at desc, run_number desc);
create index export_runs_trigger_idx on public.export_runs (organization_id, trigger, created_at desc, run_number desc);
create index export_runs_triggered_by_idx on public.export_runs (organization_id, triggered_by, created_at desc, run_number desc);
create index export_runs_period_idx on public.export_runs (
  organization_id, target, period_to, coalesce(period_from, '-infinity'::date), created_at desc, run_number desc
);

create or replace function export_engine.latest_run(p_organization_id uuid, p_target text, p_period_from date, p_period_to date)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  -- Two questions, each a walk along an index from its newest run: one question would sort all runs of the organisation.
  with same as (
    select r as run
    from public.export_runs as r
    where
      r.organization_id = p_organization_id
      and r.target = p_target
      and r.status = 'completed'
      and r.reverses_run_id is null
      and r.deleted_at is null
      and r.period_to = p_period_to
      and coalesce(r.period_from, '-infinity'::date) = coalesce(p_period_from, '-infinity'::date)
    order by r.created_at desc, r.run_number desc
    limit 1
  ),
  overlapping as (
    select r as run
    from public.export_runs as r
    where
      not exists (select from same)
      and r.organization_id = p_organization_id
      and r.target = p_target
      and r.status = 'completed'
      and r.reverses_run_id is null
      and r.deleted_at is null
      and r.period_to >= coalesce(p_period_from, '-infinity'::date)
      and coalesce(r.period_from, '-infinity'::date) <= p_period_to
    order by r.created_at desc, r.run_number desc
    limit 1
  )
  select export_engine.run_json(found.run)
  from (select same.run from same union all select overlapping.run from overlapping) as found;
$$;
