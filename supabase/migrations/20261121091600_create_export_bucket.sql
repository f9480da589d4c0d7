-- Purpose: the private bucket of the export files and who may read from it.
-- Touches: storage.buckets (one row), storage.objects (policies, a trigger). The role of migrations owns neither; hosted
-- Supabase lets it insert the row and create policies and triggers. Row-level security is on there already.
-- Nobody but the service key uploads. The restrictive policies hold that also where the adopter has wide ones of her own.

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

create policy "Nobody uploads export files by hand" on storage.objects
as restrictive
for insert to anon, authenticated
with check (bucket_id <> 'exports');

create policy "Nobody changes export files" on storage.objects
as restrictive
for update to anon, authenticated
using (bucket_id <> 'exports')
with check (bucket_id <> 'exports');

create policy "Nobody deletes export files" on storage.objects
as restrictive
for delete to anon, authenticated
using (bucket_id <> 'exports');

create function export_engine.keep_export_files()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if exists (select from public.export_runs as r where r.file_path = old.name and r.completed_at is not null)
    and (
      tg_op = 'DELETE'
      or (new.name, new.bucket_id, new.version) is distinct from (old.name, old.bucket_id, old.version)
    ) then
    perform export_engine.refuse(
      403, 'history_is_protected', 'The file of a completed run is kept as it is.', 'Void the run if the file is wrong.'
    );
  end if;
  if tg_op = 'DELETE' then
    return old;
  end if;
  return new;
end;
$$;

comment on function export_engine.keep_export_files is
  'Trigger: the stored bytes of a completed run are for ever, also for the service key and the storage browser. Definer, '
  'because the storage server need not be allowed to read runs.';

revoke execute on function export_engine.keep_export_files() from public;

create trigger keep_export_files
before update or delete on storage.objects
for each row when (old.bucket_id = 'exports')
execute function export_engine.keep_export_files();
