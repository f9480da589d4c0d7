-- Purpose: from a claim to the lines of its voucher, and from a line of a file back to the claim; and what a run's file books.

create function export_engine.lines_of(p_run public.export_runs, p_position integer)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'first', page.first_lines[page.place],
    'last', coalesce(page.first_lines[page.place + 1] - 1, page.last_line)
  )
  from (
    select p.positions, p.first_lines, p.last_line, width_bucket(p_position, p.positions) as place
    from public.export_run_pages as p
    where
      p_run.completed_at is not null
      and p.run_id = p_run.id
      and p.fencing_token = p_run.fencing_token
      and p.first_position <= p_position
    order by p.first_position desc
    limit 1
  ) as page
  where page.positions[page.place] = p_position;
$$;

comment on function export_engine.lines_of is
  'First and last line of a member''s voucher in the run''s file, 1 being the file''s first; null when it is not in the file, or when '
  'nobody wrote the lines down. One index look-up.';

create function public.find_claim_at_line(p_run_id uuid, p_line_number integer)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_position integer;
  v_lines jsonb;
begin
  -- Row-level security decides what the caller can see; unknown and foreign runs get the same answer.
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  if v_run.completed_at is null or not exists (
    select from public.export_run_pages as p where p.run_id = v_run.id and p.fencing_token = v_run.fencing_token
  ) then
    perform export_engine.refuse(
      404, 'lines_not_recorded', 'For this run nobody wrote down which lines its vouchers stand on.',
      'Search for the voucher number or the claim number that stands on the line.'
    );
  end if;
  select p.positions[width_bucket(p_line_number, p.first_lines)] into v_position
  from public.export_run_pages as p
  where
    p.run_id = v_run.id
    and p.fencing_token = v_run.fencing_token
    and p.first_line <= p_line_number
    and p.last_line >= p_line_number
  order by p.first_line desc
  limit 1;
  if v_position is null then
    perform export_engine.refuse(
      404, 'line_not_found', format('No voucher stands on line %s of the file.', p_line_number),
      format(
        'Its vouchers stand on lines %s.',
        (
          select format('%s to %s', min(p.first_line), max(p.last_line))
          from public.export_run_pages as p
          where p.run_id = v_run.id and p.fencing_token = v_run.fencing_token
        )
      )
    );
  end if;
  v_lines := export_engine.lines_of(v_run, v_position);
  return (
    select jsonb_build_object(
      'run_id', v_run.id,
      'line_number', p_line_number,
      'lines', v_lines,
      'voucher_line', p_line_number - (v_lines ->> 'first')::integer + 1,
      'claim_id', m.claim_id,
      'claim_number', m.document ->> 'claim_number'
    ) || export_engine.membership_in_short(m)
    from public.export_run_claims as m
    where m.run_id = v_run.id and m.position = v_position
  );
end;
$$;

comment on function public.find_claim_at_line is
  'For staff: the claim whose voucher stands on a line of the run''s file, counted from 1, header included, as an editor shows it; '
  'voucher_line is the line within the voucher.';

create or replace function public.find_runs_by_claim_id(p_claim_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'runs', coalesce(
      jsonb_agg(
        export_engine.run_json(r) || jsonb_build_object(
          'membership', jsonb_build_object(
            'position', m.position,
            'kind', m.kind,
            'generation', m.generation,
            'voucher_number', m.voucher_number,
            'lines', export_engine.lines_of(r, m.position),
            'outcome', m.outcome,
            'reason_code', m.reason_code,
            'reserved_at', m.reserved_at,
            'released_at', m.released_at
          )
        )
        order by m.reserved_at, m.run_id, m.position
      ),
      '[]'::jsonb
    )
  )
  from public.export_run_claims as m
  join public.export_runs as r on r.id = m.run_id
  where m.claim_id = p_claim_id;
$$;

