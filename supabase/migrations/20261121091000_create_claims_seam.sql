-- Purpose: the one seam between the engine and the app's tables. An adopter with other tables replaces this file
-- (and the two before it that create the reference tables) and nothing else.
-- Reads: expense_claims, expense_claim_lines. Surprising: locking and rendering are two functions on purpose. In one
-- statement the head would be re-read after waiting for a lock while the lines still came from the older snapshot.
-- Also surprising: "is in no run" is asked with limit 1 instead of not exists. Not exists becomes a join, and on tables
-- that were never analysed (the first large export of a new project) the planner expects one row and joins in a nested
-- loop over all live entries. A sub-select with a limit stays one index look-up per claim.

create function export_engine.eligible_claims(
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
as $$
  select c.id, c.approved_at
  from public.expense_claims as c
  where
    c.organization_id = p_organization_id
    and c.status = 'approved'
    and c.approved_at >= p_approved_from
    and c.approved_at < p_approved_before
    and (c.approved_at, c.id) > (p_after_approved_at, p_after_claim_id)
    and (select e.claim_id from export_engine.entered_claims as e where e.claim_id = c.id limit 1) is null
  order by c.approved_at, c.id
  limit p_limit;
$$;

comment on function export_engine.eligible_claims is
  'Seam: the next approved claims of an organisation that are in no run, in a stable order, after a position. Locks nothing.';

create function export_engine.lock_claims(p_organization_id uuid, p_claim_ids uuid[])
returns table (claim_id uuid, approved_at timestamptz)
language sql
volatile
security invoker
set search_path = ''
as $$
  select c.id, c.approved_at
  from public.expense_claims as c
  where
    c.id = any (p_claim_ids)
    and c.status = 'approved'
    -- Not "=": on a table that was never analysed the planner would walk the whole organisation for each page.
    and c.organization_id is not distinct from p_organization_id
    and (select e.claim_id from export_engine.entered_claims as e where e.claim_id = c.id limit 1) is null
  order by c.approved_at, c.id
  for no key update of c skip locked;
$$;

comment on function export_engine.lock_claims is
  'Seam: locks and returns those of the named claims that are approved now, of this organisation and in no run. A claim that '
  'somebody is editing is skipped, not waited for.';

create function export_engine.claim_documents(p_claim_ids uuid[], p_time_zone text)
returns table (claim_id uuid, document jsonb, amount numeric, currency text)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    c.id,
    jsonb_build_object(
      'claim_id', c.id,
      'claim_number', c.claim_number,
      'claimant', jsonb_build_object('name', c.claimant_name, 'number', c.claimant_number),
      'purpose', c.purpose,
      'currency', c.currency,
      'approved_on', (c.approved_at at time zone p_time_zone)::date,
      'dimensions', c.dimensions,
      'total', line.total::text,
      'lines', line.documents
    ),
    line.total,
    c.currency
  from public.expense_claims as c
  cross join lateral (
    select
      -- A sum that is no number would stop every export of the organisation; the exporter leaves such a claim out.
      coalesce(sum(l.amount) filter (where abs(l.amount) < 'Infinity'), 0)::numeric(18, 2) as total,
      coalesce(
        jsonb_agg(
          jsonb_build_object(
            'line_number', l.line_number,
            'expense_type', l.expense_type,
            'description', l.description,
            'expense_date', l.expense_date,
            'amount', l.amount::text,
            'quantity', l.quantity::text,
            'unit', l.unit,
            'dimensions', l.dimensions
          )
          order by l.line_number
        ),
        '[]'::jsonb
      ) as documents
    from public.expense_claim_lines as l
    where l.claim_id = c.id
  ) as line
  where c.id = any (p_claim_ids);
$$;

comment on function export_engine.claim_documents is
  'Seam: each claim as the JSON document that is frozen into a run. Amounts and quantities are text, dates are ISO. '
  'Call it in a statement of its own, after the claims were locked.';

create function export_engine.keep_exported_claims()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    -- An older snapshot would not see the membership of a run that reserved the claim meanwhile.
    perform export_engine.refuse(
      409, 'claim_history_unknown', 'Claims are deleted at isolation level read committed only.', 'Use the default isolation level.'
    );
  end if;
  if exists (select from public.export_run_claims as m where m.claim_id = old.id) then
    perform export_engine.refuse(
      403, 'claim_has_history', 'A claim that was ever in an export run is not deleted.',
      'Correct it with a new claim. Personal data can be taken out of the row; what was frozen into runs is kept.'
    );
  end if;
  return old;
end;
$$;

comment on function export_engine.keep_exported_claims is
  'Trigger on the app''s claims: a claim that was ever a member of a run stays, so that every voucher can be traced. '
  'Definer, because whoever deletes a claim need not be allowed to read memberships.';

create trigger keep_exported_claims
before delete on public.expense_claims
for each row execute function export_engine.keep_exported_claims();

create function export_engine.keep_claim_identity()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  if (new.id, new.organization_id) is distinct from (old.id, old.organization_id) then
    perform export_engine.refuse(403, 'claim_has_history', 'A claim keeps its id and its organisation.');
  end if;
  return new;
end;
$$;

comment on function export_engine.keep_claim_identity is 'Trigger on the app''s claims: memberships point at the id, so it never changes. Definer, to be allowed to say so.';

create trigger keep_claim_identity
before update on public.expense_claims
for each row
when (new.id is distinct from old.id or new.organization_id is distinct from old.organization_id)
execute function export_engine.keep_claim_identity();

revoke execute on function export_engine.eligible_claims(uuid, timestamptz, timestamptz, timestamptz, uuid, integer) from public;
revoke execute on function export_engine.lock_claims(uuid, uuid[]) from public;
revoke execute on function export_engine.claim_documents(uuid[], text) from public;
revoke execute on function export_engine.keep_exported_claims() from public;
revoke execute on function export_engine.keep_claim_identity() from public;
