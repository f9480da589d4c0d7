-- Purpose: what happened to a run, in order, by whom. Append-only.
-- Tables: export_run_events.

create table public.export_run_events (
  id bigint generated always as identity,
  run_id uuid not null,
  organization_id uuid not null,
  occurred_at timestamptz not null default clock_timestamp(),
  actor_id uuid,
  actor text not null,
  event text not null,
  detail jsonb not null default '{}'::jsonb,
  constraint export_run_events_pkey primary key (id),
  constraint export_run_events_run_id_fkey foreign key (run_id) references public.export_runs (id) on delete restrict,
  constraint export_run_events_event_check check (
    event in (
      'created', 'started', 'page_reserved', 'sealed', 'taken_over', 'claims_left_out', 'releasing', 'failed', 'completed',
      'parked', 'recovered', 'in_doubt', 'voiding', 'voided', 'deleted'
    )
  )
);

comment on table public.export_run_events is 'Append-only history of every run. Nobody changes or removes an event.';
comment on column public.export_run_events.actor_id is 'User who did it; null for the system.';
comment on column public.export_run_events.actor is 'Her name as it was then, or system.';

create index export_run_events_organization_id_idx on public.export_run_events (organization_id, id);
create index export_run_events_run_id_idx on public.export_run_events (run_id, id);

create trigger refuse_direct_write
before insert on public.export_run_events
for each statement execute function export_engine.refuse_direct_write();

create trigger refuse_change
before update or delete on public.export_run_events
for each row execute function export_engine.refuse_change();

create trigger refuse_truncate
before truncate on public.export_run_events
for each statement execute function export_engine.refuse_change();

create function export_engine.record_event(p_run public.export_runs, p_event text, p_actor_id uuid, p_detail jsonb default '{}'::jsonb)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into public.export_run_events (run_id, organization_id, actor_id, actor, event, detail)
  values (
    p_run.id, p_run.organization_id, p_actor_id,
    coalesce(export_engine.member_name(p_run.organization_id, p_actor_id), p_actor_id::text, 'system'), p_event, p_detail
  );
$$;

comment on function export_engine.record_event is 'Adds one event to a run''s history.';

alter table public.export_run_events enable row level security;
revoke all on table public.export_run_events from public, anon, authenticated, service_role;
revoke all on sequence public.export_run_events_id_seq from public, anon, authenticated, service_role;
revoke execute on function export_engine.record_event(public.export_runs, text, uuid, jsonb) from public;

create policy "Staff sees the events of the organisation" on public.export_run_events
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_run_events to authenticated, service_role;
