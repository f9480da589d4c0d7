-- Purpose: the engine waits for nobody while it holds claims, so that the app's own updates are never a deadlock's victim.
-- Surprising: a row that is updated twice in one transaction has its foreign keys checked again, although they did not
-- change. The second update of a run, after its claims were locked, would wait for whoever holds the organisation's row,
-- and she may be waiting for the claims. So the organisation's row is shared first, and the check finds it held.

create function export_engine.hold_before_claims(p_organization_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform 1 from public.organizations as o where o.id = p_organization_id for key share;
  -- An admin may be raising the voucher numbers, and changing claims next.
  perform export_engine.take_numbers(p_organization_id, 'voucher_number', 0);
end;
$$;

comment on function export_engine.hold_before_claims is
  'Takes every lock that reserving will need beside the claims, before any claim is locked. The lock on the organisation''s row is '
  'the one that foreign keys take: it hinders no update that leaves its id alone.';

create or replace function export_engine.reserve_next(p_run public.export_runs)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs := p_run;
  v_page record;
begin
  perform export_engine.hold_before_claims(p_run.organization_id);
  select * into v_page from export_engine.next_claims(p_run);
  if cardinality(v_page.claim_ids) > 0 then
    v_run := export_engine.reserve_claims(p_run, v_page.claim_ids);
  end if;
  update public.export_runs
  set
    cursor_approved_at = coalesce(v_page.last_approved_at, cursor_approved_at),
    cursor_claim_id = coalesce(v_page.last_claim_id, cursor_claim_id),
    skipped_count = skipped_count + v_page.seen - cardinality(v_page.claim_ids)
  where id = v_run.id
  returning * into v_run;
  if v_page.seen < export_engine.page_size() then
    v_run := export_engine.seal_run(v_run);
  end if;
  return v_run;
end;
$$;

create or replace function export_engine.start_pending_run(p_run public.export_runs, p_claim_ids uuid[])
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_claim_ids uuid[];
  v_missing text;
begin
  perform export_engine.hold_before_claims(p_run.organization_id);
  if exists (select from public.export_locks as l where l.organization_id = p_run.organization_id and l.run_id is not null) then
    perform export_engine.refuse(
      409, 'lock_busy', 'Another run of this organisation is not finished.', 'Wait for it, or trigger an export, which finishes it.'
    );
  end if;
  v_run := export_engine.start_attempt(p_run, gen_random_uuid(), p_run.triggered_by, 'started');
  if cardinality(p_claim_ids) = 0 then
    return v_run;
  end if;
  v_claim_ids := array(
    select c.claim_id
    from export_engine.lock_claims(p_run.organization_id, p_claim_ids) as c
    order by c.approved_at, c.claim_id
  );
  select string_agg(wanted.claim_id::text, ', ' order by wanted.claim_id) into v_missing
  from (
    select distinct w.claim_id from unnest(p_claim_ids) as w (claim_id) where w.claim_id <> all (v_claim_ids) limit 5
  ) as wanted;
  if v_missing is not null then
    perform export_engine.refuse(
      422, 'claims_not_reservable',
      format('Not approved, not of this organisation, in a run already, or being edited: %s.', v_missing),
      'Leave these claims out.'
    );
  end if;
  return export_engine.seal_run(export_engine.reserve_claims(v_run, v_claim_ids));
end;
$$;

revoke execute on function export_engine.hold_before_claims(uuid) from public;
