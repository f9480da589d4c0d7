-- Purpose: what each reconciliation found: an account of all claims, runs, numbers, files and the lock of an organisation, green or red.
-- Tables: export_reconciliations. It is worked through page by page, so that a row is changed until it is finished, and never after.

create table public.export_reconciliations (
  id uuid not null default gen_random_uuid(),
  organization_id uuid not null,
  period_from date,
  period_to date,
  time_zone text not null,
  asked_by text not null,
  files_since timestamptz,
  last_run_number bigint not null,
  last_voucher_number bigint not null,
  started_at timestamptz not null default clock_timestamp(),
  touched_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  is_green boolean,
  phase text not null default 'claims',
  cursor jsonb not null default '{}',
  whole jsonb not null default '{"count": 0, "amounts": {}}',
  classes jsonb not null default '{}',
  checked jsonb not null default '{}',
  red_count integer not null default 0,
  note_count integer not null default 0,
  finding_counts jsonb not null default '{}',
  findings jsonb not null default '[]',
  constraint export_reconciliations_pkey primary key (id),
  constraint export_reconciliations_organization_id_fkey
    foreign key (organization_id) references public.organizations (id) on delete restrict,
  constraint export_reconciliations_period_check check (period_from is null or period_to is null or period_from <= period_to),
  constraint export_reconciliations_asked_by_check check (asked_by in ('sweep', 'cli', 'dashboard')),
  constraint export_reconciliations_phase_check check (
    phase in (
      'claims',  -- every approved claim is in one class
      'runs',    -- every run is the sum of its members, and names its file
      'numbers', -- every number has its row
      'objects', -- every object in the bucket has its run
      'locks',   -- the lock, and the runs that are not finished
      'files',   -- the bytes of the files are read
      'done'
    )
  ),
  constraint export_reconciliations_finished_check check (
    (phase = 'done') = (finished_at is not null) and num_nonnulls(finished_at, is_green) in (0, 2)
  ),
  constraint export_reconciliations_green_check check (is_green is null or is_green = (red_count = 0)),
  constraint export_reconciliations_counts_check check (red_count >= 0 and note_count >= 0)
);

comment on table public.export_reconciliations is
  'One row per reconciliation of an organisation: green, or red with what was found. Written by functions only; a finished one is never '
  'changed. Amounts are text per currency, frozen ones for claims in a run.';
comment on column public.export_reconciliations.period_from is 'First approval date that was looked at, in time_zone; null = from the beginning.';
comment on column public.export_reconciliations.period_to is 'Last approval date that was looked at, inclusive; null = to the end.';
comment on column public.export_reconciliations.asked_by is 'sweep, cli, or dashboard for reconcile_exports.';
comment on column public.export_reconciliations.files_since is
  'The bytes of files completed since then are read and hashed; -infinity: of all files; null: of none.';
comment on column public.export_reconciliations.last_run_number is 'The counter when it began: later runs are not looked at.';
comment on column public.export_reconciliations.last_voucher_number is 'The counter when it began.';
comment on column public.export_reconciliations.touched_at is 'When somebody last worked on it.';
comment on column public.export_reconciliations.is_green is 'Null until finished; true when nothing red was found.';
comment on column public.export_reconciliations.cursor is 'How far the phase has come.';
comment on column public.export_reconciliations.whole is 'All claims that are approved or in the books: count, and amounts per currency.';
comment on column public.export_reconciliations.classes is 'exported, reserved, held, left_out, pending: count and amounts of each.';
comment on column public.export_reconciliations.checked is 'How many claims, members, runs, numbers, objects and files were looked at.';
comment on column public.export_reconciliations.red_count is 'Findings about money or trust.';
comment on column public.export_reconciliations.note_count is 'Findings that ask for tidying up, or for waiting.';
comment on column public.export_reconciliations.finding_counts is 'How often each code was found.';
comment on column public.export_reconciliations.findings is 'The first 50 of each code: code, is_red, sentence, and the run, claim, number or object.';

create index export_reconciliations_organization_id_idx on public.export_reconciliations (organization_id, started_at desc);
-- Two sweeps at once work on the same one.
create unique index export_reconciliations_sweep_key on public.export_reconciliations (organization_id)
where asked_by = 'sweep' and finished_at is null;

create function export_engine.keep_reconciliation_law()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if old.finished_at is not null or (
    new.id, new.organization_id, new.period_from, new.period_to, new.time_zone, new.asked_by, new.files_since, new.last_run_number,
    new.last_voucher_number, new.started_at
  ) is distinct from (
    old.id, old.organization_id, old.period_from, old.period_to, old.time_zone, old.asked_by, old.files_since, old.last_run_number,
    old.last_voucher_number, old.started_at
  ) then
    perform export_engine.refuse(
      403, 'history_is_protected', 'A finished reconciliation stays as it is, and none changes what it is about.', 'Begin a new one.'
    );
  end if;
  return new;
