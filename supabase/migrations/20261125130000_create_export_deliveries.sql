-- Purpose: what a run sent to an accounting system over its API. Written before anything is sent, so that whoever comes after a
--   crash knows what may be there. A container is where an attempt writes and nobody else, for example a journal of its own.
-- Tables: export_delivery_containers, export_deliveries.

alter table public.export_targets
  drop constraint export_targets_delivery_check,
  add constraint export_targets_delivery_check check (delivery ~ '^[a-z][a-z0-9_]{0,59}$'),
  add column connection jsonb not null default '{}',
  add constraint export_targets_connection_check
    check (jsonb_typeof(connection) = 'object' and octet_length(connection::text) <= 20000),
  add constraint export_targets_connected_check check (delivery = 'file' or connection <> '{}');

comment on column public.export_targets.delivery is
  'How the vouchers get there: file = a file that the accountant imports; else the name of a delivery over the system''s API, for '
  'example business_central.';
comment on column public.export_targets.connection is
  'For a delivery over an API: where the accounting system is, and where its secret lies. Never the secret itself.';

create table public.export_delivery_containers (
  run_id uuid not null,
  fencing_token bigint not null,
  organization_id uuid not null,
  container text not null,
  opened_at timestamptz not null default clock_timestamp(),
  cleared_at timestamptz,
  cleared_by text,
  constraint export_delivery_containers_pkey primary key (run_id, fencing_token),
  constraint export_delivery_containers_run_id_fkey foreign key (run_id) references public.export_runs (id) on delete cascade,
  constraint export_delivery_containers_container_check check (container ~ '^[A-Z0-9]{1,40}$'),
  constraint export_delivery_containers_cleared_check check ((cleared_at is null) = (cleared_by is null))
);

comment on table public.export_delivery_containers is
  'Where each attempt of a run wrote in the accounting system, noted before it wrote. As long as one is not cleared, the accounting '
  'system may have vouchers of the run: its claims are not let go. Written by functions only.';
comment on column public.export_delivery_containers.fencing_token is 'The attempt. Each writes into a container of its own.';
comment on column public.export_delivery_containers.cleared_at is
  'When nothing unposted of the attempt was left in the accounting system; null while it may hold vouchers.';
comment on column public.export_delivery_containers.cleared_by is 'engine, or the name of the person who said that she removed it.';

create table public.export_deliveries (
  run_id uuid not null,
  voucher_number bigint not null,
  organization_id uuid not null,
  fencing_token bigint not null,
  document_number text not null,
  state text not null,
  code text,
  field text,
  message text,
  remote_code text,
  correlation_id text,
  remote_ids jsonb not null default '[]',
  settled_by text,
  updated_at timestamptz not null default clock_timestamp(),
  constraint export_deliveries_pkey primary key (run_id, voucher_number),
  constraint export_deliveries_container_fkey
    foreign key (run_id, fencing_token) references public.export_delivery_containers (run_id, fencing_token) on delete cascade,
  constraint export_deliveries_state_check check (state in ('intended', 'accepted', 'already_there', 'failed', 'unknown')),
  constraint export_deliveries_code_check check (code ~ '^[a-z][a-z0-9_]{0,59}$'),
  constraint export_deliveries_texts_check check (
    char_length(document_number) between 1 and 100 and char_length(field) <= 200 and char_length(message) <= 1000
    and char_length(remote_code) <= 200 and char_length(correlation_id) <= 200
  ),
  constraint export_deliveries_remote_ids_check check (jsonb_typeof(remote_ids) = 'array' and octet_length(remote_ids::text) <= 100000)
);

create index export_deliveries_container_idx on public.export_deliveries (run_id, fencing_token);

comment on table public.export_deliveries is
  'Each voucher of a run that goes over an API: intended before it is sent, then what became of it. Written by functions only.';
comment on column public.export_deliveries.state is
  'intended: it may have been sent; accepted: it lies in the accounting system, to be posted by the accountant; already_there: it stands '
  'in the ledger; failed: nothing of it is there; unknown: nobody knows, so it is never sent again before somebody has asked.';
comment on column public.export_deliveries.code is 'Why it failed or is unknown: a code of ours.';
comment on column public.export_deliveries.field is 'The member that the accounting system refused.';
comment on column public.export_deliveries.message is 'The accounting system''s own words, null when it said nothing.';
comment on column public.export_deliveries.remote_code is 'The accounting system''s own code.';
comment on column public.export_deliveries.correlation_id is 'What the accounting system''s support asks for.';
comment on column public.export_deliveries.remote_ids is 'Identifiers of the lines in the accounting system.';
comment on column public.export_deliveries.settled_by is 'The person who said what became of it; null when the accounting system said so.';

create trigger refuse_direct_write
before insert or update or delete on public.export_delivery_containers
for each statement execute function export_engine.refuse_direct_write();

create trigger refuse_truncate
before truncate on public.export_delivery_containers
for each statement execute function export_engine.refuse_change();

create trigger refuse_direct_write
before insert or update or delete on public.export_deliveries
for each statement execute function export_engine.refuse_direct_write();

create trigger refuse_truncate
before truncate on public.export_deliveries
for each statement execute function export_engine.refuse_change();

alter table public.export_delivery_containers enable row level security;
alter table public.export_deliveries enable row level security;
revoke all on table public.export_delivery_containers from public, anon, authenticated, service_role;
revoke all on table public.export_deliveries from public, anon, authenticated, service_role;

create policy "Staff sees the delivery containers of the organisation" on public.export_delivery_containers
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

create policy "Staff sees the deliveries of the organisation" on public.export_deliveries
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_delivery_containers to authenticated, service_role;
grant select on table public.export_deliveries to authenticated, service_role;

alter table public.export_run_events
  drop constraint export_run_events_event_check,
  add constraint export_run_events_event_check check (
    event in (
      'created', 'started', 'page_reserved', 'sealed', 'taken_over', 'attempt_ended', 'claims_left_out', 'releasing', 'failed',
      'completed', 'parked', 'recovered', 'in_doubt', 'confirmed', 'voiding', 'voided', 'deleted',
      'delivery_begun', 'delivery_cleared', 'delivery_settled'
    )
  );
