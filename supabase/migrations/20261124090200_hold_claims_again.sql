-- Purpose: an export by hand lifts the holds of the claims that it takes; when its run fails, they stand again.

create or replace function export_engine.release_page(p_run public.export_runs)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_until integer;
begin
  -- By position, so that a page does not read again what earlier pages released.
  select max(page.position) into v_until
  from (
    select m.position
    from public.export_run_claims as m
    where m.run_id = p_run.id and m.position > p_run.released_position
    order by m.position
    limit export_engine.page_size()
  ) as page;
  -- One statement: the page is read once. What an export by hand took from its hold goes back to it when nobody has exported it
  -- after all. Not what was left out: who must act on that is said beside it, and a hold would hide it.
  with released as (
    update public.export_run_claims as m
    set outcome = 'released', released_at = clock_timestamp()
    where m.run_id = p_run.id and m.position > p_run.released_position and m.position <= v_until and m.outcome = 'included'
    returning m.organization_id, m.claim_id, m.kind
  )
  insert into public.export_holds (organization_id, claim_id, cause, reason, held_by)
  select hold.organization_id, hold.claim_id, hold.cause, hold.reason, hold.held_by
  from released
  cross join lateral (
    select h.organization_id, h.claim_id, h.cause, h.reason, h.held_by
    from public.export_holds as h
    where h.claim_id = released.claim_id and h.lifted_by = format('run %s', p_run.run_number)
    limit 1
  ) as hold
  where p_run.status = 'releasing' and released.kind = 'entry'
  on conflict (claim_id) where claim_id is not null and lifted_at is null do nothing;
  if p_run.reverses_run_id is not null then
    -- The earlier entry counts again, so that there is nothing to hold.
    perform export_engine.lift_reversal_holds(p_run, array(
      select m.claim_id
      from public.export_run_claims as m
      where m.run_id = p_run.id and m.position > p_run.released_position and m.position <= v_until
    ));
  end if;
  update public.export_runs as r
  set released_position = coalesce(v_until, r.reserved_count)
  where r.id = p_run.id
  returning r.* into v_run;
  return v_run;
end;
$$;

comment on function export_engine.release_page is
  'Lets one page of members go; claims of a failing run whose holds it had lifted are held again. None is left when released_position '
  'has reached reserved_count.';
