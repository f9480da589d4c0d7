-- Purpose: a worker that wakes up after its run was completed and voided is told so, instead of "completed".

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
  perform export_engine.check_stored_file(v_run, p_file);

  update public.export_runs
  set
    status = 'completed',
    claim_count = (p_summary ->> 'claim_count')::integer,
    voucher_count = (p_summary ->> 'voucher_count')::integer,
    line_count = (p_summary ->> 'line_count')::integer,
    totals = p_summary -> 'totals',
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
