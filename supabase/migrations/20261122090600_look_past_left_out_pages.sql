-- Purpose: some pages of claims that nothing changed about are named at the next tap, like one page, instead of making a run
-- that fails. How many depends on their size: they are looked past for two seconds.

drop function export_engine.repeats_left_out(public.export_runs);

create function export_engine.repeats_left_out(p_run public.export_runs, p_after_position integer)
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
            earlier.outcome = 'left_out' and earlier.document = m.document and run.configuration = p_run.configuration
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
  'configuration changed since: the run would end the same way.';

create or replace function export_engine.start_run(
  p_target public.export_targets,
  p_trigger text,
  p_actor_id uuid,
  p_period_from date,
  p_period_to date,
  p_idempotency_key text,
  p_request_fingerprint text,
  p_invocation_id uuid,
  p_renderer_version text
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_position integer;
  v_repeats boolean := true;
begin
  -- A run that would be empty, or would only leave out again what the last one left out, leaves no row and no number:
  -- the block below is undone as a whole.
  begin
    v_run := export_engine.create_run(
      p_target, 'engine', p_trigger, p_actor_id, p_period_from, p_period_to, clock_timestamp(),
      p_idempotency_key, p_request_fingerprint, export_engine.freeze_configuration(p_target, p_renderer_version)
    );
    v_run := export_engine.start_attempt(v_run, p_invocation_id, case when p_trigger = 'user' then p_actor_id end, 'started');
    loop
      v_position := v_run.reserved_count;
      v_run := export_engine.reserve_next(v_run);
      v_repeats := v_repeats and export_engine.repeats_left_out(v_run, v_position);
      exit when v_run.sealed_at is not null or not v_repeats;
      -- A page that would only be left out again says nothing about the next one. That is looked at for a while, well below
      -- the time that a statement of the data API has; then the run is tried.
      exit when clock_timestamp() > statement_timestamp() + interval '2 seconds';
    end loop;
    if v_run.sealed_at is not null and v_repeats then
      raise exception using errcode = 'no_data_found';
    end if;
  exception when no_data_found then
    return export_engine.nothing_to_export(v_run, v_run.skipped_count);
  end;
  return export_engine.work_answer('started', v_run);
end;
$$;

create or replace function export_engine.nothing_to_export(p_run public.export_runs, p_skipped integer)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'outcome', 'nothing_to_export',
    'skipped_count', p_skipped,
    'run', export_engine.latest_run(p_run.organization_id, p_run.target, p_run.period_from, p_run.period_to),
    'parked_run', export_engine.parked_run(p_run.organization_id, p_run.target, p_run.period_from, p_run.period_to),
    -- What nobody could reserve was not left out before either: the history need not be walked a second time.
    'left_out', case
      when p_run.reserved_count = 0 then '[]'::jsonb
      else export_engine.still_left_out(
        p_run.organization_id, export_engine.approved_from(p_run), export_engine.approved_before(p_run)
      )
    end
  );
$$;

revoke execute on function export_engine.repeats_left_out(public.export_runs, integer) from public;
