-- Purpose: a claim whose reversal is voided or refused is in the books again as it was frozen first. What was changed since was noted, but
--   while nothing of the claim was in the books the sweep took its notes for settled. So it is noted again.

create or replace function export_engine.lift_reversal_holds(p_run public.export_runs, p_claim_ids uuid[])
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  update public.export_holds
  set lifted_at = clock_timestamp(), lifted_by = format('run %s', p_run.run_number)
  where claim_id = any (p_claim_ids) and lifted_at is null and cause = 'reversed';
  -- A reversal that was never completed took nothing back: the notes are all there.
  insert into public.export_claim_changes (organization_id, claim_id)
  select p_run.organization_id, c.claim_id
  from unnest(p_claim_ids) as c (claim_id)
  where p_run.completed_at is not null;
$$;

comment on function export_engine.lift_reversal_holds is
  'Ends the holds of a reversing run on claims that it takes back after all not. Their earlier entry counts again, and is compared with '
  'what the claim is now.';
