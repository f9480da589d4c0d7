-- Purpose: what the sweep and an admin do about runs that nobody works on.
-- The sweep: find_stalled_export_runs, then take_over_export_run or continue_export_release for each.
-- The admin, in the SQL editor or by the service key: recover_export_run, fail_export_run_by_admin.

create function export_engine.record_event_by(p_run public.export_runs, p_event text, p_actor text, p_detail jsonb)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into public.export_run_events (run_id, organization_id, actor_id, actor, event, detail)
  values (p_run.id, p_run.organization_id, null, p_actor, p_event, p_detail);
$$;

comment on function export_engine.record_event_by is 'Adds an event by somebody who has no login of the app, under the name that she gives.';

create function export_engine.hold_run_as_admin(p_run_id uuid, p_reason text, p_actor text)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  if p_reason is null or char_length(btrim(p_reason)) not between 1 and 500 then
    perform export_engine.refuse(400, 'reason_required', 'A reason of 1 to 500 characters is needed.', 'Say why you do this.');
  end if;
  if p_actor is null or char_length(btrim(p_actor)) not between 1 and 200 then
    perform export_engine.refuse(400, 'actor_required', 'A name of 1 to 200 characters is needed.', 'Say who does this.');
  end if;
  -- The lock row is locked before the run, here as everywhere.
  perform export_engine.wait_for_lock_row(p_run_id);
  perform export_engine.open_for_writing();
  select r.* into v_run from public.export_runs as r where r.id = p_run_id for update;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  return v_run;
end;
$$;

comment on function export_engine.hold_run_as_admin is
  'Locks lock row and run for an admin who says who she is and why, whoever works on the run. Opens the transaction for '
  'writing; the caller closes it.';

create function export_engine.fail_export_run_by_admin(p_run_id uuid, p_reason text, p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run_as_admin(p_run_id, p_reason, p_actor);
begin
  if v_run.status in ('pending', 'processing', 'parked') then
    update public.export_runs
    set
      status = 'releasing',
      attempt_by = null,
      error_code = 'failed_by_admin',
      error_detail = jsonb_build_object('reason', p_reason, 'actor', p_actor)
    where id = v_run.id
    returning * into v_run;
    perform export_engine.record_event_by(
      v_run, 'releasing', p_actor, jsonb_build_object('error_code', v_run.error_code, 'reason', p_reason)
    );
  elsif v_run.status not in ('releasing', 'failed') then
    perform export_engine.refuse(
      409, 'illegal_transition', format('A run that is %s cannot be failed.', v_run.status), 'Only an unfinished run can be failed.'
    );
  end if;
  -- Without the lock its worker is refused at every door, and the organisation can export at once.
  perform export_engine.free_lock(v_run);
  if v_run.status = 'releasing' then
    v_run := export_engine.finish_failure(v_run);
  end if;
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run), 'released', v_run.status = 'failed');
end;
$$;

comment on function export_engine.fail_export_run_by_admin is
  'Ends an unfinished run, whoever works on it: fences the worker off, frees the lock, lets the first page of claims go. The '
  'sweep lets the others go, or the same call again while released is false. Definer, because no API role may write the tables.';

create function export_engine.recover_export_run(p_run_id uuid, p_reason text, p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run_as_admin(p_run_id, p_reason, p_actor);
begin
  if v_run.status <> 'parked' or v_run.origin = 'manual' then
    perform export_engine.refuse(
      409, 'illegal_transition', format('A run that is %s cannot be recovered.', v_run.status),
      'Only a parked run of the engine can be recovered; complete or fail one that was recorded by hand.'
    );
  end if;
  if exists (select from public.export_locks as l where l.organization_id = v_run.organization_id and l.run_id is not null) then
    perform export_engine.refuse(
      409, 'lock_busy', 'Another run of this organisation is not finished.', 'Wait for it, then recover this one.'
    );
  end if;
  update public.export_locks
  set
    fencing_token = fencing_token + 1,
    holder_id = gen_random_uuid(),
    run_id = v_run.id,
    -- A lease that is over already: whoever comes next, sweep or trigger, takes the run.
    acquired_at = clock_timestamp() - interval '1 second',
    expires_at = clock_timestamp()
  where organization_id = v_run.organization_id;
  update public.export_runs
  set
    status = 'processing',
    attempts_without_progress = 0,
    progress_at = clock_timestamp(),
    error_code = null,
    error_detail = null
  where id = v_run.id
  returning * into v_run;
  perform export_engine.record_event_by(v_run, 'recovered', p_actor, jsonb_build_object('reason', p_reason));
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run));
end;
$$;

