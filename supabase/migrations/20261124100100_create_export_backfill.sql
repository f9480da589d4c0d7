-- Purpose: claims that were exported by hand, or whose runs the database forgot, are recorded as completed runs of origin manual, so
-- that they are never exported again. A list is read by the command line; here each page of it is judged, and each group of rows
-- (one date, one file) becomes a run: begun, filled page by page under the organisation's lock, completed with the list as its file.

create function export_engine.backfill_target(p_organization_id uuid, p_target text)
returns public.export_targets
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_found public.export_targets[];
begin
  -- Also a target that is switched off: what was exported there by hand stays exported.
  select array_agg(t order by t.is_enabled desc) into v_found
  from public.export_targets as t
  where t.organization_id = p_organization_id and t.target = coalesce(p_target, t.target);

  if v_found is null then
    perform export_engine.refuse(
      422, 'unknown_target', 'This organisation has no such export target.', 'Check organisation and target in export_targets.'
    );
  end if;
  if cardinality(v_found) > 1 and (not (v_found[1]).is_enabled or (v_found[2]).is_enabled) then
    perform export_engine.refuse(
      422, 'target_required', 'It is not clear which accounting system is meant.',
      'Send target; an admin sees the possible ones in export_targets.'
    );
  end if;
  return v_found[1];
end;
$$;

comment on function export_engine.backfill_target is
  'The named target of an organisation, switched on or off; without a name the only enabled one, or the only one.';

create function export_engine.backfill_fingerprint(p_target text, p_list_sha256 text, p_exported_on date, p_file_name text)
returns text
language sql
immutable
security invoker
set search_path = ''
return encode(
  sha256(convert_to(concat_ws('|', 'backfill', p_target, p_list_sha256, p_exported_on::text, p_file_name), 'UTF8')), 'hex'
);

comment on function export_engine.backfill_fingerprint is
  'SHA-256 of one group of one list: the same list again finds the runs that it made.';

