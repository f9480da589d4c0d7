-- Purpose: tell a run that gets on from one that only uses up workers.
-- Tables: export_runs, export_run_events.
-- An attempt makes progress when it reserves a page, seals the run, or gets further through the members than any attempt
-- before it. An attempt that ended because Supabase was away is not the run's fault and does not count, for a day.

alter table public.export_runs
add column attempts_without_progress integer not null default 0,
add column furthest_position integer not null default 0,
add column progress_at timestamptz,
add constraint export_runs_attempts_without_progress_check check (attempts_without_progress between 0 and attempt),
add constraint export_runs_furthest_position_check check (furthest_position between 0 and reserved_count);

comment on column public.export_runs.attempts_without_progress is
  'Attempts since the last one that made progress. At export_engine.most_attempts() the run is parked instead of tried again.';
comment on column public.export_runs.furthest_position is 'How far any attempt has got through the members.';
comment on column public.export_runs.progress_at is 'When an attempt last made progress; null while pending.';

alter table public.export_run_events
drop constraint export_run_events_event_check,
add constraint export_run_events_event_check check (
  event in (
    'created', 'started', 'page_reserved', 'sealed', 'taken_over', 'attempt_ended', 'claims_left_out', 'releasing', 'failed',
    'completed', 'parked', 'recovered', 'in_doubt', 'voiding', 'voided', 'deleted'
  )
);

create function export_engine.most_attempts()
returns integer
language sql
immutable
security invoker
set search_path = ''
return 5;

comment on function export_engine.most_attempts is
  'Attempts without progress after which a run is parked. Each costs a lease, so that a person is asked after five to ten minutes.';

create or replace function export_engine.start_attempt(p_run public.export_runs, p_invocation_id uuid, p_actor_id uuid, p_event text)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_token bigint;
begin
  update public.export_locks
  set
    fencing_token = fencing_token + 1,
    holder_id = p_invocation_id,
    run_id = p_run.id,
    acquired_at = clock_timestamp(),
    expires_at = clock_timestamp() + export_engine.lease()
  where organization_id = p_run.organization_id
  returning fencing_token into v_token;

  update public.export_runs
  set
    status = 'processing',
    attempt = attempt + 1,
    attempts_without_progress = attempts_without_progress + 1,
    progress_at = coalesce(progress_at, clock_timestamp()),
    attempt_by = p_actor_id,
    fencing_token = v_token
  where id = p_run.id
  returning * into v_run;
  perform export_engine.record_event(
    v_run, p_event, p_actor_id, jsonb_build_object('attempt', v_run.attempt, 'fencing_token', v_token)
  );
  return v_run;
end;
$$;

create function export_engine.note_progress(p_before public.export_runs, p_after public.export_runs, p_position integer)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs := p_after;
begin
  if p_after.reserved_count > p_before.reserved_count
    or p_after.sealed_at is distinct from p_before.sealed_at
    or least(p_position, p_after.reserved_count) > p_after.furthest_position then
    update public.export_runs
    set
      attempts_without_progress = 0,
      progress_at = clock_timestamp(),
      furthest_position = greatest(furthest_position, least(p_position, reserved_count))
    where id = p_after.id
    returning * into v_run;
  end if;
  return v_run;
end;
$$;

comment on function export_engine.note_progress is
  'Resets the count of fruitless attempts when a page was reserved, the run was sealed, or the worker has come further than any before.';

create or replace function export_engine.reserve_export_page(p_run_id uuid, p_fencing_token bigint, p_after_position integer)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_before public.export_runs;
  v_run public.export_runs;
begin
  v_before := export_engine.hold_processing_run(p_run_id, p_fencing_token);
  v_run := v_before;
  -- Members that exist after the position are read again first: a lost reply loses no claim.
  if v_run.sealed_at is null and not exists (
    select from public.export_run_claims as m
    where m.run_id = v_run.id and m.position > p_after_position and m.outcome = 'included'
  ) then
    v_run := export_engine.reserve_next(v_run);
  end if;
  v_run := export_engine.note_progress(v_before, v_run, p_after_position);
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run)) || export_engine.members_page(v_run, p_after_position);
end;
$$;

drop function public.release_export_lock(uuid, bigint);
drop function export_engine.release_export_lock(uuid, bigint);

create function export_engine.release_export_lock(p_run_id uuid, p_fencing_token bigint, p_code text, p_is_blameless boolean)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_counts boolean;
begin
  if p_code !~ '^[a-z][a-z0-9_]{0,59}$' then
    perform export_engine.refuse(400, 'reason_required', 'A reason is a code in snake_case.', 'Send p_code.');
  end if;
  v_run := export_engine.hold_run(p_run_id, p_fencing_token);
  update public.export_locks
  set acquired_at = least(acquired_at, clock_timestamp() - interval '1 second'), expires_at = clock_timestamp()
  where organization_id = v_run.organization_id;
  -- An attempt ends once: the same request again, after a lost reply, neither counts nor is recorded a second time.
  if not exists (
    select
    from public.export_run_events as e
    where e.run_id = v_run.id and e.event = 'attempt_ended' and (e.detail ->> 'attempt')::integer = v_run.attempt
  ) then
    -- After a day the benefit of the doubt is over: one file that the storage never takes must not stop the organisation.
    v_counts := not coalesce(p_is_blameless, false) or coalesce(v_run.progress_at < clock_timestamp() - interval '1 day', false);
    if not v_counts then
      update public.export_runs
      set attempts_without_progress = greatest(attempts_without_progress - 1, 0)
      where id = v_run.id
      returning * into v_run;
    end if;
    perform export_engine.record_event(
      v_run, 'attempt_ended', v_run.attempt_by,
      jsonb_build_object('attempt', v_run.attempt, 'code', p_code, 'counts', v_counts)
    );
  end if;
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run));
end;
$$;

comment on function export_engine.release_export_lock is
  'Says that the worker gives up and why, so that the next trigger need not wait for the end of the lease. The run and its '
  'members stay as they are. Blameless: the attempt does not count against the run, within a day of its last progress. '
  'Definer, because no API role may write the tables.';

create function public.release_export_lock(
  p_run_id uuid,
  p_fencing_token bigint,
  p_code text default null,
  p_is_blameless boolean default false
)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.release_export_lock(p_run_id, p_fencing_token, p_code, p_is_blameless);
$$;

comment on function public.release_export_lock is 'Gives a worker''s lease back early; the run waits for its successor (service key).';

revoke execute on function export_engine.most_attempts() from public;
revoke execute on function export_engine.note_progress(public.export_runs, public.export_runs, integer) from public;
revoke execute on function export_engine.release_export_lock(uuid, bigint, text, boolean) from public;
revoke execute on function public.release_export_lock(uuid, bigint, text, boolean) from public, anon, authenticated, service_role;
grant execute on function export_engine.release_export_lock(uuid, bigint, text, boolean) to service_role;
grant execute on function public.release_export_lock(uuid, bigint, text, boolean) to service_role;
