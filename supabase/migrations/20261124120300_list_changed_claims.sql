-- Purpose: claims that are in the books otherwise than they are in the app: un-approved, edited or credited after their export. Listed
-- with the difference until the claim is as it was, or its entry is taken back. Never exported a second time because of it.

create view public.export_changed_claims
with (security_invoker = true)
as
select
  o.name as organization,
  fact.claim_number,
  entry.run_number,
  entry.voucher_number,
  entry.file_name,
  entry.completed_at as exported_at,
  -- Notes from before the claim was frozen are of what is in the file.
  (
    select coalesce(min(n.changed_at) filter (where n.changed_at >= entry.reserved_at), max(n.changed_at))
    from public.export_claim_changes as n
    where n.claim_id = first_note.claim_id
  ) as changed_since,
  not fact.is_approved as is_no_longer_approved,
  difference.changes,
  first_note.organization_id,
  first_note.claim_id,
  entry.run_id,
  first_note.id as note_id
from public.export_claim_changes as first_note
join public.organizations as o on o.id = first_note.organization_id
cross join lateral (
  -- With limit, so that it stays one index look-up per claim, also on tables that were never analysed.
  select r.id as run_id, r.run_number, r.time_zone, r.file_name, r.completed_at, m.voucher_number, m.reserved_at, m.document
  from export_engine.entered_claims as e
  join public.export_run_claims as m
    on m.claim_id = e.claim_id and m.kind = 'entry' and m.generation = e.generation and m.released_at is null
  join public.export_runs as r on r.id = m.run_id
  where e.claim_id = first_note.claim_id and r.status = 'completed'
  limit 1
) as entry
cross join lateral export_engine.claim_facts(array[first_note.claim_id]) as fact
cross join lateral export_engine.claim_documents(array[first_note.claim_id], entry.time_zone) as present
cross join lateral (
  select
    export_engine.document_changes(
      export_engine.document_to_compare(first_note.claim_id, entry.document), present.document
    ) as changes
  -- A fence: what is filtered by and shown is compared once.
  offset 0
) as difference
where
  not exists (
    select from public.export_claim_changes as earlier where earlier.claim_id = first_note.claim_id and earlier.id < first_note.id
  )
  and (difference.changes <> '[]' or not fact.is_approved);

comment on view public.export_changed_claims is
  'For staff: claims that were un-approved, edited or credited after they were exported, with what was and what is. A claim leaves '
  'the list when it is approved and as it was exported, or when its entry was voided, refused or reversed.';
comment on column public.export_changed_claims.changes is
  '[{"field", "line_number", "was", "is"}]; empty when only the approval was taken back. The day of approval is not compared.';
comment on column public.export_changed_claims.note_id is 'Order of the list: who was touched first is first.';

revoke all on table public.export_changed_claims from public, anon, authenticated, service_role;
grant select on table public.export_changed_claims to authenticated, service_role;

create function export_engine.change_cursor(p_organization_id uuid, p_note_id bigint)
returns text
language sql
immutable
security invoker
set search_path = ''
as $$
  -- 8 bytes of note and 10 bytes of check make 24 letters without padding.
  select translate(
    encode(
      int8send(p_note_id) || substring(sha256(convert_to(p_organization_id::text || p_note_id, 'UTF8')) for 10), 'base64'
    ), '+/', '-_'
  );
$$;

comment on function export_engine.change_cursor is
  'Opaque text that names a place in the list of changed claims of one organisation.';

create function export_engine.note_at_cursor(p_organization_id uuid, p_cursor text)
returns bigint
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_note_id bigint;
begin
  if p_cursor is null then
    return 0;
  end if;
  if p_cursor ~ '^[A-Za-z0-9_-]{24}$' then
    v_note_id := ('x' || encode(substring(decode(translate(p_cursor, '-_', '+/'), 'base64') for 8), 'hex'))::bit(64)::bigint;
  end if;
  if v_note_id is null or export_engine.change_cursor(p_organization_id, v_note_id) <> p_cursor then
    perform export_engine.refuse(
      400, 'invalid_cursor', 'This cursor was not given for this organisation and this list.',
      'Send next_cursor as it was given, or begin again without a cursor.'
    );
  end if;
  return v_note_id;
end;
$$;

comment on function export_engine.note_at_cursor is
  'The note that a cursor names, 0 without one. A cursor that was forged, cut short or given for another organisation is refused.';

create function export_engine.list_changed_claims(p_organization_id uuid, p_limit integer, p_cursor text)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_last bigint;
  v_noted bigint[];
  v_seen integer := 0;
  v_claim record;
  v_claims jsonb[] := '{}';
  v_is_full boolean := false;
