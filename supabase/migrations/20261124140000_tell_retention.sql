-- Purpose: every run says until when the bookkeeping rules demand that it is kept.

create function export_engine.fiscal_year_end(p_organization_id uuid, p_day date)
returns date
language sql
stable
security invoker
set search_path = ''
as $$
  select make_date(extract(year from p_day)::integer, 12, 31);
$$;

comment on function export_engine.fiscal_year_end is
  'Last day of the organisation''s fiscal year that a day belongs to: the calendar year. Replace it where years end otherwise.';

create function export_engine.retention_ends(p_organization_id uuid, p_export_date date)
returns date
language sql
stable
security invoker
set search_path = ''
as $$
  -- 31 December also after a fiscal year that ends earlier: never before the law allows it.
  select make_date(extract(year from export_engine.fiscal_year_end(p_organization_id, p_export_date))::integer + 5, 12, 31);
$$;

comment on function export_engine.retention_ends is
  'The last day on which what was exported on a day must be kept: 31 December five years after the fiscal year.';

revoke execute on function export_engine.fiscal_year_end(uuid, date) from public;
revoke execute on function export_engine.retention_ends(uuid, date) from public;
grant execute on function export_engine.fiscal_year_end(uuid, date) to authenticated, service_role;
grant execute on function export_engine.retention_ends(uuid, date) to authenticated, service_role;

create or replace view public.export_run_overview with (security_invoker = true) as
select
  o.name as organization,
  r.run_number,
  r.status,
  r.target,
  r.format,
  r.period_from,
  r.period_to,
  coalesce(r.triggered_by_name, 'system') as triggered_by,
  r.trigger,
  r.claim_count,
  r.left_out_count,
  r.skipped_count,
  r.totals,
  r.file_name,
  r.file_sha256,
  r.error_code,
  r.attempt,
  r.created_at,
  r.completed_at,
  r.failed_at,
  r.deleted_at is not null as is_deleted,
  r.organization_id,
  r.id as run_id,
  export_engine.retention_ends(r.organization_id, r.export_date) as kept_until
from public.export_runs as r
join public.organizations as o on o.id = r.organization_id;

comment on column public.export_run_overview.kept_until is 'The last day on which the run and its file must be kept.';

create or replace function export_engine.run_json(p_run public.export_runs)
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
    'reverses_run_id', p_run.reverses_run_id,
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
    'deleted', p_run.deleted_at is not null,
    'kept_until', export_engine.retention_ends(p_run.organization_id, p_run.export_date)
  );
$$;
