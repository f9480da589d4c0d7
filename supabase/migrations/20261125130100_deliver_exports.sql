-- Purpose: exactly once across the network. The database knows what may have been sent before it is sent, refuses every word of a
--   worker that was outrun, and lets no claim go whose voucher the accounting system may have.
-- Tables: none.

create or replace function export_engine.freeze_configuration(p_target public.export_targets, p_renderer_version text)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'target', p_target.target,
    'format', p_target.format,
    'time_zone', p_target.time_zone,
    'layout', p_target.layout,
    'settings', p_target.settings,
    'on_problem', p_target.on_problem,
    'renderer_version', p_renderer_version,
    'posting_rules', coalesce(
      (
        select jsonb_agg(
          jsonb_build_object(
            'side', r.side,
            'expense_type', r.expense_type,
            'account_code', r.account_code,
            'tax_code', r.tax_code,
            'dimensions', r.dimensions,
            'subledger', r.subledger,
            'conditions', r.conditions,
            'tax_percent', r.tax_percent::text,
            'tax_account_code', r.tax_account_code
          )
          order by r.side, r.expense_type, r.conditions
        )
        from public.export_posting_rules as r
        where r.organization_id = p_target.organization_id and r.target = p_target.target
      ),
      '[]'::jsonb
    )
  ) || case
    when p_target.delivery = 'file' then '{}'::jsonb
    else jsonb_build_object('delivery', p_target.delivery, 'connection', p_target.connection)
  end;
$$;

create function export_engine.is_delivered(p_run public.export_runs)
returns boolean
language sql
immutable
security invoker
set search_path = ''
return p_run.origin = 'engine' and p_run.configuration ? 'delivery';

comment on function export_engine.is_delivered is 'True for a run whose vouchers go over the accounting system''s API.';

create function export_engine.may_hold_vouchers(p_run_id uuid)
returns boolean
language sql
stable
security invoker
set search_path = ''
return exists (select from public.export_delivery_containers as c where c.run_id = p_run_id and c.cleared_at is null);

comment on function export_engine.may_hold_vouchers is 'True while an attempt of the run may have left vouchers in the accounting system.';

create function export_engine.open_delivery(p_run_id uuid, p_fencing_token bigint, p_container text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_processing_run(p_run_id, p_fencing_token);
begin
  if v_run.sealed_at is null or not export_engine.is_delivered(v_run) then
    perform export_engine.refuse(
      409, 'run_not_deliverable', 'Only a sealed run whose target is reached over an API is delivered.', 'Reserve pages until the last one.'
    );
  end if;
  insert into public.export_delivery_containers (run_id, fencing_token, organization_id, container)
  values (v_run.id, p_fencing_token, v_run.organization_id, p_container)
  on conflict do nothing;
  if found then
    perform export_engine.record_event(
      v_run, 'delivery_begun', v_run.attempt_by, jsonb_build_object('container', p_container, 'attempt', v_run.attempt)
    );
  end if;
  perform export_engine.close_for_writing();
  return jsonb_build_object('containers', export_engine.containers_before(v_run, p_fencing_token));
end;
$$;

comment on function export_engine.open_delivery is
  'Notes where the attempt is going to write, before it writes, and tells what earlier attempts may have left. Definer, because no API role '
  'may write the tables.';

create function export_engine.containers_before(p_run public.export_runs, p_fencing_token bigint)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'container', c.container,
        'fencing_token', c.fencing_token,
        -- An earlier attempt may have intended what a later one said of the voucher since.
        'document_numbers', (
          select coalesce(jsonb_agg(distinct d.document_number), '[]'::jsonb) from public.export_deliveries as d where d.run_id = p_run.id
        )
      )
      order by c.fencing_token
    ),
    '[]'::jsonb
  )
  from public.export_delivery_containers as c
  where c.run_id = p_run.id and c.cleared_at is null and c.fencing_token < p_fencing_token;
$$;

comment on function export_engine.containers_before is
  'Containers of attempts before a token that may hold vouchers, with every document number that the run may have written.';

