-- Purpose: people put claims, or a whole organisation, on hold and lift the holds again. What a hold does stands in the next migration.
-- Tables: export_holds (an index).

create index export_holds_claim_id_idx on public.export_holds (claim_id, lifted_at);

create function export_engine.hold_json(p_hold public.export_holds)
returns jsonb
language sql
stable
security invoker
set search_path = ''
return jsonb_build_object(
  'hold_id', p_hold.id,
  'organization_id', p_hold.organization_id,
  'claim_id', p_hold.claim_id,
  'cause', p_hold.cause,
  'reason', p_hold.reason,
  'held_at', p_hold.held_at,
  'held_by', p_hold.held_by,
  'lifted_at', p_hold.lifted_at,
  'lifted_by', p_hold.lifted_by
);

comment on function export_engine.hold_json is 'A hold as functions answer it.';

create function export_engine.standing_hold(p_organization_id uuid)
returns public.export_holds
language sql
stable
security invoker
set search_path = ''
as $$
  select h.*
  from public.export_holds as h
  where h.organization_id = p_organization_id and h.claim_id is null and h.lifted_at is null;
$$;

comment on function export_engine.standing_hold is 'The hold on the organisation itself; null when it may export.';

create function export_engine.check_hold_reason(p_reason text)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if p_reason is null or char_length(btrim(p_reason)) not between 1 and 500 then
    perform export_engine.refuse(
      400, 'reason_required', 'A reason of 1 to 500 characters is needed.', 'Say why it is held: whoever wants to export reads it.'
    );
  end if;
end;
$$;

comment on function export_engine.check_hold_reason is 'Refuses a hold that says nothing to those whom it stops.';

create function export_engine.lock_organization(p_organization_id uuid)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if not exists (select from public.organizations as o where o.id = p_organization_id) then
    perform export_engine.refuse(404, 'organization_not_found', 'There is no such organisation.', 'Check the id.');
  end if;
  -- Without a target there is no lock row yet; what is configured later is held too.
  insert into public.export_locks (organization_id) values (p_organization_id)
  on conflict on constraint export_locks_pkey do nothing;
  perform 1 from public.export_locks as l where l.organization_id = p_organization_id for update;
end;
$$;

comment on function export_engine.lock_organization is
  'Waits until nobody else works on the organisation''s lock row. Begin, complete and takeover hold it too, so that a hold stands '
  'either before or after each of them, never beside it.';

