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

create function public.list_changed_claims(p_organization_id uuid, p_limit integer default 50, p_cursor text default null)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_last bigint;
  v_noted record;
  v_claim jsonb;
  v_claims jsonb[] := '{}';
  v_seen integer := 0;
  v_has_more boolean := false;
begin
  perform export_engine.require_role(p_organization_id, array['coordinator', 'accountant', 'admin']);
  if p_limit is null or p_limit not between 1 and 200 then
    perform export_engine.refuse(400, 'limit_out_of_range', 'limit is 1 to 200.', 'Ask for smaller pages.');
  end if;
  v_last := export_engine.note_at_cursor(p_organization_id, p_cursor);
  -- Claim by claim, because most of what a page needs is found among the first, and notes of claims that are as they were cost only
  -- a comparison. A page of notes is looked at; then the cursor leads on, also when fewer claims were found than asked for.
  for v_noted in
    select n.id, n.claim_id
    from public.export_claim_changes as n
    where
      n.organization_id = p_organization_id
      and n.id > v_last
    order by n.id
    limit export_engine.page_size() + 1
  loop
    if cardinality(v_claims) = p_limit or v_seen = export_engine.page_size() then
      v_has_more := true;
      exit;
    end if;
    v_seen := v_seen + 1;
    v_last := v_noted.id;
    select
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
      )
    into v_claim
    from public.export_changed_claims as c
    where c.note_id = v_noted.id;
    if found then
      v_claims := v_claims || v_claim;
    end if;
  end loop;
  return jsonb_build_object(
    'claims', to_jsonb(v_claims),
    'next_cursor', case when v_has_more then export_engine.change_cursor(p_organization_id, v_last) end
  );
end;
$$;

comment on function public.list_changed_claims is
  'For staff: the organisation''s claims that differ from what was exported, who was touched first is first. next_cursor leads on and is '
  'null at the end; a page can hold fewer than asked for before that.';

create function export_engine.is_as_exported(p_claim_id uuid)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select
    not exists (
      select
      from export_engine.entered_claims as e
      join public.export_runs as r on r.id = e.run_id
      where e.claim_id = p_claim_id and r.status <> 'completed'
    )
    and not exists (select from public.export_changed_claims as c where c.claim_id = p_claim_id);
$$;

comment on function export_engine.is_as_exported is
  'True when nothing about the claim needs to be remembered: it is in no run, or in a completed one just as it is now.';

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
  v_settled := array(
    select n.id
    from public.export_claim_changes as n
    where n.id = any (v_old) and export_engine.is_as_exported(n.claim_id)
  );
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
revoke execute on function export_engine.is_as_exported(uuid) from public;
revoke execute on function export_engine.settle_claim_changes(integer) from public;
revoke execute on function public.list_changed_claims(uuid, integer, text) from public, anon, authenticated, service_role;
revoke execute on function public.settle_claim_changes(integer) from public, anon, authenticated, service_role;
-- The reader runs as the caller, and so does what it calls.
grant execute on function export_engine.change_cursor(uuid, bigint) to authenticated, service_role;
grant execute on function export_engine.note_at_cursor(uuid, text) to authenticated, service_role;
grant execute on function public.list_changed_claims(uuid, integer, text) to authenticated, service_role;
grant execute on function export_engine.settle_claim_changes(integer) to service_role;
grant execute on function public.settle_claim_changes(integer) to service_role;
