-- Purpose: one row per intention to export, and the law of its states.
-- Tables: export_runs.

create table public.export_runs (
  id uuid not null default gen_random_uuid(),
  organization_id uuid not null,
  run_number bigint not null,
  origin text not null default 'engine',
  trigger text not null,
  triggered_by uuid,
  triggered_by_name text,
  target text not null,
  format text not null,
  period_from date,
  period_to date not null,
  time_zone text not null,
  cut_off timestamptz not null,
  export_date date not null,
  idempotency_key text,
  request_fingerprint text,
  status text not null default 'pending',
  attempt integer not null default 0,
  attempt_by uuid,
  fencing_token bigint,
  configuration jsonb not null,
  cursor_approved_at timestamptz,
  cursor_claim_id uuid,
  released_position integer not null default 0,
  reserved_count integer not null default 0,
  reserved_totals jsonb not null default '{}'::jsonb,
  left_out_count integer not null default 0,
  left_out_totals jsonb not null default '{}'::jsonb,
  skipped_count integer not null default 0,
  claim_count integer,
  voucher_count integer,
  line_count integer,
  totals jsonb,
  file_path text,
  file_name text,
  file_sha256 text,
  file_size bigint,
  content_type text,
  renderer_version text,
  layout jsonb,
  error_code text,
  error_detail jsonb,
  created_at timestamptz not null default clock_timestamp(),
  processing_at timestamptz,
  sealed_at timestamptz,
  parked_at timestamptz,
  in_doubt_at timestamptz,
  completed_at timestamptz,
  releasing_at timestamptz,
  failed_at timestamptz,
  voiding_at timestamptz,
  voided_at timestamptz,
  deleted_at timestamptz,
  deleted_by uuid,
  delete_reason text,
  constraint export_runs_pkey primary key (id),
  constraint export_runs_organization_id_run_number_key unique (organization_id, run_number),
  constraint export_runs_organization_id_fkey
    foreign key (organization_id) references public.organizations (id) on delete restrict,
  constraint export_runs_origin_check check (
    origin in (
      'engine',  -- this engine made the file
      'manual'   -- exported before or beside the engine; recorded so that it is never exported again
    )
  ),
  constraint export_runs_trigger_check check (trigger in ('user', 'webhook', 'schedule', 'sweep', 'cli', 'repository')),
  constraint export_runs_triggered_by_check check (trigger <> 'user' or triggered_by is not null),
  constraint export_runs_period_check check (period_from is null or period_from <= period_to),
  constraint export_runs_idempotency_key_check check (char_length(idempotency_key) between 1 and 200),
  constraint export_runs_request_fingerprint_check
    check ((idempotency_key is null) or (request_fingerprint is not null and request_fingerprint ~ '^[0-9a-f]{64}$')),
  constraint export_runs_status_check check (
    status in (
      'pending',     -- -> processing | releasing
      'processing',  -- -> completed | parked | in_doubt | releasing
      'parked',      -- -> processing | releasing
      'in_doubt',    -- -> completed | processing | releasing
      'releasing',   -- -> failed
      'failed',      -- final
      'completed',   -- -> voiding
      'voiding',     -- -> voided
      'voided'       -- final
    )
  ),
  -- Each state and its timestamp, tied in both directions. Parked and in doubt are left again, so theirs are cleared.
  constraint export_runs_processing_check
    check (processing_at is not null or status in ('pending', 'releasing', 'failed')),
  constraint export_runs_pending_check check (status <> 'pending' or processing_at is null),
  constraint export_runs_parked_check check ((status = 'parked') = (parked_at is not null)),
  constraint export_runs_in_doubt_check check ((status = 'in_doubt') = (in_doubt_at is not null)),
  constraint export_runs_completed_check
    check ((status in ('completed', 'voiding', 'voided')) = (completed_at is not null)),
  constraint export_runs_releasing_check check ((status in ('releasing', 'failed')) = (releasing_at is not null)),
  constraint export_runs_failed_check check ((status = 'failed') = (failed_at is not null)),
  constraint export_runs_voiding_check check ((status in ('voiding', 'voided')) = (voiding_at is not null)),
  constraint export_runs_voided_check check ((status = 'voided') = (voided_at is not null)),
  constraint export_runs_error_check check ((error_code is null) or status in ('releasing', 'failed', 'parked', 'in_doubt')),
  constraint export_runs_sealed_check check (completed_at is null or sealed_at is not null),
  constraint export_runs_counts_check
    check (reserved_count >= 0 and left_out_count between 0 and reserved_count and skipped_count >= 0),
  constraint export_runs_summary_check
    check (num_nonnulls(claim_count, totals) = case when completed_at is null then 0 else 2 end),
  -- A file is all or nothing, and a completed run has one, unless it was exported by hand.
  constraint export_runs_file_check
    check (num_nonnulls(file_path, file_name, file_sha256, file_size, content_type) in (0, 5)),
  constraint export_runs_completed_file_check
    check (completed_at is null or origin = 'manual' or (file_sha256 is not null and renderer_version is not null)),
  constraint export_runs_file_sha256_check check (file_sha256 ~ '^[0-9a-f]{64}$'),
  constraint export_runs_file_size_check check (file_size > 0),
  -- Storage keys are ASCII (hosted Supabase refuses others).
  constraint export_runs_file_path_check check (file_path ~ '^[A-Za-z0-9/._-]+$' and char_length(file_path) <= 300),
  constraint export_runs_deleted_check check (num_nonnulls(deleted_at, delete_reason) in (0, 2)),
  constraint export_runs_deleted_finished_check
    check (deleted_at is null or status in ('completed', 'failed', 'voided')),
  constraint export_runs_delete_reason_check check (char_length(delete_reason) between 1 and 500)
);