create function export_engine.check_backfill_rows(p_rows jsonb)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if jsonb_typeof(p_rows) is distinct from 'array'
    or jsonb_array_length(p_rows) not between 1 and export_engine.page_size()
    or exists (
      select
      from jsonb_array_elements(p_rows) as r
      where
        jsonb_typeof(r.value) <> 'object'
        or coalesce(r.value ->> 'line' !~ '^[1-9][0-9]{0,8}$', true)
        or coalesce(
          r.value ->> 'claim_id' !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$',
          r.value ->> 'claim_number' is null
        )
        or coalesce(char_length(r.value ->> 'claim_number') > 50, false)
        or coalesce(r.value ->> 'exported_on' !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$', false)
        or coalesce(char_length(r.value ->> 'file_name') > 200, false)
        or coalesce(r.value ->> 'voucher_number' !~ '\S' or char_length(r.value ->> 'voucher_number') > 100, false)
    )
    or (select count(distinct r.value ->> 'line') < count(*) from jsonb_array_elements(p_rows) as r) then
    perform export_engine.refuse(
      400, 'backfill_malformed',
      format('Rows are 1 to %s objects with line and claim_id or claim_number.', export_engine.page_size()),
      'Send the list in pages.'
    );
  end if;
end;
$$;

comment on function export_engine.check_backfill_rows is 'Refuses a page of a list that cannot be read.';

create function export_engine.backfill_verdicts(
  p_organization_id uuid, p_target public.export_targets, p_list_sha256 text, p_rows jsonb
)
returns table (line integer, claim_id uuid, verdict text, run_number bigint)
language sql
stable
security invoker
set search_path = ''
as $$
  with wanted as materialized (
    select
      w.line,
      w.claim_number,
      w.exported_on,
      w.file_name,
      coalesce(
        w.claim_id,
        (select n.claim_id from export_engine.claims_with_number(p_organization_id, w.claim_number) as n (claim_id) limit 1)
      ) as claim_id
    from jsonb_to_recordset(p_rows)
      as w (line integer, claim_id uuid, claim_number text, exported_on date, file_name text)
  ),
  facts as materialized (
    select f.claim_id, f.organization_id, f.claim_number, f.is_approved
    from export_engine.claim_facts(array(select w.claim_id from wanted as w where w.claim_id is not null)) as f
  )
  select
    w.line,
    f.claim_id,
    case
      when f.claim_id is null then 'unknown'
      when f.organization_id <> p_organization_id then 'foreign'
      when f.claim_number <> w.claim_number then 'number_differs'
      when taken.status = 'completed' and taken.is_own then 'done'
      when taken.status in ('processing', 'parked') and taken.is_own then 'resumable'
      when taken.status = 'completed' then 'exported'
      when taken.status is not null then 'in_another_run'
      when not f.is_approved then 'not_approved'
      when w.exported_on > (clock_timestamp() at time zone p_target.time_zone)::date then 'date_in_future'
      else 'usable'
    end,
    -- Whose run it is, is nobody else's to know.
    case when f.organization_id = p_organization_id then taken.run_number end
  from wanted as w
  left join facts as f on f.claim_id = w.claim_id
  left join lateral (
    select
      r.run_number,
      r.status,
      r.origin = 'manual' and r.target = p_target.target and coalesce(
        r.file_sha256 = p_list_sha256
        or r.request_fingerprint = export_engine.backfill_fingerprint(
          p_target.target, p_list_sha256, w.exported_on, w.file_name
        ),
        false
      ) as is_own
    from export_engine.entered_claims as e
    join public.export_runs as r on r.id = e.run_id
    where e.claim_id = f.claim_id
    limit 1
  ) as taken on true;
$$;

comment on function export_engine.backfill_verdicts is
  'What each row of a page comes to. usable: can be recorded. done, resumable: in a completed or an unfinished run of this very list. '
  'exported, in_another_run: in a run of something else. unknown, foreign, number_differs (claim_id and claim_number are of two '
  'claims), not_approved, date_in_future: cannot be recorded.';

create function export_engine.check_export_backfill(
  p_organization_id uuid, p_target text, p_list_sha256 text, p_rows jsonb
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_target public.export_targets := export_engine.backfill_target(p_organization_id, p_target);
begin
  perform export_engine.check_backfill_rows(p_rows);
  return (
    with judged as materialized (
      select v.line, v.claim_id, v.verdict, v.run_number
      from export_engine.backfill_verdicts(p_organization_id, v_target, p_list_sha256, p_rows) as v
    )
    select jsonb_build_object(
      'target', v_target.target,
      'rows', jsonb_agg(
        jsonb_build_object(
          'line', j.line,
          'claim_id', j.claim_id,
          'verdict', j.verdict,
          'run_number', j.run_number,
          'amount', d.amount::text,
          'currency', d.currency
        )
        order by j.line
      )
    )
    from judged as j
    left join export_engine.claim_documents(
      array(select g.claim_id from judged as g where g.verdict in ('usable', 'resumable')), v_target.time_zone
    ) as d on d.claim_id = j.claim_id
  );
end;
$$;

comment on function export_engine.check_export_backfill is
  'Judges a page of a list, row by row, and says what the usable claims amount to now. Locks and writes nothing. Definer, because the '
  'service key reads no tables of the app, and because it may be told of claims of others.';

create function export_engine.backfill_answer(p_outcome text, p_run public.export_runs)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'outcome', p_outcome, 'run', export_engine.run_json(p_run), 'fencing_token', p_run.fencing_token
  );
$$;

comment on function export_engine.backfill_answer is 'What a worker needs to fill a manual run: the run and its token.';

create function export_engine.create_manual_run(
  p_target public.export_targets, p_exported_on date, p_file_name text, p_key text, p_fingerprint text, p_actor text
)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  insert into public.export_runs (
    organization_id, run_number, origin, trigger, triggered_by_name, target, format, period_to, time_zone, cut_off, export_date,
    idempotency_key, request_fingerprint, configuration, manual_file_name
  )
  values (
    p_target.organization_id, export_engine.take_numbers(p_target.organization_id, 'run_number', 1), 'manual', 'cli', p_actor,
    p_target.target, p_target.format, p_exported_on, p_target.time_zone, clock_timestamp(), p_exported_on,
    p_key, p_fingerprint, export_engine.freeze_configuration(p_target, null), p_file_name
  )
  returning * into v_run;
  perform export_engine.record_event_by(
    v_run, 'created', p_actor, jsonb_build_object('run_number', v_run.run_number, 'manual_file_name', p_file_name)
  );
  return v_run;
end;
$$;

comment on function export_engine.create_manual_run is
  'A pending run for what was exported by hand on a day, with the name of the file that was made then.';

create function export_engine.make_way_for_backfill(p_lock public.export_locks, p_key text, p_invocation_id uuid)
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
  -- A dead worker's export: the sweep, or the next trigger, finishes it. This worker could not.
  return jsonb_build_object('outcome', 'busy', 'run', export_engine.run_json(v_run), 'retry_after', 1);
end;
$$;

comment on function export_engine.make_way_for_backfill is
  'What the organisation''s lock means for a backfill: busy, resumed (its own run, whose worker died), or null when the lock is free.';

create function export_engine.begin_export_backfill(
  p_organization_id uuid, p_target text, p_list_sha256 text, p_exported_on date, p_file_name text, p_part integer, p_actor text,
  p_invocation_id uuid
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_target public.export_targets := export_engine.backfill_target(p_organization_id, p_target);
  v_actor text := export_engine.actor_name(p_organization_id, p_actor);
  v_fingerprint text := export_engine.backfill_fingerprint(v_target.target, p_list_sha256, p_exported_on, p_file_name);
  v_key text := format('backfill %s %s', v_fingerprint, p_part);
  v_lock public.export_locks;
  v_run public.export_runs;
  v_answer jsonb;
begin
  if coalesce(p_list_sha256 !~ '^[0-9a-f]{64}$', true)
    or coalesce(p_exported_on not between '2000-01-01' and (clock_timestamp() at time zone v_target.time_zone)::date, true)
    or coalesce(char_length(btrim(p_file_name)) not between 1 and 200, true)
    or coalesce(p_part not between 1 and 1000, true)
    or p_invocation_id is null then
    perform export_engine.refuse(
      400, 'backfill_malformed', 'A run needs the hash of its list, a day that is not in the future, and the name of its file.',
      'Correct the list.'
    );
  end if;
  v_lock := export_engine.lock_row(p_organization_id);
  if v_lock.organization_id is null then
    return jsonb_build_object('outcome', 'busy', 'run', null, 'retry_after', 1);
  end if;
  perform export_engine.open_for_writing();
  if v_lock.holder_id = p_invocation_id then
    -- A lost reply: the same invocation gets its token again.
    select r.* into v_run from public.export_runs as r where r.id = v_lock.run_id;
    v_run := export_engine.hold_run(v_run.id, v_lock.fencing_token);
    perform export_engine.close_for_writing();
    return export_engine.backfill_answer('started', v_run);
  end if;
  v_answer := export_engine.make_way_for_backfill(v_lock, v_key, p_invocation_id);
  if v_answer is null then
    v_run := export_engine.run_with_key(p_organization_id, v_key);
    if v_run.status = 'parked' then
      -- The sweep set it aside when its worker fell silent. A parked run has an error, a working one has none.
      update public.export_runs set error_code = null, error_detail = null where id = v_run.id returning * into v_run;
      v_answer := export_engine.backfill_answer(
        'resumed', export_engine.start_attempt(v_run, p_invocation_id, null, 'recovered')
      );
    elsif v_run.id is not null then
      v_answer := jsonb_build_object('outcome', 'replayed', 'run', export_engine.run_json(v_run));
    else
      perform export_engine.forget_old_key(p_organization_id, v_key);
      v_run := export_engine.create_manual_run(v_target, p_exported_on, p_file_name, v_key, v_fingerprint, v_actor);
      v_answer := export_engine.backfill_answer(
        'started', export_engine.start_attempt(v_run, p_invocation_id, null, 'started')
      );
    end if;
  end if;
  perform export_engine.close_for_writing();
  return v_answer;
end;
$$;

comment on function export_engine.begin_export_backfill is
  'First step of a manual run: started, resumed (this list''s own run, whose worker died), replayed (done before; p_part names a further '
  'run of the same group) or busy. Needs no enabled target and minds no hold: it exports nothing. Definer, because no API role may write '
  'the tables.';

create function export_engine.hold_backfill(p_run_id uuid, p_fencing_token bigint)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_processing_run(p_run_id, p_fencing_token);
begin
  if v_run.manual_file_name is null then
    perform export_engine.refuse(
      409, 'run_not_backfilled', 'This run was not begun from a list.', 'Begin one with begin_export_backfill.'
    );
  end if;
  return v_run;
end;
$$;

comment on function export_engine.hold_backfill is 'hold_processing_run, for runs that were begun from a list.';

create function export_engine.record_claims(p_run public.export_runs, p_rows jsonb, p_claim_ids uuid[])
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.reserve_claims(p_run, p_claim_ids);
begin
  -- In a statement of its own, to see the members; they are the ones after those that were there before.
  insert into public.export_confirmations (run_id, organization_id, voucher_number, outcome, external_number, actor)
  select m.run_id, m.organization_id, m.voucher_number, 'booked', w.voucher_number, p_run.triggered_by_name
  from public.export_run_claims as m
  join jsonb_to_recordset(p_rows) as w (claim_id uuid, voucher_number text) on w.claim_id = m.claim_id
  where m.run_id = p_run.id and m.position > p_run.reserved_count and w.voucher_number is not null
  order by m.position;
  return v_run;
end;
$$;

comment on function export_engine.record_claims is
  'Reserves claims that the caller has locked, and confirms those as booked whose number in the accounting system the list knows.';

create function export_engine.add_export_backfill_page(p_run_id uuid, p_fencing_token bigint, p_rows jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_before public.export_runs := export_engine.hold_backfill(p_run_id, p_fencing_token);
  v_run public.export_runs := v_before;
  v_target public.export_targets := export_engine.backfill_target(v_before.organization_id, v_before.target);
  v_new jsonb;
  v_claim_ids uuid[];
  v_unusable jsonb;
begin
  perform export_engine.check_backfill_rows(p_rows);
  if (
    select count(distinct r.value ->> 'claim_id') < count(*) from jsonb_array_elements(p_rows) as r
  ) then
    perform export_engine.refuse(
      400, 'backfill_malformed', 'Each row of a page names another claim, by its id.', 'Send each claim once.'
    );
  end if;
  -- What is a member already stays as it is: a lost reply, or the pages of a worker that died.
  select jsonb_agg(r.value order by (r.value ->> 'line')::integer) into v_new
  from jsonb_array_elements(p_rows) as r
  where (
    select m.run_id
    from public.export_run_claims as m
    where m.claim_id = (r.value ->> 'claim_id')::uuid and m.run_id = v_before.id and m.released_at is null
    limit 1
  ) is null;
  if v_new is not null then
    perform export_engine.hold_before_claims(v_before.organization_id);
    with locked as materialized (
      select c.claim_id
      from export_engine.lock_claims(
        v_before.organization_id,
        array(select (r.value ->> 'claim_id')::uuid from jsonb_array_elements(v_new) as r)
      ) as c
    )
    select array_agg(k.claim_id order by r.ordinal) into v_claim_ids
    from jsonb_array_elements(v_new) with ordinality as r (value, ordinal)
    join locked as k on k.claim_id = (r.value ->> 'claim_id')::uuid;
    if v_claim_ids is not null then
      v_run := export_engine.record_claims(v_before, v_new, v_claim_ids);
    end if;
    select jsonb_agg(
      jsonb_build_object(
        'line', v.line,
        'claim_id', v.claim_id,
        -- Nothing stands against it, and yet it could not be locked.
        'verdict', case when v.verdict = 'usable' then 'being_edited' else v.verdict end,
        'run_number', v.run_number
      )
      order by v.line
    )
    into v_unusable
    from export_engine.backfill_verdicts(
      v_before.organization_id, v_target, null,
      (
        select coalesce(jsonb_agg(r.value), '[]')
        from jsonb_array_elements(v_new) as r
        left join unnest(v_claim_ids) as k (claim_id) on k.claim_id = (r.value ->> 'claim_id')::uuid
        where k.claim_id is null
      )
    ) as v;
  end if;
  v_run := export_engine.note_progress(v_before, v_run, v_run.reserved_count);
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run), 'unusable', coalesce(v_unusable, '[]'));
end;
$$;

comment on function export_engine.add_export_backfill_page is
  'Adds a page of claims to a manual run, frozen as they are now, and answers which could not be taken any more and why. The same page '
  'again adds nothing. Definer, because no API role may write the tables.';

create function export_engine.check_stored_list(p_run public.export_runs, p_file jsonb)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if coalesce(p_file ->> 'path', '') not in (
    format('%s/backfill/%s.csv', p_run.organization_id, p_file ->> 'sha256'),
    format('%s/backfill/%s.xlsx', p_run.organization_id, p_file ->> 'sha256')
  ) or p_run.request_fingerprint is distinct from export_engine.backfill_fingerprint(
    p_run.target, p_file ->> 'sha256', p_run.export_date, p_run.manual_file_name
  ) then
    perform export_engine.refuse(
      409, 'file_path_mismatch', 'The path of a list is made of organisation and content hash, and the run was begun from it.',
      format('Store it as %s/backfill/<sha256>.csv or .xlsx', p_run.organization_id)
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

comment on function export_engine.check_stored_list is
  'A manual run is completed with the list that it was begun from, which lies in the bucket under the path that its content gives it.';

create function export_engine.complete_export_backfill(
  p_run_id uuid, p_fencing_token bigint, p_file jsonb, p_expected_count integer
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
  if v_run.status = 'completed' and v_run.fencing_token = p_fencing_token then
    return jsonb_build_object('run', export_engine.run_json(v_run));
  end if;
  v_run := export_engine.hold_backfill(p_run_id, p_fencing_token);
  if v_run.reserved_count = 0 or v_run.reserved_count is distinct from p_expected_count then
    perform export_engine.refuse(
      409, 'backfill_count_mismatch',
      format('The run holds %s claims; the list gave it %s.', v_run.reserved_count, p_expected_count),
      'Fail the run and begin again: claims or numbers changed meanwhile.'
    );
  end if;
  perform export_engine.check_stored_list(v_run, p_file);
  v_run := export_engine.seal_run(v_run);
  -- The pages left their sums on the run, and each claim has a voucher of its own.
  update public.export_runs
  set
    status = 'completed',
    claim_count = reserved_count,
    voucher_count = reserved_count,
    totals = reserved_totals,
    file_path = p_file ->> 'path',
    file_name = p_file ->> 'name',
    file_sha256 = p_file ->> 'sha256',
    file_size = (p_file ->> 'size')::bigint,
    content_type = p_file ->> 'content_type'
  where id = v_run.id
  returning * into v_run;
  perform export_engine.record_event_by(
    v_run, 'completed', v_run.triggered_by_name,
    jsonb_build_object('claims', v_run.claim_count, 'totals', v_run.totals, 'sha256', v_run.file_sha256)
  );
  perform export_engine.free_lock(v_run);
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run));
end;
$$;

comment on function export_engine.complete_export_backfill is
  'Last step of a manual run: compares the number of claims, writes the list as its file, counts and totals, and frees the lock. Definer, '
  'because no API role may write the tables.';

-- The data API ---------------------------------------------------------------------------------------------------------------------

create function public.check_export_backfill(p_organization_id uuid, p_target text, p_list_sha256 text, p_rows jsonb)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select export_engine.check_export_backfill(p_organization_id, p_target, p_list_sha256, p_rows);
$$;

comment on function public.check_export_backfill is 'What each row of a list of claims exported by hand comes to; writes nothing (service key).';

create function public.begin_export_backfill(
  p_organization_id uuid, p_target text, p_list_sha256 text, p_exported_on date, p_file_name text, p_part integer, p_actor text,
  p_invocation_id uuid
)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.begin_export_backfill(
    p_organization_id, p_target, p_list_sha256, p_exported_on, p_file_name, p_part, p_actor, p_invocation_id
  );
$$;

comment on function public.begin_export_backfill is 'Begins or resumes the run of one date and file of a list (service key).';

create function public.add_export_backfill_page(p_run_id uuid, p_fencing_token bigint, p_rows jsonb)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.add_export_backfill_page(p_run_id, p_fencing_token, p_rows);
$$;

comment on function public.add_export_backfill_page is 'Adds at most 2,000 claims of a list to its run (service key).';

create function public.complete_export_backfill(p_run_id uuid, p_fencing_token bigint, p_file jsonb, p_expected_count integer)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.complete_export_backfill(p_run_id, p_fencing_token, p_file, p_expected_count);
$$;

comment on function public.complete_export_backfill is 'Completes the run of a list, with the stored list as its file (service key).';

revoke execute on function export_engine.backfill_target(uuid, text) from public;
revoke execute on function export_engine.backfill_fingerprint(text, text, date, text) from public;
revoke execute on function export_engine.check_backfill_rows(jsonb) from public;
revoke execute on function export_engine.backfill_verdicts(uuid, public.export_targets, text, jsonb) from public;
revoke execute on function export_engine.backfill_answer(text, public.export_runs) from public;
revoke execute on function export_engine.create_manual_run(public.export_targets, date, text, text, text, text) from public;
revoke execute on function export_engine.make_way_for_backfill(public.export_locks, text, uuid) from public;
revoke execute on function export_engine.hold_backfill(uuid, bigint) from public;
revoke execute on function export_engine.record_claims(public.export_runs, jsonb, uuid[]) from public;
revoke execute on function export_engine.check_stored_list(public.export_runs, jsonb) from public;
revoke execute on function export_engine.check_export_backfill(uuid, text, text, jsonb) from public;
revoke execute on function export_engine.begin_export_backfill(uuid, text, text, date, text, integer, text, uuid) from public;
revoke execute on function export_engine.add_export_backfill_page(uuid, bigint, jsonb) from public;
revoke execute on function export_engine.complete_export_backfill(uuid, bigint, jsonb, integer) from public;
revoke execute on function public.check_export_backfill(uuid, text, text, jsonb) from public, anon, authenticated, service_role;
revoke execute on function public.begin_export_backfill(uuid, text, text, date, text, integer, text, uuid)
from public, anon, authenticated, service_role;
revoke execute on function public.add_export_backfill_page(uuid, bigint, jsonb) from public, anon, authenticated, service_role;
revoke execute on function public.complete_export_backfill(uuid, bigint, jsonb, integer)
from public, anon, authenticated, service_role;
grant execute on function export_engine.check_export_backfill(uuid, text, text, jsonb) to service_role;
grant execute on function export_engine.begin_export_backfill(uuid, text, text, date, text, integer, text, uuid) to service_role;
grant execute on function export_engine.add_export_backfill_page(uuid, bigint, jsonb) to service_role;
grant execute on function export_engine.complete_export_backfill(uuid, bigint, jsonb, integer) to service_role;
grant execute on function public.check_export_backfill(uuid, text, text, jsonb) to service_role;
grant execute on function public.begin_export_backfill(uuid, text, text, date, text, integer, text, uuid) to service_role;
grant execute on function public.add_export_backfill_page(uuid, bigint, jsonb) to service_role;
grant execute on function public.complete_export_backfill(uuid, bigint, jsonb, integer) to service_role;
