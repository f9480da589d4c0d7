-- Purpose: what the accounting system made of a file: imported, booked or refused, per run and per voucher. Exported and
--   booked stay two facts: a confirmation never changes the run, its file or its totals.
-- Tables: export_confirmations, export_runs (which run a run takes back), export_run_claims (outcome refused).

create table public.export_confirmations (
  id bigint generated always as identity,
  run_id uuid not null,
  organization_id uuid not null,
  voucher_number bigint,
  outcome text not null,
  external_number text,
  note text,
  confirmed_at timestamptz not null default clock_timestamp(),
  actor_id uuid,
  actor text not null,
  constraint export_confirmations_pkey primary key (id),
  constraint export_confirmations_run_id_fkey foreign key (run_id) references public.export_runs (id) on delete restrict,
  constraint export_confirmations_outcome_check check (
    outcome in (
      'imported',  -- the accounting system has it, not yet posted
      'booked',    -- it is posted in the ledger
      'refused'    -- the accounting system did not take it
    )
  ),
  constraint export_confirmations_external_number_check
    check (external_number is null or (voucher_number is not null and char_length(external_number) between 1 and 100)),
  constraint export_confirmations_note_check check (char_length(note) between 1 and 500),
  constraint export_confirmations_actor_check check (char_length(actor) between 1 and 200)
);

comment on table public.export_confirmations is
  'What the accounting system made of exported vouchers, as people reported it. Append-only: the latest row about a voucher, or '
  'about its whole run, is what counts.';
comment on column public.export_confirmations.voucher_number is 'Our number of the voucher; null when the whole run is meant.';
comment on column public.export_confirmations.external_number is 'The accounting system''s own number of the voucher; null when not told.';
comment on column public.export_confirmations.note is 'What the accountant wants to be remembered; null when nothing.';
comment on column public.export_confirmations.actor_id is 'User who reported it; null for somebody without a login of the app.';
comment on column public.export_confirmations.actor is 'Her name as it was then.';

create index export_confirmations_run_id_idx on public.export_confirmations (run_id, voucher_number, id);
create index export_confirmations_external_number_idx on public.export_confirmations (organization_id, external_number)
where external_number is not null;

create trigger refuse_direct_write
before insert on public.export_confirmations
for each statement execute function export_engine.refuse_direct_write();

create trigger refuse_change
before update or delete on public.export_confirmations
for each row execute function export_engine.refuse_change();

create trigger refuse_truncate
before truncate on public.export_confirmations
for each statement execute function export_engine.refuse_change();

alter table public.export_confirmations enable row level security;
revoke all on table public.export_confirmations from public, anon, authenticated, service_role;
revoke all on sequence public.export_confirmations_id_seq from public, anon, authenticated, service_role;

create policy "Staff sees the confirmations of the organisation" on public.export_confirmations
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_confirmations to authenticated, service_role;

alter table public.export_run_claims
drop constraint export_run_claims_outcome_check,
add constraint export_run_claims_outcome_check check (
  outcome in (
    'included',  -- live: reserved, and exported once the run is completed
    'left_out',  -- could not be exported; the reason says why and the claim is free again
    'released',  -- let go without fault of its own: the run failed, was voided, or did not want it
    'refused'    -- in the file, but the accounting system did not take its voucher; the claim is free again
  )
);

alter table public.export_run_events
drop constraint export_run_events_event_check,
add constraint export_run_events_event_check check (
  event in (
    'created', 'started', 'page_reserved', 'sealed', 'taken_over', 'attempt_ended', 'claims_left_out', 'releasing', 'failed',
    'completed', 'parked', 'recovered', 'in_doubt', 'confirmed', 'voiding', 'voided', 'deleted'
  )
);

alter table public.export_runs
add column reverses_run_id uuid,
add constraint export_runs_reverses_run_id_fkey
  foreign key (reverses_run_id) references public.export_runs (id) on delete restrict,
add constraint export_runs_reverses_run_id_check check (reverses_run_id <> id);

comment on column public.export_runs.reverses_run_id is
  'The run whose vouchers this run takes back, with opposite signs; null for a run that enters claims.';

-- One reversal at a time: a failed or voided one makes room for the next, once the last of its members is let go.
create unique index export_runs_reverses_run_id_key on public.export_runs (reverses_run_id)
where reverses_run_id is not null and status not in ('failed', 'voided');
create index export_runs_reverses_run_id_idx on public.export_runs (reverses_run_id);