comment on table public.export_runs is
  'One intention to export approved claims to one target. Survives crashes: another worker finishes what one began. '
  'Written by functions only; rows are never removed.';
comment on column public.export_runs.run_number is 'Running number within the organisation, given once. Every number has its row.';
comment on column public.export_runs.origin is 'engine: made here. manual: exported by hand and recorded afterwards.';
comment on column public.export_runs.trigger is 'What asked for the run.';
comment on column public.export_runs.triggered_by is 'User who asked; null for the system. No foreign key: history outlives logins.';
comment on column public.export_runs.triggered_by_name is 'Her name as it was then; null for the system.';
comment on column public.export_runs.period_from is 'First approval date that belongs to the run; null = open start.';
comment on column public.export_runs.period_to is 'Last approval date that belongs to the run, inclusive, in time_zone.';
comment on column public.export_runs.cut_off is 'Only claims approved before this instant belong to the run, whenever its pages are read.';
comment on column public.export_runs.export_date is 'Date of the export in time_zone, frozen so that a takeover after midnight renders the same bytes.';
comment on column public.export_runs.idempotency_key is 'Caller''s name for her request; null when none. A failed run no longer answers to its key.';
comment on column public.export_runs.request_fingerprint is 'SHA-256 of the request behind the key: the same key with another request is refused.';
comment on column public.export_runs.attempt is 'How many workers have tried; 0 while pending.';
comment on column public.export_runs.attempt_by is 'User whose worker has the current attempt; null for the system.';
comment on column public.export_runs.fencing_token is 'Token of the current or last attempt; null while pending. Older tokens change nothing.';
comment on column public.export_runs.configuration is 'Settings, layout override and posting rules as they were when the run began.';
comment on column public.export_runs.cursor_approved_at is 'Where reserving stopped; null before the first page.';
comment on column public.export_runs.cursor_claim_id is 'Where reserving stopped; null before the first page.';
comment on column public.export_runs.released_position is 'While failing: up to which position members have been let go.';
comment on column public.export_runs.reserved_totals is 'Sum of all claims ever reserved by this run, per currency: {"NOK": "123.45"}.';
comment on column public.export_runs.left_out_totals is 'Sum of the claims that were left out, per currency.';
comment on column public.export_runs.skipped_count is 'Eligible claims that somebody was editing when their page was reserved; they stay eligible.';
comment on column public.export_runs.claim_count is 'Claims in the file; null until completed. Always reserved_count - left_out_count for the engine''s runs.';
comment on column public.export_runs.totals is 'Sum of the claims in the file, per currency; null until completed.';
comment on column public.export_runs.file_sha256 is 'Hash of the stored bytes; null until completed, and for manual runs without a file.';
comment on column public.export_runs.renderer_version is 'Version of the code that rendered the stored bytes; null until completed.';
comment on column public.export_runs.layout is 'The whole column layout that was used; null until completed.';
comment on column public.export_runs.error_code is 'Why it failed, was parked or is in doubt; null otherwise.';
comment on column public.export_runs.sealed_at is 'From then on nothing joins the run; only a sealed run may be completed.';
comment on column public.export_runs.deleted_at is 'Hidden from history, never from the search for doubles. Frees no claim.';

