-- Purpose: a claimant's personal data leaves the app's tables, and the history of exports stays whole. What was frozen into runs
-- is bookkeeping documentation and is kept until its retention ends.

create function export_engine.erased_text()
returns text
language sql
immutable
security invoker
set search_path = ''
return 'erased';

comment on function export_engine.erased_text is 'Stands where a name or a free text was.';

create function export_engine.lock_claims_to_erase(p_organization_id uuid, p_claim_ids uuid[])
returns table (claim_id uuid, claim_number text, is_closed boolean)
language sql
volatile
security invoker
set search_path = ''
as $$
  select c.id, c.claim_number, c.status in ('draft', 'rejected')
  from public.expense_claims as c
  where c.id = any (p_claim_ids) and c.organization_id is not distinct from p_organization_id
  order by c.id
  for no key update of c;
$$;

comment on function export_engine.lock_claims_to_erase is
  'Seam: locks and returns those of the claims that are the organisation''s; closed: nobody asks to be paid for them.';

create function export_engine.overwrite_claimants(p_claim_ids uuid[])
returns setof uuid
language sql
volatile
security invoker
set search_path = ''
as $$
  with heads as (
    update public.expense_claims as c
    set
      claimant_id = null,
      claimant_number = null,
      claimant_name = export_engine.erased_text(),
      purpose = export_engine.erased_text(),
      updated_at = clock_timestamp()
    where
      c.id = any (p_claim_ids)
      and (
        c.claimant_name <> export_engine.erased_text()
        or c.purpose <> export_engine.erased_text()
        or num_nonnulls(c.claimant_id, c.claimant_number) > 0
      )
    returning c.id
  ),
  lines as (
    update public.expense_claim_lines as l
    set description = export_engine.erased_text()
    where l.claim_id = any (p_claim_ids) and l.description <> export_engine.erased_text()
    returning l.claim_id
  )
  select heads.id from heads
  union
  select lines.claim_id from lines;
$$;

comment on function export_engine.overwrite_claimants is
  'Seam: takes name, login, number and free texts out of the claims; numbers, dates, amounts, types and dimensions stay. Returns '
  'the claims that had something to erase.';

create function export_engine.erased_document(p_document jsonb)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
as $$
  select p_document || jsonb_build_object(
    'claimant', jsonb_build_object('name', export_engine.erased_text(), 'number', null),
    'purpose', export_engine.erased_text(),
    'lines', (
      select coalesce(
        jsonb_agg(l.line || jsonb_build_object('description', export_engine.erased_text()) order by l.place), '[]'::jsonb
      )
      from jsonb_array_elements(p_document -> 'lines') with ordinality as l (line, place)
    )
  );
$$;

comment on function export_engine.erased_document is
  'Seam: a claim''s document as claim_documents gives it after overwrite_claimants. Compare an erased claim with this form of what '
  'was frozen, and its erasure is no change.';

create table public.export_erasures (
  id bigint generated always as identity,
  organization_id uuid not null,
  claim_id uuid not null,
  erased_at timestamptz not null default clock_timestamp(),
  actor_id uuid,
  actor text not null,
  reason text not null,
  constraint export_erasures_pkey primary key (id),
  constraint export_erasures_organization_id_fkey foreign key (organization_id)
    references public.organizations (id) on delete restrict,
  constraint export_erasures_actor_check check (char_length(actor) between 1 and 200),
  constraint export_erasures_reason_check check (char_length(reason) between 1 and 500)
);

create index export_erasures_claim_id_idx on public.export_erasures (claim_id);
create index export_erasures_organization_id_idx on public.export_erasures (organization_id, erased_at);

comment on table public.export_erasures is
  'Which claims lost their personal data, when, by whom and why; append-only. Write no personal data into reason.';
comment on column public.export_erasures.actor_id is 'User who did it; null for the system.';
comment on column public.export_erasures.actor is 'Her name as it was then.';

