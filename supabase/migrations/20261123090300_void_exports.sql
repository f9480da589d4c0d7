-- Purpose: a completed run is taken back whose file was never imported: its claims are free again, and held, so that no
-- automatic trigger exports them before a person has.

create function export_engine.finish_void(p_run public.export_runs)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_actor text;
begin
  select e.actor into v_actor
  from public.export_run_events as e
  where e.run_id = p_run.id and e.event = 'voiding'
  order by e.id desc
  limit 1;
  insert into public.export_holds (organization_id, claim_id, cause, reason, held_by)
  select page.organization_id, page.claim_id, 'voided', format('Run %s was voided.', p_run.run_number), v_actor
  from (
    select m.organization_id, m.claim_id, m.kind, m.outcome
    from public.export_run_claims as m
    where m.run_id = p_run.id and m.position > p_run.released_position
    order by m.position
    limit export_engine.page_size()
  ) as page
  where page.outcome = 'included' and page.kind = 'entry'
  on conflict (claim_id) where claim_id is not null and lifted_at is null do nothing;
  v_run := export_engine.release_page(p_run);
  if v_run.released_position >= v_run.reserved_count then
    update public.export_runs set status = 'voided' where id = v_run.id returning * into v_run;
    perform export_engine.record_event_by(v_run, 'voided', v_actor, '{}'::jsonb);
  end if;
  return v_run;
end;
$$;

comment on function export_engine.finish_void is
  'One step of a void: holds and releases a page of members; after the last one the run is voided.';

create function export_engine.void_export(p_run_id uuid, p_reason text, p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run_for_caller(p_run_id, array['admin']);
  v_actor text := export_engine.actor_name(v_run.organization_id, p_actor);
begin
  if p_reason is null or char_length(btrim(p_reason)) not between 1 and 500 then
    perform export_engine.refuse(400, 'reason_required', 'A reason of 1 to 500 characters is needed.', 'Say why the run is voided.');
  end if;
  if v_run.status in ('voiding', 'voided') then
    perform export_engine.refuse(409, 'run_is_voided', 'The run is voided already.', 'Export again: its claims are free.');
  end if;
  if v_run.deleted_at is not null then
    perform export_engine.refuse(
      409, 'run_is_deleted', 'The run was deleted from the lists.', 'A deleted run keeps its claims; it can be reversed, not voided.'
    );
  end if;
  if v_run.status <> 'completed' then
    perform export_engine.refuse(
      409, 'run_unfinished', format('The run is %s.', v_run.status), 'Only a completed run is voided; fail one that is not finished.'
    );
  end if;
  perform export_engine.check_can_be_taken_back(v_run);
  if export_engine.is_imported(v_run.id) then
    perform export_engine.refuse(
      409, 'run_was_imported', 'The accounting system has vouchers of this run.', 'Reverse the run: its vouchers are entered with opposite signs.'
    );
  end if;
  perform export_engine.open_for_writing();
  update public.export_runs set status = 'voiding' where id = v_run.id returning * into v_run;
  perform export_engine.record_event_of(v_run, 'voiding', v_actor, jsonb_build_object('reason', p_reason));
  v_run := export_engine.finish_void(v_run);
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run), 'released', v_run.status = 'voided');
end;
$$;

comment on function export_engine.void_export is
  'Takes a completed run back whose file was never imported: lets the first page of claims go and holds them; the sweep, or '
  'continue_export_release, the others. Definer, because no API role may write the tables.';

create or replace function export_engine.continue_export_release(p_run_id uuid)
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
  perform export_engine.open_for_writing();
  select r.* into v_run from public.export_runs as r where r.id = p_run_id for update;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  if exists (select from public.export_locks as l where l.run_id = v_run.id and l.expires_at > clock_timestamp()) then
    perform export_engine.refuse(409, 'run_locked', 'A worker holds this run.', 'Wait until its lease is over.');
  end if;
  if v_run.status = 'releasing' then
    v_run := export_engine.finish_failure(v_run);
  elsif v_run.status = 'voiding' then
    v_run := export_engine.finish_void(v_run);
  elsif v_run.status not in ('failed', 'voided') then
    perform export_engine.refuse(
      409, 'illegal_transition', format('A run that is %s lets no claims go.', v_run.status), 'Fail or void the run first.'
    );
  end if;
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run), 'released', v_run.status in ('failed', 'voided'));
end;
$$;

comment on function export_engine.continue_export_release is
  'Lets the next page of claims of a failing or voided run go that no worker holds; again while released is false. Definer, because '
  'no API role may write the tables.';

create or replace function export_engine.find_stalled_export_runs(p_limit integer)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform export_engine.refuse(400, 'limit_out_of_range', 'limit is 1 to 1000.', 'Ask for fewer runs.');
  end if;
  return (
    select jsonb_build_object(
      'runs', coalesce(
        jsonb_agg(
          jsonb_build_object('run_id', s.id, 'organization_id', s.organization_id, 'status', s.status) order by s.silent_since
        ),
        '[]'::jsonb
      )
    )
    from (
      select r.id, r.organization_id, r.status, coalesce(l.expires_at, r.releasing_at, r.voiding_at, r.created_at) as silent_since
      from public.export_runs as r
      left join public.export_locks as l on l.run_id = r.id
      where
        (r.status = 'processing' and l.expires_at <= clock_timestamp())
        or (r.status in ('releasing', 'voiding') and coalesce(l.expires_at <= clock_timestamp(), true))
      order by silent_since
      limit p_limit
    ) as s
  );
end;
$$;

create function public.void_export(p_run_id uuid, p_reason text, p_actor text default null)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.void_export(p_run_id, p_reason, p_actor);
$$;

comment on function public.void_export is
  'Admin: takes a completed run back whose file was never imported; its claims are free again, and held until somebody exports by '
  'hand. Without a login say who you are (p_actor).';

revoke execute on function export_engine.finish_void(public.export_runs) from public;
revoke execute on function export_engine.void_export(uuid, text, text) from public;
revoke execute on function public.void_export(uuid, text, text) from public, anon, authenticated, service_role;
grant execute on function export_engine.void_export(uuid, text, text) to authenticated, service_role;
grant execute on function public.void_export(uuid, text, text) to authenticated, service_role;