begin
  perform export_engine.require_role(p_organization_id, array['coordinator', 'accountant', 'admin']);
  if p_limit is null or p_limit not between 1 and 200 then
    perform export_engine.refuse(400, 'limit_out_of_range', 'limit is 1 to 200.', 'Ask for smaller pages.');
  end if;
  v_last := export_engine.note_at_cursor(p_organization_id, p_cursor);
  -- Notes of claims that are as they were cost a comparison and are passed by: two hundred in a query, a page in a call. Then
  -- the cursor leads on, also when fewer claims were found than asked for.
  while not v_is_full and v_seen < export_engine.page_size() loop
    v_noted := array(
      select n.id
      from public.export_claim_changes as n
      where n.organization_id = p_organization_id and n.id > v_last
      order by n.id
      limit 200
    );
    exit when cardinality(v_noted) = 0;
    v_seen := v_seen + cardinality(v_noted);
    for v_claim in
      select
        c.note_id,
        jsonb_build_object(
          'claim_id', c.claim_id,
          'claim_number', c.claim_number,
          'run_id', c.run_id,
          'run_number', c.run_number,
          'voucher_number', c.voucher_number,
          'file_name', c.file_name,
          'exported_at', c.exported_at,
          'changed_since', c.changed_since,
          'no_longer_approved', c.is_no_longer_approved,
          'changes', c.changes
        ) as told
      from public.export_changed_claims as c
      where c.note_id = any (v_noted)
      order by c.note_id
    loop
      v_is_full := cardinality(v_claims) = p_limit;
      exit when v_is_full;
      v_claims := v_claims || v_claim.told;
      v_last := v_claim.note_id;
    end loop;
    if not v_is_full then
      v_last := v_noted[cardinality(v_noted)];
    end if;
  end loop;
  return jsonb_build_object(
    'claims', to_jsonb(v_claims),
    'next_cursor', case
      when v_is_full or cardinality(v_noted) > 0 then export_engine.change_cursor(p_organization_id, v_last)
    end
  );
end;
$$;

comment on function export_engine.list_changed_claims is
  'A page of the organisation''s claims that differ from what was exported. Definer, because each claim would be judged again by '
  'row-level security, which takes longer than comparing it; the caller''s role is judged once.';

create function public.list_changed_claims(p_organization_id uuid, p_limit integer default 50, p_cursor text default null)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select export_engine.list_changed_claims(p_organization_id, p_limit, p_cursor);
$$;

comment on function public.list_changed_claims is
  'For staff: the organisation''s claims that differ from what was exported, who was touched first is first. next_cursor leads on and is '
  'null at the end; a page can hold fewer than asked for before that.';

create function export_engine.settled_notes(p_note_ids bigint[])
returns bigint[]
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_claim_ids uuid[] := array(
    select distinct n.claim_id from public.export_claim_changes as n where n.id = any (p_note_ids)
  );
  -- All at once: alone each comparison would be planned anew.
  v_differ uuid[] := array(
    select c.claim_id from public.export_changed_claims as c where c.claim_id = any (v_claim_ids)
  );
begin
  return array(
    select n.id
    from public.export_claim_changes as n
    where
      n.id = any (p_note_ids)
      and n.claim_id <> all (v_differ)
      and (
        select r.id
        from export_engine.entered_claims as e
        join public.export_runs as r on r.id = e.run_id
        where e.claim_id = n.claim_id and r.status <> 'completed'
        limit 1
      ) is null
  );
end;
$$;

comment on function export_engine.settled_notes is
  'Those of the notes that nobody needs: their claim is in no run, or in a completed one just as it is now.';

create function export_engine.settle_claim_changes(p_limit integer)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_new bigint[];
  v_old bigint[];
  v_settled bigint[];
begin
  if p_limit is null or p_limit not between 1 and export_engine.page_size() then
    perform export_engine.refuse(
      400, 'limit_out_of_range', format('limit is 1 to %s.', export_engine.page_size()), 'Ask for fewer notes.'
    );
  end if;
  perform export_engine.open_for_writing();
  -- Only what was seen an hour ago is judged: whoever reserved the claim at that time, unseen, has long come to an end.
  select
    array_agg(due.id) filter (where due.looked_at = '-infinity'),
    array_agg(due.id) filter (where due.looked_at > '-infinity')
  into v_new, v_old
  from (
    select n.id, n.looked_at
    from public.export_claim_changes as n
    where n.looked_at < clock_timestamp() - interval '1 hour'
    order by n.looked_at, n.id
    limit p_limit
    for update skip locked
  ) as due;
  v_settled := export_engine.settled_notes(v_old);
  delete from public.export_claim_changes where id = any (v_settled);
  update public.export_claim_changes
  set looked_at = clock_timestamp()
  where id = any (v_new || v_old);
  perform export_engine.close_for_writing();
  return jsonb_build_object('looked_at', coalesce(cardinality(v_new || v_old), 0), 'settled', cardinality(v_settled));
end;
$$;

comment on function export_engine.settle_claim_changes is
  'Removes notes of claims that are as they were exported, or in no run, an hour after they were first seen. Locks notes only, which the '
  'app never touches again. Definer, because no API role may write the table.';

create function public.settle_claim_changes(p_limit integer default 1000)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.settle_claim_changes(p_limit);
$$;

comment on function public.settle_claim_changes is
  'For the sweep: looks at a page of notes about changed claims, those longest not looked at first, and removes what needs no '
  'attention any more. The list is right without it, and stays short with it.';

revoke execute on function export_engine.change_cursor(uuid, bigint) from public;
revoke execute on function export_engine.note_at_cursor(uuid, text) from public;
revoke execute on function export_engine.settled_notes(bigint[]) from public;
revoke execute on function export_engine.list_changed_claims(uuid, integer, text) from public;
revoke execute on function export_engine.settle_claim_changes(integer) from public;
revoke execute on function public.list_changed_claims(uuid, integer, text) from public, anon, authenticated, service_role;
revoke execute on function public.settle_claim_changes(integer) from public, anon, authenticated, service_role;
grant execute on function export_engine.list_changed_claims(uuid, integer, text) to authenticated, service_role;
grant execute on function public.list_changed_claims(uuid, integer, text) to authenticated, service_role;
grant execute on function export_engine.settle_claim_changes(integer) to service_role;
grant execute on function public.settle_claim_changes(integer) to service_role;