alter table public.export_erasures enable row level security;
revoke all on table public.export_erasures from public, anon, authenticated, service_role;
grant select on table public.export_erasures to authenticated, service_role;
revoke all on sequence public.export_erasures_id_seq from public, anon, authenticated, service_role;

create policy "Staff sees the erasures of the organisation" on public.export_erasures
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

create trigger refuse_change
before update or delete on public.export_erasures
for each row execute function export_engine.refuse_change();

create trigger refuse_truncate
before truncate on public.export_erasures
for each statement execute function export_engine.refuse_change();

create trigger refuse_direct_write
before insert on public.export_erasures
for each statement execute function export_engine.refuse_direct_write();

create function export_engine.comparable_document(p_claim_id uuid, p_document jsonb)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when (select e.id from public.export_erasures as e where e.claim_id = p_claim_id limit 1) is null then p_document
    else export_engine.erased_document(p_document)
  end;
$$;

comment on function export_engine.comparable_document is
  'What was frozen, in the form that the claim of now is compared with: without the texts that were erased since.';

create function export_engine.why_not_erasable(p_claim_id uuid, p_is_closed boolean)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select case
    when coalesce(back.status, entry.status) not in ('completed', 'voiding') then 'reserved'
    when entry.status = 'voiding' then 'being taken back'
    when entry.status is null and not p_is_closed then 'not exported'
  end
  from (values (p_claim_id)) as asked (claim_id)
  left join lateral (
    select r.status, e.generation
    from export_engine.entered_claims as e
    join public.export_runs as r on r.id = e.run_id
    where e.claim_id = asked.claim_id
    limit 1
  ) as entry on true
  left join lateral (
    -- A reversal on its way: when it is completed, the claim is to be exported again.
    select r.status
    from public.export_run_claims as m
    join public.export_runs as r on r.id = m.run_id
    where
      m.claim_id = asked.claim_id
      and m.kind = 'reversal'
      and m.generation = entry.generation
      and m.released_at is null
    limit 1
  ) as back on true;
$$;

comment on function export_engine.why_not_erasable is
  'Null when the claim''s texts are needed no more: it is finally exported, or closed and in no run. Else why they still are.';

create function export_engine.erase_claimant(p_organization_id uuid, p_claim_ids uuid[], p_reason text, p_actor text)
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

comment on function export_engine.erase_claimant is
  'Takes the claimant''s personal data out of claims that are finally exported or closed, all of the named ones or none; again: '
  'changes nothing. Definer, because no API role may write the tables.';

create function public.erase_claimant(p_organization_id uuid, p_claim_ids uuid[], p_reason text, p_actor text default null)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.erase_claimant(p_organization_id, p_claim_ids, p_reason, p_actor);
$$;

comment on function public.erase_claimant is
  'Admin: takes name, number and free texts out of at most 2,000 claims that are exported, drafts or rejected. What was frozen '
  'into runs stays until its retention ends. Without a login say who you are (p_actor); write no name into the reason.';

revoke execute on function export_engine.erased_text() from public;
revoke execute on function export_engine.lock_claims_to_erase(uuid, uuid[]) from public;
revoke execute on function export_engine.overwrite_claimants(uuid[]) from public;
revoke execute on function export_engine.erased_document(jsonb) from public;
revoke execute on function export_engine.comparable_document(uuid, jsonb) from public;
revoke execute on function export_engine.why_not_erasable(uuid, boolean) from public;
revoke execute on function export_engine.erase_claimant(uuid, uuid[], text, text) from public;
grant execute on function export_engine.erased_text() to authenticated, service_role;
grant execute on function export_engine.erased_document(jsonb) to authenticated, service_role;
grant execute on function export_engine.comparable_document(uuid, jsonb) to authenticated, service_role;
grant execute on function export_engine.erase_claimant(uuid, uuid[], text, text) to authenticated, service_role;
revoke execute on function public.erase_claimant(uuid, uuid[], text, text) from public, anon, authenticated, service_role;
grant execute on function public.erase_claimant(uuid, uuid[], text, text) to authenticated, service_role;
