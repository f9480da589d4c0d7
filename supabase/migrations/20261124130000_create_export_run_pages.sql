-- Purpose: on which lines of the file each voucher stands, so that one comes from a claim to its lines and from a line back to
--   the claim. One row per rendered page: a column on each membership would cost a second write of every row of a run.
-- Tables: export_run_pages.

create table public.export_run_pages (
  run_id uuid not null,
  fencing_token bigint not null,
  organization_id uuid not null,
  positions integer[] not null,
  first_lines integer[] not null,
  last_line integer not null,
  first_position integer not null generated always as (positions[1]) stored,
  first_line integer not null generated always as (first_lines[1]) stored,
  constraint export_run_pages_pkey primary key (run_id, fencing_token, first_position),
  -- A run is only ever deleted when its retention is over, and then nobody asks for its lines.
  constraint export_run_pages_run_id_fkey foreign key (run_id) references public.export_runs (id) on delete cascade,
  constraint export_run_pages_positions_check
    check (cardinality(positions) > 0 and cardinality(positions) = cardinality(first_lines)),
  constraint export_run_pages_lines_check
    check (first_lines[1] > 0 and last_line >= first_lines[cardinality(first_lines)])
);

comment on table public.export_run_pages is
  'The lines of the file on which the vouchers of a page stand, header counted, as an editor shows them. Only the rows of the '
  'attempt that completed the run (export_runs.fencing_token) tell of its file; runs completed before this table existed, and '
  'formats that do not write a line per journal line, have none. Written by functions only; never changed once the run is completed.';
comment on column public.export_run_pages.fencing_token is 'The attempt that rendered the page. A later attempt may cut pages elsewhere.';
comment on column public.export_run_pages.positions is 'Positions of the members in the file, ascending. What was left out is not among them.';
comment on column public.export_run_pages.first_lines is 'For each position the first line of its voucher; the voucher ends where the next one begins.';
comment on column public.export_run_pages.last_line is 'Last line of the page''s last voucher.';
comment on column public.export_run_pages.first_position is 'The first of the positions: where an index look-up finds the page of a member.';
comment on column public.export_run_pages.first_line is 'The first of the lines: where an index look-up finds the page of a line.';

create unique index export_run_pages_first_line_key on public.export_run_pages (run_id, fencing_token, first_line);

create function export_engine.keep_page_law()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if export_engine.is_writing()
    and not exists (select from public.export_runs as r where r.id = old.run_id and r.completed_at is not null) then
    return old;
  end if;
  perform export_engine.refuse(403, 'history_is_protected', 'The lines of a completed run''s file never change.');
  return null;
end;
$$;

comment on function export_engine.keep_page_law is
  'Trigger: what an earlier attempt said is forgotten as long as there is no file; once the run is completed its lines stay. '
  'Also for the owner.';

create trigger refuse_direct_write
before insert on public.export_run_pages
for each statement execute function export_engine.refuse_direct_write();

create trigger refuse_change
before update on public.export_run_pages
for each row execute function export_engine.refuse_change();

create trigger keep_page_law
before delete on public.export_run_pages
for each row execute function export_engine.keep_page_law();

create trigger refuse_truncate
before truncate on public.export_run_pages
for each statement execute function export_engine.refuse_change();

alter table public.export_run_pages enable row level security;
revoke all on table public.export_run_pages from public, anon, authenticated, service_role;

create policy "Staff sees the pages of the organisation" on public.export_run_pages
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_run_pages to authenticated, service_role;

