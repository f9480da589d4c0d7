-- Purpose: a run also tells by which causes claims were left out and, to accountants and admins, under which configuration it was made.

create function export_engine.left_out_causes(p_run_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object('code', cause.code, 'field', cause.field, 'count', cause.claims)
      order by cause.claims desc, cause.code, cause.field
    ),
    '[]'::jsonb
  )
  from (
    -- The same fault in the first and in the third line of a claim is one cause.
    select x.reason_code as code, regexp_replace(x.reason_field, '\[\d+\]', '[]', 'g') as field, count(*) as claims
    from (
      select m.reason_code, m.reason_field
      from public.export_run_claims as m
      where m.run_id = p_run_id and m.outcome = 'left_out'
      order by m.position
      limit export_engine.page_size()
    ) as x
    group by 1, 2
  ) as cause;
$$;

comment on function export_engine.left_out_causes is
  'The left-out claims of a run by code and field, most frequent first; lines of a claim count as one field. A page is looked at: '
  'the run has the whole number.';

create or replace function public.get_export_run(p_run_id uuid)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  -- Row-level security decides what the caller can see; unknown and foreign runs get the same answer.
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  return jsonb_build_object(
    'run', export_engine.run_json(v_run),
    'events', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object('occurred_at', e.occurred_at, 'actor', e.actor, 'event', e.event, 'detail', e.detail)
          order by e.id
        ),
        '[]'::jsonb
      )
      from public.export_run_events as e
      where e.run_id = v_run.id
    ),
    'left_out', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'claim_id', m.claim_id,
            'claim_number', m.document ->> 'claim_number',
            'code', m.reason_code,
            'field', m.reason_field,
            'message', m.reason_message
          )
          order by m.position
        ),
        '[]'::jsonb
      )
      from (
        select x.position, x.claim_id, x.document, x.reason_code, x.reason_field, x.reason_message
        from public.export_run_claims as x
        where x.run_id = v_run.id and x.outcome = 'left_out'
        order by x.position
        limit 1000
      ) as m
    ),
    'left_out_causes', case
      when v_run.left_out_count > 0 then export_engine.left_out_causes(v_run.id) else '[]'::jsonb
    end,
    'configuration', case
      when export_engine.caller_has_role(v_run.organization_id, array['accountant', 'admin'])
        then v_run.configuration || jsonb_build_object('used_layout', v_run.layout)
    end
  );
end;
$$;

comment on function public.get_export_run is
  'One run with its events in order, its left-out claims (the first 1,000) and their causes; to accountants and admins also the '
  'frozen configuration and the whole layout that was used. Users see the runs of their organisations.';

revoke execute on function export_engine.left_out_causes(uuid) from public;
grant execute on function export_engine.left_out_causes(uuid) to authenticated, service_role;
grant execute on function export_engine.page_size() to authenticated, service_role;
