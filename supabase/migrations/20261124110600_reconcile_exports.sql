-- Purpose: the doors of reconciliation: begin, continue page by page, tell what the bytes of a file are, which organisation is next, and
-- everything in one go for the dashboard.

create function export_engine.start_reconciliation(
  p_organization_id uuid, p_period_from date, p_period_to date, p_asked_by text, p_files_since timestamptz
)
returns uuid
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_id uuid;
begin
  perform export_engine.open_for_writing();
  insert into public.export_reconciliations (
    organization_id, period_from, period_to, time_zone, asked_by, files_since, last_run_number, last_voucher_number
  )
  select
    p_organization_id, p_period_from, p_period_to,
    coalesce(
      (
        select t.time_zone from public.export_targets as t
        where t.organization_id = p_organization_id
        order by t.is_enabled desc, t.target
        limit 1
      ),
      'UTC'
    ),
    p_asked_by, p_files_since,
    coalesce(max(c.last_value) filter (where c.name = 'run_number'), 0),
    coalesce(max(c.last_value) filter (where c.name = 'voucher_number'), 0)
  from public.export_counters as c
  where c.organization_id = p_organization_id
  on conflict (organization_id) where asked_by = 'sweep' and finished_at is null do nothing
  returning id into v_id;
  perform export_engine.close_for_writing();
  return v_id;
end;
$$;

comment on function export_engine.start_reconciliation is
  'Inserts a reconciliation with the counters and the time zone of now. Null when a sweep''s own is not finished.';

create function export_engine.begin_reconciliation(
  p_organization_id uuid, p_period_from date, p_period_to date, p_asked_by text, p_with_files boolean
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_id uuid;
begin
  if p_asked_by is null or p_asked_by not in ('cli', 'dashboard') then
    perform export_engine.refuse(400, 'unknown_asker', 'A reconciliation is asked for by cli or dashboard.', 'Send one of them.');
  end if;
  if p_period_from > p_period_to then
    perform export_engine.refuse(
      400, 'period_reversed', 'The period ends before it begins.', 'Send period_from on or before period_to.'
    );
  end if;
  if not exists (select from public.organizations as o where o.id = p_organization_id) then
    perform export_engine.refuse(404, 'organization_not_found', 'There is no such organisation.', 'Check the id.');
  end if;
  if not exists (select from public.export_locks as l where l.organization_id = p_organization_id) then
    perform export_engine.refuse(
      422, 'unknown_target', 'This organisation has no export target, and nothing to reconcile.', 'Set it up in export_targets.'
    );
  end if;
  v_id := export_engine.start_reconciliation(
    p_organization_id, p_period_from, p_period_to, p_asked_by, case when p_with_files then timestamptz '-infinity' end
  );
  return (select export_engine.reconciliation_json(r) from public.export_reconciliations as r where r.id = v_id);
end;
$$;

comment on function export_engine.begin_reconciliation is
  'Begins a reconciliation of an organisation and a period of approval dates; both ends may be open. Definer, because no API role may '
  'write the tables.';

create function export_engine.hold_reconciliation(p_reconciliation_id uuid)
returns public.export_reconciliations
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_row public.export_reconciliations;
begin
  select r.* into v_row from public.export_reconciliations as r where r.id = p_reconciliation_id for update;
  if v_row.id is null then
    perform export_engine.refuse(404, 'reconciliation_not_found', 'There is no such reconciliation.', 'Check its id.');
  end if;
  return v_row;
end;
$$;

comment on function export_engine.hold_reconciliation is 'Locks a reconciliation, so that two who continue it do one page after the other.';

create function export_engine.keep_reconciliation(p_row public.export_reconciliations)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_row public.export_reconciliations := p_row;
  v_counted numeric := (select coalesce(sum((c.value ->> 'count')::bigint), 0) from jsonb_each(p_row.classes) as c);
  v_amounts jsonb := '{}';
  v_class jsonb;
begin
  if v_row.phase = 'done' then
    for v_class in select c.value from jsonb_each(v_row.classes) as c loop
      v_amounts := export_engine.add_totals(v_amounts, v_class -> 'amounts');
    end loop;
    if v_counted <> (v_row.whole ->> 'count')::numeric or not export_engine.same_totals(v_amounts, v_row.whole -> 'amounts') then
      v_row := export_engine.add_findings(v_row, jsonb_build_array(export_engine.finding(
        'classes_do_not_sum', format('The classes come to %s claims, %s; the whole is %s.', v_counted, v_amounts, v_row.whole)
      )));
    end if;
    v_row.finished_at := clock_timestamp();
    v_row.is_green := v_row.red_count = 0;
  end if;
  perform export_engine.open_for_writing();
  update public.export_reconciliations
  set
    touched_at = clock_timestamp(),
    finished_at = v_row.finished_at,
    is_green = v_row.is_green,
    phase = v_row.phase,
    cursor = v_row.cursor,
    whole = v_row.whole,
    classes = v_row.classes,
    checked = v_row.checked,
    red_count = v_row.red_count,
    note_count = v_row.note_count,
    finding_counts = v_row.finding_counts,
    findings = v_row.findings
  where id = v_row.id;
  perform export_engine.close_for_writing();
end;
$$;

comment on function export_engine.keep_reconciliation is
  'Writes how far a reconciliation has come. When it is done, judges it: the classes must sum to the whole, and nothing red was found.';

create function export_engine.files_to_read(p_row public.export_reconciliations)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(jsonb_build_object('run_id', f.id, 'path', f.file_path, 'size', f.file_size) order by f.run_number), '[]'::jsonb
  )
  from (
    select r.id, r.run_number, r.file_path, r.file_size
    from public.export_runs as r
    where
      r.organization_id = p_row.organization_id
      and r.run_number > coalesce((p_row.cursor ->> 'run_number')::bigint, 0)
      and r.run_number <= p_row.last_run_number
      and r.completed_at >= p_row.files_since
      and r.file_path is not null
      and r.period_to >= coalesce(p_row.period_from, '-infinity')
      and coalesce(r.period_from, '-infinity') <= coalesce(p_row.period_to, 'infinity')
      -- One that is gone was found missing already.
      and exists (select from storage.objects as o where o.bucket_id = 'exports' and o.name = r.file_path)
    order by r.run_number
    limit 20
  ) as f;
