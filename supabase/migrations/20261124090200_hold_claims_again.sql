-- Purpose: an export by hand lifts the holds of the claims that it takes; when its run fails, they stand again.

create function export_engine.hold_again(p_run public.export_runs, p_until integer)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into public.export_holds (organization_id, claim_id, cause, reason, held_by)
  select h.organization_id, h.claim_id, h.cause, h.reason, h.held_by
  from public.export_run_claims as m
  join public.export_holds as h
    on h.claim_id = m.claim_id and h.organization_id = m.organization_id and h.lifted_by = format('run %s', p_run.run_number)
  where
    m.run_id = p_run.id
    and m.position > p_run.released_position
    and m.position <= p_until
    -- Who must act on a claim that was left out is said beside it; a hold would hide that.
    and m.outcome = 'released'
    and m.kind = 'entry'
  on conflict (claim_id) where claim_id is not null and lifted_at is null do nothing;
$$;

comment on function export_engine.hold_again is
  'Holds the claims of a page of a failing run again whose holds it had lifted, for the same cause: nobody has exported them after all.';

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
  update public.export_run_claims as m
  set outcome = 'released', released_at = clock_timestamp()
  where m.run_id = p_run.id and m.position > p_run.released_position and m.position <= v_until and m.outcome = 'included';
  if p_run.status = 'releasing' then
    perform export_engine.hold_again(p_run, v_until);
  end if;
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

revoke execute on function export_engine.hold_again(public.export_runs, integer) from public;
