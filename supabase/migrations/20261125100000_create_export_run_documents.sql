-- Purpose: the verification sheet and the manifest that lie beside a run's file, and which runs still want theirs.
-- Touches: export_run_documents, export_documents_due, a trigger on export_runs.

create table public.export_run_documents (
  run_id uuid not null,
  kind text not null,
  organization_id uuid not null,
  path text not null,
  name text not null,
  sha256 text not null,
  size bigint not null,
  content_type text not null,
  created_at timestamptz not null default clock_timestamp(),
  constraint export_run_documents_pkey primary key (run_id, kind),
  -- A run is only ever deleted when its retention is over, and then nobody asks for its sheet.
  constraint export_run_documents_run_id_fkey foreign key (run_id) references public.export_runs (id) on delete cascade,
  constraint export_run_documents_path_key unique (path),
  constraint export_run_documents_kind_check
    check (kind in ('verification_sheet_nb', 'verification_sheet_en', 'manifest')),
  constraint export_run_documents_path_check check (path ~ '^[A-Za-z0-9/._-]+$' and char_length(path) <= 300),
  constraint export_run_documents_name_check check (char_length(name) between 1 and 200),
  constraint export_run_documents_sha256_check check (sha256 ~ '^[0-9a-f]{64}$'),
  constraint export_run_documents_size_check check (size > 0),
  constraint export_run_documents_content_type_check check (char_length(content_type) between 1 and 200)
);

create index export_run_documents_organization_id_idx on public.export_run_documents (organization_id);

comment on table public.export_run_documents is
  'What lies in the bucket beside the file of a completed run: the verification sheet, in Norwegian or English, and the manifest. '
  'One of each, written by functions only, after the object was stored; never changed. Goes with its run.';
comment on column public.export_run_documents.name is 'What a person sees when downloading.';

create function export_engine.keep_document_law()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if export_engine.is_writing() and not exists (select from public.export_runs as r where r.id = old.run_id) then
    return old;
  end if;
  perform export_engine.refuse(403, 'history_is_protected', 'The documents of a completed run are kept as long as the run.');
  return null;
end;
$$;

comment on function export_engine.keep_document_law is
  'Trigger: the row of a document goes with its run, and never before. Also for the owner.';

create trigger refuse_direct_write
before insert on public.export_run_documents
for each statement execute function export_engine.refuse_direct_write();

create trigger refuse_change
before update on public.export_run_documents
for each row execute function export_engine.refuse_change();

create trigger keep_document_law
before delete on public.export_run_documents
for each row execute function export_engine.keep_document_law();

create trigger refuse_truncate
before truncate on public.export_run_documents
for each statement execute function export_engine.refuse_change();

alter table public.export_run_documents enable row level security;
revoke all on table public.export_run_documents from public, anon, authenticated, service_role;
grant select on table public.export_run_documents to authenticated, service_role;

create policy "Staff sees the documents of the organisation" on public.export_run_documents
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

create table public.export_documents_due (
  run_id uuid not null,
  organization_id uuid not null,
  due_at timestamptz not null default clock_timestamp(),
  tries integer not null default 0,
  problem_code text,
  constraint export_documents_due_pkey primary key (run_id),
  constraint export_documents_due_run_id_fkey foreign key (run_id) references public.export_runs (id) on delete cascade,
  constraint export_documents_due_tries_check check (tries >= 0),
  constraint export_documents_due_problem_code_check check (problem_code ~ '^[a-z][a-z0-9_]{0,59}$')
);

create index export_documents_due_due_at_idx on public.export_documents_due (due_at)
where problem_code is null and tries < 5;
create index export_documents_due_organization_id_idx on public.export_documents_due (organization_id);

comment on table public.export_documents_due is
  'Completed runs whose verification sheet and manifest the sweep has not made yet. No history: a row goes when they are there.';
comment on column public.export_documents_due.due_at is 'From then on a sweep may try; each try puts it off, so that two sweeps do not make the same.';
comment on column public.export_documents_due.tries is 'The sweep gives up after five; whoever asks for the sheet tries again.';
comment on column public.export_documents_due.problem_code is
  'Why the sweep tries no more; null while it does. sheet_not_reproducible: rendering again did not give the bytes of the file.';

alter table public.export_documents_due enable row level security;
revoke all on table public.export_documents_due from public, anon, authenticated, service_role;
grant select on table public.export_documents_due to authenticated, service_role;

create policy "Staff sees which documents the organisation waits for" on public.export_documents_due
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

create function export_engine.note_due_documents()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into public.export_documents_due (run_id, organization_id) values (new.id, new.organization_id)
  on conflict do nothing;
  return null;
end;
$$;

comment on function export_engine.note_due_documents is
  'Trigger: a run that is completed with a file of ours wants its sheet. One small row, and no round trip of the export.';

create trigger note_due_documents
after update of status on public.export_runs
for each row
when (new.status = 'completed' and old.status is distinct from 'completed' and new.origin <> 'manual' and new.file_sha256 is not null)
execute function export_engine.note_due_documents();

