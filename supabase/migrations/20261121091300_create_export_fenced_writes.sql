-- Purpose: every write of a worker after begin: reserve the next page, renew, leave out, complete, fail.
-- Each demands the current fencing token. The token alone refuses; an expired lease that nobody took over is still good.

create function export_engine.wait_for_lock_row(p_run_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform 1
  from public.export_locks as l
  where l.organization_id = (select r.organization_id from public.export_runs as r where r.id = p_run_id)
  for update;
end;
$$;

comment on function export_engine.wait_for_lock_row is
  'Waits until nobody else works on the organisation''s lock row: a repeated complete or fail then sees what the first one did.';

create function export_engine.hold_run(p_run_id uuid, p_fencing_token bigint)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_organization_id uuid;
  v_run public.export_runs;
begin
  select r.organization_id into v_organization_id from public.export_runs as r where r.id = p_run_id;
  if v_organization_id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  -- The lock row is locked before the run, here as in begin.
  perform export_engine.open_for_writing();
  update public.export_locks
  set expires_at = clock_timestamp() + export_engine.lease()
  where organization_id = v_organization_id and run_id = p_run_id and fencing_token = p_fencing_token;
  if not found then
    perform export_engine.refuse(
      409, 'stale_token', 'This worker no longer holds the run: another one took it over, or it is finished.',
      'Stop working on it. Ask for the run to see how it ended.'
    );
  end if;
  select r.* into v_run from public.export_runs as r where r.id = p_run_id for update;
  return v_run;
end;
$$;

comment on function export_engine.hold_run is
  'Locks the lock row and the run, refuses a token that is not the current one, and renews the lease: a write is progress. '
  'Opens the transaction for writing; the caller closes it.';

create function export_engine.hold_processing_run(p_run_id uuid, p_fencing_token bigint)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run(p_run_id, p_fencing_token);
begin
  if v_run.status <> 'processing' then
    perform export_engine.refuse(
      409, 'illegal_transition', format('The run is %s; nothing can be added to it.', v_run.status), 'Ask for the run to see how it stands.'
    );
  end if;
  return v_run;
end;
$$;

comment on function export_engine.hold_processing_run is 'hold_run, for writes that make sense only while the run is processing.';

create function export_engine.reserve_export_page(p_run_id uuid, p_fencing_token bigint, p_after_position integer)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  v_run := export_engine.hold_processing_run(p_run_id, p_fencing_token);
  -- Members that exist after the position are read again first: a lost reply loses no claim.
  if v_run.sealed_at is null and not exists (
    select from public.export_run_claims as m
    where m.run_id = v_run.id and m.position > p_after_position and m.outcome = 'included'
  ) then
    v_run := export_engine.reserve_next(v_run);
  end if;
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run)) || export_engine.members_page(v_run, p_after_position);
end;
$$;

comment on function export_engine.reserve_export_page is
  'The members after a position: those reserved already, or else the next page; seals the run when none is left. '
  'Definer, because no API role may write the tables.';

create function export_engine.renew_export_lock(p_run_id uuid, p_fencing_token bigint)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run(p_run_id, p_fencing_token);
begin
  perform export_engine.close_for_writing();
  return (
    select jsonb_build_object('run_id', v_run.id, 'expires_at', l.expires_at)
    from public.export_locks as l
    where l.organization_id = v_run.organization_id
  );
end;
$$;

comment on function export_engine.renew_export_lock is 'Says that the worker is alive. Definer, because no API role may write the tables.';

create function export_engine.release_export_lock(p_run_id uuid, p_fencing_token bigint)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run(p_run_id, p_fencing_token);
begin
  update public.export_locks
  set acquired_at = least(acquired_at, clock_timestamp() - interval '1 second'), expires_at = clock_timestamp()
  where organization_id = v_run.organization_id;
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run));
end;
$$;

comment on function export_engine.release_export_lock is
  'Says that the worker gives up, so that the next trigger need not wait for the end of the lease. The run and its members '
  'stay as they are. Definer, because no API role may write the tables.';