comment on function public.find_runs_by_claim_id is
  'All runs a claim was ever in, oldest first, deleted and voided ones included and marked, with the lines of its voucher in each file. '
  'One index look-up, and one per file.';

create or replace function public.get_claim_status(p_claim_ids uuid[])
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if coalesce(cardinality(p_claim_ids), 0) not between 1 and 200 or array_position(p_claim_ids, null) is not null then
    perform export_engine.refuse(
      400, 'claim_ids_out_of_range', 'Ask for 1 to 200 claims.', 'Ask for the others in another call.'
    );
  end if;
  return (
    with standing as materialized (
      select s.* from export_engine.claim_standing(p_claim_ids) as s
    ),
    present as materialized (
      -- The date of approval is written in the time zone of the run.
      select d.claim_id, d.document
      from (
        select (s.run).time_zone, array_agg(s.claim_id) as claim_ids
        from standing as s
        where (s.run).id is not null
        group by (s.run).time_zone
      ) as z
      cross join lateral export_engine.claim_documents(z.claim_ids, z.time_zone) as d
    ),
    told as (
      select
        s.claim_id,
        jsonb_build_object(
          'claim_id', s.claim_id,
          'claim_number', s.claim_number,
          'state', s.state,
          'run', case when (s.run).id is not null then export_engine.run_in_short(s.run) end,
          'file_name', case when s.state = 'exported' then (s.run).file_name end,
          'file_sha256', case when s.state = 'exported' then (s.run).file_sha256 end,
          'voucher_number', (s.member).voucher_number,
          'lines', case when s.state = 'exported' then export_engine.lines_of(s.run, (s.member).position) end,
          'backfilled', s.state = 'exported' and (s.run).origin = 'manual',
          'reason', s.reason,
          'changed_since_export', difference.changes <> '[]' or (p.claim_id is not null and not s.is_approved),
          'no_longer_approved', p.claim_id is not null and not s.is_approved,
          'changes', coalesce(difference.changes, '[]'),
          'memberships', export_engine.claim_memberships(s.claim_id)
        ) as entry
      from standing as s
      left join present as p on p.claim_id = s.claim_id
      left join lateral (
        select export_engine.document_changes((s.member).document, p.document) as changes where p.claim_id is not null
      ) as difference on true
    )
    select jsonb_build_object(
      'claims', jsonb_agg(
        coalesce(told.entry, jsonb_build_object('claim_id', asked.claim_id, 'state', 'unknown')) order by asked.place
      )
    )
    from (
      select w.claim_id, min(w.place) as place from unnest(p_claim_ids) with ordinality as w (claim_id, place) group by w.claim_id
    ) as asked
    left join told on told.claim_id = asked.claim_id
  );
end;
$$;

comment on function public.get_claim_status is
  'For staff: each claim''s state (eligible, not_approved, reserved, exported, held, left_out), its run, file, voucher, lines of the file '
  'and reason, whether it was backfilled, what changed since it was frozen, and its last ten memberships. Unknown and foreign ids are '
  'unknown alike.';

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
    'breakdown', v_run.breakdown,
    'configuration', case
      when export_engine.caller_has_role(v_run.organization_id, array['accountant', 'admin'])
        then v_run.configuration || jsonb_build_object('used_layout', v_run.layout)
    end
  );
end;
$$;

comment on function public.get_export_run is
  'One run with its events in order, its left-out claims (the first 1,000) and their causes, and what its file books per account and '
  'dimensions; to accountants and admins also the frozen configuration and the whole layout that was used. Users see the runs of '
  'their organisations.';

revoke execute on function export_engine.lines_of(public.export_runs, integer) from public;
revoke execute on function public.find_claim_at_line(uuid, integer) from public, anon, authenticated, service_role;
grant execute on function export_engine.lines_of(public.export_runs, integer) to authenticated, service_role;
grant execute on function public.find_claim_at_line(uuid, integer) to authenticated, service_role;