$$;

comment on function export_engine.files_to_read is
  'The next files whose bytes are to be read, in order of their runs. The hashes are not told: they are compared here.';

create function export_engine.continue_reconciliation(p_reconciliation_id uuid)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_row public.export_reconciliations := export_engine.hold_reconciliation(p_reconciliation_id);
  v_files jsonb := '[]';
begin
  -- A statement each, so that each phase reads what is there now.
  if v_row.phase = 'claims' then
    v_row := export_engine.reconcile_claims_page(v_row);
  elsif v_row.phase = 'runs' then
    v_row := export_engine.reconcile_runs_page(v_row);
  elsif v_row.phase = 'numbers' then
    v_row := export_engine.reconcile_numbers_page(v_row);
  elsif v_row.phase = 'objects' then
    v_row := export_engine.reconcile_objects_page(v_row);
  elsif v_row.phase = 'locks' then
    v_row := export_engine.reconcile_locks(v_row);
  elsif v_row.phase = 'files' then
    v_files := export_engine.files_to_read(v_row);
    if v_files = '[]' then
      v_row := export_engine.next_phase(v_row, 'done');
    end if;
  end if;
  if v_row.finished_at is null then
    perform export_engine.keep_reconciliation(v_row);
  end if;
  return (
    select export_engine.reconciliation_json(r) || jsonb_build_object('files', v_files)
    from public.export_reconciliations as r
    where r.id = p_reconciliation_id
  );
end;
$$;

comment on function export_engine.continue_reconciliation is
  'Does one page of a reconciliation, at most a page of members, and says how far it is; in the phase files it names those to be read. '
  'Again until finished_at is set. Definer, because no API role may write the tables.';

