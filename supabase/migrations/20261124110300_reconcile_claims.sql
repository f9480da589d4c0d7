-- Purpose: I1 and I3: no claim is in the books more than once, and every claim is in exactly one class.

create function export_engine.judge_claims(p_claim_ids uuid[], p_time_zone text)
returns table (
  claim_id uuid,
  claim_number text,
  class text,
  amount numeric,
  currency text,
  entry_run_id uuid,
  entry_position integer,
  finding jsonb
)
language sql
stable
security invoker
set search_path = ''
as $$
  with facts as materialized (
    select
      f.claim_id, f.claim_number, f.is_approved,
      shown.times, shown.class, shown.has_reason,
      coalesce(books.net, 0) as net,
      entry.run_id, entry.position, entry.amount, entry.currency, entry.run_number, entry.status
    from export_engine.claim_facts(p_claim_ids) as f
    -- What everybody is told, beside what the memberships say: they must agree.
    left join lateral (
      select
        count(*) as times,
        min(v.export_status) as class,
        bool_and(v.reason_code is not null and v.reason_message is not null) as has_reason
      from public.claim_export_status as v
      where v.claim_id = f.claim_id
    ) as shown on true
    left join lateral (
      select
        count(*) filter (where m.kind = 'entry')
          - count(*) filter (where m.kind = 'reversal' and r.status = 'completed') as net
      from public.export_run_claims as m
      join public.export_runs as r on r.id = m.run_id
      where m.claim_id = f.claim_id and m.released_at is null
    ) as books on true
    left join lateral (
      select m.run_id, m.position, m.amount, m.currency, r.run_number, r.status
      from public.export_run_claims as m
      join public.export_runs as r on r.id = m.run_id
      where m.claim_id = f.claim_id and m.kind = 'entry' and m.released_at is null
      order by m.generation desc, m.voucher_number
      limit 1
    ) as entry on books.net > 0
  ),
  judged as (
    select
      f.*,
      case
        when f.net > 1 then 'claim_entered_twice'
        when f.net < 0 then 'reversal_without_entry'
        when f.times <> case when f.is_approved or f.net > 0 then 1 else 0 end then 'claim_without_class'
        when case
          when f.net = 0 then f.class not in ('held', 'left_out', 'pending')
          when f.status in ('completed', 'voiding') then f.class <> 'exported'
          when f.status = 'parked' then f.class <> 'held'
          else f.class <> 'reserved'
        end then 'claim_class_wrong'
        when f.class in ('held', 'left_out') and not f.has_reason then 'claim_without_reason'
      end as code
    from facts as f
  )
  select
    j.claim_id,
    j.claim_number,
    j.class,
    case when j.net > 0 then j.amount else document.amount end,
    case when j.net > 0 then j.currency else document.currency end,
    j.run_id,
    j.position,
    case when j.code is not null then export_engine.finding(
      j.code,
      case j.code
        when 'claim_entered_twice' then format('Claim %s is in the books %s times.', j.claim_number, j.net)
        when 'reversal_without_entry' then format('Claim %s was taken back more often than it was entered.', j.claim_number)
        when 'claim_without_class' then format('Claim %s is shown %s times in claim_export_status.', j.claim_number, j.times)
        when 'claim_class_wrong' then format(
          'Claim %s is shown as %s, and %s.', j.claim_number, j.class,
          coalesce(format('run %s, which is %s, has it', j.run_number, j.status), 'no run has it')
        )
        else format('Claim %s is %s, and nobody is told why.', j.claim_number, j.class)
      end,
      jsonb_build_object(
        'claim_id', j.claim_id, 'claim_number', j.claim_number, 'run_id', j.run_id, 'run_number', j.run_number
      )
    ) end
  from judged as j
  left join export_engine.claim_documents(
    array(select f.claim_id from facts as f where f.net < 1 and f.is_approved), p_time_zone
  ) as document on document.claim_id = j.claim_id;
$$;

comment on function export_engine.judge_claims is
  'Each claim with its class, its amount (frozen when a run has it, else the claim''s own), the entry that counts, and what is wrong '
  'with it, at one moment. Compares what claim_export_status says with the memberships themselves.';

