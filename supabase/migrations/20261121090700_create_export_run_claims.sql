-- Purpose: which claim is in which run, and the index that makes a double impossible even if all else is wrong.
-- Tables: export_run_claims.
-- No foreign key to expense_claims: that table belongs to the app and may have another name. create_claims_seam.sql
-- keeps a claim that was ever a member from being deleted.

create table public.export_run_claims (
  run_id uuid not null,
  position integer not null,
  organization_id uuid not null,
  claim_id uuid not null,
  kind text not null default 'entry',
  generation integer not null default 1,
  voucher_number bigint not null,
  document jsonb not null,
  amount numeric(18, 2) not null,
  currency text not null,
  outcome text not null default 'included',
  reason_code text,
  reason_field text,
  reason_message text,
  reserved_at timestamptz not null default clock_timestamp(),
  released_at timestamptz,
  constraint export_run_claims_pkey primary key (run_id, position),
  constraint export_run_claims_run_id_fkey foreign key (run_id) references public.export_runs (id) on delete restrict,
  constraint export_run_claims_position_check check (position > 0),
  constraint export_run_claims_kind_check check (
    kind in (
      'entry',    -- the claim is entered into the books
      'reversal'  -- an earlier entry is taken back
    )
  ),
  constraint export_run_claims_generation_check check (generation > 0),
  constraint export_run_claims_voucher_number_check check (voucher_number between 1 and 99999999),
  constraint export_run_claims_currency_check check (currency ~ '^[A-Z]{3}$'),
  constraint export_run_claims_outcome_check check (
    outcome in (
      'included',  -- live: reserved, and exported once the run is completed
      'left_out',  -- could not be exported; the reason says why and the claim is free again
      'released'   -- let go without fault of its own: the run failed, was voided, or did not want it
    )
  ),
  constraint export_run_claims_released_check check ((outcome = 'included') = (released_at is null)),
  constraint export_run_claims_reason_check check ((outcome = 'left_out') = (num_nonnulls(reason_code, reason_message) = 2)),
  constraint export_run_claims_reason_code_check check (reason_code ~ '^[a-z][a-z0-9_]{0,59}$'),
  constraint export_run_claims_reason_field_check check (char_length(reason_field) <= 100),
  constraint export_run_claims_reason_message_check check (char_length(reason_message) <= 1000)
);

comment on table public.export_run_claims is
  'Membership of a claim in a run, with the claim frozen as it was. A claim is exported when it has a live entry in a '
  'completed run that no completed reversal took back: derived, never a flag. Written by functions only.';
comment on column public.export_run_claims.position is 'Order within the run, from 1; the order of vouchers in the file.';
comment on column public.export_run_claims.generation is 'Which entry of this claim: 1, then one more after each completed reversal.';
comment on column public.export_run_claims.voucher_number is 'Number of the voucher that holds the claim. Given once; a left-out claim keeps its number, so a gap explains itself.';
comment on column public.export_run_claims.document is 'The claim as it was when it was reserved. The file is rendered from this and nothing else.';
comment on column public.export_run_claims.amount is 'Sum of the frozen lines.';
comment on column public.export_run_claims.reason_code is 'Stable code; null unless left out.';
comment on column public.export_run_claims.reason_field is 'Field of the claim that stood in the way; null where none is to blame.';
comment on column public.export_run_claims.reason_message is 'One sentence; null unless left out.';
comment on column public.export_run_claims.released_at is 'Null while the membership is live.';

-- I1: at most one live entry (and one live reversal) per claim and generation, whatever happens above.
create unique index export_run_claims_live_key on public.export_run_claims (claim_id, kind, generation)
where released_at is null;
-- The hot path "in which runs is this claim", released memberships included; and "this claim in this run".
create index export_run_claims_claim_id_run_id_idx on public.export_run_claims (claim_id, run_id);

-- What needs attention, found without reading everything that was ever exported.
create index export_run_claims_left_out_idx on public.export_run_claims (organization_id, claim_id) where outcome = 'left_out';

create function export_engine.keep_membership_law()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if old.released_at is not null then
    perform export_engine.refuse(403, 'history_is_protected', 'A membership that was released stays as it is.');
  end if;
  if (
    new.run_id, new.position, new.organization_id, new.claim_id, new.kind, new.generation, new.voucher_number,
    new.document, new.amount, new.currency, new.reserved_at
  ) is distinct from (
    old.run_id, old.position, old.organization_id, old.claim_id, old.kind, old.generation, old.voucher_number,
    old.document, old.amount, old.currency, old.reserved_at
  ) then
    perform export_engine.refuse(403, 'history_is_protected', 'What was frozen into a run never changes.');
  end if;
  return new;
end;
$$;

comment on function export_engine.keep_membership_law is 'Trigger: a membership is only ever released, once. Also for the owner.';

create trigger refuse_direct_write
before insert or update on public.export_run_claims
for each statement execute function export_engine.refuse_direct_write();

create trigger keep_membership_law
before update on public.export_run_claims
for each row execute function export_engine.keep_membership_law();

create trigger refuse_delete
before delete on public.export_run_claims
for each row execute function export_engine.refuse_change();

create trigger refuse_truncate
before truncate on public.export_run_claims
for each statement execute function export_engine.refuse_change();

alter table public.export_run_claims enable row level security;
revoke all on table public.export_run_claims from public, anon, authenticated, service_role;
revoke execute on function export_engine.keep_membership_law() from public;

create policy "Staff sees the memberships of the organisation" on public.export_run_claims
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_run_claims to authenticated, service_role;

create view export_engine.entered_claims
with (security_invoker = true)
as
select m.claim_id, m.run_id, m.generation
from public.export_run_claims as m
where
  m.kind = 'entry'
  and m.released_at is null
  and not exists (
    select
    from public.export_run_claims as back
    join public.export_runs as run on run.id = back.run_id
    where
      back.claim_id = m.claim_id
      and back.kind = 'reversal'
      and back.generation = m.generation
      and back.released_at is null
      and run.status = 'completed'
  );

comment on view export_engine.entered_claims is
  'Claims that are in some run now: a live entry, reserved or exported, that no completed reversal took back.';
