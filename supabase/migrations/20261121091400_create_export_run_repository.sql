-- Purpose: the six operations of the run repository, over the same functions that the guard uses.

create function export_engine.create_export_run(p_organization_id uuid, p_triggered_by uuid, p_format text, p_origin text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_target public.export_targets;
  v_run public.export_runs;
begin
  select t.* into v_target
  from public.export_targets as t
  where t.organization_id = p_organization_id and t.format = p_format;
  if v_target.target is null then
    perform export_engine.refuse(
      422, 'format_not_configured', 'This organisation does not export in that format.', 'Set the format up in export_targets.'
    );
  end if;
  if not v_target.is_enabled and p_origin is distinct from 'manual' then
    perform export_engine.refuse(
      422, 'target_disabled', 'Exports to this accounting system are switched off.', 'Ask an admin to switch them on.'
    );
  end if;
  if p_origin is null or p_origin not in ('engine', 'manual') then
    perform export_engine.refuse(400, 'unknown_origin', 'The origin of a run is engine or manual.', 'Send one of them.');
  end if;
  perform export_engine.open_for_writing();
  v_run := export_engine.create_run(
    v_target, p_origin, 'repository', p_triggered_by, null, null, clock_timestamp(), null, null,
    export_engine.freeze_configuration(v_target, null)
  );
  perform export_engine.close_for_writing();
  return export_engine.run_json(v_run);
end;
$$;

comment on function export_engine.create_export_run is
  'A pending run in a format, which determines the target. Its period is everything up to today. Definer, because no API '
  'role may write the tables.';

create function export_engine.start_pending_run(p_run public.export_runs, p_claim_ids uuid[])
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
  if exists (select from public.export_locks as l where l.organization_id = p_run.organization_id and l.run_id is not null) then
    perform export_engine.refuse(
      409, 'lock_busy', 'Another run of this organisation is not finished.', 'Wait for it, or trigger an export, which finishes it.'
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
  'pending -> processing: takes the lock and reserves exactly the named claims, all or none. Without names nothing is '
  'reserved yet and the worker asks for pages.';

create function export_engine.keep_only(p_run public.export_runs, p_claim_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_known integer;
begin
  select count(*) into v_known
  from public.export_run_claims as m
  where m.run_id = p_run.id and m.outcome = 'included' and m.claim_id = any (p_claim_ids);
  if v_known <> cardinality(p_claim_ids) then
    perform export_engine.refuse(
      422, 'claims_not_in_run', 'The final claims must be among those that the run reserved.', 'Read the run''s claims again.'
    );
  end if;
  update public.export_run_claims as m
  set outcome = 'released', released_at = clock_timestamp()
  where m.run_id = p_run.id and m.outcome = 'included' and m.claim_id <> all (p_claim_ids);
end;
$$;

comment on function export_engine.keep_only is 'Releases all members but the named ones; refuses a claim that the run did not reserve.';

create function export_engine.complete_without_file(p_run public.export_runs, p_claim_ids uuid[])
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  if p_run.origin <> 'manual' and p_run.file_sha256 is null then
    perform export_engine.refuse(
      409, 'no_stored_file', 'A run is completed with its file.', 'Use complete_export_run, which records the file and its hash.'
    );
  end if;
  perform export_engine.keep_only(p_run, p_claim_ids);
  update public.export_runs as r
  set
    status = 'completed',
    sealed_at = coalesce(r.sealed_at, clock_timestamp()),
    claim_count = kept.claims,
    voucher_count = kept.vouchers,
    totals = kept.totals
  from (
    select
      coalesce(sum(c.claims), 0)::integer as claims,
      coalesce(sum(c.vouchers), 0)::integer as vouchers,
      coalesce(jsonb_object_agg(c.currency, c.amount::text), '{}'::jsonb) as totals
    from (
      select
        m.currency,
        count(*) as claims,
        count(distinct m.voucher_number) as vouchers,
        sum(m.amount)::numeric(18, 2) as amount
      from public.export_run_claims as m
      where m.run_id = p_run.id and m.outcome = 'included'
      group by m.currency
    ) as c
  ) as kept
  where r.id = p_run.id
  returning r.* into v_run;
  perform export_engine.record_event(
    v_run, 'completed', v_run.attempt_by, jsonb_build_object('claims', v_run.claim_count, 'totals', v_run.totals)
  );
  perform export_engine.free_lock(v_run);
  return v_run;
end;
$$;

comment on function export_engine.complete_without_file is
  'Completes a run of origin manual, whose file was made elsewhere. Runs of the engine are completed with their file.';

create function export_engine.hold_run_for_update(p_run_id uuid, p_fencing_token bigint)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_lock public.export_locks;
  v_run public.export_runs;
begin
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  select l.* into v_lock from public.export_locks as l where l.organization_id = v_run.organization_id for update;
  if p_fencing_token is not null then
    return export_engine.hold_run(p_run_id, p_fencing_token);
  end if;
  if v_lock.run_id = p_run_id and v_lock.expires_at > clock_timestamp() then
    perform export_engine.refuse(
      409, 'run_locked', 'A worker holds this run.', 'Pass its fencing token, or wait until the lease is over.'
    );
  end if;
  select r.* into v_run from public.export_runs as r where r.id = p_run_id for update;
  return v_run;
end;
$$;

comment on function export_engine.hold_run_for_update is
  'Locks lock row and run. A run that a living worker holds also needs its fencing token; a token, if given, must be current.';

create function export_engine.update_export_run_status(
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
  elsif p_status = 'completed' and v_run.status = 'processing' then
    v_run := export_engine.complete_without_file(v_run, v_claim_ids);
  elsif p_status = 'failed' and v_run.status in ('pending', 'processing', 'releasing') then
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

comment on function export_engine.update_export_run_status is
  'Status and the whole final set of claims in one step: processing, completed or failed. Of two concurrent updates one '
  'wins and the other is refused. Definer, because no API role may write the tables.';

create function export_engine.delete_export_run(p_run_id uuid, p_deleted_by uuid, p_reason text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  select r.* into v_run from public.export_runs as r where r.id = p_run_id for update;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  if v_run.deleted_at is not null then
    return export_engine.run_json(v_run);
  end if;
  if v_run.status not in ('completed', 'failed', 'voided') then
    perform export_engine.refuse(
      409, 'run_unfinished', format('The run is %s.', v_run.status), 'Wait until it is completed, failed or voided.'
    );
  end if;
  if p_reason is null or char_length(p_reason) not between 1 and 500 then
    perform export_engine.refuse(400, 'reason_required', 'A reason of 1 to 500 characters is needed.', 'Say why the run is deleted.');
  end if;
  perform export_engine.open_for_writing();
  update public.export_runs
  set deleted_at = clock_timestamp(), deleted_by = p_deleted_by, delete_reason = p_reason
  where id = v_run.id
  returning * into v_run;
  perform export_engine.record_event(v_run, 'deleted', p_deleted_by, jsonb_build_object('reason', p_reason));
  perform export_engine.close_for_writing();
  return export_engine.run_json(v_run);
end;
$$;

comment on function export_engine.delete_export_run is
  'Soft delete: hides the run from history and frees no claim. Definer, because no API role may write the tables.';

create function public.create_export_run(p_organization_id uuid, p_triggered_by uuid, p_format text, p_origin text default 'engine')
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.create_export_run(p_organization_id, p_triggered_by, p_format, p_origin);
$$;

comment on function public.create_export_run is 'Repository: a new pending run (service key).';

create function public.update_export_run_status(
  p_run_id uuid,
  p_status text,
  p_claim_ids uuid[],
  p_fencing_token bigint default null,
  p_error_code text default null
)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.update_export_run_status(p_run_id, p_status, p_claim_ids, p_fencing_token, p_error_code);
$$;

comment on function public.update_export_run_status is 'Repository: status and final claims of a run in one step (service key).';

create function public.delete_export_run(p_run_id uuid, p_deleted_by uuid, p_reason text)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.delete_export_run(p_run_id, p_deleted_by, p_reason);
$$;

comment on function public.delete_export_run is 'Repository: soft delete of a finished run (service key).';

create function public.get_export_run(p_run_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  -- Row-level security decides what the caller can see; unknown and foreign runs get the same answer.
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  return jsonb_build_object(
    'run', export_engine.run_json(v_run),
    'events', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object('occurred_at', e.occurred_at, 'actor', e.actor, 'event', e.event, 'detail', e.detail)
          order by e.id
        ),
        '[]'::jsonb
      )
      from public.export_run_events as e
      where e.run_id = v_run.id
    ),
    'left_out', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'claim_id', m.claim_id,
            'claim_number', m.document ->> 'claim_number',
            'code', m.reason_code,
            'field', m.reason_field,
            'message', m.reason_message
          )
          order by m.position
        ),
        '[]'::jsonb
      )
      from (
        select x.position, x.claim_id, x.document, x.reason_code, x.reason_field, x.reason_message
        from public.export_run_claims as x
        where x.run_id = v_run.id and x.outcome = 'left_out'
        order by x.position
        limit 1000
      ) as m
    )
  );
