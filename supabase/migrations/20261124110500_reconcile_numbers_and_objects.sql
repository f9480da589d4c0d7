-- Purpose: every number that was given has its row, every object in the bucket has its run, and the lock belongs to a run that needs it.

create function export_engine.reconcile_numbers_page(p_row public.export_reconciliations)
returns public.export_reconciliations
language plpgsql
stable
security invoker
set search_path = ''
-- In the order of the indexes, as in approved_claims.
set enable_sort = off
set enable_bitmapscan = off
as $$
declare
  v_row public.export_reconciliations := p_row;
  v_name text := coalesce(p_row.cursor ->> 'name', 'run_number');
  v_word text := case v_name when 'run_number' then 'Run' else 'Voucher' end;
  v_last bigint := case v_name when 'run_number' then p_row.last_run_number else p_row.last_voucher_number end;
  v_after bigint := coalesce((p_row.cursor ->> 'after')::bigint, 0);
  v_given bigint[];
  v_missing int8multirange := '{}';
  v_findings jsonb;
begin
  -- Each number once, whatever has it; the last one of a page is the next page's first again, so that no gap lies between pages.
  if v_name = 'run_number' then
    v_given := array(
      select r.run_number
      from public.export_runs as r
      where r.organization_id = p_row.organization_id and r.run_number > v_after and r.run_number <= v_last
      order by r.run_number
      limit export_engine.page_size()
    );
  else
    v_given := array(
      select m.voucher_number
      from public.export_run_claims as m
      where m.organization_id = p_row.organization_id and m.voucher_number > v_after and m.voucher_number <= v_last
      order by m.voucher_number
      limit export_engine.page_size()
    );
  end if;
  v_row := export_engine.add_checked(v_row, 'numbers', cardinality(v_given));

  -- Before the first number there may be a series of another system's.
  if v_after = 0 and cardinality(v_given) > 0 then
    v_after := v_given[1];
  end if;
  if v_after > 0 then
    v_missing := int8multirange(
      int8range(
        v_after + 1,
        1 + greatest(
          v_after, case when cardinality(v_given) < export_engine.page_size() then v_last else v_given[cardinality(v_given)] end
        )
      )
    );
  end if;
  if not isempty(v_missing) then
    v_missing := v_missing - coalesce(
      (select range_agg(int8range(g.number, g.number, '[]')) from unnest(v_given) as g (number)), '{}'
    );
  end if;
  if not isempty(v_missing) then
    v_missing := v_missing - export_engine.explained_numbers(p_row.organization_id, v_name);
  end if;
  select coalesce(
    jsonb_agg(
      export_engine.finding(
        v_name || '_missing',
        case
          when upper(g.missing) - lower(g.missing) = 1 then format('%s number %s was given and has no row.', v_word, lower(g.missing))
          else format('%s numbers %s to %s were given and have no row.', v_word, lower(g.missing), upper(g.missing) - 1)
        end,
        jsonb_build_object('number', lower(g.missing))
      )
      order by g.missing
    ),
    '[]'
  )
  into v_findings
  from unnest(v_missing) as g (missing);
  v_row := export_engine.add_findings(v_row, v_findings);
  if v_name = 'voucher_number' then
    v_row := export_engine.add_findings(v_row, export_engine.doubled_numbers(p_row.organization_id, v_given));
  end if;

  if cardinality(v_given) = export_engine.page_size() then
    v_row.cursor := jsonb_build_object('name', v_name, 'after', v_given[cardinality(v_given)]);
  elsif v_name = 'run_number' then
    v_row.cursor := jsonb_build_object('name', 'voucher_number', 'after', 0);
  else
    v_row := export_engine.next_phase(v_row, 'objects');
  end if;
  return v_row;
end;
$$;

comment on function export_engine.reconcile_numbers_page is
  'One page of the phase numbers: from the smallest number to the counter''s last value, as it was when the reconciliation began, each '
  'has its row or an explanation.';

create function export_engine.doubled_numbers(p_organization_id uuid, p_numbers bigint[])
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      export_engine.finding(
        'voucher_number_doubled', format('Voucher %s was given by %s runs.', d.voucher_number, d.runs),
        jsonb_build_object('number', d.voucher_number)
      )
      order by d.voucher_number
    ),
    '[]'
  )
  from (
    select m.voucher_number, count(distinct m.run_id) as runs
    from public.export_run_claims as m
    where
      m.organization_id = p_organization_id
      and m.voucher_number between p_numbers[1] and p_numbers[cardinality(p_numbers)]
      and m.voucher_number = any (
        -- Most pages have none: what stands once in the page, and is not its last, needs no look.
        select n.number
        from unnest(p_numbers) as n (number)
        group by n.number
        having count(*) > 1 or n.number = p_numbers[cardinality(p_numbers)]
      )
    group by m.voucher_number
    having count(distinct m.run_id) > 1
  ) as d;
$$;

comment on function export_engine.doubled_numbers is
  'Findings for voucher numbers that more than one run gave. A voucher of several claims has its number several times in one run.';

create function export_engine.reconcile_objects_page(p_row public.export_reconciliations)
returns public.export_reconciliations
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_row public.export_reconciliations := p_row;
  v_page record;