-- Runs from before this migration get theirs too, the latest first.
insert into public.export_documents_due (run_id, organization_id, due_at)
select r.id, r.organization_id, clock_timestamp() + (clock_timestamp() - r.completed_at) / 1000
from public.export_runs as r
where r.completed_at is not null and r.origin <> 'manual' and r.file_sha256 is not null;

create function export_engine.run_with_file(p_run_id uuid)
returns public.export_runs
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  if v_run.origin = 'manual' then
    perform export_engine.refuse(
      409, 'run_is_manual', 'This run was exported by hand: the engine has no vouchers of it.', 'Look at the list that it was recorded from.'
    );
  end if;
  if v_run.completed_at is null then
    perform export_engine.refuse(
      409, 'run_has_no_file', format('Run %s is %s: there is no file to verify.', v_run.run_number, v_run.status),
      'Wait until the run is completed.'
    );
  end if;
  return v_run;
end;
$$;

comment on function export_engine.run_with_file is
  'A run whose file the engine made: completed, or voided since. Any other is refused, with the reason.';

create function export_engine.documents_of(p_run_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'kind', d.kind, 'path', d.path, 'name', d.name, 'sha256', d.sha256, 'size', d.size,
        'content_type', d.content_type, 'created_at', d.created_at
      )
      order by d.kind
    ),
    '[]'
  )
  from public.export_run_documents as d
  where d.run_id = p_run_id;
$$;

comment on function export_engine.documents_of is 'The documents of a run that the caller may see.';

