-- Purpose: one voucher may hold several claims: those of one claimant, or of the whole run, as the setting voucher_per says.
--   Which claims share a number is decided here, when they are reserved, so that whoever renders the run finds it settled.
--   Claims that share a number have neighbouring positions, and each claim's lines are balanced in themselves.
-- Tables: none.

create type export_engine.voucher_in_making as (ordinal integer, grouping_key text, line_count integer);

comment on type export_engine.voucher_in_making is
  'The voucher that the next claim may join: which of the page''s it is, what its claims have in common, and how many lines they have.';

create function export_engine.join_voucher(
  p_voucher export_engine.voucher_in_making,
  p_grouping_key text,
  p_line_count integer,
  p_most_lines integer
)
returns export_engine.voucher_in_making
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if p_voucher.grouping_key = p_grouping_key and p_voucher.line_count + p_line_count <= p_most_lines then
    p_voucher.line_count := p_voucher.line_count + p_line_count;
  else
    p_voucher.ordinal := p_voucher.ordinal + 1;
    p_voucher.grouping_key := p_grouping_key;
    p_voucher.line_count := p_line_count;
  end if;
  return p_voucher;
end;
$$;

comment on function export_engine.join_voucher is
  'The claim joins the voucher in making, or begins the next one when it belongs elsewhere or there is no room for its lines.';

create function export_engine.ordinal_of_voucher(p_voucher export_engine.voucher_in_making)
returns integer
language sql
immutable
security invoker
set search_path = ''
return p_voucher.ordinal;

comment on function export_engine.ordinal_of_voucher is 'Which voucher of the page it is.';

create aggregate export_engine.voucher_ordinal(p_grouping_key text, p_line_count integer, p_most_lines integer) (
  sfunc = export_engine.join_voucher,
  stype = export_engine.voucher_in_making,
  initcond = '(0,,0)',
  finalfunc = export_engine.ordinal_of_voucher
);

comment on aggregate export_engine.voucher_ordinal(text, integer, integer) is
  'Over claims in their order: the ordinal of the voucher that the last of them is in. A voucher is closed when the next claim has another '
  'key, or has no room; a claim is never split.';

create function export_engine.voucher_per(p_configuration jsonb)
returns text
language sql
immutable
security invoker
set search_path = ''
return case p_configuration #>> '{settings,voucher_per}' when 'claimant' then 'claimant' when 'run' then 'run' else 'claim' end;

comment on function export_engine.voucher_per is
  'What a voucher is made for: claim, claimant or run. Words that mean none of them stop the export before it comes here.';

