-- Purpose: a run is deleted for good together with the runs that took it back, and each is judged by itself. So the refusal says which.

create or replace function export_engine.check_run_may_go(p_run public.export_runs, p_confirmation text)
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
      409, 'run_unfinished', format('Run %s is %s.', p_run.run_number, p_run.status), 'Wait until it is completed, failed or voided.'
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
      409, 'run_not_hidden', format('Run %s still stands in the lists.', p_run.run_number),
      'Take it out of the lists first, with delete_export_run.'
    );
  end if;
  if exists (
    select
    from export_engine.entered_claims as e
    cross join lateral export_engine.claim_facts(array[e.claim_id]) as f
    where e.run_id = p_run.id and f.is_approved
  ) then
    perform export_engine.refuse(
      409, 'claims_still_approved',
      format('Claims of run %s are still approved in the app, and would be exported again as new.', p_run.run_number),
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