create function export_engine.record_file_check(
  p_reconciliation_id uuid, p_run_id uuid, p_sha256 text, p_size bigint, p_gave_up boolean
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_row public.export_reconciliations := export_engine.hold_reconciliation(p_reconciliation_id);
  v_run public.export_runs;
  v_code text;
begin
  select r.* into v_run from public.export_runs as r where r.id = p_run_id and r.organization_id = v_row.organization_id;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  -- Somebody else told it before, or the reconciliation is past it.
  if v_row.phase <> 'files' or v_run.run_number <= coalesce((v_row.cursor ->> 'run_number')::bigint, 0) then
    return export_engine.reconciliation_json(v_row);
  end if;
  v_code := case
    when p_gave_up then 'file_not_read'
    when p_sha256 is null then 'file_missing'
    when (p_sha256, p_size) is distinct from (v_run.file_sha256, v_run.file_size) then 'file_altered'
  end;
  if v_code is not null then
    v_row := export_engine.add_findings(v_row, jsonb_build_array(export_engine.finding(
      v_code,
      case v_code
        when 'file_not_read' then format('The file of run %s is too large to be read in the time that there was.', v_run.run_number)
        when 'file_missing' then format('The bytes of the file of run %s are gone.', v_run.run_number)
        else format(
          'The stored bytes of run %s have hash %s and size %s; the run says %s and %s.', v_run.run_number, p_sha256, p_size,
          v_run.file_sha256, v_run.file_size
        )
      end,
      export_engine.run_about(v_run) || jsonb_build_object('object', v_run.file_path)
    )));
  end if;
  v_row := export_engine.add_checked(v_row, 'files', case when p_gave_up then 0 else 1 end);
  v_row.cursor := jsonb_build_object('run_number', v_run.run_number);
  perform export_engine.keep_reconciliation(v_row);
  return export_engine.reconciliation_json(v_row);
end;
$$;

comment on function export_engine.record_file_check is
  'What the stored bytes of a run''s file are: hash and size, no hash when they are gone, or that they could not be read in time. '
  'Definer, because no API role may write the tables.';

create function export_engine.next_reconciliation()
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_organization_id uuid;
  v_id uuid;
  v_files_since timestamptz;
begin
  -- Whatever waited longest, so that one that gets nowhere keeps no other waiting.
  select due.organization_id, due.open_id into v_organization_id, v_id
  from (
    select
      l.organization_id,
      unfinished.id as open_id,
      coalesce(unfinished.touched_at, latest.started_at, '-infinity') as since
    from public.export_locks as l
    left join lateral (
      select r.id, r.touched_at
      from public.export_reconciliations as r
      where r.organization_id = l.organization_id and r.asked_by = 'sweep' and r.finished_at is null
      limit 1
    ) as unfinished on true
    left join lateral (
      select r.started_at
      from public.export_reconciliations as r
      where
        r.organization_id = l.organization_id
        and r.finished_at is not null
        and r.files_since is not null
        and r.period_from is null
        and r.period_to is null
      order by r.started_at desc
      limit 1
    ) as latest on true
    where unfinished.id is not null or coalesce(latest.started_at <= clock_timestamp() - interval '1 day', true)
  ) as due
  order by due.since, due.organization_id
  limit 1;
  if v_organization_id is null then
    return jsonb_build_object('reconciliation', null);
  end if;

  if v_id is null then
    -- All bytes once a month, in between those of files that are new since the last time.
    select max(r.started_at) into v_files_since
    from public.export_reconciliations as r
    where
      r.organization_id = v_organization_id
      and r.finished_at is not null
      and r.files_since is not null
      and r.period_from is null
      and r.period_to is null
      and exists (
        select
        from public.export_reconciliations as full_one
        where
          full_one.organization_id = v_organization_id
          and full_one.finished_at is not null
          and full_one.files_since = '-infinity'
          and full_one.period_from is null
          and full_one.period_to is null
          and full_one.started_at > clock_timestamp() - interval '30 days'
      );
    v_id := export_engine.start_reconciliation(
      v_organization_id, null, null, 'sweep', coalesce(v_files_since - interval '1 hour', '-infinity')
    );
  else
    perform export_engine.open_for_writing();
    update public.export_reconciliations set touched_at = clock_timestamp() where id = v_id and finished_at is null;
    perform export_engine.close_for_writing();
  end if;
  return jsonb_build_object(
    'reconciliation', (
      select export_engine.reconciliation_json(r)
      from public.export_reconciliations as r
      where r.organization_id = v_organization_id and r.asked_by = 'sweep' and r.finished_at is null
    )
  );
end;
$$;

comment on function export_engine.next_reconciliation is
  'For the sweep: one that is not finished, or a new one of the organisation whose last one is oldest and more than a day old; null when '
  'none is due. Definer, because the sweep looks across organisations.';

create function export_engine.reconcile_exports(p_organization_id uuid, p_period_from date, p_period_to date)
returns table (what text, how_many bigint, amounts jsonb, sentence text)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_id uuid := (
    export_engine.begin_reconciliation(p_organization_id, p_period_from, p_period_to, 'dashboard', false) ->> 'reconciliation_id'
  )::uuid;
  v_row public.export_reconciliations;
begin
  while (export_engine.continue_reconciliation(v_id) ->> 'finished_at') is null loop
  end loop;
  select r.* into v_row from public.export_reconciliations as r where r.id = v_id;
  return query
  select
    case when v_row.is_green then 'green' else 'red' end,
    (v_row.whole ->> 'count')::bigint, v_row.whole -> 'amounts', export_engine.reconciliation_sentence(v_row);
  return query
  select c.key, (c.value ->> 'count')::bigint, c.value -> 'amounts', null::text
  from jsonb_each(v_row.classes) as c
  order by c.key;
  return query
  select f.value ->> 'code', (v_row.finding_counts ->> (f.value ->> 'code'))::bigint, null::jsonb, f.value ->> 'sentence'
  from jsonb_array_elements(v_row.findings) as f
  order by not (f.value ->> 'is_red')::boolean, f.value ->> 'code';
end;
$$;

comment on function export_engine.reconcile_exports is
  'A whole reconciliation in one statement, without the bytes of the files. Invoker, so that only the database owner can: others are cut '
  'off in time.';

-- The data API --------------------------------------------------------------------------------------------------------------------

create function public.begin_reconciliation(
  p_organization_id uuid, p_period_from date default null, p_period_to date default null, p_asked_by text default 'cli',
  p_with_files boolean default true
)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.begin_reconciliation(p_organization_id, p_period_from, p_period_to, p_asked_by, p_with_files);
$$;

comment on function public.begin_reconciliation is 'Begins a reconciliation of an organisation, or of a period of approval dates (service key).';

create function public.continue_reconciliation(p_reconciliation_id uuid)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.continue_reconciliation(p_reconciliation_id);
$$;

comment on function public.continue_reconciliation is 'Does one page of a reconciliation; again until finished_at is set (service key).';

create function public.record_file_check(
  p_reconciliation_id uuid, p_run_id uuid, p_sha256 text, p_size bigint, p_gave_up boolean default false
)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.record_file_check(p_reconciliation_id, p_run_id, p_sha256, p_size, p_gave_up);
$$;

comment on function public.record_file_check is 'Tells a reconciliation hash and size of the stored bytes of a run''s file (service key).';

create function public.next_reconciliation()
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.next_reconciliation();
$$;

comment on function public.next_reconciliation is 'The sweep''s next reconciliation; null when none is due (service key).';

create function public.reconcile_exports(p_organization_id uuid, p_period_from date default null, p_period_to date default null)
returns table (what text, how_many bigint, amounts jsonb, sentence text)
language sql
volatile
security invoker
set search_path = ''
as $$
  select * from export_engine.reconcile_exports(p_organization_id, p_period_from, p_period_to);
$$;

comment on function public.reconcile_exports is
  'Database owner: reconciles an organisation in one go, without reading the bytes of the files. The first row says green or red.';

revoke execute on function export_engine.start_reconciliation(uuid, date, date, text, timestamptz) from public;
revoke execute on function export_engine.begin_reconciliation(uuid, date, date, text, boolean) from public;
revoke execute on function export_engine.hold_reconciliation(uuid) from public;
revoke execute on function export_engine.keep_reconciliation(public.export_reconciliations) from public;
revoke execute on function export_engine.files_to_read(public.export_reconciliations) from public;
revoke execute on function export_engine.continue_reconciliation(uuid) from public;
revoke execute on function export_engine.record_file_check(uuid, uuid, text, bigint, boolean) from public;
revoke execute on function export_engine.next_reconciliation() from public;
revoke execute on function export_engine.reconcile_exports(uuid, date, date) from public;
revoke execute on function public.begin_reconciliation(uuid, date, date, text, boolean) from public, anon, authenticated, service_role;
revoke execute on function public.continue_reconciliation(uuid) from public, anon, authenticated, service_role;
revoke execute on function public.record_file_check(uuid, uuid, text, bigint, boolean) from public, anon, authenticated, service_role;
revoke execute on function public.next_reconciliation() from public, anon, authenticated, service_role;
revoke execute on function public.reconcile_exports(uuid, date, date) from public, anon, authenticated, service_role;
grant execute on function export_engine.begin_reconciliation(uuid, date, date, text, boolean) to service_role;
grant execute on function export_engine.continue_reconciliation(uuid) to service_role;
grant execute on function export_engine.record_file_check(uuid, uuid, text, bigint, boolean) to service_role;
grant execute on function export_engine.next_reconciliation() to service_role;
grant execute on function public.begin_reconciliation(uuid, date, date, text, boolean) to service_role;
grant execute on function public.continue_reconciliation(uuid) to service_role;
grant execute on function public.record_file_check(uuid, uuid, text, bigint, boolean) to service_role;
grant execute on function public.next_reconciliation() to service_role;
