-- Purpose: more than a page of claims that nothing changed about is named at the next tap, like one page, instead of making a
-- run that fails.

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
      v_run := export_engine.reserve_next(v_run);
      exit when v_run.sealed_at is not null;
      -- A page that would only be left out again says nothing about the next one. Five are read, and then it is tried.
      exit when v_run.reserved_count > 4 * export_engine.page_size();
      exit when v_run.reserved_count > 0 and not export_engine.repeats_left_out(v_run);
    end loop;
    if v_run.sealed_at is not null and export_engine.repeats_left_out(v_run) then
      raise exception using errcode = 'no_data_found';
    end if;
  exception when no_data_found then
    return export_engine.nothing_to_export(v_run, v_run.skipped_count);
  end;
  return export_engine.work_answer('started', v_run);
end;
$$;
