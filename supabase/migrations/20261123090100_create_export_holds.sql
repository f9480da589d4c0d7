-- Purpose: what is not exported by itself for now: single claims after a void or a refusal, or a whole organisation.
-- Tables: export_holds.

create table public.export_holds (
  id uuid not null default gen_random_uuid(),
  organization_id uuid not null,
  claim_id uuid,
  cause text not null,
  reason text not null,
  held_at timestamptz not null default clock_timestamp(),
  held_by text not null,
  lifted_at timestamptz,
  lifted_by text,
  constraint export_holds_pkey primary key (id),
  constraint export_holds_organization_id_fkey
    foreign key (organization_id) references public.organizations (id) on delete restrict,
  constraint export_holds_cause_check check (
    cause in (
      'voided',   -- its run was voided
      'reversed', -- its run was reversed, or is about to be
      'refused',  -- the accounting system refused its voucher
      'by_hand'   -- an admin holds it, or the organisation
    )
  ),
  constraint export_holds_reason_check check (char_length(reason) between 1 and 500),
  constraint export_holds_held_by_check check (char_length(held_by) between 1 and 200),
  constraint export_holds_lifted_check check (num_nonnulls(lifted_at, lifted_by) in (0, 2))
);

comment on table public.export_holds is
  'Holds on claims, which automatic triggers respect and an export by hand lifts, and on organisations, which export nothing until '
  'the hold is lifted. Written by functions only; a lifted hold stays as history.';
comment on column public.export_holds.claim_id is 'The claim; null when the whole organisation is held.';
comment on column public.export_holds.lifted_at is 'Null while the hold stands.';
comment on column public.export_holds.lifted_by is 'Who lifted it, or the run that took the claim; null while the hold stands.';

create unique index export_holds_organization_key on public.export_holds (organization_id)
where claim_id is null and lifted_at is null;
create unique index export_holds_claim_key on public.export_holds (claim_id)
where claim_id is not null and lifted_at is null;
create index export_holds_history_idx on public.export_holds (organization_id, held_at);

create trigger refuse_direct_write
before insert or update on public.export_holds
for each statement execute function export_engine.refuse_direct_write();

create trigger refuse_delete
before delete on public.export_holds
for each row execute function export_engine.refuse_change();

create trigger refuse_truncate
before truncate on public.export_holds
for each statement execute function export_engine.refuse_change();

alter table public.export_holds enable row level security;
revoke all on table public.export_holds from public, anon, authenticated, service_role;

create policy "Staff sees the holds of the organisation" on public.export_holds
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_holds to authenticated, service_role;
