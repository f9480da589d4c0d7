-- Purpose: a run that nobody can finish is set aside, with its claims held and listed, and the organisation goes on.
-- Surprising: parking happens where a takeover would have happened, so that it needs no clock and no job of its own.

create function export_engine.park_run(p_run public.export_runs)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_code text := case p_run.origin when 'manual' then 'not_finished_by_hand' else 'no_progress' end;
  v_last_stop text := (
    select e.detail ->> 'code'
    from public.export_run_events as e
    where e.run_id = p_run.id and e.event = 'attempt_ended'
    order by e.id desc
    limit 1
  );
begin
  update public.export_runs
  set
    status = 'parked',
    error_code = v_code,
    error_detail = jsonb_build_object('attempts_without_progress', p_run.attempts_without_progress, 'last_stop', v_last_stop)
  where id = p_run.id
  returning * into v_run;
  perform export_engine.record_event(v_run, 'parked', null, v_run.error_detail || jsonb_build_object('code', v_code));
  perform export_engine.free_lock(v_run);
  return v_run;
end;
$$;

comment on function export_engine.park_run is
  'Sets a run aside until an admin recovers or fails it. Its claims stay reserved, its lock is free, its worker is fenced off.';

create or replace function export_engine.take_over(p_lock public.export_locks, p_invocation_id uuid, p_actor_id uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  select r.* into v_run from public.export_runs as r where r.id = p_lock.run_id for update;
  if v_run.status = 'releasing' then
    -- Its worker died while it let the claims go. One page per call; the claims are free when the last is gone.
    v_run := export_engine.finish_failure(v_run);
    if v_run.status = 'failed' then
      return null;
    end if;
    return jsonb_build_object('outcome', 'busy', 'run', export_engine.run_json(v_run), 'retry_after', 1);
  end if;
  -- The claims of a manual run are in the books already: a file of them would enter them a second time.
  if v_run.origin = 'manual' or v_run.attempts_without_progress >= export_engine.most_attempts() then
    perform export_engine.park_run(v_run);
    return null;
  end if;
  return export_engine.work_answer('resumed', export_engine.start_attempt(v_run, p_invocation_id, p_actor_id, 'taken_over'));
end;
$$;

comment on function export_engine.take_over is
  'Gives an unfinished run whose lease is over to a new worker under a new token. Null when the run had to be failed or parked '
  'instead: the organisation''s lock is free then.';

create function export_engine.target_is_clear(p_organization_id uuid, p_target text)
returns boolean
language sql
stable
security invoker
set search_path = ''
return (
  select count(*) = 1
  from public.export_targets as t
  where t.organization_id = p_organization_id and t.is_enabled and t.target = coalesce(p_target, t.target)
);

comment on function export_engine.target_is_clear is 'True when find_target would not refuse.';

create or replace function export_engine.begin_run(
  p_organization_id uuid,
  p_target text,
  p_period_from date,
  p_period_to date,
  p_idempotency_key text,
  p_invocation_id uuid,
  p_trigger text,
  p_actor_id uuid,
  p_renderer_version text
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_fingerprint text := export_engine.request_fingerprint(p_target, p_period_from, p_period_to);
  v_attempt_by uuid := case when p_trigger = 'user' then p_actor_id end;
  v_lock public.export_locks;
  v_target public.export_targets;
  v_answer jsonb;
begin
  perform export_engine.check_begin(p_period_from, p_period_to, p_idempotency_key, p_invocation_id, p_renderer_version);

  -- Most retries end here, without a lock, and whatever became of the configuration since.
  select l.* into v_lock from public.export_locks as l where l.organization_id = p_organization_id;
  if v_lock.organization_id is null then
    perform export_engine.find_target(p_organization_id, p_target);
  elsif v_lock.holder_id is distinct from p_invocation_id then
    v_answer := export_engine.answer_without_work(
      v_lock, p_target, p_period_from, p_period_to, p_idempotency_key, v_fingerprint
    );
    if v_answer is not null then
      return v_answer;
    end if;
  end if;

  v_lock := export_engine.lock_row(p_organization_id);
  if v_lock.organization_id is null then
    return jsonb_build_object('outcome', 'busy', 'run', null, 'retry_after', 1);
  end if;
  if v_lock.holder_id = p_invocation_id then
    -- The reply to this very invocation was lost: the same token again, with a fresh lease.
    return export_engine.repeat_answer(v_lock, v_attempt_by);
  end if;
  v_answer := export_engine.answer_without_work(
    v_lock, p_target, p_period_from, p_period_to, p_idempotency_key, v_fingerprint
  );
  if v_answer is not null then
    return v_answer;
  end if;

  perform export_engine.open_for_writing();
  -- A dead worker's run comes before any question about the target: it must not be stranded by a changed configuration.
  if v_lock.run_id is not null then
    v_answer := export_engine.take_over(v_lock, p_invocation_id, v_attempt_by);
    if v_answer is null then
      -- The run was failed or parked. If it was this key's own, a failed one has let the key go, and a parked one answers.
      select l.* into v_lock from public.export_locks as l where l.organization_id = p_organization_id;
      v_answer := export_engine.answer_without_work(
        v_lock, p_target, p_period_from, p_period_to, p_idempotency_key, v_fingerprint
      );
      if v_answer is null and not export_engine.target_is_clear(p_organization_id, p_target) then
        -- A refusal would undo what became of the run. The next begin is refused instead, with nothing to lose.
        v_answer := jsonb_build_object('outcome', 'busy', 'run', null, 'retry_after', 1);
      end if;
    end if;
  end if;
  if v_answer is null then
    v_target := export_engine.find_target(p_organization_id, p_target);
    perform export_engine.forget_old_key(p_organization_id, p_idempotency_key);
    v_answer := export_engine.start_run(
      v_target, p_trigger, p_actor_id, p_period_from, p_period_to,
      p_idempotency_key, case when p_idempotency_key is not null then v_fingerprint end, p_invocation_id,
      p_renderer_version
    );
  end if;
  perform export_engine.close_for_writing();
  return v_answer;
end;
$$;

create or replace function export_engine.take_over_export_run(p_organization_id uuid, p_invocation_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_lock public.export_locks;
  v_answer jsonb;
begin
  if not exists (select from public.export_locks as l where l.organization_id = p_organization_id) then
    return jsonb_build_object('outcome', 'nothing_to_resume', 'run', null);
  end if;
  v_lock := export_engine.lock_row(p_organization_id);
  if v_lock.holder_id = p_invocation_id then
    return export_engine.repeat_answer(v_lock, null);
  end if;
  if v_lock.organization_id is null or v_lock.expires_at > clock_timestamp() then
    return jsonb_build_object('outcome', 'busy', 'run', null, 'retry_after', 1);
  end if;
  if v_lock.run_id is not null then
    perform export_engine.open_for_writing();
    v_answer := export_engine.take_over(v_lock, p_invocation_id, null);
    perform export_engine.close_for_writing();
  end if;
  return coalesce(
    v_answer,
    (
      select jsonb_build_object('outcome', 'nothing_to_resume', 'run', export_engine.run_json(r))
      from public.export_runs as r
      where r.id = v_lock.run_id
    ),
    jsonb_build_object('outcome', 'nothing_to_resume', 'run', null)
  );
end;
$$;

comment on function export_engine.take_over_export_run is
  'Takes over the organisation''s unfinished run when its lease is over: resumed, busy or nothing_to_resume. The last one '
  'names a run that was failed or parked instead. Definer, because no API role may write the tables.';

create function export_engine.parked_run(p_organization_id uuid, p_target text, p_period_from date, p_period_to date)
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
    and r.status = 'parked'
    and r.period_to >= coalesce(p_period_from, '-infinity'::date)
    and coalesce(r.period_from, '-infinity'::date) <= p_period_to
  order by r.parked_at desc
  limit 1;
$$;

comment on function export_engine.parked_run is 'The latest parked run that holds claims of a scope; null if none.';

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
    'left_out', export_engine.still_left_out(
      p_run.organization_id, export_engine.approved_from(p_run), export_engine.approved_before(p_run)
    )
  );
$$;

comment on function export_engine.nothing_to_export is
  'Names the latest completed run that took this scope, so that a coordinator who lost her key sees her success, a parked run '
  'that holds claims of it, and the claims that still cannot be exported.';

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

create or replace view public.claim_export_status
with (security_invoker = true)
as
select
  c.organization_id,
  c.id as claim_id,
  c.claim_number,
  case
    when live.run_status in ('completed', 'voiding') then 'exported'
    when live.run_status = 'parked' then 'held'
    when live.run_status is not null then 'reserved'
    when latest.outcome = 'left_out' then 'left_out'
    else 'pending'
  end as export_status,
  coalesce(live.run_id, latest.run_id) as run_id,
  coalesce(live.run_number, latest.run_number) as run_number,
  live.voucher_number,
  live.file_name,
  case when live.run_status = 'parked' then 'run_parked' when live.run_status is null then latest.reason_code end as reason_code,
  case when live.run_status is null then latest.reason_field end as reason_field,
  case
    when live.run_status = 'parked'
      then format('Run %s is set aside with its claims. An admin must recover or fail it.', live.run_number)
    when live.run_status is null then latest.reason_message
  end as reason_message
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
  'For staff: every claim that is approved or in a run, in exactly one class: exported, reserved, held or left_out (both with '
  'the reason), pending.';
comment on column public.claim_export_status.export_status is
  'exported: in a completed run. reserved: in a run that is not finished. held: in a run that was set aside. left_out: the last '
  'run could not use it. pending: waits for a run.';
comment on column public.claim_export_status.reason_code is 'Why it was left out or is held; null otherwise.';

revoke execute on function export_engine.park_run(public.export_runs) from public;
revoke execute on function export_engine.target_is_clear(uuid, text) from public;
revoke execute on function export_engine.parked_run(uuid, text, date, date) from public;