begin
  with page as materialized (
    select o.name, split_part(o.name, '/', 2) as folder
    from storage.objects as o
    where
      o.bucket_id = 'exports'
      -- In the order of the bytes, as the storage server's own index has them; '0' is the character after '/'.
      and o.name collate "C" > coalesce(p_row.cursor ->> 'after', p_row.organization_id || '/')
      and o.name collate "C" < p_row.organization_id || '0'
    order by o.name collate "C"
    limit export_engine.page_size()
  ),
  judged as (
    select p.name, p.folder, run.id, run.run_number, run.status
    from page as p
    left join public.export_runs as run
      on run.id = case
        when p.folder ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then p.folder::uuid
      end
    where
      not exists (select from public.export_runs as r where r.file_path = p.name and r.completed_at is not null)
      -- Stored, and about to be named.
      and coalesce(run.status not in ('pending', 'processing', 'parked', 'in_doubt'), true)
  )
  select
    (select count(*) from page) as seen,
    (select max(p.name collate "C") from page as p) as last_name,
    (
      select coalesce(
        jsonb_agg(
          case
            when j.id is null and j.folder ~ '^[0-9a-f-]{36}$' and not export_engine.is_deleted_for_good(j.folder::uuid)
              then export_engine.finding(
                'file_of_unknown_run', format('A file lies in the bucket of a run that the database does not know: %s.', j.name),
                jsonb_build_object('object', j.name)
              )
            else export_engine.finding(
              'orphan_object',
              format('No run names the object %s%s.', j.name, coalesce(format('; run %s is %s', j.run_number, j.status), '')),
              jsonb_build_object('object', j.name, 'run_id', j.id, 'run_number', j.run_number)
            )
          end
          order by j.name
        ),
        '[]'
      )
      from judged as j
    ) as findings
  into v_page;

  v_row := export_engine.add_findings(v_row, v_page.findings);
  v_row := export_engine.add_checked(v_row, 'objects', v_page.seen);
  if v_page.seen < export_engine.page_size() then
    return export_engine.next_phase(v_row, 'locks');
  end if;
  v_row.cursor := jsonb_build_object('after', v_page.last_name);
  return v_row;
end;
$$;

comment on function export_engine.reconcile_objects_page is
  'One page of the phase objects: what lies in the organisation''s folder and no completed run names. A run that the database does not '
  'know is what a restored backup forgot; everything else is tidying up.';

create function export_engine.reconcile_locks(p_row public.export_reconciliations)
returns public.export_reconciliations
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_row public.export_reconciliations := p_row;
  v_findings jsonb;
begin
  select coalesce(jsonb_agg(export_engine.finding(f.code, f.sentence, export_engine.run_about(f.run))), '[]')
  into v_findings
  from (
    select
      'lock_of_finished_run' as code,
      format('Run %s is %s and the lock still names it: nobody can begin.', r.run_number, r.status) as sentence,
      r as run
    from public.export_locks as l
    join public.export_runs as r on r.id = l.run_id
    where l.organization_id = p_row.organization_id and r.status not in ('processing', 'releasing')
    union all
    (
      select
        case r.status
          when 'parked' then 'run_parked'
          when 'in_doubt' then 'run_in_doubt'
          when 'pending' then 'run_pending'
          when 'processing' then case when l.run_id is null then 'run_without_lock' else 'lease_over' end
          else 'lease_over'
        end,
        case r.status
          when 'parked' then format('Run %s is set aside with its claims.', r.run_number)
          when 'in_doubt' then format('It is not known what the accounting system got of run %s.', r.run_number)
          when 'pending' then format('Run %s was created and never begun.', r.run_number)
          when 'processing' then case
            when l.run_id is null then format('Run %s is processing and has no lock: nobody can take it over.', r.run_number)
            else format('The worker of run %s fell silent at %s.', r.run_number, l.expires_at)
          end
          else format('Run %s is %s and nobody works on it.', r.run_number, r.status)
        end,
        r
      from public.export_runs as r
      left join public.export_locks as l on l.organization_id = r.organization_id and l.run_id = r.id
      where
        r.organization_id = p_row.organization_id
        and (
          r.status in ('parked', 'in_doubt')
          or (r.status = 'pending' and r.created_at < clock_timestamp() - interval '1 hour')
          or (r.status in ('processing', 'releasing', 'voiding') and coalesce(l.expires_at <= clock_timestamp(), true))
        )
      order by r.run_number
      limit export_engine.page_size()
    )
  ) as f;
  v_row := export_engine.add_findings(v_row, v_findings);
  return export_engine.next_phase(v_row, case when p_row.files_since is null then 'done' else 'files' end);
end;
$$;

comment on function export_engine.reconcile_locks is
  'The phase locks, in one step: a lock that names a finished run and a run that nobody can take over are faults; what waits for a '
  'sweep or for a person is noted.';

revoke execute on function export_engine.reconcile_numbers_page(public.export_reconciliations) from public;
revoke execute on function export_engine.doubled_numbers(uuid, bigint[]) from public;
revoke execute on function export_engine.reconcile_objects_page(public.export_reconciliations) from public;
revoke execute on function export_engine.reconcile_locks(public.export_reconciliations) from public;