comment on function export_engine.recover_export_run is
  'Gives a parked run its attempts back; the next sweep or trigger continues it with the claims that it holds. Definer, because '
  'no API role may write the tables.';

create function export_engine.find_stalled_export_runs(p_limit integer)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform export_engine.refuse(400, 'limit_out_of_range', 'limit is 1 to 1000.', 'Ask for fewer runs.');
  end if;
  return (
    select jsonb_build_object(
      'runs', coalesce(
        jsonb_agg(
          jsonb_build_object('run_id', s.id, 'organization_id', s.organization_id, 'status', s.status) order by s.silent_since
        ),
        '[]'::jsonb
      )
    )
    from (
      select r.id, r.organization_id, r.status, coalesce(l.expires_at, r.releasing_at) as silent_since
      from public.export_runs as r
      left join public.export_locks as l on l.run_id = r.id
      where
        (r.status = 'processing' and l.expires_at <= clock_timestamp())
        or (r.status = 'releasing' and coalesce(l.expires_at <= clock_timestamp(), true))
      order by silent_since
      limit p_limit
    ) as s
  );
end;
$$;

comment on function export_engine.find_stalled_export_runs is
  'Runs that can be continued now, the longest silent first: nobody works on them, and no person is asked. Definer, because the '
  'sweep looks across organisations.';

create function export_engine.continue_export_release(p_run_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  perform export_engine.wait_for_lock_row(p_run_id);
  perform export_engine.open_for_writing();
  select r.* into v_run from public.export_runs as r where r.id = p_run_id for update;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  if exists (select from public.export_locks as l where l.run_id = v_run.id and l.expires_at > clock_timestamp()) then
    perform export_engine.refuse(409, 'run_locked', 'A worker holds this run.', 'Wait until its lease is over.');
  end if;
  if v_run.status = 'releasing' then
    v_run := export_engine.finish_failure(v_run);
  elsif v_run.status <> 'failed' then
    perform export_engine.refuse(
      409, 'illegal_transition', format('A run that is %s lets no claims go.', v_run.status), 'Fail the run first.'
    );
  end if;
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run), 'released', v_run.status = 'failed');
end;
$$;

comment on function export_engine.continue_export_release is
  'Lets the next page of claims of a failing run go that no worker holds; again while released is false. Definer, because no '
  'API role may write the tables.';