end;
$$;

comment on function export_engine.keep_reconciliation_law is 'Trigger: what a reconciliation found is never changed afterwards. Also for the owner.';

create trigger refuse_direct_write
before insert or update on public.export_reconciliations
for each statement execute function export_engine.refuse_direct_write();

create trigger keep_reconciliation_law
before update on public.export_reconciliations
for each row execute function export_engine.keep_reconciliation_law();

create trigger refuse_delete
before delete on public.export_reconciliations
for each row execute function export_engine.refuse_change();

create trigger refuse_truncate
before truncate on public.export_reconciliations
for each statement execute function export_engine.refuse_change();

alter table public.export_reconciliations enable row level security;
revoke all on table public.export_reconciliations from public, anon, authenticated, service_role;

create policy "Staff sees the reconciliations of the organisation" on public.export_reconciliations
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_reconciliations to authenticated, service_role;

-- Findings ------------------------------------------------------------------------------------------------------------------------

create function export_engine.finding_is_red(p_code text)
returns boolean
language sql
immutable
security invoker
set search_path = ''
return p_code not in (
  'orphan_object', 'file_not_read', 'lease_over', 'run_parked', 'run_in_doubt', 'run_pending'
);

comment on function export_engine.finding_is_red is 'Whether a finding is about money or trust. The others ask for tidying up, or for waiting.';

create function export_engine.finding(p_code text, p_sentence text, p_about jsonb default '{}')
returns jsonb
language sql
immutable
security invoker
set search_path = ''
return jsonb_build_object('code', p_code, 'is_red', export_engine.finding_is_red(p_code), 'sentence', p_sentence)
  || jsonb_strip_nulls(p_about);

comment on function export_engine.finding is
  'One finding. About: run_id, run_number, claim_id, claim_number, number, object, as far as they are known.';

create function export_engine.run_about(p_run public.export_runs)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
return jsonb_build_object('run_id', p_run.id, 'run_number', p_run.run_number);

comment on function export_engine.run_about is 'What a finding about a run names.';

create function export_engine.add_findings(p_row public.export_reconciliations, p_findings jsonb)
returns public.export_reconciliations
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_row public.export_reconciliations := p_row;
  v_finding jsonb;
  v_code text;
  v_before integer;
begin
  for v_finding in select f.value from jsonb_array_elements(p_findings) as f loop
    v_code := v_finding ->> 'code';
    v_before := coalesce((v_row.finding_counts ->> v_code)::integer, 0);
    v_row.finding_counts := v_row.finding_counts || jsonb_build_object(v_code, v_before + 1);
    if (v_finding ->> 'is_red')::boolean then
      v_row.red_count := v_row.red_count + 1;
    else
      v_row.note_count := v_row.note_count + 1;
    end if;
    -- Per code, so that a flood of one does not hide another.
    if v_before < 50 then
      v_row.findings := v_row.findings || jsonb_build_array(v_finding);
    end if;
  end loop;
  return v_row;
end;
$$;

comment on function export_engine.add_findings is 'Counts findings, and keeps the first 50 of each code.';

create function export_engine.add_checked(p_row public.export_reconciliations, p_what text, p_count bigint)
returns public.export_reconciliations
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_row public.export_reconciliations := p_row;
begin
  v_row.checked := v_row.checked || jsonb_build_object(p_what, coalesce((v_row.checked ->> p_what)::bigint, 0) + p_count);
  return v_row;
end;
$$;

comment on function export_engine.add_checked is 'Counts what was looked at.';

create function export_engine.add_counted(p_left jsonb, p_right jsonb)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
return jsonb_build_object(
  'count', coalesce((p_left ->> 'count')::bigint, 0) + coalesce((p_right ->> 'count')::bigint, 0),
  'amounts', export_engine.add_totals(coalesce(p_left -> 'amounts', '{}'), coalesce(p_right -> 'amounts', '{}'))
);

comment on function export_engine.add_counted is 'Adds two counts with their amounts: {"count": 2, "amounts": {"NOK": "123.45"}}.';

create function export_engine.add_classes(p_left jsonb, p_right jsonb)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(c.class, export_engine.add_counted(p_left -> c.class, p_right -> c.class)), '{}'::jsonb)
  from (select jsonb_object_keys(p_left) as class union select jsonb_object_keys(p_right)) as c;
$$;

comment on function export_engine.add_classes is 'Adds the counts and amounts of two sets of classes.';