create function export_engine.most_voucher_lines(p_configuration jsonb)
returns integer
language sql
immutable
security invoker
set search_path = ''
return case
  when
    jsonb_typeof(p_configuration #> '{settings,most_voucher_lines}') = 'number'
    and (p_configuration #>> '{settings,most_voucher_lines}')::numeric between 2 and 10000
    then (p_configuration #>> '{settings,most_voucher_lines}')::numeric::integer
  else 500
end;

comment on function export_engine.most_voucher_lines is
  'After how many lines a voucher of several claims is closed and the next one begins. A single claim is never split.';

create function export_engine.voucher_key(p_voucher_per text, p_claim_id uuid, p_document jsonb)
returns text
language sql
immutable
security invoker
set search_path = ''
return case p_voucher_per
  when 'run' then 'run'
  -- Two people may have one name, so without a number nobody can tell whose claims belong together.
  when 'claimant' then coalesce('claimant ' || nullif(p_document #>> '{claimant,number}', ''), p_claim_id::text)
  else p_claim_id::text
end;

comment on function export_engine.voucher_key is 'What claims of one voucher have in common. A claimant without a number has a voucher per claim.';

create function export_engine.most_lines_of(p_document jsonb, p_configuration jsonb)
returns integer
language sql
immutable
security invoker
set search_path = ''
return 1 + case when jsonb_typeof(p_document -> 'lines') = 'array' then jsonb_array_length(p_document -> 'lines') else 0 end
  * case when jsonb_path_exists(p_configuration, '$.posting_rules[*].tax_account_code ? (@ != null)') then 2 else 1 end;

comment on function export_engine.most_lines_of is
  'How many journal lines a claim can have: one to pay, and one for each expense, or two when a posting rule splits tax off.';

create function export_engine.claims_in_vouchers(
  p_configuration jsonb,
  p_claim_ids uuid[],
  p_time_zone text,
  p_open export_engine.voucher_in_making
)
returns table (claim_id uuid, place integer, voucher_ordinal integer)
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_voucher_per text := export_engine.voucher_per(p_configuration);
  v_most_lines integer := export_engine.most_voucher_lines(p_configuration);
begin
  if v_voucher_per = 'claim' then
    return query
    select wanted.claim_id, wanted.ordinal::integer, wanted.ordinal::integer
    from unnest(p_claim_ids) with ordinality as wanted (claim_id, ordinal);
    return;
  end if;

  return query
  with claims as (
    select
      wanted.ordinal,
      wanted.claim_id,
      export_engine.voucher_key(v_voucher_per, claim.claim_id, claim.document) as grouping_key,
      export_engine.most_lines_of(claim.document, p_configuration) as line_count
    from unnest(p_claim_ids) with ordinality as wanted (claim_id, ordinal)
    join export_engine.claim_documents(p_claim_ids, p_time_zone) as claim on claim.claim_id = wanted.claim_id
    union all
    -- The voucher that the page before left open comes first, with the lines it has.
    select 0, null, (p_open).grouping_key, (p_open).line_count
    where p_open is not null
  ),
  placed as (
    select
      c.claim_id,
      c.ordinal,
      (count(*) filter (where c.ordinal > 0) over in_order)::integer as place,
      export_engine.voucher_ordinal(c.grouping_key, c.line_count, v_most_lines) over in_order as voucher
    from claims as c
    window in_order as (
      order by
        c.ordinal > 0,
        case when v_voucher_per = 'claimant' then c.grouping_key is distinct from (p_open).grouping_key end,
        case when v_voucher_per = 'claimant' then c.grouping_key end collate "C",
        c.ordinal
      rows unbounded preceding
    )
  )
  select p.claim_id, p.place, p.voucher - case when p_open is null then 0 else 1 end
  from placed as p
  where p.ordinal > 0;
end;
$$;

comment on function export_engine.claims_in_vouchers is
  'Each claim with its place in the page and the voucher of the page it is in: 1, 2 and so on, or 0 when it joins the open voucher of the '
  'page before. Call it in a statement of its own, after the claims were locked.';

create function export_engine.open_voucher(p_run public.export_runs)
returns table (voucher_number bigint, voucher export_engine.voucher_in_making)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    last.voucher_number,
    row(
      1,
      export_engine.voucher_key(export_engine.voucher_per(p_run.configuration), last.claim_id, last.document),
      (
        select sum(export_engine.most_lines_of(m.document, p_run.configuration))::integer
        from public.export_run_claims as m
        where m.organization_id = p_run.organization_id and m.voucher_number = last.voucher_number and m.run_id = p_run.id
      )
    )::export_engine.voucher_in_making
  from public.export_run_claims as last
  where
    last.run_id = p_run.id
    and last.position = p_run.reserved_count
    and p_run.origin <> 'manual'
    and export_engine.voucher_per(p_run.configuration) <> 'claim';
$$;

comment on function export_engine.open_voucher is
  'The voucher of the run that the next page''s claims may join, with its number; none when each claim has one of its own. Claims left out '
  'since still count as lines: what was decided before does not depend on them.';

create or replace function export_engine.reserve_claims(p_run public.export_runs, p_claim_ids uuid[])
returns public.export_runs
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_count integer;
  v_totals jsonb;
  v_claim_ids uuid[];
  v_voucher_ordinals integer[];
  v_voucher_count integer;
  v_first_number bigint;
  v_open record;
  -- What was exported by hand has vouchers that somebody else made.
  v_configuration jsonb := case when p_run.origin = 'manual' then '{}'::jsonb else p_run.configuration end;
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
  select o.* into v_open from export_engine.open_voucher(p_run) as o;

  if export_engine.voucher_per(v_configuration) = 'claim' then
    -- Nearly every organisation's way, kept short.
    v_claim_ids := p_claim_ids;
    v_voucher_count := cardinality(p_claim_ids);
  else
    select array_agg(g.claim_id order by g.place), array_agg(g.voucher_ordinal order by g.place), max(g.voucher_ordinal)
    into v_claim_ids, v_voucher_ordinals, v_voucher_count
    from export_engine.claims_in_vouchers(v_configuration, p_claim_ids, p_run.time_zone, v_open.voucher) as g;
  end if;
  v_first_number := export_engine.take_numbers(p_run.organization_id, 'voucher_number', coalesce(v_voucher_count, 0));

  with inserted as (
    insert into public.export_run_claims (
      run_id, position, organization_id, claim_id, kind, generation, voucher_number, document, amount, currency
    )
    select
      p_run.id,
      p_run.reserved_count + wanted.place,
      p_run.organization_id,
      claim.claim_id,
      'entry',
      1 + coalesce(back.generation, 0),
      case
        when v_voucher_ordinals is null then v_first_number + wanted.place - 1
        when v_voucher_ordinals[wanted.place] = 0 then v_open.voucher_number
        else v_first_number + v_voucher_ordinals[wanted.place] - 1
      end,
      claim.document,
      claim.amount,
      claim.currency
    from unnest(v_claim_ids) with ordinality as wanted (claim_id, place)
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

comment on function export_engine.reserve_claims is
  'Freezes claims that the caller has locked into the run: documents in a second statement, positions and voucher numbers in the given '
  'order, those of one voucher side by side, counts and sums added to the run. A claim that is live elsewhere fails on the unique index.';

create or replace function export_engine.reserve_reversals(p_run public.export_runs)
returns public.export_runs
language plpgsql
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_last public.export_run_claims;
  v_after integer;
  v_open_number bigint;
  v_count integer;
  v_totals jsonb;
begin
  -- Members of the reversed run in their order, after the one that was taken back last.
  select m.* into v_last from public.export_run_claims as m where m.run_id = p_run.id order by m.position desc limit 1;
  select coalesce(max(o.position), 0), max(o.voucher_number) into v_after, v_open_number
  from public.export_run_claims as o
  where o.run_id = p_run.reverses_run_id and o.claim_id = v_last.claim_id;
  perform export_engine.hold_before_claims(p_run.organization_id);

  with page as (
    select o.claim_id, o.generation, o.document, o.amount, o.currency, o.position, o.voucher_number
    from public.export_run_claims as o
    where o.run_id = p_run.reverses_run_id and o.position > v_after and o.outcome = 'included' and o.kind = 'entry'
    order by o.position
    limit export_engine.page_size()
  ),
  numbered as (
    select
      page.*,
      row_number() over (order by page.position) as place,
      -- Claims that shared a voucher share the one that takes it back; 0 is the voucher that the page before began.
      dense_rank() over (order by page.voucher_number)
        - case when bool_or(page.voucher_number = v_open_number) over () then 1 else 0 end as voucher_ordinal
    from page
  ),
  taken as (
    select export_engine.take_numbers(
      p_run.organization_id, 'voucher_number', coalesce(max(n.voucher_ordinal), 0)::integer
    ) as first_number
    from numbered as n
  ),
  inserted as (
    insert into public.export_run_claims (
      run_id, position, organization_id, claim_id, kind, generation, voucher_number, document, amount, currency
    )
    select
      p_run.id, p_run.reserved_count + n.place, p_run.organization_id, n.claim_id, 'reversal', n.generation,
      case when n.voucher_ordinal = 0 then v_last.voucher_number else taken.first_number + n.voucher_ordinal - 1 end,
      n.document, -n.amount, n.currency
    from numbered as n
    cross join taken
    returning amount, currency
  ),
  summed as (
    select i.currency, sum(i.amount)::numeric(18, 2) as amount, count(*) as claims from inserted as i group by i.currency
  )
  select coalesce(sum(s.claims), 0), coalesce(jsonb_object_agg(s.currency, s.amount::text), '{}'::jsonb)
  into v_count, v_totals
  from summed as s;

  -- Why it was taken back is not mended by taking it back: no automatic trigger enters the claims again.
  insert into public.export_holds (organization_id, claim_id, cause, reason, held_by)
  select
    m.organization_id, m.claim_id, 'reversed', format('Run %s takes it back.', p_run.run_number),
    coalesce(p_run.triggered_by_name, 'system')
  from public.export_run_claims as m
  where m.run_id = p_run.id and m.position > p_run.reserved_count
  on conflict (claim_id) where claim_id is not null and lifted_at is null do nothing;

  update public.export_runs
  set reserved_count = reserved_count + v_count, reserved_totals = export_engine.add_totals(reserved_totals, v_totals)
  where id = p_run.id
  returning * into v_run;
  if v_count > 0 then
    perform export_engine.record_event(
      v_run, 'page_reserved', v_run.attempt_by, jsonb_build_object('claims', v_count, 'after_position', p_run.reserved_count)
    );
  end if;
  if v_count < export_engine.page_size() then
    v_run := export_engine.seal_run(v_run);
  end if;
  return v_run;
end;
$$;

comment on function export_engine.reserve_reversals is
  'Takes the next page of the reversed run''s vouchers back: the frozen documents again, with voucher numbers of their own, as many as before.';

revoke execute on function export_engine.join_voucher(export_engine.voucher_in_making, text, integer, integer) from public;
revoke execute on function export_engine.ordinal_of_voucher(export_engine.voucher_in_making) from public;
revoke execute on function export_engine.voucher_ordinal(text, integer, integer) from public;
revoke execute on function export_engine.voucher_per(jsonb) from public;
revoke execute on function export_engine.most_voucher_lines(jsonb) from public;
revoke execute on function export_engine.voucher_key(text, uuid, jsonb) from public;
revoke execute on function export_engine.most_lines_of(jsonb, jsonb) from public;
revoke execute on function export_engine.claims_in_vouchers(jsonb, uuid[], text, export_engine.voucher_in_making) from public;
revoke execute on function export_engine.open_voucher(public.export_runs) from public;