create or replace function export_engine.update_export_run_status(
  p_run_id uuid,
  p_status text,
  p_claim_ids uuid[],
  p_fencing_token bigint,
  p_error_code text
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_claim_ids uuid[] := array(select distinct c from unnest(coalesce(p_claim_ids, '{}')) as c);
begin
  if array_position(p_claim_ids, null) is not null then
    perform export_engine.refuse(422, 'claims_not_in_run', 'A claim id is null.', 'Send ids only.');
  end if;
  perform export_engine.open_for_writing();
  v_run := export_engine.hold_run_for_update(p_run_id, p_fencing_token);
  if greatest(cardinality(v_claim_ids), case when p_status = 'completed' then v_run.reserved_count end) > export_engine.page_size() then
    perform export_engine.refuse(
      413, 'too_many_claims', format('At most %s claims fit into one status update.', export_engine.page_size()),
      'Export through the guard, which works in pages.'
    );
  end if;
  if p_status = 'failed' and cardinality(v_claim_ids) > 0 then
    perform export_engine.refuse(
      422, 'claims_not_in_run', 'A failed run keeps no claims.', 'Pass no claims: all of them are released.'
    );
  end if;

  if p_status = 'processing' and v_run.status = 'pending' then
    v_run := export_engine.start_pending_run(v_run, v_claim_ids);
  elsif p_status = 'completed' and v_run.status = 'pending' and v_run.origin = 'manual' then
    -- In one step, so that no lease is open in between.
    v_run := export_engine.complete_without_file(export_engine.start_pending_run(v_run, v_claim_ids), v_claim_ids);
  elsif p_status = 'completed' and v_run.status = 'parked' and v_run.origin = 'manual' then
    -- Set aside because whoever recorded it took her time. Its claims are reserved, so it needs no lock to be completed.
    update public.export_runs
    set status = 'processing', error_code = null, error_detail = null
    where id = v_run.id
    returning * into v_run;
    v_run := export_engine.complete_without_file(v_run, v_claim_ids);
  elsif p_status = 'completed' and v_run.status = 'processing' then
    v_run := export_engine.complete_without_file(v_run, v_claim_ids);
  elsif p_status = 'failed' and v_run.status in ('pending', 'processing', 'parked', 'releasing') then
    if v_run.status <> 'releasing' then
      update public.export_runs
      set status = 'releasing', error_code = coalesce(p_error_code, 'failed_by_repository')
      where id = v_run.id
      returning * into v_run;
      perform export_engine.record_event(v_run, 'releasing', v_run.attempt_by, jsonb_build_object('error_code', v_run.error_code));
    end if;
    v_run := export_engine.finish_failure(v_run);
  else
    perform export_engine.refuse(
      409, 'illegal_transition', format('A run that is %s cannot become %s here.', v_run.status, p_status),
      'Read the run again: somebody else may have changed it.'
    );
  end if;
  perform export_engine.close_for_writing();
  return export_engine.run_json(v_run) || jsonb_build_object(
    'fencing_token', case when v_run.status = 'processing' then v_run.fencing_token end
  );
end;
$$;

create function public.fail_export_run_by_admin(p_run_id uuid, p_reason text, p_actor text)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.fail_export_run_by_admin(p_run_id, p_reason, p_actor);
$$;

comment on function public.fail_export_run_by_admin is
  'Admin: ends an unfinished run and frees its claims, whoever works on it. Say why and who you are.';

create function public.recover_export_run(p_run_id uuid, p_reason text, p_actor text)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.recover_export_run(p_run_id, p_reason, p_actor);
$$;

comment on function public.recover_export_run is
  'Admin: lets a parked run be tried again, with the claims that it holds. Say why and who you are.';

create function public.find_stalled_export_runs(p_limit integer default 100)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select export_engine.find_stalled_export_runs(p_limit);
$$;

comment on function public.find_stalled_export_runs is 'Runs of all organisations that the sweep can continue now (service key).';

create function public.continue_export_release(p_run_id uuid)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.continue_export_release(p_run_id);
$$;

comment on function public.continue_export_release is 'Lets the next page of a failing run''s claims go (service key).';

revoke execute on function export_engine.record_event_by(public.export_runs, text, text, jsonb) from public;
revoke execute on function export_engine.hold_run_as_admin(uuid, text, text) from public;
revoke execute on function export_engine.fail_export_run_by_admin(uuid, text, text) from public;
revoke execute on function export_engine.recover_export_run(uuid, text, text) from public;
revoke execute on function export_engine.find_stalled_export_runs(integer) from public;
revoke execute on function export_engine.continue_export_release(uuid) from public;
revoke execute on function public.fail_export_run_by_admin(uuid, text, text) from public, anon, authenticated, service_role;
revoke execute on function public.recover_export_run(uuid, text, text) from public, anon, authenticated, service_role;
revoke execute on function public.find_stalled_export_runs(integer) from public, anon, authenticated, service_role;
revoke execute on function public.continue_export_release(uuid) from public, anon, authenticated, service_role;
grant execute on function export_engine.fail_export_run_by_admin(uuid, text, text) to service_role;
grant execute on function export_engine.recover_export_run(uuid, text, text) to service_role;
grant execute on function export_engine.find_stalled_export_runs(integer) to service_role;
grant execute on function export_engine.continue_export_release(uuid) to service_role;
grant execute on function public.fail_export_run_by_admin(uuid, text, text) to service_role;
grant execute on function public.recover_export_run(uuid, text, text) to service_role;
grant execute on function public.find_stalled_export_runs(integer) to service_role;
grant execute on function public.continue_export_release(uuid) to service_role;