create function export_engine.leave_out_export_claims(p_run_id uuid, p_fencing_token bigint, p_left_out jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  v_run := export_engine.apply_left_out(export_engine.hold_processing_run(p_run_id, p_fencing_token), p_left_out);
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run));
end;
$$;

comment on function export_engine.leave_out_export_claims is
  'Leaves a page of claims out while a large run is rendered. Definer, because no API role may write the tables.';

create function export_engine.check_attempt_role(p_run public.export_runs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
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

comment on function export_engine.check_attempt_role is 'A user whose role was taken away while her export ran does not complete it.';

create function export_engine.check_stored_file(p_run public.export_runs, p_file jsonb)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_expected text := format('%s/%s/%s.', p_run.organization_id, p_run.id, p_file ->> 'sha256');
begin
  if not coalesce(starts_with(p_file ->> 'path', v_expected), false) then
    perform export_engine.refuse(
      409, 'file_path_mismatch', 'The path of a file is made of organisation, run and content hash.',
      format('Store it below %s', v_expected)
    );
  end if;
  if not exists (
    select
    from storage.objects as o
    where
      o.bucket_id = 'exports'
      and o.name = p_file ->> 'path'
      and coalesce((o.metadata ->> 'size')::bigint = (p_file ->> 'size')::bigint, true)
  ) then
    perform export_engine.refuse(
      409, 'file_not_stored', 'The file of the run is not in the bucket, or has another size.', 'Upload it first, then complete the run.'
    );
  end if;
end;
$$;

comment on function export_engine.check_stored_file is
  'A run counts as exported only when its file lies in the bucket, under the one path that its content gives it.';

create function export_engine.check_totals(p_run public.export_runs, p_summary jsonb)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_run.reserved_count - p_run.left_out_count is distinct from (p_summary ->> 'claim_count')::integer
    or jsonb_typeof(p_summary -> 'totals') is distinct from 'object'
    or not export_engine.same_totals(
      p_summary -> 'totals',
      export_engine.add_totals(p_run.reserved_totals, export_engine.negate_totals(p_run.left_out_totals))
    ) then
    perform export_engine.refuse(
      409, 'totals_mismatch',
      format(
        'The file has %s claims and %s; the run has %s claims and %s.',
        p_summary ->> 'claim_count', p_summary ->> 'totals',
        p_run.reserved_count - p_run.left_out_count,
        export_engine.add_totals(p_run.reserved_totals, export_engine.negate_totals(p_run.left_out_totals))
      ),
      'Render the run again from its frozen claims.'
    );
  end if;
end;
$$;

comment on function export_engine.check_totals is 'I4: what is in the file must be what was reserved less what was left out, by count and by amount.';

create function export_engine.complete_export_run(
  p_run_id uuid,
  p_fencing_token bigint,
  p_file jsonb,
  p_summary jsonb,
  p_left_out jsonb
)
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
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  if v_run.completed_at is not null then
    if v_run.file_sha256 is distinct from p_file ->> 'sha256' then
      perform export_engine.refuse(
        409, 'file_mismatch', 'The run is completed with another file.', 'Ask for the run and use the file that it names.'
      );
    end if;
    return jsonb_build_object('run', export_engine.run_json(v_run));
  end if;

  v_run := export_engine.hold_processing_run(p_run_id, p_fencing_token);
  if v_run.sealed_at is null then
    perform export_engine.refuse(
      409, 'run_not_sealed', 'Claims may still join this run.', 'Reserve pages until the last one, then complete.'
    );
  end if;
  if v_run.origin = 'manual' then
    perform export_engine.refuse(
      409, 'run_is_manual', 'This run was exported by hand: the engine makes no file of it.', 'Use update_export_run_status.'
    );
  end if;
  perform export_engine.check_attempt_role(v_run);
  v_run := export_engine.apply_left_out(v_run, p_left_out);
  if v_run.reserved_count = v_run.left_out_count then
    perform export_engine.refuse(422, 'all_claims_left_out', 'No claim could be exported.', 'Fail the run with the reasons.');
  end if;
  perform export_engine.check_totals(v_run, p_summary);
  perform export_engine.check_stored_file(v_run, p_file);

  update public.export_runs
  set
    status = 'completed',
    claim_count = (p_summary ->> 'claim_count')::integer,
    voucher_count = (p_summary ->> 'voucher_count')::integer,
    line_count = (p_summary ->> 'line_count')::integer,
    totals = p_summary -> 'totals',
    renderer_version = p_summary ->> 'renderer_version',
    layout = p_summary -> 'layout',
    file_path = p_file ->> 'path',
    file_name = p_file ->> 'name',
    file_sha256 = p_file ->> 'sha256',
    file_size = (p_file ->> 'size')::bigint,
    content_type = p_file ->> 'content_type'
  where id = v_run.id
  returning * into v_run;
  perform export_engine.record_event(
    v_run, 'completed', v_run.attempt_by,
    jsonb_build_object(
      'claims', v_run.claim_count, 'totals', v_run.totals, 'sha256', v_run.file_sha256,
      'notices', coalesce(p_summary -> 'notices', '[]'::jsonb)
    )
  );
  perform export_engine.free_lock(v_run);
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run));
end;
$$;

