-- Purpose: the part of the seam that watches the app's tables: a claim that is touched after a run has frozen it is noted.
-- An adopter with other tables replaces this file: each change of a column that claim_documents reads, and of the approval, of a
-- claim that was approved before the change, ends in note_claim_changes.
-- Triggers on: expense_claims, expense_claim_lines. Surprising: nothing is compared here, and nothing of a claim that is not
-- approved: a claim is frozen while it is approved, so the first change after that finds it approved, and later ones are noted already.

create function export_engine.note_changed_claim()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- Whoever reserves a claim holds its row: what was reserved before this update is visible now. An older snapshot than the
  -- statement's own would not show it.
  if export_engine.has_live_entry(new.id) or current_setting('transaction_isolation') <> 'read committed' then
    perform export_engine.note_claim_changes(array[new.id], array[new.organization_id]);
  end if;
  return null;
end;
$$;

comment on function export_engine.note_changed_claim is
  'Trigger on the app''s claims: notes the change of a claim that is in a run. Definer, because no API role may write notes.';

-- Approvals, and everything before them, never reach the function.
create trigger note_changed_claim
after update on public.expense_claims
for each row
when (
  old.status = 'approved'
  and (
    old.claim_number, old.claimant_name, old.claimant_number, old.purpose, old.currency, old.dimensions, old.status
  ) is distinct from (
    new.claim_number, new.claimant_name, new.claimant_number, new.purpose, new.currency, new.dimensions, new.status
  )
)
execute function export_engine.note_changed_claim();

create function export_engine.note_claims_of_lines(p_claim_ids uuid[])
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_claim_ids uuid[];
  v_organization_ids uuid[];
begin
  -- A line can be changed while another transaction reserves its claim, unseen by both: so every approved claim is noted, unless this
  -- transaction itself holds the claim's row. Then nobody reserves it meanwhile, and what was reserved before is visible.
  select array_agg(c.id), array_agg(c.organization_id)
  into v_claim_ids, v_organization_ids
  from unnest(p_claim_ids) as touched (claim_id)
  cross join lateral (
    select e.id, e.organization_id, e.xmin = pg_current_xact_id()::xid as is_ours
    from public.expense_claims as e
    where e.id = touched.claim_id and e.status = 'approved'
    limit 1
  ) as c
  where
    not c.is_ours
    or current_setting('transaction_isolation') <> 'read committed'
    or export_engine.has_live_entry(c.id);
  if v_claim_ids is not null then
    perform export_engine.note_claim_changes(v_claim_ids, v_organization_ids);
  end if;
end;
$$;

comment on function export_engine.note_claims_of_lines is
  'Notes the approved ones of the claims whose lines were touched.';

create function export_engine.note_changed_lines()
returns trigger
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  -- One transition table each, as there is none of old rows for an insert.
  if tg_op = 'INSERT' then
    perform export_engine.note_claims_of_lines(array(select distinct n.claim_id from now_lines as n));
  elsif tg_op = 'DELETE' then
    perform export_engine.note_claims_of_lines(array(select distinct o.claim_id from was_lines as o));
  else
    -- Only what claim_documents reads. A line that moves to another claim changes both.
    perform export_engine.note_claims_of_lines(array(
      select distinct touched.claim_id
      from (
        (
          select o.claim_id, o.line_number, o.expense_type, o.description, o.expense_date, o.amount, o.quantity, o.unit, o.dimensions
          from was_lines as o
          except
          select n.claim_id, n.line_number, n.expense_type, n.description, n.expense_date, n.amount, n.quantity, n.unit, n.dimensions
          from now_lines as n
        )
        union all
        (
          select n.claim_id, n.line_number, n.expense_type, n.description, n.expense_date, n.amount, n.quantity, n.unit, n.dimensions
          from now_lines as n
          except
          select o.claim_id, o.line_number, o.expense_type, o.description, o.expense_date, o.amount, o.quantity, o.unit, o.dimensions
          from was_lines as o
        )
      ) as touched
    ));
  end if;
  return null;
end;
$$;

comment on function export_engine.note_changed_lines is
  'Trigger on the app''s claim lines: notes the claims whose lines a statement changed. Definer, because no API role may write notes.';

create trigger note_inserted_lines
after insert on public.expense_claim_lines
referencing new table as now_lines
for each statement execute function export_engine.note_changed_lines();

create trigger note_updated_lines
after update on public.expense_claim_lines
referencing old table as was_lines new table as now_lines
for each statement execute function export_engine.note_changed_lines();

create trigger note_deleted_lines
after delete on public.expense_claim_lines
referencing old table as was_lines
for each statement execute function export_engine.note_changed_lines();

revoke execute on function export_engine.note_changed_claim() from public;
revoke execute on function export_engine.note_claims_of_lines(uuid[]) from public;
revoke execute on function export_engine.note_changed_lines() from public;