create function export_engine.get_export_document_source(p_run_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.run_with_file(p_run_id);
begin
  return jsonb_build_object(
    'run', export_engine.run_json(v_run),
    'configuration', v_run.configuration,
    'layout', v_run.layout,
    'organization_name', (select o.name from public.organizations as o where o.id = v_run.organization_id),
    'reverses_run_number', (select r.run_number from public.export_runs as r where r.id = v_run.reverses_run_id),
    'completed_at', to_char(v_run.completed_at at time zone v_run.time_zone, 'YYYY-MM-DD HH24:MI:SS'),
    'completed_at_utc', to_char(v_run.completed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    'documents', export_engine.documents_of(v_run.id)
  );
end;
$$;

comment on function export_engine.get_export_document_source is
  'What the documents of a run are made from, but for its members. Definer, because the worker need not be allowed to read tables.';

create function export_engine.read_file_members(p_run_id uuid, p_after_position integer)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.run_with_file(p_run_id);
begin
  return (
    with page as materialized (
      select m.position, m.claim_id, m.kind, m.generation, m.voucher_number, m.document
      from public.export_run_claims as m
      where
        m.run_id = v_run.id
        and m.position > p_after_position
        -- What a void or a refused voucher let go since is in the file all the same.
        and (m.outcome in ('included', 'refused') or (m.outcome = 'released' and m.released_at > v_run.completed_at))
      order by m.position
      limit export_engine.page_size()
    )
    select jsonb_build_object(
      'claims', coalesce(jsonb_agg(to_jsonb(p) order by p.position), '[]'),
      'last_page', count(*) < export_engine.page_size()
    )
    from page as p
  );
end;
$$;

comment on function export_engine.read_file_members is
  'A page of the members that are in a completed run''s file, as they were frozen, whatever became of them since. Definer, because the '
  'worker need not be allowed to read tables.';

create function export_engine.read_left_out_members(p_run_id uuid, p_after_position integer)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.run_with_file(p_run_id);
begin
  return (
    with page as materialized (
      select
        m.position, m.claim_id, m.document ->> 'claim_number' as claim_number, m.reason_code as code, m.reason_field as field,
        m.reason_message as message, m.amount::text as amount, m.currency
      from public.export_run_claims as m
      where m.run_id = v_run.id and m.position > p_after_position and m.outcome = 'left_out'
      order by m.position
      limit export_engine.page_size()
    )
    select jsonb_build_object(
      'claims', coalesce(jsonb_agg(to_jsonb(p) order by p.position), '[]'),
      'last_page', count(*) < export_engine.page_size()
    )
    from page as p
  );
end;
$$;

comment on function export_engine.read_left_out_members is
  'A page of the members that a completed run left out of its file. Definer, because the worker need not be allowed to read tables.';

create function export_engine.record_export_documents(p_run_id uuid, p_documents jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.run_with_file(p_run_id);
  v_document jsonb;
begin
  for v_document in select d.value from jsonb_array_elements(p_documents) as d (value)
  loop
    perform export_engine.check_stored_file(v_run, v_document);
  end loop;
  perform export_engine.open_for_writing();
  -- Two who make the same at once both find what the first one recorded.
  insert into public.export_run_documents (run_id, kind, organization_id, path, name, sha256, size, content_type)
  select v_run.id, d.kind, v_run.organization_id, d.path, d.name, d.sha256, d.size, d.content_type
  from jsonb_to_recordset(p_documents) as d (kind text, path text, name text, sha256 text, size bigint, content_type text)
  order by d.kind
  on conflict (run_id, kind) do nothing;
  perform export_engine.close_for_writing();
  delete from public.export_documents_due where run_id = v_run.id;
  return jsonb_build_object('documents', export_engine.documents_of(v_run.id));
end;
$$;

comment on function export_engine.record_export_documents is
  'Records documents that lie in the bucket; said again, or by another who was slower, it changes nothing. Definer, because no API role '
  'may write the table.';

create function export_engine.take_due_documents(p_limit integer)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_runs jsonb;
begin
  with taken as (
    update public.export_documents_due as d
    set tries = d.tries + 1, due_at = clock_timestamp() + interval '10 minutes' * (d.tries + 1)
    where d.run_id in (
      select x.run_id
      from public.export_documents_due as x
      where x.problem_code is null and x.tries < 5 and x.due_at <= clock_timestamp()
      order by x.due_at
      limit least(p_limit, 100)
      for update skip locked
    )
    returning d.run_id, d.organization_id
  )
  select coalesce(jsonb_agg(jsonb_build_object('run_id', t.run_id, 'organization_id', t.organization_id)), '[]') into v_runs
  from taken as t;
  return jsonb_build_object('runs', v_runs);
end;
$$;

comment on function export_engine.take_due_documents is
  'Runs that want their documents, each for one sweep at a time. Definer, because no API role may write the table.';

create function export_engine.give_up_due_documents(p_run_id uuid, p_problem_code text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  update public.export_documents_due set problem_code = p_problem_code where run_id = p_run_id;
  return jsonb_build_object('recorded', found);
end;
$$;

comment on function export_engine.give_up_due_documents is
  'Writes down why the sweep need not try again. Definer, because no API role may write the table.';

create function public.get_export_document_source(p_run_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select export_engine.get_export_document_source(p_run_id);
$$;

comment on function public.get_export_document_source is 'Service: run, frozen configuration and recorded documents of a run with a file.';

create function public.read_file_members(p_run_id uuid, p_after_position integer)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select export_engine.read_file_members(p_run_id, p_after_position);
$$;

comment on function public.read_file_members is 'Service: the next page of members in the file of a completed run.';

create function public.read_left_out_members(p_run_id uuid, p_after_position integer)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select export_engine.read_left_out_members(p_run_id, p_after_position);
$$;

comment on function public.read_left_out_members is 'Service: the next page of members that a completed run left out.';

create function public.record_export_documents(p_run_id uuid, p_documents jsonb)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.record_export_documents(p_run_id, p_documents);
$$;

comment on function public.record_export_documents is 'Service: records stored documents of a run, and answers all that it has.';

create function public.take_due_documents(p_limit integer)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.take_due_documents(p_limit);
$$;

comment on function public.take_due_documents is 'Service: runs whose documents the sweep should make now.';

create function public.give_up_due_documents(p_run_id uuid, p_problem_code text)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.give_up_due_documents(p_run_id, p_problem_code);
$$;

comment on function public.give_up_due_documents is 'Service: the sweep makes no documents of this run.';

revoke execute on function export_engine.keep_document_law() from public;
revoke execute on function export_engine.note_due_documents() from public;
revoke execute on function export_engine.run_with_file(uuid) from public;
revoke execute on function export_engine.documents_of(uuid) from public;
grant execute on function export_engine.documents_of(uuid) to authenticated, service_role;
revoke execute on function export_engine.get_export_document_source(uuid) from public;
revoke execute on function export_engine.read_file_members(uuid, integer) from public;
revoke execute on function export_engine.read_left_out_members(uuid, integer) from public;
revoke execute on function export_engine.record_export_documents(uuid, jsonb) from public;
revoke execute on function export_engine.take_due_documents(integer) from public;
revoke execute on function export_engine.give_up_due_documents(uuid, text) from public;
grant execute on function export_engine.get_export_document_source(uuid) to service_role;
grant execute on function export_engine.read_file_members(uuid, integer) to service_role;
grant execute on function export_engine.read_left_out_members(uuid, integer) to service_role;
grant execute on function export_engine.record_export_documents(uuid, jsonb) to service_role;
grant execute on function export_engine.take_due_documents(integer) to service_role;
grant execute on function export_engine.give_up_due_documents(uuid, text) to service_role;
revoke execute on function public.get_export_document_source(uuid) from public, anon, authenticated, service_role;
revoke execute on function public.read_file_members(uuid, integer) from public, anon, authenticated, service_role;
revoke execute on function public.read_left_out_members(uuid, integer) from public, anon, authenticated, service_role;
revoke execute on function public.record_export_documents(uuid, jsonb) from public, anon, authenticated, service_role;
revoke execute on function public.take_due_documents(integer) from public, anon, authenticated, service_role;
revoke execute on function public.give_up_due_documents(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.get_export_document_source(uuid) to service_role;
grant execute on function public.read_file_members(uuid, integer) to service_role;
grant execute on function public.read_left_out_members(uuid, integer) to service_role;
grant execute on function public.record_export_documents(uuid, jsonb) to service_role;
grant execute on function public.take_due_documents(integer) to service_role;
grant execute on function public.give_up_due_documents(uuid, text) to service_role;
