-- Purpose: automatic triggers pass held claims by; an export by hand takes them and lifts the holds.

create function export_engine.without_held_claims(p_claim_ids uuid[])
returns uuid[]
language sql
stable
security invoker
set search_path = ''
return array(
  select c.claim_id
  from unnest(p_claim_ids) with ordinality as c (claim_id, ordinal)
  where (select h.id from public.export_holds as h where h.claim_id = c.claim_id and h.lifted_at is null limit 1) is null
  order by c.ordinal
);

comment on function export_engine.without_held_claims is 'Those of the claims that no hold stands on, in the same order.';

drop function export_engine.next_claims(public.export_runs);

create function export_engine.next_claims(p_run public.export_runs)
returns table (seen integer, held integer, claim_ids uuid[], last_approved_at timestamptz, last_claim_id uuid)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_seen uuid[];
begin
  held := 0;
  -- Read first, then lock what was read: the history is walked once, and what could not be locked is known by number.
  select array_agg(c.claim_id order by c.approved_at, c.claim_id), max(c.approved_at)
  into v_seen, last_approved_at
  from export_engine.eligible_claims(
    p_run.organization_id,
    export_engine.approved_from(p_run),
    export_engine.approved_before(p_run),
    coalesce(p_run.cursor_approved_at, '-infinity'::timestamptz),
    coalesce(p_run.cursor_claim_id, '00000000-0000-0000-0000-000000000000'::uuid),
    export_engine.page_size()
  ) as c;
  seen := coalesce(cardinality(v_seen), 0);
  last_claim_id := v_seen[seen];
  if p_run.trigger in ('webhook', 'schedule', 'sweep') then
    v_seen := export_engine.without_held_claims(v_seen);
    held := seen - coalesce(cardinality(v_seen), 0);
  end if;
  claim_ids := array(
    select c.claim_id
    from export_engine.lock_claims(p_run.organization_id, v_seen) as c
    where
      c.approved_at >= export_engine.approved_from(p_run)
      and c.approved_at < export_engine.approved_before(p_run)
    order by c.approved_at, c.claim_id
  );
  return next;
end;
$$;

comment on function export_engine.next_claims is
  'The next page of eligible claims after the run''s cursor: how many were seen and held back, which of the others could be locked, and '
  'where the page ends.';

create or replace function export_engine.reserve_claims(p_run public.export_runs, p_claim_ids uuid[])
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_count integer;
  v_totals jsonb;
  v_first_number bigint;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    -- Freezing relies on the second statement seeing what was committed before the claims were locked.
    perform export_engine.refuse(
      500, 'wrong_isolation', 'Claims can be reserved at isolation level read committed only.',
      'Remove the default_transaction_isolation that somebody set on this role or database.'
    );
  end if;
  -- Whoever exports by hand knows what she does; an automatic trigger never comes here with a held claim.
  update public.export_holds
  set lifted_at = clock_timestamp(), lifted_by = format('run %s', p_run.run_number)
  where claim_id = any (p_claim_ids) and lifted_at is null;
  v_first_number := export_engine.take_numbers(p_run.organization_id, 'voucher_number', cardinality(p_claim_ids));

  with inserted as (
    insert into public.export_run_claims (
      run_id, position, organization_id, claim_id, kind, generation, voucher_number, document, amount, currency
    )
    select
      p_run.id,
      p_run.reserved_count + wanted.ordinal,
      p_run.organization_id,
      claim.claim_id,
      'entry',
      1 + coalesce(back.generation, 0),
      v_first_number + wanted.ordinal - 1,
      claim.document,
      claim.amount,
      claim.currency
    from unnest(p_claim_ids) with ordinality as wanted (claim_id, ordinal)
    join export_engine.claim_documents(p_claim_ids, p_run.time_zone) as claim on claim.claim_id = wanted.claim_id
    left join (
      select m.claim_id, max(m.generation) as generation
      from public.export_run_claims as m
      where m.claim_id = any (p_claim_ids) and m.kind = 'reversal' and m.released_at is null
      group by m.claim_id
    ) as back on back.claim_id = wanted.claim_id
    returning amount, currency
  ),
  summed as (
    select i.currency, sum(i.amount)::numeric(18, 2) as amount, count(*) as claims from inserted as i group by i.currency
  )
  select coalesce(sum(s.claims), 0), coalesce(jsonb_object_agg(s.currency, s.amount::text), '{}'::jsonb)
  into v_count, v_totals
  from summed as s;

  if v_count <> cardinality(p_claim_ids) then
    perform export_engine.refuse(
      500, 'claim_without_document', 'The claims seam locked claims that it could not render.',
      'lock_eligible_claims and claim_documents must agree on what a claim is.'
    );
  end if;

  update public.export_runs
  set reserved_count = reserved_count + v_count, reserved_totals = export_engine.add_totals(reserved_totals, v_totals)
  where id = p_run.id
  returning * into v_run;
  perform export_engine.record_event(
    v_run, 'page_reserved', v_run.attempt_by, jsonb_build_object('claims', v_count, 'after_position', p_run.reserved_count)
  );
  return v_run;
