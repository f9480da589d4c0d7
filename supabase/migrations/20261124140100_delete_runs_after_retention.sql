-- Purpose: when retention has ended a run may go for good: by one function, with a row that stays and explains its numbers.
-- Everything else that deletes history is refused, as before.

create table public.export_deleted_runs (
  run_id uuid not null,
  organization_id uuid not null,
  run_number bigint not null,
  status text not null,
  export_date date not null,
  kept_until date not null,
  claim_count integer,
  totals jsonb,
  voucher_numbers int8multirange not null,
  file_path text,
  file_sha256 text,
  confirmation text not null,
  reason text not null,
  deleted_by text not null,
  deleted_at timestamptz not null default clock_timestamp(),
  constraint export_deleted_runs_pkey primary key (run_id),
  constraint export_deleted_runs_organization_id_run_number_key unique (organization_id, run_number),
  constraint export_deleted_runs_organization_id_fkey foreign key (organization_id)
    references public.organizations (id) on delete restrict,
  constraint export_deleted_runs_reason_check check (char_length(reason) between 1 and 500),
  constraint export_deleted_runs_deleted_by_check check (char_length(deleted_by) between 1 and 200)
);

comment on table public.export_deleted_runs is
  'One row for each run that was deleted for good, for ever: it explains the run number and the voucher numbers that no other row '
  'explains any more. Whoever looks for gaps counts run_number and voucher_numbers of this table as given. Written by '
  'hard_delete_export_run only, once per run. Write no personal data into reason.';
comment on column public.export_deleted_runs.kept_until is 'The day up to which the run had to be kept.';
comment on column public.export_deleted_runs.claim_count is 'Claims in the file; null for a run that never had one.';
comment on column public.export_deleted_runs.totals is 'Sum of the claims in the file, per currency; null for a run that never had one.';
comment on column public.export_deleted_runs.voucher_numbers is 'All voucher numbers that the run had given, left-out ones too: {[1001,1501)}.';
comment on column public.export_deleted_runs.file_path is 'The file in the bucket, which SQL does not remove: delete it through the storage API. Null for a run without one.';
comment on column public.export_deleted_runs.file_sha256 is 'Hash of that file; null for a run without one.';
comment on column public.export_deleted_runs.confirmation is 'What the admin wrote to confirm: organisation and run number. In a test database anything.';

alter table public.export_deleted_runs enable row level security;
revoke all on table public.export_deleted_runs from public, anon, authenticated, service_role;
grant select on table public.export_deleted_runs to authenticated, service_role;

create policy "Staff sees the deleted runs of the organisation" on public.export_deleted_runs
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

create trigger refuse_change
before update or delete on public.export_deleted_runs
for each row execute function export_engine.refuse_change();

create trigger refuse_truncate
before truncate on public.export_deleted_runs
for each statement execute function export_engine.refuse_change();

create trigger refuse_direct_write
before insert on public.export_deleted_runs
for each statement execute function export_engine.refuse_direct_write();

create function export_engine.is_test_database()
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  -- Read where the database keeps it, not as a setting: a session can set that for itself.
  select exists (
    select
    from pg_catalog.pg_db_role_setting as s
    join pg_catalog.pg_database as d on d.oid = s.setdatabase
    where d.datname = current_database() and s.setrole = 0 and 'export_engine.is_test_database=on' = any (s.setconfig)
  );
$$;

comment on function export_engine.is_test_database is
  'True after: alter database <name> set export_engine.is_test_database = ''on''. Hosted projects cannot set it.';

create function export_engine.check_run_may_go(p_run public.export_runs, p_confirmation text)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_kept_until date := export_engine.retention_ends(p_run.organization_id, p_run.export_date);
  v_expected text := (
    select format('%s %s', o.name, p_run.run_number) from public.organizations as o where o.id = p_run.organization_id
  );
begin
  if p_run.status not in ('completed', 'failed', 'voided') then
    perform export_engine.refuse(
      409, 'run_unfinished', format('The run is %s.', p_run.status), 'Wait until it is completed, failed or voided.'
    );
  end if;
  if export_engine.is_test_database() then
    return;
  end if;
  if (clock_timestamp() at time zone p_run.time_zone)::date <= v_kept_until then
    perform export_engine.refuse(
      403, 'retention_not_over', format('Run %s is kept until %s.', p_run.run_number, v_kept_until),
      'Wait until then; delete_export_run hides it from the lists.'
    );
  end if;
  if p_run.deleted_at is null then
    perform export_engine.refuse(
      409, 'run_not_hidden', 'The run still stands in the lists.', 'Take it out of the lists first, with delete_export_run.'
    );
  end if;
  if exists (
    select
    from export_engine.entered_claims as e
    cross join lateral export_engine.claim_facts(array[e.claim_id]) as f
    where e.run_id = p_run.id and f.is_approved
  ) then
    perform export_engine.refuse(
      409, 'claims_still_approved', 'Claims of this run are still approved in the app, and would be exported again as new.',
      'Close or remove them in the app first.'
    );
  end if;
  if p_confirmation is distinct from v_expected then
    perform export_engine.refuse(
      403, 'deletion_not_confirmed', 'A run is deleted for good only when the confirmation names organisation and run.',
      format('Confirm with: %s', v_expected)
    );
  end if;
end;
$$;

comment on function export_engine.check_run_may_go is
  'The law of deleting for good: finished, its retention over, out of the lists, none of its claims still approved, and '
  'confirmed by name and number. In a test database any finished run.';

