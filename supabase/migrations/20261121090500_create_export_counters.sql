-- Purpose: numbers that are given once and never again: run numbers and voucher numbers.
-- Tables: export_counters.
-- A sequence would leave gaps at every rollback; here a number exists only if the row that got it does.

create table public.export_counters (
  organization_id uuid not null,
  name text not null,
  last_value bigint not null default 0,
  constraint export_counters_pkey primary key (organization_id, name),
  constraint export_counters_organization_id_fkey
    foreign key (organization_id) references public.organizations (id) on delete restrict,
  constraint export_counters_name_check check (name in ('run_number', 'voucher_number')),
  -- Xledger's voucher number has eight digits (format GL02b, column VoucherNo).
  constraint export_counters_last_value_check check (last_value between 0 and 99999999)
);

comment on table public.export_counters is
  'The last number given, per organisation. It may be raised by hand, to begin a number series, and never goes down.';

create function export_engine.keep_counter_growing()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if tg_op = 'UPDATE' and (new.organization_id, new.name) = (old.organization_id, old.name)
    and new.last_value >= old.last_value
    and (export_engine.is_writing() or new.last_value <= old.last_value + 100000) then
    return new;
  end if;
  perform export_engine.refuse(
    403, 'history_is_protected', 'A number that was given is never given again: counters only grow.',
    'Raise last_value if a new series must begin, by at most 100,000 at once; it cannot be lowered or deleted.'
  );
  return null;
end;
$$;

comment on function export_engine.keep_counter_growing is 'Trigger: a counter is never lowered, moved or deleted, nor raised by hand so far that the numbers run out.';

create trigger keep_counter_growing
before update or delete on public.export_counters
for each row execute function export_engine.keep_counter_growing();

create trigger refuse_truncate
before truncate on public.export_counters
for each statement execute function export_engine.refuse_change();

create function export_engine.take_numbers(p_organization_id uuid, p_name text, p_count integer)
returns bigint
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into public.export_counters as c (organization_id, name, last_value)
  values (p_organization_id, p_name, p_count)
  on conflict on constraint export_counters_pkey do update
  set last_value = c.last_value + excluded.last_value
  returning last_value - p_count + 1;
$$;

comment on function export_engine.take_numbers is
  'Gives p_count numbers and returns the first. The row stays locked until the transaction ends, so numbers follow commits.';

alter table public.export_counters enable row level security;  -- no policy on purpose: read by the owner and the service key
revoke all on table public.export_counters from public, anon, authenticated, service_role;
revoke execute on function export_engine.keep_counter_growing() from public;
revoke execute on function export_engine.take_numbers(uuid, text, integer) from public;
grant select on table public.export_counters to service_role;
