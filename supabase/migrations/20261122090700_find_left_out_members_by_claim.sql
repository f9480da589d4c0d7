-- Purpose: leaving claims out of a large run stays one index look-up per claim, whatever the planner knows of the run.
-- And of a claim that is in the run twice, the member that is still in it is the one meant.
-- A table that was analysed before the run was made said "no rows of that run", and the whole run was walked per claim.

create or replace function export_engine.apply_left_out(p_run public.export_runs, p_left_out jsonb)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs := p_run;
  v_positions integer[];
  v_reasons jsonb;
  v_count integer;
  v_totals jsonb;
begin
  if coalesce(jsonb_array_length(p_left_out), 0) = 0 then
    return v_run;
  end if;
  if jsonb_array_length(p_left_out) > export_engine.page_size() then
    perform export_engine.refuse(
      413, 'too_many_claims', format('At most %s claims can be left out at once.', export_engine.page_size()),
      'Send them in pages.'
    );
  end if;
  -- One index look-up per claim, and then by position: a join of the list with the run's members is a nested loop over
  -- both as long as nobody has analysed the table.
  select array_agg(found.position), jsonb_object_agg(coalesce(found.position, 0), found.reason)
  into v_positions, v_reasons
  from (
    select
      (
        select m.position
        from public.export_run_claims as m
        where
          m.claim_id = (item.value ->> 'claim_id')::uuid
          -- Not "=": with statistics that do not know this run yet, the planner would walk the run for each claim.
          and m.run_id is not distinct from p_run.id
          and m.outcome in ('included', 'left_out')
        -- A claim that was left out, and approved again behind the cursor, is in the run a second time.
        order by (m.outcome = 'included') desc
        limit 1
      ) as position,
      item.value as reason
    from jsonb_array_elements(p_left_out) as item
  ) as found;
  if array_position(v_positions, null) is not null then
    perform export_engine.refuse(
      422, 'claims_not_in_run', 'Only claims of this run can be left out of it.', 'Read the run''s claims again.'
    );
  end if;

  with released as (
    update public.export_run_claims as m
    set
      outcome = 'left_out',
      released_at = clock_timestamp(),
      reason_code = v_reasons -> m.position::text ->> 'code',
      reason_field = left(v_reasons -> m.position::text ->> 'field', 100),
      reason_message = left(v_reasons -> m.position::text ->> 'message', 1000)
    where m.run_id = p_run.id and m.position = any (v_positions) and m.outcome = 'included'
    returning m.amount, m.currency
  ),
  summed as (
    select r.currency, sum(r.amount)::numeric(18, 2) as amount, count(*) as claims from released as r group by r.currency
  )
  select coalesce(sum(s.claims), 0), coalesce(jsonb_object_agg(s.currency, s.amount::text), '{}'::jsonb)
  into v_count, v_totals
  from summed as s;

  if v_count > 0 then
    update public.export_runs
    set left_out_count = left_out_count + v_count, left_out_totals = export_engine.add_totals(left_out_totals, v_totals)
    where id = p_run.id
    returning * into v_run;
    perform export_engine.record_event(v_run, 'claims_left_out', v_run.attempt_by, jsonb_build_object('claims', v_count));
  end if;
  return v_run;
end;
$$;
