-- Purpose: which accounting system an organisation uses, and every choice that belongs to it.
-- Tables: export_targets. Editable in the dashboard; format and time zone are checked on every save. What a setting may
-- hold is the exporter's knowledge: a wrong one ends the next run before anything is exported, naming the setting.

create table public.export_targets (
  organization_id uuid not null,
  target text not null,
  format text not null,
  is_enabled boolean not null default true,
  settings jsonb not null default '{}'::jsonb,
  layout jsonb,
  on_problem text not null default 'leave_out',
  delivery text not null default 'file',
  time_zone text not null default 'Europe/Oslo',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint export_targets_pkey primary key (organization_id, target),
  constraint export_targets_organization_id_format_key unique (organization_id, format),
  constraint export_targets_organization_id_fkey
    foreign key (organization_id) references public.organizations (id) on delete restrict,
  constraint export_targets_target_check check (target ~ '^[a-z][a-z0-9_]{0,39}$'),
  constraint export_targets_format_check check (format ~ '^[a-z][a-z0-9_]{0,59}$'),
  constraint export_targets_settings_check
    check (jsonb_typeof(settings) = 'object' and octet_length(settings::text) <= 100000),
  constraint export_targets_layout_check
    check (layout is null or (jsonb_typeof(layout) = 'object' and octet_length(layout::text) <= 200000)),
  constraint export_targets_on_problem_check check (
    on_problem in (
      'leave_out',  -- a claim that cannot be exported is left out, the rest goes on
      'refuse_run'  -- one such claim stops the whole run
    )
  ),
  constraint export_targets_delivery_check check (delivery in ('file'))
);

comment on table public.export_targets is
  'Per organisation: the accounting system, the file format, and what the accountant decided. Edits reach the next run; '
  'runs that have begun keep what was frozen into them.';
comment on column public.export_targets.target is 'Accounting system, for example xledger or dynamics.';
comment on column public.export_targets.format is 'File format of that target, for example xledger_gl02b. The format determines the target.';
comment on column public.export_targets.is_enabled is 'False: nothing is exported to this target; triggers are told so.';
comment on column public.export_targets.settings is 'What the accounting system was set up with: entity code, voucher type and the like.';
comment on column public.export_targets.layout is 'Column layout of this organisation; null for the one that ships with the format.';
comment on column public.export_targets.on_problem is 'Whether a claim that cannot be exported is left out or stops the run.';
comment on column public.export_targets.delivery is 'How the vouchers get there: file = a file that the accountant imports.';
comment on column public.export_targets.time_zone is 'Days of a period and the export date are those of this time zone.';

create function export_engine.check_export_target()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if not exists (select from pg_catalog.pg_timezone_names as z where z.name = new.time_zone) then
    perform export_engine.refuse(
      400, 'unknown_time_zone', format('%s is not a time zone.', new.time_zone), 'Use a name such as Europe/Oslo.'
    );
  end if;
  if not starts_with(new.format, new.target || '_') then
    perform export_engine.refuse(
      400, 'format_not_of_target', format('The format %s does not belong to the target %s.', new.format, new.target),
      'A format is named after its target, for example xledger_gl02b.'
    );
  end if;
  new.updated_at := clock_timestamp();
  return new;
end;
$$;

comment on function export_engine.check_export_target is 'Trigger: refuses a target that no export could use, with a sentence for the dashboard.';

create trigger check_export_target
before insert or update on public.export_targets
for each row execute function export_engine.check_export_target();

alter table public.export_targets enable row level security;
revoke all on table public.export_targets from public, anon, authenticated, service_role;
revoke execute on function export_engine.check_export_target() from public;

create policy "Staff sees the targets of the organisation" on public.export_targets
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_targets to authenticated, service_role;