create function export_engine.next_phase(p_row public.export_reconciliations, p_phase text)
returns public.export_reconciliations
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_row public.export_reconciliations := p_row;
begin
  v_row.phase := p_phase;
  v_row.cursor := '{}';
  return v_row;
end;
$$;

comment on function export_engine.next_phase is 'Begins the next phase at its beginning.';

create function export_engine.reconciliation_json(p_row public.export_reconciliations)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'reconciliation_id', p_row.id,
    'organization_id', p_row.organization_id,
    'period_from', p_row.period_from,
    'period_to', p_row.period_to,
    'time_zone', p_row.time_zone,
    'asked_by', p_row.asked_by,
    'started_at', p_row.started_at,
    'finished_at', p_row.finished_at,
    'is_green', p_row.is_green,
    'phase', p_row.phase,
    'whole', p_row.whole,
    'classes', p_row.classes,
    'checked', p_row.checked,
    'red_count', p_row.red_count,
    'note_count', p_row.note_count,
    'finding_counts', p_row.finding_counts,
    -- Asked for after every page: the list is told once, at the end.
    'findings', case when p_row.finished_at is not null then p_row.findings else '[]'::jsonb end
  );
$$;

comment on function export_engine.reconciliation_json is 'A reconciliation as every function answers it; the findings when it is finished.';

create function export_engine.reconciliation_sentence(p_row public.export_reconciliations)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  select concat_ws(
    ' ',
    case
      when p_row.is_green then format(
        'Green: %s claims, each in one class; %s runs, each the sum of its members; %s numbers; %s files read.',
        p_row.whole ->> 'count', coalesce(p_row.checked ->> 'runs', '0'), coalesce(p_row.checked ->> 'numbers', '0'),
        coalesce(p_row.checked ->> 'files', '0')
      )
      else format(
        'Red: %s.',
        (
          select string_agg(format('%s (%s)', c.key, c.value), ', ' order by c.key)
          from jsonb_each_text(p_row.finding_counts) as c
          where export_engine.finding_is_red(c.key)
        )
      )
    end,
    case
      when p_row.note_count > 0 then format(
        'Notes: %s.',
        (
          select string_agg(format('%s (%s)', c.key, c.value), ', ' order by c.key)
          from jsonb_each_text(p_row.finding_counts) as c
          where not export_engine.finding_is_red(c.key)
        )
      )
    end
  );
$$;

comment on function export_engine.reconciliation_sentence is 'What a finished reconciliation says, in a line.';

create view public.export_reconciliation_latest
with (security_invoker = true) as
select
  o.name as organization,
  case when (latest.found).is_green then 'green' else 'red' end as result,
  export_engine.reconciliation_sentence(latest.found) as sentence,
  (latest.found).started_at,
  (latest.found).finished_at,
  (latest.found).red_count,
  (latest.found).note_count,
  (latest.found).asked_by,
  o.id as organization_id,
  (latest.found).id as reconciliation_id
from public.organizations as o
cross join lateral (
  select r as found
  from public.export_reconciliations as r
  where r.organization_id = o.id and r.finished_at is not null and r.period_from is null and r.period_to is null
  order by r.started_at desc
  limit 1
) as latest;

comment on view public.export_reconciliation_latest is
  'Per organisation the latest finished reconciliation of everything: green or red, and what was found. The findings are in '
  'export_reconciliations, what to do about each in docs/reconciliation.md.';

revoke all on table public.export_reconciliation_latest from public, anon, authenticated, service_role;
grant select on table public.export_reconciliation_latest to authenticated, service_role;
revoke execute on function export_engine.keep_reconciliation_law() from public;
revoke execute on function export_engine.finding_is_red(text) from public;
revoke execute on function export_engine.finding(text, text, jsonb) from public;
revoke execute on function export_engine.run_about(public.export_runs) from public;
revoke execute on function export_engine.add_findings(public.export_reconciliations, jsonb) from public;
revoke execute on function export_engine.add_checked(public.export_reconciliations, text, bigint) from public;
revoke execute on function export_engine.add_counted(jsonb, jsonb) from public;
revoke execute on function export_engine.add_classes(jsonb, jsonb) from public;
revoke execute on function export_engine.next_phase(public.export_reconciliations, text) from public;
revoke execute on function export_engine.reconciliation_json(public.export_reconciliations) from public;
revoke execute on function export_engine.reconciliation_sentence(public.export_reconciliations) from public;
grant execute on function export_engine.finding_is_red(text) to authenticated, service_role;
grant execute on function export_engine.reconciliation_sentence(public.export_reconciliations) to authenticated, service_role;