create function export_engine.get_export_delivery(p_run_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  return jsonb_build_object(
    'run', export_engine.run_json(v_run),
    'configuration', v_run.configuration,
    'containers', export_engine.containers_before(v_run, v_run.fencing_token + 1)
  );
end;
$$;

comment on function export_engine.get_export_delivery is
  'What of a run may be in the accounting system, and how it is reached. Definer, because workers read it across organisations.';

create function export_engine.clear_delivery(p_run_id uuid, p_fencing_token bigint, p_container_token bigint)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  -- Nobody works on a completed run any more, and a container that was removed from it stays removed.
  if v_run.status = 'completed' then
    perform export_engine.wait_for_lock_row(p_run_id);
    perform export_engine.open_for_writing();
    select r.* into v_run from public.export_runs as r where r.id = p_run_id for update;
  else
    v_run := export_engine.hold_processing_run(p_run_id, p_fencing_token);
  end if;
  update public.export_delivery_containers
  set cleared_at = clock_timestamp(), cleared_by = 'engine'
  where run_id = v_run.id and fencing_token = p_container_token and cleared_at is null;
  if found then
    perform export_engine.record_event(v_run, 'delivery_cleared', v_run.attempt_by, jsonb_build_object('fencing_token', p_container_token));
  end if;
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run));
end;
$$;

comment on function export_engine.clear_delivery is
  'Notes that a container was removed from the accounting system with all that nobody had posted of it. Definer, because no API role may '
  'write the tables.';

create function export_engine.record_deliveries(p_run_id uuid, p_fencing_token bigint, p_deliveries jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_processing_run(p_run_id, p_fencing_token);
begin
  if coalesce(jsonb_typeof(p_deliveries), 'null') <> 'array' or jsonb_array_length(p_deliveries) > export_engine.page_size() then
    perform export_engine.refuse(400, 'deliveries_malformed', 'Deliveries are a list of at most a page.', 'Send them in pages.');
  end if;
  insert into public.export_deliveries as d (
    run_id, voucher_number, organization_id, fencing_token, document_number, state, code, field, message, remote_code, correlation_id, remote_ids
  )
  select
    v_run.id, t.voucher_number, v_run.organization_id, p_fencing_token, t.document_number, t.state, t.code, left(t.field, 200),
    left(t.message, 1000), left(t.remote_code, 200), left(t.correlation_id, 200), coalesce(t.remote_ids, '[]'::jsonb)
  from jsonb_to_recordset(p_deliveries) as t (
    voucher_number bigint, document_number text, state text, code text, field text, message text, remote_code text, correlation_id text,
    remote_ids jsonb
  )
  order by t.voucher_number
  on conflict on constraint export_deliveries_pkey do update
  set
    fencing_token = excluded.fencing_token,
    document_number = excluded.document_number,
    state = excluded.state,
    code = excluded.code,
    field = excluded.field,
    message = excluded.message,
    remote_code = excluded.remote_code,
    correlation_id = excluded.correlation_id,
    remote_ids = excluded.remote_ids,
    updated_at = clock_timestamp()
  -- What a person said after she had looked is not overruled by a machine.
  where d.settled_by is null;
  perform export_engine.close_for_writing();
  return jsonb_build_object(
    'settled', (
      select coalesce(jsonb_agg(jsonb_build_object('voucher_number', d.voucher_number, 'state', d.state)), '[]'::jsonb)
      from jsonb_to_recordset(p_deliveries) as t (voucher_number bigint)
      join public.export_deliveries as d on d.run_id = v_run.id and d.voucher_number = t.voucher_number
      where d.settled_by is not null
    )
  );
end;
$$;

comment on function export_engine.record_deliveries is
  'Notes what is going to be sent, or what became of it, and answers which of these vouchers a person has settled. A worker that was '
  'outrun is refused, so asking this before sending is asking the lock. Definer, because no API role may write the tables.';

create function export_engine.doubt_export_run(p_run_id uuid, p_fencing_token bigint, p_error_code text, p_error_detail jsonb)
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
  if v_run.status = 'in_doubt' and v_run.fencing_token = p_fencing_token then
    return jsonb_build_object('run', export_engine.run_json(v_run));
  end if;
  v_run := export_engine.hold_processing_run(p_run_id, p_fencing_token);
  if not export_engine.may_hold_vouchers(v_run.id) then
    perform export_engine.refuse(
      409, 'nothing_in_doubt', 'Nothing of this run was sent anywhere.', 'Fail it: its claims are free then.'
    );
  end if;
  update public.export_runs
  set
    status = 'in_doubt',
    error_code = p_error_code,
    error_detail = p_error_detail,
    attempts_without_progress = greatest(attempts_without_progress - 1, 0)
  where id = v_run.id
  returning * into v_run;
  perform export_engine.record_event(v_run, 'in_doubt', v_run.attempt_by, jsonb_build_object('code', p_error_code) || p_error_detail);
  perform export_engine.free_lock(v_run);
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run));
end;
$$;