-- A key belongs to the run it started; a failed run lets it go.
create unique index export_runs_idempotency_key_key on public.export_runs (organization_id, idempotency_key)
where idempotency_key is not null and status not in ('releasing', 'failed');
create unique index export_runs_file_path_key on public.export_runs (file_path) where file_path is not null;
create index export_runs_history_idx on public.export_runs (organization_id, created_at desc, run_number desc);
create index export_runs_unfinished_idx on public.export_runs (organization_id, status)
where status in ('pending', 'processing', 'parked', 'in_doubt', 'releasing', 'voiding');

create function export_engine.transition_is_legal(p_from text, p_to text)
returns boolean
language sql
immutable
security invoker
set search_path = ''
return case p_from
  when 'pending' then p_to in ('processing', 'releasing')
  when 'processing' then p_to in ('completed', 'parked', 'in_doubt', 'releasing')
  when 'parked' then p_to in ('processing', 'releasing')
  when 'in_doubt' then p_to in ('completed', 'processing', 'releasing')
  when 'releasing' then p_to = 'failed'
  when 'completed' then p_to = 'voiding'
  when 'voiding' then p_to = 'voided'
  else false
end;

comment on function export_engine.transition_is_legal is 'The state machine of a run: true when p_to may follow p_from.';

create function export_engine.keep_run_law()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if new.status is distinct from old.status then
    if not export_engine.transition_is_legal(old.status, new.status) then
      perform export_engine.refuse(
        409, 'illegal_transition', format('A run that is %s cannot become %s.', old.status, new.status),
        'Read the run again: somebody else may have finished it.'
      );
    end if;
    new.processing_at := case when new.status = 'processing' then coalesce(old.processing_at, clock_timestamp()) else new.processing_at end;
    new.parked_at := case when new.status = 'parked' then clock_timestamp() end;
    new.in_doubt_at := case when new.status = 'in_doubt' then clock_timestamp() end;
    new.completed_at := case when new.status = 'completed' then clock_timestamp() else new.completed_at end;
    new.releasing_at := case when new.status = 'releasing' then clock_timestamp() else new.releasing_at end;
    new.failed_at := case when new.status = 'failed' then clock_timestamp() else new.failed_at end;
    new.voiding_at := case when new.status = 'voiding' then clock_timestamp() else new.voiding_at end;
    new.voided_at := case when new.status = 'voided' then clock_timestamp() else new.voided_at end;
  end if;
  -- What a run was asked to do never changes.
  if (
    new.id, new.organization_id, new.run_number, new.origin, new.trigger, new.triggered_by, new.triggered_by_name,
    new.target, new.format, new.period_from, new.period_to, new.time_zone, new.cut_off, new.export_date,
    new.configuration, new.created_at
  ) is distinct from (
    old.id, old.organization_id, old.run_number, old.origin, old.trigger, old.triggered_by, old.triggered_by_name,
    old.target, old.format, old.period_from, old.period_to, old.time_zone, old.cut_off, old.export_date,
    old.configuration, old.created_at
  ) then
    perform export_engine.refuse(403, 'history_is_protected', 'What a run was asked to do never changes.');
  end if;
  if old.sealed_at is not null and (
    new.sealed_at, new.reserved_count, new.reserved_totals
  ) is distinct from (old.sealed_at, old.reserved_count, old.reserved_totals) then
    perform export_engine.refuse(409, 'run_is_sealed', 'Nothing joins a sealed run.');
  end if;
  -- The stored file of a completed run is for ever.
  if old.completed_at is not null and (
    new.completed_at, new.claim_count, new.voucher_count, new.line_count, new.totals, new.file_path, new.file_name,
    new.file_sha256, new.file_size, new.content_type, new.renderer_version, new.layout, new.left_out_count
  ) is distinct from (
    old.completed_at, old.claim_count, old.voucher_count, old.line_count, old.totals, old.file_path, old.file_name,
    old.file_sha256, old.file_size, old.content_type, old.renderer_version, old.layout, old.left_out_count
  ) then
    perform export_engine.refuse(403, 'history_is_protected', 'The file of a completed run never changes.');
  end if;
  return new;