comment on function export_engine.complete_export_run is
  'Last step of an export: the database compares counts and totals, writes file and state, releases what was left out and '
  'frees the lock. Completed already with this hash: says so again. Definer, because no API role may write the tables.';

create function export_engine.failure_answer(p_run public.export_runs)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'run', export_engine.run_json(p_run),
    'released', p_run.status = 'failed',
    'latest_run', export_engine.latest_run(p_run.organization_id, p_run.target, p_run.period_from, p_run.period_to)
  );
$$;

comment on function export_engine.failure_answer is
  'How a run failed, and which completed run took its scope before: a second tap over claims that cannot be exported must '
  'not hide that the first one succeeded.';

create function export_engine.fail_export_run(
  p_run_id uuid,
  p_fencing_token bigint,
  p_error_code text,
  p_error_detail jsonb,
  p_left_out jsonb
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  if p_error_code is null or p_error_code !~ '^[a-z][a-z0-9_]{0,59}$' then
    perform export_engine.refuse(400, 'reason_required', 'A run fails for a reason: a code in snake_case.', 'Send p_error_code.');
  end if;
  perform export_engine.wait_for_lock_row(p_run_id);
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  if v_run.status = 'failed' and v_run.fencing_token = p_fencing_token then
    return export_engine.failure_answer(v_run);
  end if;

  v_run := export_engine.hold_run(p_run_id, p_fencing_token);
  if v_run.status <> 'releasing' then
    v_run := export_engine.apply_left_out(v_run, p_left_out);
    update public.export_runs
    set status = 'releasing', error_code = p_error_code, error_detail = p_error_detail
    where id = v_run.id
    returning * into v_run;
    perform export_engine.record_event(v_run, 'releasing', v_run.attempt_by, jsonb_build_object('error_code', p_error_code));
  end if;
  v_run := export_engine.finish_failure(v_run);
  perform export_engine.close_for_writing();
  return export_engine.failure_answer(v_run);
end;
$$;

comment on function export_engine.fail_export_run is
  'For what will not get better by itself: releases the claims, a page per call (again while released is false), and frees '
  'the lock. Answers also the latest completed run of the scope. Definer, because no API role may write the tables.';

create function public.reserve_export_page(p_run_id uuid, p_fencing_token bigint, p_after_position integer)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.reserve_export_page(p_run_id, p_fencing_token, p_after_position);
$$;

comment on function public.reserve_export_page is 'Next page of a run''s claims (service key).';

create function public.renew_export_lock(p_run_id uuid, p_fencing_token bigint)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.renew_export_lock(p_run_id, p_fencing_token);
$$;

comment on function public.renew_export_lock is 'Extends the lease of a worker (service key).';

create function public.release_export_lock(p_run_id uuid, p_fencing_token bigint)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.release_export_lock(p_run_id, p_fencing_token);
$$;

comment on function public.release_export_lock is 'Ends a worker''s lease early; the run waits to be taken over (service key).';

create function public.leave_out_export_claims(p_run_id uuid, p_fencing_token bigint, p_left_out jsonb)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.leave_out_export_claims(p_run_id, p_fencing_token, p_left_out);
$$;

comment on function public.leave_out_export_claims is 'Releases claims that cannot be exported, with reasons (service key).';

create function public.complete_export_run(p_run_id uuid, p_fencing_token bigint, p_file jsonb, p_summary jsonb, p_left_out jsonb)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.complete_export_run(p_run_id, p_fencing_token, p_file, p_summary, p_left_out);
$$;

comment on function public.complete_export_run is 'Last step of an export (service key).';

create function public.fail_export_run(
  p_run_id uuid,
  p_fencing_token bigint,
  p_error_code text,
  p_error_detail jsonb,
  p_left_out jsonb
)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.fail_export_run(p_run_id, p_fencing_token, p_error_code, p_error_detail, p_left_out);
$$;

comment on function public.fail_export_run is 'Gives up a run and lets its claims go (service key).';

revoke execute on function export_engine.wait_for_lock_row(uuid) from public;
revoke execute on function export_engine.hold_run(uuid, bigint) from public;
revoke execute on function export_engine.hold_processing_run(uuid, bigint) from public;
revoke execute on function export_engine.reserve_export_page(uuid, bigint, integer) from public;
revoke execute on function export_engine.renew_export_lock(uuid, bigint) from public;
revoke execute on function export_engine.release_export_lock(uuid, bigint) from public;
revoke execute on function export_engine.leave_out_export_claims(uuid, bigint, jsonb) from public;
revoke execute on function export_engine.check_attempt_role(public.export_runs) from public;
revoke execute on function export_engine.check_stored_file(public.export_runs, jsonb) from public;
revoke execute on function export_engine.check_totals(public.export_runs, jsonb) from public;
revoke execute on function export_engine.complete_export_run(uuid, bigint, jsonb, jsonb, jsonb) from public;
revoke execute on function export_engine.failure_answer(public.export_runs) from public;
revoke execute on function export_engine.fail_export_run(uuid, bigint, text, jsonb, jsonb) from public;
revoke execute on function public.reserve_export_page(uuid, bigint, integer) from public, anon, authenticated, service_role;
revoke execute on function public.renew_export_lock(uuid, bigint) from public, anon, authenticated, service_role;
revoke execute on function public.release_export_lock(uuid, bigint) from public, anon, authenticated, service_role;
revoke execute on function public.leave_out_export_claims(uuid, bigint, jsonb) from public, anon, authenticated, service_role;
revoke execute on function public.complete_export_run(uuid, bigint, jsonb, jsonb, jsonb) from public, anon, authenticated, service_role;
revoke execute on function public.fail_export_run(uuid, bigint, text, jsonb, jsonb) from public, anon, authenticated, service_role;

grant execute on function export_engine.reserve_export_page(uuid, bigint, integer) to service_role;
grant execute on function export_engine.renew_export_lock(uuid, bigint) to service_role;
grant execute on function export_engine.release_export_lock(uuid, bigint) to service_role;
grant execute on function export_engine.leave_out_export_claims(uuid, bigint, jsonb) to service_role;
grant execute on function export_engine.complete_export_run(uuid, bigint, jsonb, jsonb, jsonb) to service_role;
grant execute on function export_engine.fail_export_run(uuid, bigint, text, jsonb, jsonb) to service_role;
grant execute on function public.reserve_export_page(uuid, bigint, integer) to service_role;
grant execute on function public.renew_export_lock(uuid, bigint) to service_role;
grant execute on function public.release_export_lock(uuid, bigint) to service_role;
grant execute on function public.leave_out_export_claims(uuid, bigint, jsonb) to service_role;
grant execute on function public.complete_export_run(uuid, bigint, jsonb, jsonb, jsonb) to service_role;
grant execute on function public.fail_export_run(uuid, bigint, text, jsonb, jsonb) to service_role;