create function export_engine.record_lines(p_run public.export_runs, p_lines jsonb)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_told record;
begin
  -- A worker of the version before says nothing.
  if coalesce(jsonb_typeof(p_lines), 'null') = 'null' then
    return;
  end if;
  select t.positions, t.first_lines, t.last_line into v_told
  from jsonb_to_record(p_lines) as t (positions integer[], first_lines integer[], last_line integer);
  if coalesce(cardinality(v_told.positions), 0) = 0
    or cardinality(v_told.positions) is distinct from cardinality(v_told.first_lines)
    or coalesce(v_told.last_line, 0) < v_told.first_lines[cardinality(v_told.first_lines)]
    or exists (
      select
      from (
        select
          x.position > lag(x.position, 1, 0) over place and x.line > lag(x.line, 1, 0) over place as goes_up
        from unnest(v_told.positions, v_told.first_lines) with ordinality as x (position, line, ordinal)
        window place as (order by x.ordinal)
      ) as step
      where step.goes_up is not true
    ) then
    perform export_engine.refuse(
      409, 'totals_mismatch', 'The lines of a page go up with its positions.', 'Render the run again from its frozen claims.'
    );
  end if;
  -- An earlier attempt cut its pages elsewhere if more was left out since.
  delete from public.export_run_pages where run_id = p_run.id and fencing_token < p_run.fencing_token;
  -- Said a second time when the reply was lost.
  insert into public.export_run_pages (run_id, fencing_token, organization_id, positions, first_lines, last_line)
  values (p_run.id, p_run.fencing_token, p_run.organization_id, v_told.positions, v_told.first_lines, v_told.last_line)
  on conflict do nothing;
end;
$$;

comment on function export_engine.record_lines is
  'Writes on which lines the vouchers of a page stand, for the attempt that holds the run. Saying it twice changes nothing.';

create function export_engine.check_lines(p_run public.export_runs, p_summary jsonb)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_told record;
begin
  select
    count(*) as pages,
    sum(cardinality(p.positions)) as claims,
    sum(p.last_line - p.first_line + 1) as lines,
    max(p.last_line) - min(p.first_line) + 1 as reach
  into v_told
  from public.export_run_pages as p
  where p.run_id = p_run.id and p.fencing_token = p_run.fencing_token;
  if v_told.pages > 0
    and (v_told.claims, v_told.lines, v_told.reach)
    is distinct from ((p_summary ->> 'claim_count')::bigint, (p_summary ->> 'line_count')::bigint, (p_summary ->> 'line_count')::integer) then
    perform export_engine.refuse(
      409, 'totals_mismatch',
      format(
        'The pages have %s claims on %s lines within %s; the file has %s claims on %s lines.',
        v_told.claims, v_told.lines, v_told.reach, p_summary ->> 'claim_count', p_summary ->> 'line_count'
      ),
      'Render the run again from its frozen claims.'
    );
  end if;
end;
$$;

comment on function export_engine.check_lines is
  'I4: the pages account for every claim and every line of the file, without a gap. Passes when the worker told no lines.';

-- One fenced call per rendered page: what it left out, and where the rest of it stands.
drop function public.leave_out_export_claims(uuid, bigint, jsonb);
drop function export_engine.leave_out_export_claims(uuid, bigint, jsonb);

create function export_engine.leave_out_export_claims(p_run_id uuid, p_fencing_token bigint, p_left_out jsonb, p_lines jsonb)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_processing_run(p_run_id, p_fencing_token);
begin
  v_run := export_engine.apply_left_out(v_run, p_left_out);
  perform export_engine.record_lines(v_run, p_lines);
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run));
end;
$$;

comment on function export_engine.leave_out_export_claims is
  'What became of a rendered page of a large run: the claims it left out, and the lines of the others. Definer, because no API role '
  'may write the tables.';

create function public.leave_out_export_claims(p_run_id uuid, p_fencing_token bigint, p_left_out jsonb, p_lines jsonb default null)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.leave_out_export_claims(p_run_id, p_fencing_token, p_left_out, p_lines);
$$;

comment on function public.leave_out_export_claims is
  'After each rendered page but the last: releases the claims that cannot be exported, with reasons, and keeps on which lines of the '
  'file the others stand (service key). p_lines: {"positions": [1, 2], "first_lines": [1, 4], "last_line": 5}.';

revoke execute on function export_engine.keep_page_law() from public;
revoke execute on function export_engine.record_lines(public.export_runs, jsonb) from public;
revoke execute on function export_engine.check_lines(public.export_runs, jsonb) from public;
revoke execute on function export_engine.leave_out_export_claims(uuid, bigint, jsonb, jsonb) from public;
revoke execute on function public.leave_out_export_claims(uuid, bigint, jsonb, jsonb) from public, anon, authenticated, service_role;
grant execute on function export_engine.leave_out_export_claims(uuid, bigint, jsonb, jsonb) to service_role;
grant execute on function public.leave_out_export_claims(uuid, bigint, jsonb, jsonb) to service_role;