comment on function export_engine.doubt_export_run is
  'Sets a run aside of which nobody knows what the accounting system got. Its claims stay reserved and its lock is free, so the '
  'organisation goes on; the sweep asks again. Definer, because no API role may write the tables.';

create function export_engine.doubt_patience()
returns interval
language sql
immutable
security invoker
set search_path = ''
return interval '1 minute';

comment on function export_engine.doubt_patience is 'How long a run in doubt waits for each of its attempts before the sweep asks again, up to an hour.';

create function export_engine.is_doubt_due(p_run public.export_runs)
returns boolean
language sql
stable
security invoker
set search_path = ''
return p_run.in_doubt_at <= clock_timestamp() - export_engine.doubt_patience() * least(p_run.attempt, 60)
  -- A person has said what she knows: no reason to wait.
  or exists (
    select from public.export_run_events as e
    where e.run_id = p_run.id and e.event = 'delivery_settled' and e.occurred_at >= p_run.in_doubt_at
  );

comment on function export_engine.is_doubt_due is 'True when it is time to ask the accounting system about a run in doubt again.';

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
      select
        r.id, r.organization_id, r.status,
        coalesce(l.expires_at, r.in_doubt_at, r.releasing_at, r.voiding_at, r.created_at) as silent_since
      from public.export_runs as r
      left join public.export_locks as l on l.run_id = r.id
      where
        (
          ((r.status = 'processing' and l.expires_at <= clock_timestamp()) or (r.status = 'in_doubt' and export_engine.is_doubt_due(r)))
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

create function export_engine.resume_doubted_export_run(p_run_id uuid, p_invocation_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_lock public.export_locks;
begin
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  v_lock := export_engine.lock_row(v_run.organization_id);
  if v_lock.holder_id = p_invocation_id and v_lock.run_id = p_run_id then
    return export_engine.repeat_answer(v_lock, null);
  end if;
  if v_lock.organization_id is null or v_lock.run_id is not null then
    return jsonb_build_object('outcome', 'busy', 'run', null, 'retry_after', 1);
  end if;
  perform export_engine.check_not_held(v_run.organization_id);
  select r.* into v_run from public.export_runs as r where r.id = p_run_id for update;
  if v_run.status <> 'in_doubt' then
    return jsonb_build_object('outcome', 'nothing_to_resume', 'run', export_engine.run_json(v_run));
  end if;
  perform export_engine.open_for_writing();
  update public.export_runs set error_code = null, error_detail = null, status = 'processing' where id = v_run.id returning * into v_run;
  v_run := export_engine.start_attempt(v_run, p_invocation_id, null, 'taken_over');
  perform export_engine.close_for_writing();
  return export_engine.work_answer('resumed', v_run);
end;
$$;

comment on function export_engine.resume_doubted_export_run is
  'Gives a run in doubt to a worker under a new fencing token, unless the organisation is busy with another one. Definer, because no API '
  'role may write the tables.';

create function export_engine.settle_vouchers(p_run public.export_runs, p_vouchers jsonb, p_actor text)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_settled integer;
begin
  if coalesce(jsonb_typeof(p_vouchers), 'null') <> 'array'
    or jsonb_array_length(p_vouchers) not between 1 and export_engine.page_size()
    or exists (
      select
      from jsonb_array_elements(p_vouchers) as v
      where
        jsonb_typeof(v.value) is distinct from 'object'
        or coalesce(v.value ->> 'voucher_number', '') !~ '^[1-9][0-9]{0,7}$'
        or coalesce(v.value ->> 'state', '') not in ('already_there', 'failed')
    ) then
    perform export_engine.refuse(
      400, 'deliveries_malformed', 'Vouchers are a list of {"voucher_number": 1001, "state": "already_there"}, or "failed".',
      'already_there: it stands in the ledger. failed: nothing of it is in the accounting system, and it is not to be sent.'
    );
  end if;
  update public.export_deliveries as d
  set state = v.state, settled_by = p_actor, code = 'settled_by_hand', updated_at = clock_timestamp()
  from jsonb_to_recordset(p_vouchers) as v (voucher_number bigint, state text)
  where d.run_id = p_run.id and d.voucher_number = v.voucher_number;
  get diagnostics v_settled = row_count;
  if v_settled <> jsonb_array_length(p_vouchers) then
    perform export_engine.refuse(
      422, 'vouchers_not_in_run', 'Not all of these vouchers were going to be sent by this run, or one is named twice.',
      'export_deliveries lists them.'
    );
  end if;
  return v_settled;
end;
$$;

comment on function export_engine.settle_vouchers is 'Writes down what a person found out about vouchers; no worker overrules it.';

create function export_engine.settle_export_delivery(p_run_id uuid, p_vouchers jsonb, p_reason text, p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run_as_admin(p_run_id, p_reason, p_actor);
  v_settled integer;
begin
  if v_run.status not in ('in_doubt', 'parked') then
    perform export_engine.refuse(
      409, 'run_not_in_doubt', format('The run is %s: there is nothing for a person to settle.', v_run.status),
      'Only what is in doubt, or parked, is settled by hand.'
    );
  end if;
  if p_vouchers is null then
    update public.export_delivery_containers
    set cleared_at = clock_timestamp(), cleared_by = p_actor
    where run_id = v_run.id and cleared_at is null;
    get diagnostics v_settled = row_count;
  else
    v_settled := export_engine.settle_vouchers(v_run, p_vouchers, p_actor);
  end if;
  perform export_engine.record_event_by(
    v_run, 'delivery_settled', p_actor, jsonb_build_object('reason', p_reason, 'vouchers', coalesce(p_vouchers, '"all removed"'::jsonb))
  );
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run), 'settled', v_settled);
end;
$$;

comment on function export_engine.settle_export_delivery is
  'An admin who has looked into the accounting system says what is there: voucher by voucher, or, without vouchers, that she removed all that '
  'the run left. Definer, because no API role may write the tables.';

create function export_engine.keep_delivery_law()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_delivered bigint;
begin
  if new.status in ('releasing', 'voiding') and export_engine.may_hold_vouchers(new.id) then
    perform export_engine.refuse(
      409, 'delivery_not_cleared', 'The accounting system may have vouchers of this run: its claims cannot be let go.',
      'The sweep asks it again; or remove them there and say so with settle_export_delivery.'
    );
  end if;
  if new.status = 'completed' and export_engine.is_delivered(new) then
    select count(*) into v_delivered
    from public.export_deliveries as d
    where
      d.run_id = new.id
      and (d.state = 'already_there' or (d.state = 'accepted' and d.fencing_token = new.fencing_token));
    if v_delivered is distinct from new.voucher_count then
      perform export_engine.refuse(
        409, 'totals_mismatch', format('The file has %s vouchers; %s were delivered.', new.voucher_count, v_delivered),
        'Deliver what is missing, or leave it out, and render the run again.'
      );
    end if;
  end if;
  return new;
end;
$$;

comment on function export_engine.keep_delivery_law is
  'Trigger: no claim is let go whose voucher the accounting system may have, and a run that is delivered over an API is completed when each '
  'voucher of its file is known to be there. Also for the owner.';

create trigger keep_delivery_law
before update on public.export_runs
for each row when (new.status is distinct from old.status)
execute function export_engine.keep_delivery_law();

create or replace function export_engine.fail_export_run_by_admin(p_run_id uuid, p_reason text, p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run_as_admin(p_run_id, p_reason, p_actor);
begin
  if v_run.status in ('pending', 'processing', 'parked', 'in_doubt') then
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

create function public.open_delivery(p_run_id uuid, p_fencing_token bigint, p_container text)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.open_delivery(p_run_id, p_fencing_token, p_container);
$$;

comment on function public.open_delivery is
  'Before an attempt writes into the accounting system: notes its container, and tells those of earlier attempts (service key).';

create function public.clear_delivery(p_run_id uuid, p_fencing_token bigint, p_container_token bigint)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.clear_delivery(p_run_id, p_fencing_token, p_container_token);
$$;

comment on function public.clear_delivery is
  'After a container was removed from the accounting system (service key). Of a completed run without a token.';

create function public.record_deliveries(p_run_id uuid, p_fencing_token bigint, p_deliveries jsonb)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.record_deliveries(p_run_id, p_fencing_token, p_deliveries);
$$;

comment on function public.record_deliveries is
  'What is going to be sent, or what became of it, voucher by voucher (service key).';

create function public.doubt_export_run(p_run_id uuid, p_fencing_token bigint, p_error_code text, p_error_detail jsonb)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.doubt_export_run(p_run_id, p_fencing_token, p_error_code, p_error_detail);
$$;

comment on function public.doubt_export_run is
  'Sets a run aside of which nobody knows what the accounting system got (service key).';


create function public.resume_doubted_export_run(p_run_id uuid, p_invocation_id uuid)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.resume_doubted_export_run(p_run_id, p_invocation_id);
$$;

comment on function public.resume_doubted_export_run is
  'Gives a run in doubt to a worker (service key).';

create function public.settle_export_delivery(p_run_id uuid, p_vouchers jsonb, p_reason text, p_actor text)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.settle_export_delivery(p_run_id, p_vouchers, p_reason, p_actor);
$$;

comment on function public.settle_export_delivery is
  'Admin: says what the accounting system has of a run in doubt, after looking there. p_vouchers: [{"voucher_number": 1001, "state": "already_there"}], or "failed" for what is not there and shall not be sent; null when all that the run left there was removed. Say why and who you are.';

create function public.get_export_delivery(p_run_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select export_engine.get_export_delivery(p_run_id);
$$;

comment on function public.get_export_delivery is
  'What of a run may be in the accounting system, and how it is reached (service key).';

revoke execute on function export_engine.is_delivered(public.export_runs) from public;
revoke execute on function export_engine.may_hold_vouchers(uuid) from public;
revoke execute on function export_engine.containers_before(public.export_runs, bigint) from public;
revoke execute on function export_engine.doubt_patience() from public;
revoke execute on function export_engine.is_doubt_due(public.export_runs) from public;
revoke execute on function export_engine.settle_vouchers(public.export_runs, jsonb, text) from public;
revoke execute on function export_engine.keep_delivery_law() from public;
revoke execute on function export_engine.open_delivery(uuid, bigint, text) from public;
revoke execute on function public.open_delivery(uuid, bigint, text) from public, anon, authenticated, service_role;
revoke execute on function export_engine.clear_delivery(uuid, bigint, bigint) from public;
revoke execute on function public.clear_delivery(uuid, bigint, bigint) from public, anon, authenticated, service_role;
revoke execute on function export_engine.record_deliveries(uuid, bigint, jsonb) from public;
revoke execute on function public.record_deliveries(uuid, bigint, jsonb) from public, anon, authenticated, service_role;
revoke execute on function export_engine.doubt_export_run(uuid, bigint, text, jsonb) from public;
revoke execute on function public.doubt_export_run(uuid, bigint, text, jsonb) from public, anon, authenticated, service_role;
revoke execute on function export_engine.resume_doubted_export_run(uuid, uuid) from public;
revoke execute on function public.resume_doubted_export_run(uuid, uuid) from public, anon, authenticated, service_role;
revoke execute on function export_engine.settle_export_delivery(uuid, jsonb, text, text) from public;
revoke execute on function public.settle_export_delivery(uuid, jsonb, text, text) from public, anon, authenticated, service_role;
grant execute on function export_engine.open_delivery(uuid, bigint, text) to service_role;
grant execute on function public.open_delivery(uuid, bigint, text) to service_role;
grant execute on function export_engine.clear_delivery(uuid, bigint, bigint) to service_role;
grant execute on function public.clear_delivery(uuid, bigint, bigint) to service_role;
grant execute on function export_engine.record_deliveries(uuid, bigint, jsonb) to service_role;
grant execute on function public.record_deliveries(uuid, bigint, jsonb) to service_role;
grant execute on function export_engine.doubt_export_run(uuid, bigint, text, jsonb) to service_role;
grant execute on function public.doubt_export_run(uuid, bigint, text, jsonb) to service_role;
grant execute on function export_engine.resume_doubted_export_run(uuid, uuid) to service_role;
grant execute on function public.resume_doubted_export_run(uuid, uuid) to service_role;
grant execute on function export_engine.settle_export_delivery(uuid, jsonb, text, text) to service_role;
grant execute on function public.settle_export_delivery(uuid, jsonb, text, text) to service_role;
revoke execute on function export_engine.get_export_delivery(uuid) from public;
revoke execute on function public.get_export_delivery(uuid) from public, anon, authenticated, service_role;
grant execute on function export_engine.get_export_delivery(uuid) to service_role;
grant execute on function public.get_export_delivery(uuid) to service_role;
