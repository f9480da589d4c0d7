-- Purpose: the first step of every export. One call, one transaction: answer a retry, join a colleague, finish a dead
-- worker's run, or start a run and reserve its first page.
-- Surprising: contention is an answer, not an error. Only bad requests and missing rights are refused.

create function export_engine.check_period(p_period_from date, p_period_to date)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if p_period_to is null then
    perform export_engine.refuse(400, 'period_missing', 'The last day of the period is missing.', 'Send period_to.');
  end if;
  if p_period_to not between date '2000-01-01' and date '2199-12-31'
    or coalesce(p_period_from, p_period_to) not between date '2000-01-01' and date '2199-12-31' then
    perform export_engine.refuse(
      400, 'period_out_of_range', 'The period lies outside the years 2000 to 2199.', 'Check period_from and period_to.'
    );
  end if;
  if p_period_from > p_period_to then
    perform export_engine.refuse(
      400, 'period_reversed', 'The period ends before it begins.', 'Send period_from on or before period_to.'
    );
  end if;
  if p_period_to >= p_period_from + interval '1 year' then
    perform export_engine.refuse(
      400, 'period_too_long', 'A period is at most one year.', 'Export one year at a time, or leave period_from out.'
    );
  end if;
end;
$$;

comment on function export_engine.check_period is
  'Refuses a period that is missing, reversed, absurd or longer than a year. Both dates are inclusive; the start may be open.';

create function export_engine.find_target(p_organization_id uuid, p_target text)
returns public.export_targets
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_found public.export_targets[];
begin
  select array_agg(t) into v_found
  from public.export_targets as t
  where t.organization_id = p_organization_id and (t.target = p_target or (p_target is null and t.is_enabled));

  if v_found is null and p_target is not null then
    perform export_engine.refuse(
      422, 'unknown_target', 'This organisation has no such export target.', 'Leave target out, or ask an admin to set it up.'
    );
  end if;
  if v_found is null and exists (select from public.export_targets as t where t.organization_id = p_organization_id) then
    perform export_engine.refuse(
      422, 'target_disabled', 'Exports of this organisation are switched off.', 'Ask an admin to switch them on.'
    );
  end if;
  if v_found is null or cardinality(v_found) > 1 then
    perform export_engine.refuse(
      422, 'target_required', 'It is not clear which accounting system is meant.',
      'Send target; an admin sees the possible ones in export_targets.'
    );
  end if;
  if not (v_found[1]).is_enabled then
    perform export_engine.refuse(
      422, 'target_disabled', 'Exports to this accounting system are switched off.', 'Ask an admin to switch them on.'
    );
  end if;
  return v_found[1];
end;
$$;

comment on function export_engine.find_target is 'The named target of an organisation, or its only enabled one when none is named.';

create function export_engine.request_fingerprint(p_target text, p_period_from date, p_period_to date)
returns text
language sql
immutable
security invoker
set search_path = ''
return encode(sha256(convert_to(concat_ws('|', coalesce(p_target, '*'), coalesce(p_period_from::text, 'open'), p_period_to::text), 'UTF8')), 'hex');

comment on function export_engine.request_fingerprint is 'SHA-256 of the request as it was sent, so that a re-used key is noticed, whatever the configuration became since.';

create function export_engine.run_with_key(p_organization_id uuid, p_idempotency_key text)
returns public.export_runs
language sql
stable
security invoker
set search_path = ''
as $$
  select r.*
  from public.export_runs as r
  where
    r.organization_id = p_organization_id
    and r.idempotency_key = p_idempotency_key
    and r.status not in ('releasing', 'failed')
    and r.created_at > clock_timestamp() - export_engine.key_lifetime();
$$;

comment on function export_engine.run_with_key is 'The run that a key started. Failed runs have let their key go; old keys are forgotten.';

create function export_engine.forget_old_key(p_organization_id uuid, p_idempotency_key text)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  update public.export_runs
  set idempotency_key = null, request_fingerprint = null
  where
    organization_id = p_organization_id
    and idempotency_key = p_idempotency_key
    and status not in ('releasing', 'failed')
    and created_at <= clock_timestamp() - export_engine.key_lifetime();
$$;

comment on function export_engine.forget_old_key is 'Frees a key whose time is over, so that it can name a new request.';

create function export_engine.retry_after(p_lock public.export_locks)
returns integer
language sql
volatile
security invoker
set search_path = ''
return greatest(1, least(5, ceil(extract(epoch from p_lock.expires_at - clock_timestamp()))))::integer;