end;
$$;

comment on function export_engine.keep_run_law is
  'Trigger: legal transitions only, state timestamps by the database clock, and what is frozen stays frozen. Also for the owner.';

create trigger refuse_direct_write
before insert or update on public.export_runs
for each statement execute function export_engine.refuse_direct_write();

create trigger keep_run_law
before update on public.export_runs
for each row execute function export_engine.keep_run_law();

create trigger refuse_delete
before delete on public.export_runs
for each row execute function export_engine.refuse_change();

create trigger refuse_truncate
before truncate on public.export_runs
for each statement execute function export_engine.refuse_change();

alter table public.export_runs enable row level security;
revoke all on table public.export_runs from public, anon, authenticated, service_role;
revoke execute on function export_engine.transition_is_legal(text, text) from public;
revoke execute on function export_engine.keep_run_law() from public;

create policy "Staff sees the runs of the organisation" on public.export_runs
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_runs to authenticated, service_role;

create function export_engine.run_json(p_run public.export_runs)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'run_id', p_run.id,
    'organization_id', p_run.organization_id,
    'run_number', p_run.run_number,
    'origin', p_run.origin,
    'trigger', p_run.trigger,
    'triggered_by', p_run.triggered_by,
    'triggered_by_name', p_run.triggered_by_name,
    'target', p_run.target,
    'format', p_run.format,
    'period_from', p_run.period_from,
    'period_to', p_run.period_to,
    'time_zone', p_run.time_zone,
    'cut_off', p_run.cut_off,
    'export_date', p_run.export_date,
    'status', p_run.status,
    'attempt', p_run.attempt,
    'reserved_count', p_run.reserved_count,
    'claim_count', p_run.claim_count,
    'left_out_count', p_run.left_out_count,
    'skipped_count', p_run.skipped_count,
    'voucher_count', p_run.voucher_count,
    'line_count', p_run.line_count,
    'totals', p_run.totals,
    'file', case when p_run.file_sha256 is not null then jsonb_build_object(
      'path', p_run.file_path,
      'name', p_run.file_name,
      'sha256', p_run.file_sha256,
      'size', p_run.file_size,
      'content_type', p_run.content_type
    ) end,
    'renderer_version', p_run.renderer_version,
    'error_code', p_run.error_code,
    'error_detail', p_run.error_detail
  ) || jsonb_build_object(
    'created_at', p_run.created_at,
    'processing_at', p_run.processing_at,
    'sealed_at', p_run.sealed_at,
    'parked_at', p_run.parked_at,
    'in_doubt_at', p_run.in_doubt_at,
    'completed_at', p_run.completed_at,
    'releasing_at', p_run.releasing_at,
    'failed_at', p_run.failed_at,
    'voiding_at', p_run.voiding_at,
    'voided_at', p_run.voided_at,
    'deleted_at', p_run.deleted_at,
    'deleted', p_run.deleted_at is not null
  );
$$;

comment on function export_engine.run_json is 'A run as every function answers it: the one JSON form, without the key and the frozen configuration.';

revoke execute on function export_engine.run_json(public.export_runs) from public;
grant execute on function export_engine.run_json(public.export_runs) to authenticated, service_role;
