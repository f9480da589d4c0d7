-- Purpose: the private bucket of the export files and who may read from it.
-- Touches: storage.buckets (one row), storage.objects (one policy). The role of migrations owns neither; hosted Supabase
-- lets it insert the row and create the policy. Row-level security is on there already.
-- Nobody but the service key uploads; there is no policy for insert, update or delete on purpose.

create function export_engine.may_read_object(p_name text)
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
  );
$$;

comment on function export_engine.may_read_object is
  'True when the object is the file of a completed run of the caller''s organisation, so that an orphan is never mistaken for a file. '
  'Definer, because the storage server asks it as the user.';

revoke execute on function export_engine.may_read_object(text) from public;
grant execute on function export_engine.may_read_object(text) to authenticated;

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values ('exports', 'exports', false, null, array['text/csv', 'application/json']);

create policy "Staff reads the files of completed runs" on storage.objects
for select to authenticated
using (bucket_id = 'exports' and export_engine.may_read_object(name));