comment on function export_engine.retry_after is 'Seconds after which asking again makes sense: soon, but not before a dying lease is over.';

create function export_engine.answer_without_work(
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
      when v_run.target = coalesce(p_target, v_run.target)
        and (v_run.period_from, v_run.period_to) is not distinct from (p_period_from, p_period_to)
        then 'joined'
      else 'busy'
    end,
    'run', export_engine.run_json(v_run),
    'retry_after', export_engine.retry_after(p_lock)
  );
end;
$$;

comment on function export_engine.answer_without_work is
  'The answers that need no lock: replayed, joined, busy. Null when this request has work to do. Called once before and once '
  'after the lock row is held.';

create function export_engine.work_answer(p_outcome text, p_run public.export_runs)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'outcome', p_outcome,
    'run', export_engine.run_json(p_run),
    'fencing_token', p_run.fencing_token,
    'configuration', p_run.configuration
  ) || export_engine.members_page(p_run, 0);
$$;

comment on function export_engine.work_answer is 'What a worker needs: the run, its token, the frozen configuration and the first page of members.';

create function export_engine.still_left_out(p_organization_id uuid, p_approved_from timestamptz, p_approved_before timestamptz)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'claim_id', latest.claim_id,
        'claim_number', latest.document ->> 'claim_number',
        'code', latest.reason_code,
        'field', latest.reason_field,
        'message', latest.reason_message
      )
      order by c.approved_at, c.claim_id
    ),
    '[]'::jsonb
  )
  from export_engine.eligible_claims(
    p_organization_id, p_approved_from, p_approved_before, '-infinity', '00000000-0000-0000-0000-000000000000', 1000
  ) as c
  cross join lateral (
    select m.claim_id, m.document, m.outcome, m.reason_code, m.reason_field, m.reason_message
    from public.export_run_claims as m
    where m.claim_id = c.claim_id
    order by m.reserved_at desc
    limit 1
  ) as latest
  where latest.outcome = 'left_out';
$$;

comment on function export_engine.still_left_out is
  'The claims of a period that the last run that tried them left out, with the reasons (the first 1,000).';

create function export_engine.nothing_to_export(p_run public.export_runs, p_skipped integer)
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
    'left_out', export_engine.still_left_out(
      p_run.organization_id, export_engine.approved_from(p_run), export_engine.approved_before(p_run)
    )
  );
$$;

comment on function export_engine.nothing_to_export is
  'Names the latest completed run that took this scope, so that a coordinator who lost her key sees her success, and the '
  'claims that still cannot be exported.';

