-- Purpose: whoever records by hand fewer claims than she reserved lets the others go as they were: held, if her run had lifted their
--   holds. Until now a run that failed did so, and one that was completed with some of its claims did not.

create function export_engine.hold_again(p_run public.export_runs, p_claim_ids uuid[])
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into public.export_holds (organization_id, claim_id, cause, reason, held_by)
  select hold.organization_id, hold.claim_id, hold.cause, hold.reason, hold.held_by
  from unnest(p_claim_ids) as c (claim_id)
  -- With limit, so that it stays one index look-up per claim.
  cross join lateral (
    select h.organization_id, h.claim_id, h.cause, h.reason, h.held_by
    from public.export_holds as h
    where h.claim_id = c.claim_id and h.lifted_by = format('run %s', p_run.run_number)
    limit 1
  ) as hold
  on conflict (claim_id) where claim_id is not null and lifted_at is null do nothing;
$$;

comment on function export_engine.hold_again is
  'Claims that a run took from their holds and did not export after all go back to them. Not what it left out: who must act on that is '
  'said beside it, and a hold would hide it.';

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
  v_claim_ids uuid[];
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
  with released as (
    update public.export_run_claims as m
    set outcome = 'released', released_at = clock_timestamp()
    where m.run_id = p_run.id and m.position > p_run.released_position and m.position <= v_until and m.outcome = 'included'
    returning m.claim_id, m.kind
  )
  select array_agg(r.claim_id) into v_claim_ids from released as r where r.kind = 'entry';
  if p_run.status = 'releasing' then
    perform export_engine.hold_again(p_run, v_claim_ids);
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

create or replace function export_engine.keep_only(p_run public.export_runs, p_claim_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_known integer;
  v_dropped uuid[];
begin
  select count(*) into v_known
  from public.export_run_claims as m
  where m.run_id = p_run.id and m.outcome = 'included' and m.claim_id = any (p_claim_ids);
  if v_known <> cardinality(p_claim_ids) then
    perform export_engine.refuse(
      422, 'claims_not_in_run', 'The final claims must be among those that the run reserved.', 'Read the run''s claims again.'
    );
  end if;
  with dropped as (
    update public.export_run_claims as m
    set outcome = 'released', released_at = clock_timestamp()
    where m.run_id = p_run.id and m.outcome = 'included' and m.claim_id <> all (p_claim_ids)
    returning m.claim_id
  )
  select array_agg(d.claim_id) into v_dropped from dropped as d;
  perform export_engine.hold_again(p_run, v_dropped);
end;
$$;

revoke execute on function export_engine.hold_again(public.export_runs, uuid[]) from public;
