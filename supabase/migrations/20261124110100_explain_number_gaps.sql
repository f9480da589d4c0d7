-- Purpose: numbers that nobody has, each with its reason: a counter that was raised by hand leaves a gap that is no loss.
-- Tables: export_number_gaps. Surprising: a trigger on export_counters writes here when the owner raises a counter.

create table public.export_number_gaps (
  id bigint generated always as identity,
  organization_id uuid not null,
  name text not null,
  first_number bigint not null,
  last_number bigint not null,
  reason text not null,
  actor text not null,
  recorded_at timestamptz not null default clock_timestamp(),
  constraint export_number_gaps_pkey primary key (id),
  constraint export_number_gaps_organization_id_fkey
    foreign key (organization_id) references public.organizations (id) on delete restrict,
  constraint export_number_gaps_name_check check (name in ('run_number', 'voucher_number')),
  constraint export_number_gaps_numbers_check check (first_number between 1 and last_number),
  constraint export_number_gaps_reason_check check (char_length(reason) between 1 and 500),
  constraint export_number_gaps_actor_check check (char_length(actor) between 1 and 200)
);

comment on table public.export_number_gaps is
  'Run numbers and voucher numbers that were never given, and why. Append-only. Reconciliation takes every other number without a row '
  'for a loss.';
comment on column public.export_number_gaps.name is 'Which series: run_number or voucher_number.';

create index export_number_gaps_organization_id_idx on public.export_number_gaps (organization_id, name, first_number);

create trigger refuse_direct_write
before insert on public.export_number_gaps
for each statement execute function export_engine.refuse_direct_write();

create trigger refuse_change
before update or delete on public.export_number_gaps
for each row execute function export_engine.refuse_change();

create trigger refuse_truncate
before truncate on public.export_number_gaps
for each statement execute function export_engine.refuse_change();

alter table public.export_number_gaps enable row level security;
revoke all on table public.export_number_gaps from public, anon, authenticated, service_role;
revoke all on sequence public.export_number_gaps_id_seq from public, anon, authenticated, service_role;

create policy "Staff sees the number gaps of the organisation" on public.export_number_gaps
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_number_gaps to authenticated, service_role;

create function export_engine.note_raised_counter()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_before bigint := 0;
begin
  if tg_op = 'UPDATE' then
    v_before := old.last_value;
  end if;
  if export_engine.is_writing() or new.last_value <= v_before then
    return null;
  end if;
  perform export_engine.open_for_writing();
  insert into public.export_number_gaps (organization_id, name, first_number, last_number, reason, actor)
  values (new.organization_id, new.name, v_before + 1, new.last_value, 'The counter was raised by hand.', session_user);
  perform export_engine.close_for_writing();
  return null;
end;
$$;

comment on function export_engine.note_raised_counter is
  'Trigger: whoever raises a counter by hand leaves a row that explains the numbers that nobody will have.';

create trigger note_raised_counter
after insert or update on public.export_counters
for each row execute function export_engine.note_raised_counter();

create function export_engine.explain_number_gap(
  p_organization_id uuid, p_name text, p_first_number bigint, p_last_number bigint, p_reason text, p_actor text
)
returns public.export_number_gaps
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_gap public.export_number_gaps;
begin
  if p_reason is null or char_length(btrim(p_reason)) not between 1 and 500 then
    perform export_engine.refuse(400, 'reason_required', 'A reason of 1 to 500 characters is needed.', 'Say why nobody has these numbers.');
  end if;
  if p_actor is null or char_length(btrim(p_actor)) not between 1 and 200 then
    perform export_engine.refuse(400, 'actor_required', 'A name of 1 to 200 characters is needed.', 'Say who does this.');
  end if;
  -- Numbers that will be given are not explained in advance: one that is lost later must be found.
  if not coalesce(
    p_first_number between 1 and p_last_number
    and p_last_number <= (
      select c.last_value from public.export_counters as c where c.organization_id = p_organization_id and c.name = p_name
    ),
    false
  ) then
    perform export_engine.refuse(
      400, 'invalid_number_gap', 'A gap is from a first to a last number, of run_number or voucher_number, up to the counter''s last value.',
      'Take the numbers from the finding.'
    );
  end if;
  perform export_engine.open_for_writing();
  insert into public.export_number_gaps (organization_id, name, first_number, last_number, reason, actor)
  values (p_organization_id, p_name, p_first_number, p_last_number, btrim(p_reason), btrim(p_actor))
  returning * into v_gap;
  perform export_engine.close_for_writing();
  return v_gap;
end;
$$;

comment on function export_engine.explain_number_gap is
  'Records why nobody has these numbers. Invoker, so that only the database owner can.';

create function public.explain_number_gap(
  p_organization_id uuid, p_name text, p_first_number bigint, p_last_number bigint, p_reason text, p_actor text
)
returns public.export_number_gaps
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.explain_number_gap(p_organization_id, p_name, p_first_number, p_last_number, p_reason, p_actor);
$$;

comment on function public.explain_number_gap is
  'Database owner only: records why nobody has these run numbers or voucher numbers (p_name: run_number, voucher_number), after '
  'looking into it. The next reconciliation no longer names them.';

create function export_engine.explained_numbers(p_organization_id uuid, p_name text)
returns int8multirange
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_explained int8multirange;
begin
  select coalesce(range_agg(int8range(g.first_number, g.last_number, '[]')), '{}') into v_explained
  from public.export_number_gaps as g
  where g.organization_id = p_organization_id and g.name = p_name;
  -- Runs that went for good after their retention left a row with their numbers. That table is made by a later migration.
  if to_regclass('public.export_deleted_runs') is not null then
    select v_explained + coalesce(
      case p_name
        when 'run_number' then range_agg(int8range(d.run_number, d.run_number, '[]'))
        else range_agg(d.voucher_numbers)
      end,
      '{}'
    )
    into v_explained
    from public.export_deleted_runs as d
    where d.organization_id = p_organization_id;
  end if;
  return v_explained;
end;
$$;

comment on function export_engine.explained_numbers is
  'Numbers of a series that no row has and that are no loss: a counter was raised by hand, somebody explained a gap, or their run was '
  'deleted for good.';

create function export_engine.is_deleted_for_good(p_run_id uuid)
returns boolean
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if to_regclass('public.export_deleted_runs') is null then
    return false;
  end if;
  return exists (select from public.export_deleted_runs as d where d.run_id = p_run_id);
end;
$$;

comment on function export_engine.is_deleted_for_good is 'True for a run that went after its retention; its file may still be there.';

revoke execute on function export_engine.note_raised_counter() from public;
revoke execute on function export_engine.explain_number_gap(uuid, text, bigint, bigint, text, text) from public;
revoke execute on function export_engine.explained_numbers(uuid, text) from public;
revoke execute on function export_engine.is_deleted_for_good(uuid) from public;
revoke execute on function public.explain_number_gap(uuid, text, bigint, bigint, text, text)
from public, anon, authenticated, service_role;
