-- Purpose: documents beside a file can be read, are kept, belong to their run in reconciliation, and are named with the run.

create or replace function export_engine.may_read_object(p_name text)
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
  select exists (
    select
    from public.export_runs as r
    where
      r.file_path = p_name
      and r.completed_at is not null
      and r.organization_id in (
        select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])
      )
  )
  or exists (
    select
    from public.export_run_documents as d
    where
      d.path = p_name
      and d.organization_id in (
        select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])
      )
  );
$$;

comment on function export_engine.may_read_object is
  'True when the object is the file of a completed run of the caller''s organisation, or a recorded document beside it, so that an orphan '
  'is never mistaken for either. Definer, because the storage server asks it as the user.';

create or replace function export_engine.keep_export_files()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if (
    exists (select from public.export_runs as r where r.file_path = old.name and r.completed_at is not null)
    or exists (select from public.export_run_documents as d where d.path = old.name)
  )
    and (
      tg_op = 'DELETE'
      or (new.name, new.bucket_id, new.version) is distinct from (old.name, old.bucket_id, old.version)
    ) then
    perform export_engine.refuse(
      403, 'history_is_protected', 'The file of a completed run, and what lies beside it, is kept as it is.', 'Void the run if the file is wrong.'
    );
  end if;
  if tg_op = 'DELETE' then
    return old;
  end if;
  return new;
end;
$$;

create or replace function export_engine.reconcile_objects_page(p_row public.export_reconciliations)
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
      and not exists (select from public.export_run_documents as d where d.path = p.name)
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

create or replace function public.get_export_run(p_run_id uuid)
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
    ),
    'left_out_causes', case
      when v_run.left_out_count > 0 then export_engine.left_out_causes(v_run.id) else '[]'::jsonb
    end,
    'breakdown', v_run.breakdown,
    'documents', export_engine.documents_of(v_run.id),
    'configuration', case
      when export_engine.caller_has_role(v_run.organization_id, array['accountant', 'admin'])
        then v_run.configuration || jsonb_build_object('used_layout', v_run.layout)
    end
  );
end;
$$;
