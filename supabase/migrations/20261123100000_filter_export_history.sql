-- Purpose: history by status, target, trigger, person and period, and a cursor that keeps its place while runs are added.
-- Affects: public.get_export_history (its parameters change, so it is dropped and created anew).

create function export_engine.history_cursor(p_run_id uuid, p_scope text)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  -- 16 bytes of run and 8 bytes of check make 32 letters without padding.
  select translate(
    encode(uuid_send(p_run_id) || substring(sha256(convert_to(p_scope || p_run_id, 'UTF8')) for 8), 'base64'), '+/', '-_'
  );
$$;

comment on function export_engine.history_cursor is
  'Opaque text that names the last run of a page of history. It belongs to one organisation and one set of filters: p_scope.';

create function export_engine.run_at_cursor(p_organization_id uuid, p_cursor text, p_scope text)
returns public.export_runs
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  if p_cursor ~ '^[A-Za-z0-9_-]{32}$' then
    select r.* into v_run
    from public.export_runs as r
    where
      r.organization_id = p_organization_id
      and r.id = encode(substring(decode(translate(p_cursor, '-_', '+/'), 'base64') for 16), 'hex')::uuid;
  end if;
  if v_run.id is null or export_engine.history_cursor(v_run.id, p_scope) <> p_cursor then
    perform export_engine.refuse(
      400, 'invalid_cursor', 'This cursor was not given for this organisation and these filters.',
      'Send next_cursor as it was given, with the same filters, or begin again without a cursor.'
    );
  end if;
  return v_run;
end;
$$;

comment on function export_engine.run_at_cursor is
  'The run that a cursor names. A cursor that was forged, cut short, or given for other filters or another organisation is '
  'refused. A run that was deleted since still marks its place.';

create function export_engine.check_history_filter(
  p_statuses text[],
  p_trigger text,
  p_period_from date,
  p_period_to date
)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if not coalesce(
    p_statuses <@ array[
      'pending', 'processing', 'parked', 'in_doubt', 'releasing', 'failed', 'completed', 'voiding', 'voided'
    ],
    true
  ) then
    perform export_engine.refuse(400, 'invalid_filter', 'One of the statuses is none.', 'Use the states of a run.');
  end if;
  if p_trigger not in ('user', 'webhook', 'schedule', 'sweep', 'cli', 'repository') then
    perform export_engine.refuse(
      400, 'invalid_filter', 'No run has such a trigger.', 'Use user, webhook, schedule, sweep, cli or repository.'
    );
  end if;
  if p_period_from > p_period_to then
    perform export_engine.refuse(
      400, 'period_reversed', 'The period ends before it begins.', 'Send period_from on or before period_to.'
    );
  end if;
end;
$$;

comment on function export_engine.check_history_filter is
  'Refuses a status or trigger that no run can have, and a reversed period: a typing mistake must not look like an empty history.';

drop function public.get_export_history(uuid, integer, integer, boolean);

create function public.get_export_history(
  p_organization_id uuid,
  p_limit integer default 50,
  p_offset integer default null,
  p_include_deleted boolean default false,
  p_statuses text[] default null,
  p_target text default null,
  p_trigger text default null,
  p_triggered_by uuid default null,
  p_period_from date default null,
  p_period_to date default null,
  p_cursor text default null
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
-- A plan made for any filter and any limit would sort the whole history.
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_scope text := jsonb_build_array(
    p_organization_id, p_include_deleted, p_statuses, p_target, p_trigger, p_triggered_by, p_period_from, p_period_to
  )::text;
  v_after public.export_runs;
  v_answer jsonb;
begin
  perform export_engine.require_role(p_organization_id, array['coordinator', 'accountant', 'admin']);
  if p_limit is null or p_limit not between 1 and 200 or p_offset < 0 then
    perform export_engine.refuse(
      400, 'limit_out_of_range', 'limit is 1 to 200 and offset is not negative.', 'Ask for smaller pages.'
    );
  end if;
  if p_cursor is not null and p_offset is not null then
    perform export_engine.refuse(
      400, 'cursor_with_offset', 'A page begins after a cursor or at an offset, not both.', 'Send one of them.'
    );
  end if;
  perform export_engine.check_history_filter(p_statuses, p_trigger, p_period_from, p_period_to);
  if p_cursor is not null then
    v_after := export_engine.run_at_cursor(p_organization_id, p_cursor, v_scope);
  end if;

  with page as (
    -- One more than is shown tells whether there is a next page.
    select r as run, r.id, r.created_at, r.run_number
    from public.export_runs as r
    where
      r.organization_id = p_organization_id
      and (r.created_at, r.run_number)
      < (coalesce(v_after.created_at, 'infinity'), coalesce(v_after.run_number, 9223372036854775807))
      and (r.deleted_at is null or p_include_deleted)
      and (p_statuses is null or r.status = any (p_statuses))
      and (p_target is null or r.target = p_target)
      and (p_trigger is null or r.trigger = p_trigger)
      and (p_triggered_by is null or r.triggered_by = p_triggered_by)
      and (p_period_from is null or r.period_to >= p_period_from)
      and (p_period_to is null or coalesce(r.period_from, '-infinity') <= p_period_to)
    order by r.created_at desc, r.run_number desc
    limit p_limit + 1
    offset coalesce(p_offset, 0)
  ),
  shown as (
    select page.*, row_number() over (order by page.created_at desc, page.run_number desc) as place from page
  )
  select jsonb_build_object(
    'runs', coalesce(
      jsonb_agg(export_engine.run_json(s.run) order by s.place) filter (where s.place <= p_limit), '[]'::jsonb
    ),
    'next_cursor', case
      when count(*) > p_limit then export_engine.history_cursor((array_agg(s.id order by s.place))[p_limit], v_scope)
    end
  )
  into v_answer
  from shown as s;
  return v_answer;
end;
$$;

comment on function public.get_export_history is
  'Runs of an organisation, newest first, by status, target, trigger, person and period (whatever overlaps it). next_cursor '
  'leads to the next page and is null on the last; runs that are added meanwhile move nothing. Deleted runs only on request.';

revoke execute on function export_engine.history_cursor(uuid, text) from public;
revoke execute on function export_engine.run_at_cursor(uuid, text, text) from public;
revoke execute on function export_engine.check_history_filter(text[], text, date, date) from public;
revoke execute on function public.get_export_history(
  uuid, integer, integer, boolean, text[], text, text, uuid, date, date, text
) from public, anon, authenticated, service_role;

-- The reader runs as the caller, and so does what it calls.
grant execute on function export_engine.history_cursor(uuid, text) to authenticated, service_role;
grant execute on function export_engine.run_at_cursor(uuid, text, text) to authenticated, service_role;
grant execute on function export_engine.check_history_filter(text[], text, date, date) to authenticated, service_role;
grant execute on function public.get_export_history(
  uuid, integer, integer, boolean, text[], text, text, uuid, date, date, text
) to authenticated, service_role;