create function export_engine.start_run(
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
      exit when v_run.reserved_count > 0 or v_run.sealed_at is not null;
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

comment on function export_engine.start_run is 'Creates the run, takes the lock and reserves the first page; or says that there is nothing to export.';

create function export_engine.take_over(p_lock public.export_locks, p_invocation_id uuid, p_actor_id uuid)
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
  if v_run.origin = 'manual' and v_run.status <> 'releasing' then
    -- Its claims are in the books already: a file of them would enter them a second time.
    return jsonb_build_object('outcome', 'busy', 'run', export_engine.run_json(v_run), 'retry_after', 60);
  end if;
  if v_run.status = 'releasing' then
    -- Its worker died while it let the claims go. One page per call; the claims are free when the last is gone.
    v_run := export_engine.finish_failure(v_run);
    if v_run.status = 'failed' then
      return null;
    end if;
    return jsonb_build_object('outcome', 'busy', 'run', export_engine.run_json(v_run), 'retry_after', 1);
  end if;
  return export_engine.work_answer('resumed', export_engine.start_attempt(v_run, p_invocation_id, p_actor_id, 'taken_over'));
end;
$$;

comment on function export_engine.take_over is
  'Gives an unfinished run whose lease is over to a new worker under a new token. Null when the run only had to be failed; '
  'busy for a run of origin manual, which whoever recorded it must complete or fail.';

create function export_engine.lock_row(p_organization_id uuid)
returns public.export_locks
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_lock public.export_locks;
  v_patience text := current_setting('lock_timeout');
begin
  perform set_config('lock_timeout', export_engine.begin_patience(), true);
  begin
    select l.* into v_lock from public.export_locks as l where l.organization_id = p_organization_id for update;
  exception when lock_not_available then
    v_lock := null;
  end;
  perform set_config('lock_timeout', v_patience, true);
  return v_lock;
end;
$$;

comment on function export_engine.lock_row is
  'Locks the organisation''s lock row, or gives up soon and returns null: a hundred waiting phones would hold every connection.';

create function export_engine.check_begin(p_period_from date, p_period_to date, p_idempotency_key text, p_invocation_id uuid, p_renderer_version text)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  perform export_engine.check_period(p_period_from, p_period_to);
  if p_idempotency_key !~ '^[\x21-\x7e]{1,200}$' then
    perform export_engine.refuse(
      400, 'invalid_idempotency_key', 'An idempotency key has 1 to 200 visible ASCII characters.', 'Use a UUID.'
    );
  end if;
  if p_invocation_id is null then
    perform export_engine.refuse(400, 'invocation_missing', 'The invocation id is missing.', 'Make a random UUID per call.');
  end if;
  if char_length(p_renderer_version) > 50 then
    perform export_engine.refuse(400, 'renderer_version_too_long', 'A renderer version has at most 50 characters.', 'Shorten it.');
  end if;
end;
$$;

comment on function export_engine.check_begin is 'Refuses a begin whose period, key or ids make no sense, before anything is read.';

create function export_engine.begin_run(
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

comment on function export_engine.begin_run is
  'The first step of an export, for whoever asks: started, replayed, resumed, joined, busy or nothing_to_export.';

create function export_engine.repeat_answer(p_lock public.export_locks, p_attempt_by uuid)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  select r.* into v_run from public.export_runs as r where r.id = p_lock.run_id;
  if v_run.attempt_by is distinct from p_attempt_by then
    perform export_engine.refuse(
      409, 'run_locked', 'Somebody else holds this run.', 'Make a random invocation id of your own.'
    );
  end if;
  perform export_engine.open_for_writing();
  update public.export_locks
  set expires_at = clock_timestamp() + export_engine.lease()
  where organization_id = p_lock.organization_id;
  perform export_engine.close_for_writing();
  return export_engine.work_answer(case when v_run.attempt = 1 then 'started' else 'resumed' end, v_run);
end;
$$;

comment on function export_engine.repeat_answer is 'Answers an invocation that already holds the lock once more: a lost reply does no harm.';

create function export_engine.begin_export(
  p_organization_id uuid,
  p_target text,
  p_period_from date,
  p_period_to date,
  p_idempotency_key text,
  p_invocation_id uuid,
  p_renderer_version text
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform export_engine.require_user_role(p_organization_id, array['coordinator', 'admin']);
  return export_engine.begin_run(
    p_organization_id, p_target, p_period_from, p_period_to, p_idempotency_key, p_invocation_id,
    'user', (select auth.uid()), p_renderer_version
  );
end;
$$;

comment on function export_engine.begin_export is
  'begin for a signed-in coordinator or admin, judged by her own token. Definer, because no API role may write the tables.';

create function export_engine.require_user_role(p_organization_id uuid, p_roles text[])
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if (select auth.uid()) is null then
    perform export_engine.refuse(401, 'not_authenticated', 'Nobody is signed in.', 'Sign in and try again.');
  end if;
  perform export_engine.require_role(p_organization_id, p_roles);
end;
$$;

comment on function export_engine.require_user_role is 'Like require_role, but the service key does not pass: a user must be signed in.';

create function export_engine.begin_export_as_service(
  p_organization_id uuid,
  p_target text,
  p_period_from date,
  p_period_to date,
  p_idempotency_key text,
  p_invocation_id uuid,
  p_trigger text,
  p_triggered_by uuid,
  p_renderer_version text
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if p_trigger is null or p_trigger not in ('webhook', 'schedule', 'sweep', 'cli') then
    perform export_engine.refuse(
      400, 'unknown_trigger', 'The trigger of a system export is webhook, schedule, sweep or cli.', 'Send one of them.'
    );
  end if;
  return export_engine.begin_run(
    p_organization_id, p_target, p_period_from, p_period_to, p_idempotency_key, p_invocation_id,
    p_trigger, p_triggered_by, p_renderer_version
  );
end;
$$;

comment on function export_engine.begin_export_as_service is
  'begin for the system: webhook, schedule, sweep, CLI. Definer, because no API role may write the tables.';

create function export_engine.take_over_export_run(p_organization_id uuid, p_invocation_id uuid)
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
  return coalesce(v_answer, jsonb_build_object('outcome', 'nothing_to_resume', 'run', null));
end;
$$;

comment on function export_engine.take_over_export_run is
  'Takes over the organisation''s unfinished run when its lease is over: resumed, busy or nothing_to_resume. '
  'Definer, because no API role may write the tables.';

create function public.begin_export(
  p_organization_id uuid,
  p_target text,
  p_period_from date,
  p_period_to date,
  p_idempotency_key text,
  p_invocation_id uuid,
  p_renderer_version text default null
)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.begin_export(
    p_organization_id, p_target, p_period_from, p_period_to, p_idempotency_key, p_invocation_id, p_renderer_version
  );
$$;

comment on function public.begin_export is
  'First step of an export, as the signed-in user. Answers an outcome: started, replayed, resumed, joined, busy, nothing_to_export.';

create function public.begin_export_as_service(
  p_organization_id uuid,
  p_target text,
  p_period_from date,
  p_period_to date,
  p_idempotency_key text,
  p_invocation_id uuid,
  p_trigger text,
  p_triggered_by uuid,
  p_renderer_version text default null
)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.begin_export_as_service(
    p_organization_id, p_target, p_period_from, p_period_to, p_idempotency_key, p_invocation_id, p_trigger, p_triggered_by,
    p_renderer_version
  );
$$;

comment on function public.begin_export_as_service is 'First step of an export, as the system (service key): webhook, schedule, sweep, cli.';

create function public.take_over_export_run(p_organization_id uuid, p_invocation_id uuid)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.take_over_export_run(p_organization_id, p_invocation_id);
$$;

comment on function public.take_over_export_run is 'Continues the organisation''s unfinished run when its worker is gone (service key).';

revoke execute on function export_engine.check_period(date, date) from public;
revoke execute on function export_engine.find_target(uuid, text) from public;
revoke execute on function export_engine.request_fingerprint(text, date, date) from public;
revoke execute on function export_engine.run_with_key(uuid, text) from public;
revoke execute on function export_engine.forget_old_key(uuid, text) from public;
revoke execute on function export_engine.retry_after(public.export_locks) from public;
revoke execute on function export_engine.answer_without_work(public.export_locks, text, date, date, text, text) from public;
revoke execute on function export_engine.work_answer(text, public.export_runs) from public;
revoke execute on function export_engine.nothing_to_export(public.export_runs, integer) from public;
revoke execute on function export_engine.still_left_out(uuid, timestamptz, timestamptz) from public;
revoke execute on function export_engine.start_run(public.export_targets, text, uuid, date, date, text, text, uuid, text) from public;
revoke execute on function export_engine.take_over(public.export_locks, uuid, uuid) from public;
revoke execute on function export_engine.lock_row(uuid) from public;
revoke execute on function export_engine.check_begin(date, date, text, uuid, text) from public;
revoke execute on function export_engine.begin_run(uuid, text, date, date, text, uuid, text, uuid, text) from public;
revoke execute on function export_engine.repeat_answer(public.export_locks, uuid) from public;
revoke execute on function export_engine.require_user_role(uuid, text[]) from public;
revoke execute on function export_engine.begin_export(uuid, text, date, date, text, uuid, text) from public;
revoke execute on function export_engine.begin_export_as_service(uuid, text, date, date, text, uuid, text, uuid, text) from public;
revoke execute on function export_engine.take_over_export_run(uuid, uuid) from public;
revoke execute on function public.begin_export(uuid, text, date, date, text, uuid, text) from public, anon, authenticated, service_role;
revoke execute on function public.begin_export_as_service(uuid, text, date, date, text, uuid, text, uuid, text) from public, anon, authenticated, service_role;
revoke execute on function public.take_over_export_run(uuid, uuid) from public, anon, authenticated, service_role;

grant execute on function export_engine.begin_export(uuid, text, date, date, text, uuid, text) to authenticated;
grant execute on function public.begin_export(uuid, text, date, date, text, uuid, text) to authenticated;
grant execute on function export_engine.begin_export_as_service(uuid, text, date, date, text, uuid, text, uuid, text) to service_role;
grant execute on function public.begin_export_as_service(uuid, text, date, date, text, uuid, text, uuid, text) to service_role;
grant execute on function export_engine.take_over_export_run(uuid, uuid) to service_role;
grant execute on function public.take_over_export_run(uuid, uuid) to service_role;