create function export_engine.hold_exports(p_organization_id uuid, p_reason text, p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_hold public.export_holds;
  v_count integer;
begin
  perform export_engine.require_role(p_organization_id, array['admin']);
  perform export_engine.check_hold_reason(p_reason);
  perform export_engine.lock_organization(p_organization_id);
  perform export_engine.open_for_writing();
  insert into public.export_holds (organization_id, cause, reason, held_by)
  values (p_organization_id, 'by_hand', btrim(p_reason), export_engine.actor_name(p_organization_id, p_actor))
  on conflict (organization_id) where claim_id is null and lifted_at is null do nothing;
  get diagnostics v_count = row_count;
  perform export_engine.close_for_writing();
  v_hold := export_engine.standing_hold(p_organization_id);
  return jsonb_build_object(
    'hold', export_engine.hold_json(v_hold),
    'recorded', v_count,
    'unfinished_run', (
      select export_engine.run_json(r)
      from public.export_locks as l
      join public.export_runs as r on r.id = l.run_id
      where l.organization_id = p_organization_id
    )
  );
end;
$$;

comment on function export_engine.hold_exports is
  'Puts an organisation on hold, or answers the hold that stands, with the run that will wait. Definer, because no API role may write '
  'the tables.';

create function export_engine.unknown_claims(p_claim_ids uuid[])
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select string_agg(coalesce(asked.claim_id::text, 'null'), ', ' order by asked.claim_id)
  from (
    select c.claim_id
    from unnest(p_claim_ids) as c (claim_id)
    left join export_engine.claim_facts(p_claim_ids) as f on f.claim_id = c.claim_id
    where
      f.claim_id is null
      or (
        (select auth.uid()) is not null
        and not export_engine.member_has_role(f.organization_id, (select auth.uid()), array['coordinator', 'accountant', 'admin'])
      )
    limit 5
  ) as asked;
$$;

comment on function export_engine.unknown_claims is
  'The first of the claims that do not exist, or that the caller may not know of; null when there is none.';

create function export_engine.hold_claims(p_claim_ids uuid[], p_reason text, p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_claim_ids uuid[] := array(select distinct c.claim_id from unnest(p_claim_ids) as c (claim_id));
  v_unknown text;
  v_organization_id uuid;
  v_actor text;
  v_count integer;
  v_recorded integer := 0;
  v_in_run uuid[];
begin
  if (select auth.uid()) is null then
    perform export_engine.require_role(null, array['admin']);
  end if;
  perform export_engine.check_hold_reason(p_reason);
  if cardinality(v_claim_ids) > export_engine.page_size() then
    perform export_engine.refuse(
      413, 'too_many_claims', format('At most %s claims can be held at once.', export_engine.page_size()), 'Hold them in pages.'
    );
  end if;
  v_unknown := export_engine.unknown_claims(v_claim_ids);
  if v_unknown is not null then
    perform export_engine.refuse(404, 'claims_not_found', format('There are no such claims: %s.', v_unknown), 'Check the claim ids.');
  end if;
  for v_organization_id in
    select distinct f.organization_id from export_engine.claim_facts(v_claim_ids) as f order by f.organization_id
  loop
    perform export_engine.require_role(v_organization_id, array['admin']);
    v_actor := export_engine.actor_name(v_organization_id, p_actor);
    perform export_engine.lock_organization(v_organization_id);
    perform export_engine.open_for_writing();
    -- A statement of its own, after the lock: what a run took meanwhile is seen.
    insert into public.export_holds (organization_id, claim_id, cause, reason, held_by)
    select f.organization_id, f.claim_id, 'by_hand', btrim(p_reason), v_actor
    from export_engine.claim_facts(v_claim_ids) as f
    where
      f.organization_id = v_organization_id
      and (select e.claim_id from export_engine.entered_claims as e where e.claim_id = f.claim_id limit 1) is null
    on conflict (claim_id) where claim_id is not null and lifted_at is null do nothing;
    get diagnostics v_count = row_count;
    v_recorded := v_recorded + v_count;
  end loop;
  perform export_engine.close_for_writing();
  v_in_run := array(
    select c.claim_id
    from unnest(v_claim_ids) as c (claim_id)
    where (select e.claim_id from export_engine.entered_claims as e where e.claim_id = c.claim_id limit 1) is not null
    order by c.claim_id
  );
  return jsonb_build_object(
    'recorded', v_recorded,
    'held_before', (
      select count(*)
      from public.export_holds as h
      where h.claim_id = any (v_claim_ids) and h.claim_id <> all (v_in_run) and h.lifted_at is null
    ) - v_recorded,
    'in_run', to_jsonb(v_in_run)
  );
end;
$$;

comment on function export_engine.hold_claims is
  'Puts claims on hold, and names those that a run has already: they are reserved or exported, and left as they are. Definer, because '
  'no API role may write the tables.';

create function export_engine.lift_export_hold(p_organization_id uuid, p_claim_ids uuid[], p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_actor text;
  v_hold public.export_holds;
  v_lifted integer;
begin
  perform export_engine.require_role(p_organization_id, array['admin']);
  if cardinality(p_claim_ids) > export_engine.page_size() then
    perform export_engine.refuse(
      413, 'too_many_claims', format('At most %s holds can be lifted at once.', export_engine.page_size()), 'Lift them in pages.'
    );
  end if;
  v_actor := export_engine.actor_name(p_organization_id, p_actor);
  perform export_engine.lock_organization(p_organization_id);
  perform export_engine.open_for_writing();
  if p_claim_ids is not null then
    update public.export_holds
    set lifted_at = clock_timestamp(), lifted_by = v_actor
    where
      claim_id = any (p_claim_ids)
      and lifted_at is null
      -- Not "=": on a table that was never analysed the planner would walk all holds of the organisation.
      and organization_id is not distinct from p_organization_id;
    get diagnostics v_lifted = row_count;
  else
    update public.export_holds
    set lifted_at = clock_timestamp(), lifted_by = v_actor
    where organization_id = p_organization_id and claim_id is null and lifted_at is null
    returning * into v_hold;
    get diagnostics v_lifted = row_count;
    if v_lifted > 0 then
      -- What kept the waiting run from getting on was the hold: its attempts start anew.
      update public.export_runs
      set attempts_without_progress = 0, progress_at = clock_timestamp()
      where
        id = (select l.run_id from public.export_locks as l where l.organization_id = p_organization_id)
        and status = 'processing';
    end if;
  end if;
  perform export_engine.close_for_writing();
  return jsonb_build_object('lifted', v_lifted, 'hold', case when v_hold.id is not null then export_engine.hold_json(v_hold) end);
end;
$$;

comment on function export_engine.lift_export_hold is
  'Lifts the organisation''s own hold, or those of claims; a lifted hold stays as history. The next sweep or trigger continues the run '
  'that waited. Definer, because no API role may write the tables.';

create function public.hold_exports(p_organization_id uuid, p_reason text, p_actor text default null)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.hold_exports(p_organization_id, p_reason, p_actor);
$$;

comment on function public.hold_exports is
  'Admin: from now on nothing of the organisation is exported, until lift_export_hold. Whoever tries is told the reason. Without a login '
  'say who you are (p_actor).';

create function public.hold_claims(p_claim_ids uuid[], p_reason text, p_actor text default null)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.hold_claims(p_claim_ids, p_reason, p_actor);
$$;

comment on function public.hold_claims is
  'Admin: automatic triggers pass these claims by, until somebody exports by hand or lift_export_hold; at most 2,000 at once. Claims that '
  'are in a run already stay there; the answer names them (in_run). Without a login say who you are (p_actor).';

create function public.lift_export_hold(p_organization_id uuid, p_claim_ids uuid[] default null, p_actor text default null)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.lift_export_hold(p_organization_id, p_claim_ids, p_actor);
$$;

comment on function public.lift_export_hold is
  'Admin: lifts the hold on the organisation (p_claim_ids null), or on these claims of it. Answers how many were lifted. Without a login '
  'say who you are (p_actor).';

revoke execute on function export_engine.hold_json(public.export_holds) from public;
revoke execute on function export_engine.standing_hold(uuid) from public;
revoke execute on function export_engine.check_hold_reason(text) from public;
revoke execute on function export_engine.lock_organization(uuid) from public;
revoke execute on function export_engine.unknown_claims(uuid[]) from public;
revoke execute on function export_engine.hold_exports(uuid, text, text) from public;
revoke execute on function export_engine.hold_claims(uuid[], text, text) from public;
revoke execute on function export_engine.lift_export_hold(uuid, uuid[], text) from public;
revoke execute on function public.hold_exports(uuid, text, text) from public, anon, authenticated, service_role;
revoke execute on function public.hold_claims(uuid[], text, text) from public, anon, authenticated, service_role;
revoke execute on function public.lift_export_hold(uuid, uuid[], text) from public, anon, authenticated, service_role;
grant execute on function export_engine.hold_exports(uuid, text, text) to authenticated, service_role;
grant execute on function export_engine.hold_claims(uuid[], text, text) to authenticated, service_role;
grant execute on function export_engine.lift_export_hold(uuid, uuid[], text) to authenticated, service_role;
grant execute on function public.hold_exports(uuid, text, text) to authenticated, service_role;
grant execute on function public.hold_claims(uuid[], text, text) to authenticated, service_role;
grant execute on function public.lift_export_hold(uuid, uuid[], text) to authenticated, service_role;
