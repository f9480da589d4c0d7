-- Purpose: what a file books, per account, dimensions and currency, for the person who signs it off.
-- Tables: export_runs (breakdown).

alter table public.export_runs
add column breakdown jsonb,
add constraint export_runs_breakdown_check check (breakdown is null or completed_at is not null);

comment on column public.export_runs.breakdown is
  'Debit, credit and lines of the file per account, dimensions and currency: {"groups": [...], "cut": false}. Cut: there were more '
  'groups than are kept, and the last ones, without an account, hold the rest. Null until completed, and for runs of older workers.';

create function export_engine.keep_breakdown()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform export_engine.refuse(403, 'history_is_protected', 'The file of a completed run never changes.');
  return null;
end;
$$;

comment on function export_engine.keep_breakdown is
  'Trigger: what a completed run''s file books never changes. Also for the owner.';

create trigger keep_breakdown
before update on public.export_runs
for each row
when (old.completed_at is not null and new.breakdown is distinct from old.breakdown)
execute function export_engine.keep_breakdown();

create function export_engine.check_breakdown(p_summary jsonb)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  -- A worker of the version before says nothing.
  if coalesce(jsonb_typeof(p_summary -> 'breakdown'), 'null') = 'null' then
    return;
  end if;
  if (
    select sum(g.line_count) is distinct from (p_summary ->> 'line_count')::bigint
    from jsonb_to_recordset(p_summary -> 'breakdown' -> 'groups') as g (line_count integer)
  ) or exists (
    select
    from jsonb_to_recordset(p_summary -> 'breakdown' -> 'groups') as g (currency text, debit numeric, credit numeric)
    group by g.currency
    having
      sum(g.debit) is distinct from sum(g.credit)
      -- Also refuses what is no number.
      or not bool_and(g.debit >= 0 and g.credit >= 0 and g.debit < 'Infinity')
      or not coalesce(p_summary -> 'totals' ? g.currency, false)
  ) then
    perform export_engine.refuse(
      409, 'totals_mismatch', 'Debit and credit of the accounts are not equal, or not all lines of the file are among them.',
      'Render the run again from its frozen claims.'
    );
  end if;
end;
$$;

comment on function export_engine.check_breakdown is
  'I4: over all accounts debit equals credit in each currency, and the lines are those of the file. Passes when the worker told no '
  'breakdown.';

create or replace function export_engine.complete_export_run(
  p_run_id uuid,
  p_fencing_token bigint,
  p_file jsonb,
  p_summary jsonb,
  p_left_out jsonb
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  perform export_engine.wait_for_lock_row(p_run_id);
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  if v_run.status in ('voiding', 'voided') then
    perform export_engine.refuse(
      409, 'run_is_voided', 'The run was completed and voided since.', 'Export again: its claims are free or taken by another run.'
    );
  end if;
  if v_run.completed_at is not null then
    if v_run.file_sha256 is distinct from p_file ->> 'sha256' then
      perform export_engine.refuse(
        409, 'file_mismatch', 'The run is completed with another file.', 'Ask for the run and use the file that it names.'
      );
    end if;
    return jsonb_build_object('run', export_engine.run_json(v_run));
  end if;

  v_run := export_engine.hold_processing_run(p_run_id, p_fencing_token);
  if v_run.sealed_at is null then
    perform export_engine.refuse(
      409, 'run_not_sealed', 'Claims may still join this run.', 'Reserve pages until the last one, then complete.'
    );
  end if;
  if v_run.origin = 'manual' then
    perform export_engine.refuse(
      409, 'run_is_manual', 'This run was exported by hand: the engine makes no file of it.', 'Use update_export_run_status.'
    );
  end if;
  perform export_engine.check_attempt_role(v_run);
  v_run := export_engine.apply_left_out(v_run, p_left_out);
  if v_run.reserved_count = v_run.left_out_count then
    perform export_engine.refuse(422, 'all_claims_left_out', 'No claim could be exported.', 'Fail the run with the reasons.');
  end if;
  perform export_engine.check_totals(v_run, p_summary);
  perform export_engine.record_lines(v_run, p_summary -> 'lines');
  perform export_engine.check_lines(v_run, p_summary);
  perform export_engine.check_breakdown(p_summary);
  perform export_engine.check_stored_file(v_run, p_file);

  update public.export_runs
  set
    status = 'completed',
    claim_count = (p_summary ->> 'claim_count')::integer,
    voucher_count = (p_summary ->> 'voucher_count')::integer,
    line_count = (p_summary ->> 'line_count')::integer,
    totals = p_summary -> 'totals',
    breakdown = nullif(p_summary -> 'breakdown', 'null'),
    renderer_version = p_summary ->> 'renderer_version',
    layout = p_summary -> 'layout',
    file_path = p_file ->> 'path',
    file_name = p_file ->> 'name',
    file_sha256 = p_file ->> 'sha256',
    file_size = (p_file ->> 'size')::bigint,
    content_type = p_file ->> 'content_type'
  where id = v_run.id
  returning * into v_run;
  perform export_engine.record_event(
    v_run, 'completed', v_run.attempt_by,
    jsonb_build_object(
      'claims', v_run.claim_count, 'totals', v_run.totals, 'sha256', v_run.file_sha256,
      'notices', coalesce(p_summary -> 'notices', '[]'::jsonb)
    )
  );
  perform export_engine.free_lock(v_run);
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run));
end;
$$;

comment on function export_engine.complete_export_run is
  'Last step of an export: the database compares counts, totals, lines and accounts, writes file and state, releases what was left out '
  'and frees the lock. Completed already with this hash: says so again. Definer, because no API role may write the tables.';

create view public.export_run_breakdown with (security_invoker = true) as
select
  o.name as organization,
  r.run_number,
  g.account_code,
  (select string_agg(d.key || '=' || d.value, ', ' order by d.key) from jsonb_each_text(g.dimensions) as d) as dimensions,
  g.currency,
  g.debit,
  g.credit,
  g.line_count,
  r.file_name,
  r.organization_id,
  r.id as run_id
from public.export_runs as r
join public.organizations as o on o.id = r.organization_id
cross join lateral jsonb_to_recordset(r.breakdown -> 'groups') as g (
  account_code text, dimensions jsonb, currency text, debit numeric(18, 2), credit numeric(18, 2), line_count integer
)
order by r.created_at desc, r.run_number desc, g.account_code, dimensions, g.currency;

comment on view public.export_run_breakdown is
  'What each run''s file books: debit, credit and number of lines per account, dimensions and currency. A reversing run has the sides '
  'exchanged. Runs of older versions are not here.';
comment on column public.export_run_breakdown.account_code is
  'Null: there were more groups than are kept, and this line holds the rest.';
comment on column public.export_run_breakdown.dimensions is
  'Those that the file has columns for: department=410, project=P7. Null for lines without any.';

revoke all on table public.export_run_breakdown from public, anon, authenticated, service_role;
grant select on table public.export_run_breakdown to authenticated, service_role;
revoke execute on function export_engine.keep_breakdown() from public;
revoke execute on function export_engine.check_breakdown(jsonb) from public;