end;
$$;

comment on function public.get_export_run is
  'One run with its events in order and its left-out claims (the first 1,000). Users see the runs of their organisations.';

create function public.get_export_history(
  p_organization_id uuid,
  p_limit integer default 50,
  p_offset integer default 0,
  p_include_deleted boolean default false
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  perform export_engine.require_role(p_organization_id, array['coordinator', 'accountant', 'admin']);
  if p_limit is null or p_limit not between 1 and 200 or p_offset is null or p_offset < 0 then
    perform export_engine.refuse(
      400, 'limit_out_of_range', 'limit is 1 to 200 and offset is not negative.', 'Ask for smaller pages.'
    );
  end if;
  return jsonb_build_object(
    'runs', (
      select coalesce(jsonb_agg(export_engine.run_json(page) order by page.created_at desc, page.run_number desc), '[]'::jsonb)
      from (
        select r.*
        from public.export_runs as r
        where r.organization_id = p_organization_id and (r.deleted_at is null or p_include_deleted)
        order by r.created_at desc, r.run_number desc
        limit p_limit
        offset p_offset
      ) as page
    )
  );
end;
$$;

comment on function public.get_export_history is 'Runs of an organisation, newest first. Deleted runs only on request.';

create function public.find_runs_by_claim_id(p_claim_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'runs', coalesce(
      jsonb_agg(
        export_engine.run_json(r) || jsonb_build_object(
          'membership', jsonb_build_object(
            'position', m.position,
            'kind', m.kind,
            'generation', m.generation,
            'voucher_number', m.voucher_number,
            'outcome', m.outcome,
            'reason_code', m.reason_code,
            'reserved_at', m.reserved_at,
            'released_at', m.released_at
          )
        )
        order by m.reserved_at, m.run_id, m.position
      ),
      '[]'::jsonb
    )
  )
  from public.export_run_claims as m
  join public.export_runs as r on r.id = m.run_id
  where m.claim_id = p_claim_id;
$$;

comment on function public.find_runs_by_claim_id is
  'All runs a claim was ever in, oldest first, deleted and voided ones included and marked. One index look-up.';

revoke execute on function export_engine.create_export_run(uuid, uuid, text, text) from public;
revoke execute on function export_engine.start_pending_run(public.export_runs, uuid[]) from public;
revoke execute on function export_engine.keep_only(public.export_runs, uuid[]) from public;
revoke execute on function export_engine.complete_without_file(public.export_runs, uuid[]) from public;
revoke execute on function export_engine.hold_run_for_update(uuid, bigint) from public;
revoke execute on function export_engine.update_export_run_status(uuid, text, uuid[], bigint, text) from public;
revoke execute on function export_engine.delete_export_run(uuid, uuid, text) from public;
revoke execute on function public.create_export_run(uuid, uuid, text, text) from public, anon, authenticated, service_role;
revoke execute on function public.update_export_run_status(uuid, text, uuid[], bigint, text) from public, anon, authenticated, service_role;
revoke execute on function public.delete_export_run(uuid, uuid, text) from public, anon, authenticated, service_role;
revoke execute on function public.get_export_run(uuid) from public, anon, authenticated, service_role;
revoke execute on function public.get_export_history(uuid, integer, integer, boolean) from public, anon, authenticated, service_role;
revoke execute on function public.find_runs_by_claim_id(uuid) from public, anon, authenticated, service_role;

grant execute on function export_engine.create_export_run(uuid, uuid, text, text) to service_role;
grant execute on function export_engine.update_export_run_status(uuid, text, uuid[], bigint, text) to service_role;
grant execute on function export_engine.delete_export_run(uuid, uuid, text) to service_role;
grant execute on function public.create_export_run(uuid, uuid, text, text) to service_role;
grant execute on function public.update_export_run_status(uuid, text, uuid[], bigint, text) to service_role;
grant execute on function public.delete_export_run(uuid, uuid, text) to service_role;
-- The readers run as the caller: users need refuse for a clear 404, and see what row-level security lets them see.
grant execute on function export_engine.refuse(integer, text, text, text) to authenticated, service_role;
grant execute on function public.get_export_run(uuid) to authenticated, service_role;
grant execute on function public.get_export_history(uuid, integer, integer, boolean) to authenticated, service_role;
grant execute on function public.find_runs_by_claim_id(uuid) to authenticated, service_role;
