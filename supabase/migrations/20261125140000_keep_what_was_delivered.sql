-- Purpose: nobody takes back what stands in the books. A voucher that was found there keeps its run's claims, also when no container
--   is left to remove; and only a run that nobody holds has its container cleared without the current fencing token.
-- Tables: none.

create function export_engine.has_posted_vouchers(p_run_id uuid)
returns boolean
language sql
stable
security invoker
set search_path = ''
return exists (select from public.export_deliveries as d where d.run_id = p_run_id and d.state = 'already_there');

comment on function export_engine.has_posted_vouchers is 'True when the accounting system, or a person, said of a voucher of the run that it stands in the books.';

create or replace function export_engine.may_hold_vouchers(p_run_id uuid)
returns boolean
language sql
stable
security invoker
set search_path = ''
return exists (select from public.export_delivery_containers as c where c.run_id = p_run_id and c.cleared_at is null)
  or export_engine.has_posted_vouchers(p_run_id);

comment on function export_engine.may_hold_vouchers is
  'True while an attempt of the run may have left vouchers in the accounting system, or one is known to stand in its books.';

create or replace function export_engine.get_export_delivery(p_run_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  return jsonb_build_object(
    'run', export_engine.run_json(v_run),
    'configuration', v_run.configuration,
    'was_posted', export_engine.has_posted_vouchers(v_run.id),
    'containers', export_engine.containers_before(v_run, v_run.fencing_token + 1)
  );
end;
$$;

create or replace function export_engine.clear_delivery(p_run_id uuid, p_fencing_token bigint, p_container_token bigint)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  -- Nobody works on a completed run any more, and a container that was removed from it stays removed. Whoever brings a token worked
  -- on the run before it was completed, and has no word in it.
  if v_run.status = 'completed' and p_fencing_token is null then
    perform export_engine.wait_for_lock_row(p_run_id);
    perform export_engine.open_for_writing();
    select r.* into v_run from public.export_runs as r where r.id = p_run_id for update;
  else
    v_run := export_engine.hold_processing_run(p_run_id, p_fencing_token);
  end if;
  update public.export_delivery_containers
  set cleared_at = clock_timestamp(), cleared_by = 'engine'
  where run_id = v_run.id and fencing_token = p_container_token and cleared_at is null;
  if found then
    perform export_engine.record_event(v_run, 'delivery_cleared', v_run.attempt_by, jsonb_build_object('fencing_token', p_container_token));
  end if;
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run));
end;
$$;

revoke execute on function export_engine.has_posted_vouchers(uuid) from public;
