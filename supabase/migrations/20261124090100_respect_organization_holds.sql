-- Purpose: while an organisation is on hold nothing of it is exported. Begin, takeover and complete are refused with the reason of
--   the hold; a run that is not finished waits, neither counted nor parked, and goes on after the hold. Runs that are recorded by
--   hand go on: matching files after a restore is what a hold is for. So does letting claims go.

create function export_engine.check_not_held(p_organization_id uuid)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_hold public.export_holds := export_engine.standing_hold(p_organization_id);
begin
  if v_hold.id is not null then
    -- The hint is the reason as the admin wrote it, and nothing else: the functions hand it to the caller.
    perform export_engine.refuse(
      409, 'organization_held', format('%s has put the exports of this organisation on hold.', v_hold.held_by), v_hold.reason
    );
  end if;
end;
$$;

comment on function export_engine.check_not_held is
  'Refuses while the organisation is on hold; the hint of the refusal is the reason of the hold. Certain only under the lock row.';

create function export_engine.is_settled(p_answer jsonb)
returns boolean
language sql
immutable
security invoker
set search_path = ''
return coalesce(
  p_answer ->> 'outcome' = 'replayed' and p_answer -> 'run' ->> 'status' not in ('pending', 'processing', 'releasing'), false
);

comment on function export_engine.is_settled is
  'True for the answer to a request whose run needs no worker any more: repeating it exports nothing, hold or no hold.';

create or replace function export_engine.check_attempt_role(p_run public.export_runs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_run.origin <> 'manual' then
    perform export_engine.check_not_held(p_run.organization_id);
  end if;
  if p_run.attempt_by is not null and not export_engine.member_has_role(
    p_run.organization_id, p_run.attempt_by, array['coordinator', 'admin']
  ) then
    perform export_engine.refuse(
      403, 'role_revoked', 'The person who started this export may no longer export.',
      'The organisation''s next export finishes the run.'
    );
  end if;
end;
$$;

comment on function export_engine.check_attempt_role is
  'The last look before a worker completes: the organisation is not on hold, and a user whose role was taken away does not complete '
  'her export. A run that is recorded by hand may be completed during a hold.';

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
    if not export_engine.is_settled(v_answer) then
      perform export_engine.check_not_held(p_organization_id);
    end if;
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
  if not export_engine.is_settled(v_answer) then
    -- Now for certain: whoever places a hold has the lock row while she does.
    perform export_engine.check_not_held(p_organization_id);
  end if;
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

create or replace function export_engine.reverse_export(p_run_id uuid, p_reason text, p_invocation_id uuid, p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run_for_caller(p_run_id, array['admin']);
  v_actor text := export_engine.actor_name(v_run.organization_id, p_actor);
  v_user uuid := (select auth.uid());
  v_lock public.export_locks;
  v_reversal public.export_runs;
  v_answer jsonb;
begin
  if p_invocation_id is null then
    perform export_engine.refuse(400, 'invocation_missing', 'The invocation id is missing.', 'Make a random UUID per call.');
  end if;
  if p_reason is null or char_length(btrim(p_reason)) not between 1 and 500 then
    perform export_engine.refuse(400, 'reason_required', 'A reason of 1 to 500 characters is needed.', 'Say why the run is reversed.');
  end if;
  select l.* into v_lock from public.export_locks as l where l.organization_id = v_run.organization_id;
  if v_lock.holder_id = p_invocation_id then
    return export_engine.repeat_answer(v_lock, v_user);
  end if;
  perform export_engine.check_reversible(v_run);
  v_answer := export_engine.reversal_without_work(v_run, v_lock);
  if not export_engine.is_settled(v_answer) then
    perform export_engine.check_not_held(v_run.organization_id);
  end if;
  if v_answer is not null then
    return v_answer;
  end if;
  perform export_engine.open_for_writing();
  if v_lock.run_id is not null then
    v_answer := export_engine.take_over(v_lock, p_invocation_id, v_user);
    if v_answer is null then
      -- It was failed or parked; if it was this run's own reversal, a parked one answers.
      select l.* into v_lock from public.export_locks as l where l.organization_id = v_run.organization_id;
      v_answer := export_engine.reversal_without_work(v_run, v_lock);
    end if;
  end if;
  if v_answer is null then
    v_reversal := export_engine.start_attempt(
      export_engine.create_reversal(v_run, v_user, v_actor, p_reason), p_invocation_id, v_user, 'started'
    );
    v_reversal := export_engine.reserve_next(v_reversal);
    -- A statement of its own: in one with the reserving it would not see what was reserved.
    v_answer := export_engine.work_answer('started', v_reversal);
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
    -- Letting claims go exports nothing.
    if not exists (select from public.export_runs as r where r.id = v_lock.run_id and r.status = 'releasing') then
      perform export_engine.check_not_held(p_organization_id);
    end if;
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
  'Takes over the organisation''s unfinished run when its lease is over: resumed, busy or nothing_to_resume. The last one names a run '
  'that was failed or parked instead. Refused while the organisation is on hold, unless the run only lets its claims go. Definer, '
  'because no API role may write the tables.';

create or replace function export_engine.find_stalled_export_runs(p_limit integer)
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
      select r.id, r.organization_id, r.status, coalesce(l.expires_at, r.releasing_at, r.voiding_at, r.created_at) as silent_since
      from public.export_runs as r
      left join public.export_locks as l on l.run_id = r.id
      where
        (
          r.status = 'processing'
          and l.expires_at <= clock_timestamp()
          and not exists (
            select
            from public.export_holds as h
            where h.organization_id = r.organization_id and h.claim_id is null and h.lifted_at is null
          )
        )
        or (r.status in ('releasing', 'voiding') and coalesce(l.expires_at <= clock_timestamp(), true))
      order by silent_since
      limit p_limit
    ) as s
  );
