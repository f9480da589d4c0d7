-- Purpose: an organisation on hold is where files are matched by backfill, and there nobody finishes a dead worker's run: waiting for it
--   is in vain. Who records is told so at once, and what to do.

create or replace function export_engine.make_way_for_backfill(p_lock public.export_locks, p_key text, p_invocation_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  if p_lock.run_id is null then
    return null;
  end if;
  select r.* into v_run from public.export_runs as r where r.id = p_lock.run_id;
  if p_lock.expires_at > clock_timestamp() then
    return jsonb_build_object(
      'outcome', 'busy', 'run', export_engine.run_json(v_run), 'retry_after', export_engine.retry_after(p_lock)
    );
  end if;
  if v_run.status = 'processing' and v_run.origin = 'manual' and v_run.idempotency_key = p_key then
    return export_engine.backfill_answer(
      'resumed', export_engine.start_attempt(v_run, p_invocation_id, null, 'taken_over')
    );
  end if;
  if v_run.origin = 'manual' or v_run.status = 'releasing' then
    -- Parks the manual run of somebody else, or lets the next claims of a failing run go.
    return export_engine.take_over(p_lock, p_invocation_id, null);
  end if;
  if (export_engine.standing_hold(p_lock.organization_id)).id is not null then
    perform export_engine.refuse(
      409, 'run_waits_for_hold', format('Run %s is not finished, has the lock, and waits for the end of the hold.', v_run.run_number),
      'End it with fail_export_run_by_admin: its claims are free again.'
    );
  end if;
  -- A dead worker's export: the sweep, or the next trigger, finishes it. This worker could not.
  return jsonb_build_object('outcome', 'busy', 'run', export_engine.run_json(v_run), 'retry_after', 1);
end;
$$;

comment on function export_engine.make_way_for_backfill is
  'What the organisation''s lock means for a backfill: busy, resumed (its own run, whose worker died), or null when the lock is free. '
  'Refused when a dead worker''s export has the lock during a hold, which nobody finishes.';