create function export_engine.count_classes(p_judged jsonb)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_object_agg(c.class, jsonb_build_object('count', c.claims, 'amounts', c.amounts)),
    '{}'::jsonb
  )
  from (
    select
      s.class,
      sum(s.claims) as claims,
      coalesce(jsonb_object_agg(s.currency, s.amount::text) filter (where s.currency is not null), '{}') as amounts
    from jsonb_to_recordset(p_judged) as s (class text, currency text, claims bigint, amount numeric)
    group by s.class
  ) as c;
$$;

comment on function export_engine.count_classes is
  'Counts and amounts by class, of [{"class": ..., "currency": ..., "claims": ..., "amount": ...}].';

create function export_engine.add_judged(p_row public.export_reconciliations, p_sums jsonb)
returns public.export_reconciliations
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_row public.export_reconciliations := p_row;
  v_sum jsonb;
begin
  v_row.classes := export_engine.add_classes(
    v_row.classes,
    export_engine.count_classes(jsonb_path_query_array(p_sums, '$[*] ? (@.class != null)'))
  );
  -- The whole counts those too that are in no class.
  for v_sum in select s.value from jsonb_array_elements(p_sums) as s loop
    v_row.whole := export_engine.add_counted(
      v_row.whole,
      jsonb_build_object(
        'count', v_sum -> 'claims',
        'amounts', case
          when v_sum ->> 'currency' is null then '{}'::jsonb
          else jsonb_build_object(v_sum ->> 'currency', v_sum ->> 'amount')
        end
      )
    );
  end loop;
  return v_row;
end;
$$;

comment on function export_engine.add_judged is 'Adds claims, summed by class and currency, to the classes and to the whole.';

create function export_engine.reconcile_claims_page(p_row public.export_reconciliations)
returns public.export_reconciliations
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_row public.export_reconciliations := p_row;
  v_page record;
begin
  -- One statement, so that a claim is judged at the moment at which it was found approved.
  with page as materialized (
    select c.claim_id, c.approved_at
    from export_engine.approved_claims(
      p_row.organization_id,
      coalesce(p_row.period_from::timestamp at time zone p_row.time_zone, '-infinity'),
      -- What is approved from now on is the next one's. So a claim that is approved anew meanwhile is not counted twice.
      least((p_row.period_to + 1)::timestamp at time zone p_row.time_zone, p_row.started_at),
      coalesce((p_row.cursor ->> 'approved_at')::timestamptz, '-infinity'),
      coalesce((p_row.cursor ->> 'claim_id')::uuid, '00000000-0000-0000-0000-000000000000'),
      export_engine.page_size()
    ) as c
  ),
  judged as materialized (
    select j.class, j.currency, j.amount, j.finding
    from export_engine.judge_claims(array(select p.claim_id from page as p), p_row.time_zone) as j
  ),
  last_one as (
    select p.approved_at, p.claim_id from page as p order by p.approved_at desc, p.claim_id desc limit 1
  )
  select
    (select count(*) from page) as seen,
    (select jsonb_build_object('approved_at', l.approved_at, 'claim_id', l.claim_id) from last_one as l) as cursor,
    (
      select coalesce(jsonb_agg(to_jsonb(s)), '[]')
      from (
        select j.class, j.currency, count(*) as claims, sum(j.amount)::numeric(18, 2)::text as amount
        from judged as j
        group by j.class, j.currency
      ) as s
    ) as sums,
    (select coalesce(jsonb_agg(j.finding), '[]') from judged as j where j.finding is not null) as findings
  into v_page;

  v_row := export_engine.add_judged(v_row, v_page.sums);
  v_row := export_engine.add_findings(v_row, v_page.findings);
  v_row := export_engine.add_checked(v_row, 'claims', v_page.seen);
  if v_page.seen < export_engine.page_size() then
    return export_engine.next_phase(v_row, 'runs');
  end if;
  v_row.cursor := v_page.cursor;
  return v_row;
end;
$$;

comment on function export_engine.reconcile_claims_page is
  'One page of the phase claims: approved claims in order of approval, each counted in its class. Those in a run that are not approved '
  'any more come with the runs.';

revoke execute on function export_engine.judge_claims(uuid[], text) from public;
revoke execute on function export_engine.count_classes(jsonb) from public;
revoke execute on function export_engine.add_judged(public.export_reconciliations, jsonb) from public;
revoke execute on function export_engine.reconcile_claims_page(public.export_reconciliations) from public;