create function export_engine.keep_tombstone_law()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  select r.* into v_run from public.export_runs as r where r.id = new.run_id;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  perform export_engine.check_run_may_go(v_run, new.confirmation);
  new.organization_id := v_run.organization_id;
  new.run_number := v_run.run_number;
  new.status := v_run.status;
  new.export_date := v_run.export_date;
  new.kept_until := export_engine.retention_ends(v_run.organization_id, v_run.export_date);
  new.claim_count := v_run.claim_count;
  new.totals := v_run.totals;
  new.file_path := v_run.file_path;
  new.file_sha256 := v_run.file_sha256;
  new.voucher_numbers := coalesce(
    (
      select range_agg(int8range(m.voucher_number, m.voucher_number, '[]'))
      from public.export_run_claims as m
      where m.run_id = v_run.id
    ),
    '{}'
  );
  new.deleted_at := clock_timestamp();
  return new;
end;
$$;

comment on function export_engine.keep_tombstone_law is
  'Trigger: judges a deletion for good, also for the owner, and writes down what the run was. Nobody tells it what to write.';

create trigger keep_tombstone_law
before insert on public.export_deleted_runs
for each row execute function export_engine.keep_tombstone_law();

create function export_engine.refuse_delete_without_tombstone()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run_id uuid;
begin
  if tg_table_name = 'export_runs' then
    v_run_id := old.id;
  else
    v_run_id := old.run_id;
  end if;
  if export_engine.is_writing() and exists (select from public.export_deleted_runs as d where d.run_id = v_run_id) then
    return old;
  end if;
  perform export_engine.refuse(
    403, 'history_is_protected',
    format('delete on %I is not allowed: its rows are written once and kept.', tg_table_name),
    'hard_delete_export_run removes a run whose retention is over.'
  );
  return null;
end;
$$;

comment on function export_engine.refuse_delete_without_tombstone is
  'Trigger: rows of a run go only by hard_delete_export_run, after the row that explains the run was written. Also for the owner.';

drop trigger refuse_delete on public.export_runs;
create trigger refuse_delete
before delete on public.export_runs
for each row execute function export_engine.refuse_delete_without_tombstone();

drop trigger refuse_delete on public.export_run_claims;
create trigger refuse_delete
before delete on public.export_run_claims
for each row execute function export_engine.refuse_delete_without_tombstone();

drop trigger refuse_change on public.export_run_events;
create trigger refuse_change
before update on public.export_run_events
for each row execute function export_engine.refuse_change();
create trigger refuse_delete
before delete on public.export_run_events
for each row execute function export_engine.refuse_delete_without_tombstone();

drop trigger refuse_change on public.export_confirmations;
create trigger refuse_change
before update on public.export_confirmations
for each row execute function export_engine.refuse_change();
create trigger refuse_delete
before delete on public.export_confirmations
for each row execute function export_engine.refuse_delete_without_tombstone();

create function export_engine.remove_run(p_run_id uuid, p_confirmation text, p_reason text, p_actor text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  insert into public.export_deleted_runs (run_id, confirmation, reason, deleted_by)
  values (p_run_id, p_confirmation, p_reason, p_actor);
  loop
    delete from public.export_run_claims as m
    where
      m.run_id = p_run_id
      and m.position <= (
        select x.position from public.export_run_claims as x where x.run_id = p_run_id order by x.position limit 1
      ) + export_engine.page_size() - 1;
    exit when not found;
  end loop;
  delete from public.export_run_events where run_id = p_run_id;
  delete from public.export_confirmations where run_id = p_run_id;
  delete from public.export_runs where id = p_run_id;
end;
$$;

comment on function export_engine.remove_run is
  'Writes the row that explains a run, then removes everything else of it, members page by page.';

create function export_engine.hard_delete_export_run(p_run_id uuid, p_confirmation text, p_reason text, p_actor text)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run_as_admin(p_run_id, p_reason, p_actor);
  v_reversal record;
begin
  if v_run.reverses_run_id is not null then
    -- Without it the vouchers that it took back would count again.
    perform export_engine.refuse(
      409, 'run_is_reversal', 'This run takes another one back: both go together.', 'Delete the run that it takes back.'
    );
  end if;
  for v_reversal in
    select r.id, o.name || ' ' || r.run_number as confirmation
    from public.export_runs as r
    join public.organizations as o on o.id = r.organization_id
    where r.reverses_run_id = v_run.id
    order by r.run_number
  loop
    perform export_engine.remove_run(v_reversal.id, v_reversal.confirmation, p_reason, p_actor);
  end loop;
  perform export_engine.remove_run(v_run.id, coalesce(p_confirmation, ''), p_reason, p_actor);
  perform export_engine.close_for_writing();
  return (select to_jsonb(d) from public.export_deleted_runs as d where d.run_id = p_run_id);
end;
$$;

comment on function export_engine.hard_delete_export_run is
  'Deletes a run for good, with the runs that took it back: members, events, confirmations, the run. Invoker, so that only the '
  'database owner can. Its file stays in the bucket until it is deleted through the storage API.';

create function public.hard_delete_export_run(p_run_id uuid, p_confirmation text, p_reason text, p_actor text)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.hard_delete_export_run(p_run_id, p_confirmation, p_reason, p_actor);
$$;

comment on function public.hard_delete_export_run is
  'Database owner only: deletes a run for good whose retention is over and that is out of the lists. Confirm with the '
  'organisation''s name, a space and the run number. A row in export_deleted_runs stays.';

revoke execute on function export_engine.is_test_database() from public;
revoke execute on function export_engine.check_run_may_go(public.export_runs, text) from public;
revoke execute on function export_engine.keep_tombstone_law() from public;
revoke execute on function export_engine.refuse_delete_without_tombstone() from public;
revoke execute on function export_engine.remove_run(uuid, text, text, text) from public;
revoke execute on function export_engine.hard_delete_export_run(uuid, text, text, text) from public;
revoke execute on function public.hard_delete_export_run(uuid, text, text, text) from public, anon, authenticated, service_role;
