-- Purpose: the lease of an organisation, and the fencing token that outlives every lease.
-- Tables: export_locks.
-- Only the database clock decides, and clock_timestamp() at that: now() stands still while a transaction waits.

create table public.export_locks (
  organization_id uuid not null,
  fencing_token bigint not null default 0,
  holder_id uuid,
  run_id uuid,
  acquired_at timestamptz,
  expires_at timestamptz,
  constraint export_locks_pkey primary key (organization_id),
  constraint export_locks_organization_id_fkey
    foreign key (organization_id) references public.organizations (id) on delete restrict,
  constraint export_locks_run_id_fkey foreign key (run_id) references public.export_runs (id) on delete restrict,
  -- A CHECK that evaluates to null passes, so "all or none" is counted.
  constraint export_locks_held_together_check check (num_nonnulls(holder_id, run_id, acquired_at, expires_at) in (0, 4)),
  constraint export_locks_lease_check check (expires_at is null or expires_at > acquired_at),
  constraint export_locks_fencing_token_check check (fencing_token >= 0)
);

comment on table public.export_locks is
  'One row per organisation that exports. Once used, the row is never deleted and fencing_token only grows, so an old worker is '
  'recognised for ever. To let somebody else take over a stuck run at once, set acquired_at and expires_at into the past.';
comment on column public.export_locks.fencing_token is 'Grows with every acquisition. A write that carries an older one changes nothing.';
comment on column public.export_locks.holder_id is 'The invocation that holds the lease; null when free.';
comment on column public.export_locks.run_id is 'The unfinished run; null when free. Kept when the lease expires, so that a successor finds it.';
comment on column public.export_locks.acquired_at is 'Null when free.';
comment on column public.export_locks.expires_at is 'Null when free. Expiry permits a takeover; it does not refuse the holder.';

create index export_locks_run_id_idx on public.export_locks (run_id);

create function export_engine.keep_lock_law()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if new.fencing_token < old.fencing_token or new.organization_id <> old.organization_id then
    perform export_engine.refuse(403, 'history_is_protected', 'The fencing token of a lock only grows.');
  end if;
  if not export_engine.is_writing() and (
    (new.holder_id, new.run_id, new.fencing_token) is distinct from (old.holder_id, old.run_id, old.fencing_token)
    or new.expires_at > old.expires_at
  ) then
    perform export_engine.refuse(
      403, 'history_is_protected', 'A lock is given and taken by functions: clearing it by hand would strand its run.',
      'Set acquired_at and expires_at into the past; the next trigger then finishes the run.'
    );
  end if;
  if new.run_id is not null and new.run_id is distinct from old.run_id and new.fencing_token <= old.fencing_token then
    perform export_engine.refuse(403, 'history_is_protected', 'Every acquisition of a lock takes a new fencing token.');
  end if;
  return new;
end;
$$;

comment on function export_engine.keep_lock_law is
  'Trigger: the token grows with each acquisition; by hand a lease can only be shortened. Also for the owner.';

create trigger keep_lock_law
before update on public.export_locks
for each row execute function export_engine.keep_lock_law();

create trigger refuse_delete
before delete on public.export_locks
for each row when (old.fencing_token > 0)
execute function export_engine.refuse_change();

create trigger refuse_truncate
before truncate on public.export_locks
for each statement execute function export_engine.refuse_change();

create function export_engine.create_export_lock()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  insert into public.export_locks (organization_id) values (new.organization_id)
  on conflict on constraint export_locks_pkey do nothing;
  return new;
end;
$$;

comment on function export_engine.create_export_lock is
  'Trigger: an organisation that gets a target gets its lock row, so that no begin ever has to insert one. '
  'Definer, because whoever may write targets need not be allowed to write locks.';

create trigger create_export_lock
after insert on public.export_targets
for each row execute function export_engine.create_export_lock();

alter table public.export_locks enable row level security;
revoke all on table public.export_locks from public, anon, authenticated, service_role;
revoke execute on function export_engine.keep_lock_law() from public;
revoke execute on function export_engine.create_export_lock() from public;

create policy "Staff sees the lock of the organisation" on public.export_locks
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

-- Not holder_id: whoever names it in a begin is taken for the holder whose reply was lost.
grant select (organization_id, fencing_token, run_id, acquired_at, expires_at) on table public.export_locks
to authenticated, service_role;
