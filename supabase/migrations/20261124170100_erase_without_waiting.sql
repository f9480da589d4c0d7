-- Purpose: an erasure and the app at the same claims never wait for each other. The erasure waits for the organisation only while it
--   holds no claim, and for a claim or its lines not at all: it ends at once (55P03), and the functions try it again.

create or replace function export_engine.lock_claims_to_erase(p_organization_id uuid, p_claim_ids uuid[])
returns table (claim_id uuid, claim_number text, is_closed boolean)
language sql
volatile
security invoker
set search_path = ''
as $$
  select
  from public.expense_claim_lines as l
  -- An array, so that it stays one index look-up per claim, also on tables that were never analysed.
  where l.claim_id = any (array(
    select c.id
    from public.expense_claims as c
    where c.id = any (p_claim_ids) and c.organization_id is not distinct from p_organization_id
  ))
  order by l.id
  for no key update of l nowait;
  select c.id, c.claim_number, c.status in ('draft', 'rejected')
  from public.expense_claims as c
  where c.id = any (p_claim_ids) and c.organization_id is not distinct from p_organization_id
  order by c.id
  for no key update of c nowait;
$$;

comment on function export_engine.lock_claims_to_erase is
  'Seam: locks and returns those of the claims that are the organisation''s, with their lines; closed: nobody asks to be paid for '
  'them. Waits for nobody who is saving them (55P03).';

create or replace function export_engine.erase_claimant(p_organization_id uuid, p_claim_ids uuid[], p_reason text, p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_claim_ids uuid[] := array(select distinct c.id from unnest(p_claim_ids) as c (id) where c.id is not null);
  v_actor text;
  v_locked integer;
  v_refused integer;
  v_named text;
  v_erased uuid[];
begin
  perform export_engine.require_role(p_organization_id, array['admin']);
  v_actor := export_engine.actor_name(p_organization_id, p_actor);
  if p_reason is null or char_length(btrim(p_reason)) not between 1 and 500 then
    perform export_engine.refuse(400, 'reason_required', 'A reason of 1 to 500 characters is needed.', 'Say why, without a name.');
  end if;
  if cardinality(v_claim_ids) not between 1 and export_engine.page_size() then
    perform export_engine.refuse(
      400, 'erasure_out_of_range', format('Erase 1 to %s claims at a time.', export_engine.page_size()), 'Send the others afterwards.'
    );
  end if;

  -- The lock row before the claims, here as everywhere: no run takes them, or lets them go, meanwhile.
  perform 1 from public.export_locks as l where l.organization_id = p_organization_id for update;
  -- And the organisation, which the trace of the erasure names: whoever locks both of the app's rows locks it first.
  perform 1 from public.organizations as o where o.id = p_organization_id for key share;
  select count(*) into v_locked from export_engine.lock_claims_to_erase(p_organization_id, v_claim_ids);
  if v_locked < cardinality(v_claim_ids) then
    perform export_engine.refuse(404, 'claim_not_found', 'One of the claims is not there.', 'Check the claim ids.');
  end if;
  -- In a statement of its own, which sees what was committed before the locks were given.
  select count(*), string_agg(format('%s (%s)', judged.claim_number, judged.why), ', ' order by judged.claim_number)
    filter (where judged.place <= 20)
  into v_refused, v_named
  from (
    select c.claim_number, w.why, row_number() over (order by c.claim_number) as place
    from export_engine.lock_claims_to_erase(p_organization_id, v_claim_ids) as c
    cross join lateral export_engine.why_not_erasable(c.claim_id, c.is_closed) as w (why)
    where w.why is not null
  ) as judged;
  if v_refused > 0 then
    perform export_engine.refuse(
      422, 'claims_not_erasable', format('%s claims still need their texts: %s.', v_refused, v_named),
      'Export them first, or close them. Nothing was erased.'
    );
  end if;

  v_erased := array(select e.id from export_engine.overwrite_claimants(v_claim_ids) as e (id));
  perform export_engine.open_for_writing();
  insert into public.export_erasures (organization_id, claim_id, actor_id, actor, reason)
  select p_organization_id, e.id, (select auth.uid()), v_actor, btrim(p_reason)
  from unnest(v_erased) as e (id);
  perform export_engine.close_for_writing();
  return jsonb_build_object(
    'erased', cardinality(v_erased), 'already_erased', cardinality(v_claim_ids) - cardinality(v_erased)
  );
end;
$$;