end;
$$;

comment on function export_engine.find_stalled_export_runs is
  'Runs that can be continued now, the longest silent first: nobody works on them, no person is asked, and no hold stops them. '
  'Definer, because the sweep looks across organisations.';

create or replace function export_engine.start_pending_run(p_run public.export_runs, p_claim_ids uuid[])
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_claim_ids uuid[];
  v_missing text;
begin
  if p_run.origin <> 'manual' then
    perform export_engine.check_not_held(p_run.organization_id);
  end if;
  perform export_engine.hold_before_claims(p_run.organization_id);
  if exists (select from public.export_locks as l where l.organization_id = p_run.organization_id and l.run_id is not null) then
    perform export_engine.refuse(
      409, 'lock_busy', 'Another run of this organisation is not finished.',
      case
        when (export_engine.standing_hold(p_run.organization_id)).id is null then 'Wait for it, or trigger an export, which finishes it.'
        else 'It waits for the end of the hold; fail_export_run_by_admin ends it before.'
      end
    );
  end if;
  v_run := export_engine.start_attempt(p_run, gen_random_uuid(), p_run.triggered_by, 'started');
  if cardinality(p_claim_ids) = 0 then
    return v_run;
  end if;
  v_claim_ids := array(
    select c.claim_id
    from export_engine.lock_claims(p_run.organization_id, p_claim_ids) as c
    order by c.approved_at, c.claim_id
  );
  select string_agg(wanted.claim_id::text, ', ' order by wanted.claim_id) into v_missing
  from (
    select distinct w.claim_id from unnest(p_claim_ids) as w (claim_id) where w.claim_id <> all (v_claim_ids) limit 5
  ) as wanted;
  if v_missing is not null then
    perform export_engine.refuse(
      422, 'claims_not_reservable',
      format('Not approved, not of this organisation, in a run already, or being edited: %s.', v_missing),
      'Leave these claims out.'
    );
  end if;
  return export_engine.seal_run(export_engine.reserve_claims(v_run, v_claim_ids));
end;
$$;

comment on function export_engine.start_pending_run is
  'pending -> processing: takes the lock and reserves exactly the named claims, all or none. Without names nothing is reserved yet and '
  'the worker asks for pages. On hold, only a run that is recorded by hand starts.';

revoke execute on function export_engine.check_not_held(uuid) from public;
revoke execute on function export_engine.is_settled(jsonb) from public;
