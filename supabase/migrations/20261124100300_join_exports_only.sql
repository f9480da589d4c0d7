-- Purpose: who triggers an export while a list is being recorded is told to wait, also when both speak of the same period.

create or replace function export_engine.answer_without_work(
  p_lock public.export_locks,
  p_target text,
  p_period_from date,
  p_period_to date,
  p_idempotency_key text,
  p_request_fingerprint text
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_is_live boolean := coalesce(p_lock.expires_at > clock_timestamp(), false);
  v_run public.export_runs;
begin
  v_run := export_engine.run_with_key(p_lock.organization_id, p_idempotency_key);
  if v_run.id is not null then
    if v_run.request_fingerprint <> p_request_fingerprint then
      perform export_engine.refuse(
        422, 'idempotency_key_reused', 'This idempotency key was used for another request.', 'Make a new key for a new request.'
      );
    end if;
    if v_run.id is distinct from p_lock.run_id then
      return jsonb_build_object('outcome', 'replayed', 'run', export_engine.run_json(v_run));
    end if;
    if v_is_live then
      return jsonb_build_object(
        'outcome', 'replayed', 'run', export_engine.run_json(v_run), 'retry_after', export_engine.retry_after(p_lock)
      );
    end if;
    return null;
  end if;

  if not v_is_live then
    return null;
  end if;
  select r.* into v_run from public.export_runs as r where r.id = p_lock.run_id;
  return jsonb_build_object(
    'outcome', case
      -- A run that takes another one back, or records what was exported by hand, is nobody's export.
      when v_run.reverses_run_id is null and v_run.origin = 'engine'
        and v_run.target = coalesce(p_target, v_run.target)
        and (v_run.period_from, v_run.period_to) is not distinct from (p_period_from, p_period_to)
        then 'joined'
      else 'busy'
    end,
    'run', export_engine.run_json(v_run),
    'retry_after', export_engine.retry_after(p_lock)
  );
end;
$$;
