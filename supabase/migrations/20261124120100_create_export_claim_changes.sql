-- Purpose: where to look for claims that were changed after a run had frozen them. A note says that somebody touched a claim; whether
-- it differs from what is in the books is found out by comparing (export_changed_claims), so that a note too many does no harm.
-- Tables: export_claim_changes.
-- Surprising: a log, not a row per claim. Notes are only ever inserted, so that two people who edit one claim, or many claims in
-- different order, never wait for each other because of a note.

create table public.export_claim_changes (
  id bigint generated always as identity,
  organization_id uuid not null,
  claim_id uuid not null,
  changed_at timestamptz not null default clock_timestamp(),
  looked_at timestamptz not null default '-infinity',
  constraint export_claim_changes_pkey primary key (id)
);

comment on table public.export_claim_changes is
  'Notes that a claim was touched which was, or may have been, in an export run. Written by triggers on the app''s tables. '
  'settle_claim_changes removes notes of claims that are again as they were exported.';
comment on column public.export_claim_changes.looked_at is 'When settle_claim_changes last compared the claim; -infinity: never.';

create index export_claim_changes_claim_id_idx on public.export_claim_changes (claim_id, id);
create index export_claim_changes_organization_id_idx on public.export_claim_changes (organization_id, id);
create index export_claim_changes_looked_at_idx on public.export_claim_changes (looked_at, id);

create trigger refuse_direct_write
before insert or update or delete on public.export_claim_changes
for each statement execute function export_engine.refuse_direct_write();

create trigger refuse_truncate
before truncate on public.export_claim_changes
for each statement execute function export_engine.refuse_change();

alter table public.export_claim_changes enable row level security;
revoke all on table public.export_claim_changes from public, anon, authenticated, service_role;
revoke all on sequence public.export_claim_changes_id_seq from public, anon, authenticated, service_role;

create policy "Staff sees the changes of the organisation" on public.export_claim_changes
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_claim_changes to authenticated, service_role;

create function export_engine.note_claim_changes(p_claim_ids uuid[], p_organization_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_was_writing boolean := export_engine.is_writing();
begin
  -- The change may be the engine's own: then its mark must outlast this note.
  if not v_was_writing then
    perform export_engine.open_for_writing();
  end if;
  insert into public.export_claim_changes (claim_id, organization_id)
  select touched.claim_id, touched.organization_id
  from unnest(p_claim_ids, p_organization_ids) as touched (claim_id, organization_id);
  if not v_was_writing then
    perform export_engine.close_for_writing();
  end if;
end;
$$;

comment on function export_engine.note_claim_changes is
  'Notes that claims were touched. Only inserts: the app''s own writes neither wait nor fail because of it.';

create function export_engine.has_live_entry(p_claim_id uuid)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  -- One look-up in the unique index of live entries.
  select exists (
    select from public.export_run_claims as m where m.claim_id = p_claim_id and m.kind = 'entry' and m.released_at is null
  );
$$;

comment on function export_engine.has_live_entry is 'True when the claim is in some run, or was in one that another took back.';

create function export_engine.document_to_compare(p_claim_id uuid, p_document jsonb)
returns jsonb
language sql
stable
security invoker
set search_path = ''
-- The day of an approval that was repeated is no change of the claim.
return p_document - 'approved_on';

comment on function export_engine.document_to_compare is
  'What was frozen of a claim, as it is compared with the claim of now. A function that takes texts out of claims replaces this one '
  'and takes the same texts out here, so that an erasure is not listed as a change.';

revoke execute on function export_engine.note_claim_changes(uuid[], uuid[]) from public;
revoke execute on function export_engine.has_live_entry(uuid) from public;
revoke execute on function export_engine.document_to_compare(uuid, jsonb) from public;
grant execute on function export_engine.document_to_compare(uuid, jsonb) to authenticated, service_role;
