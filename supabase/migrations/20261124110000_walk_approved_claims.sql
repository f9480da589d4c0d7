-- Purpose: the part of the seam that reconciliation needs: all approved claims of an organisation, in a run or not.

create function export_engine.approved_claims(
  p_organization_id uuid,
  p_approved_from timestamptz,
  p_approved_before timestamptz,
  p_after_approved_at timestamptz,
  p_after_claim_id uuid,
  p_limit integer
)
returns table (claim_id uuid, approved_at timestamptz)
language sql
stable
security invoker
set search_path = ''
-- In the order of its index: on a table that was never analysed the planner would sort all that is left, for each page.
set enable_sort = off
set enable_bitmapscan = off
as $$
  select c.id, c.approved_at
  from public.expense_claims as c
  where
    c.organization_id = p_organization_id
    and c.status = 'approved'
    and c.approved_at >= p_approved_from
    and c.approved_at < p_approved_before
    and (c.approved_at, c.id) > (p_after_approved_at, p_after_claim_id)
  order by c.approved_at, c.id
  limit p_limit;
$$;

comment on function export_engine.approved_claims is
  'Seam: the next approved claims of an organisation, whether a run has them or not, in a stable order, after a position. Locks nothing.';

revoke execute on function export_engine.approved_claims(uuid, timestamptz, timestamptz, timestamptz, uuid, integer) from public;