end;
$$;

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
    skipped_count = skipped_count + v_page.seen - v_page.held - cardinality(v_page.claim_ids)
  where id = v_run.id
  returning * into v_run;
  if v_page.seen < export_engine.page_size() then
    v_run := export_engine.seal_run(v_run);
  end if;
  return v_run;
end;
$$;

create or replace view public.claim_export_status
with (security_invoker = true)
as
select
  c.organization_id,
  c.id as claim_id,
  c.claim_number,
  case
    when live.run_status in ('completed', 'voiding') then 'exported'
    when live.run_status = 'parked' then 'held'
    when live.run_status is not null then 'reserved'
    when hold.reason is not null then 'held'
    when latest.outcome = 'left_out' then 'left_out'
    else 'pending'
  end as export_status,
  coalesce(live.run_id, latest.run_id) as run_id,
  coalesce(live.run_number, latest.run_number) as run_number,
  live.voucher_number,
  live.file_name,
  case
    when live.run_status = 'parked' then 'run_parked'
    when live.run_status is null then coalesce(hold.code, latest.reason_code)
  end as reason_code,
  case when live.run_status is null and hold.reason is null then latest.reason_field end as reason_field,
  case
    when live.run_status = 'parked'
      then format('Run %s is set aside with its claims. An admin must recover or fail it.', live.run_number)
    when live.run_status is null then coalesce(hold.reason, latest.reason_message)
  end as reason_message
from public.expense_claims as c
left join lateral (
  select r.status as run_status, r.id as run_id, r.run_number, m.voucher_number, r.file_name
  from export_engine.entered_claims as e
  join public.export_run_claims as m
    on m.claim_id = e.claim_id and m.kind = 'entry' and m.generation = e.generation and m.released_at is null
  join public.export_runs as r on r.id = e.run_id
  where e.claim_id = c.id
  limit 1
) as live on true
left join lateral (
  select m.outcome, m.run_id, r.run_number, m.reason_code, m.reason_field, m.reason_message
  from public.export_run_claims as m
  join public.export_runs as r on r.id = m.run_id
  where m.claim_id = c.id
  order by m.reserved_at desc
  limit 1
) as latest on true
left join lateral (
  select 'held_' || h.cause as code, h.reason
  from public.export_holds as h
  where h.claim_id = c.id and h.lifted_at is null
  limit 1
) as hold on true
where
  (c.status = 'approved' or live.run_status is not null)
  -- Claimants see their claims but no runs, and would read "pending" for what is exported: only who sees the organisation's
  -- lock sees its memberships.
  and exists (select from public.export_locks as l where l.organization_id = c.organization_id);

comment on view public.claim_export_status is
  'For staff: every claim that is approved or in a run, in exactly one class: exported, reserved, held or left_out (both with '
  'the reason), pending.';
comment on column public.claim_export_status.export_status is
  'exported: in a completed run. reserved: in a run that is not finished. held: in a run that was set aside, or held back from automatic triggers. left_out: the last '
  'run could not use it. pending: waits for a run.';
comment on column public.claim_export_status.reason_code is 'Why it was left out or is held; null otherwise.';

revoke execute on function export_engine.without_held_claims(uuid[]) from public;
revoke execute on function export_engine.next_claims(public.export_runs) from public;
