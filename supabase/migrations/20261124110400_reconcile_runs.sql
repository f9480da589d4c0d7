-- Purpose: I2 and I4: every run is the sum of its members, holds nothing when it has ended, and every completed one has its file.
-- Surprising: a run is walked over several pages while others void, refuse or complete. So the figures of its file are compared only when
-- they were final as its first page was read, and a member counts by what it was when the run was completed.

create function export_engine.reconcile_run_page(p_row public.export_reconciliations, p_limit integer)
returns table (
  run public.export_runs,
  seen bigint,
  last_position integer,
  totals jsonb,
  left_out_count bigint,
  left_out_totals jsonb,
  kept_count bigint,
  kept_totals jsonb,
  sums jsonb,
  findings jsonb
)
language sql
stable
security invoker
set search_path = ''
as $$
  with run as materialized (
    select r as it
    from public.export_runs as r
    where
      r.organization_id = p_row.organization_id
      and r.run_number >= coalesce((p_row.cursor ->> 'run_number')::bigint, (p_row.cursor ->> 'next_run_number')::bigint, 0)
      and r.run_number <= p_row.last_run_number
      and r.period_to >= coalesce(p_row.period_from, '-infinity')
      and coalesce(r.period_from, '-infinity') <= coalesce(p_row.period_to, 'infinity')
    order by r.run_number
    limit 1
  ),
  members as materialized (
    select
      m.position, m.claim_id, m.kind, m.amount, m.currency, m.voucher_number, m.document ->> 'total' as document_total,
      m.document ->> 'claim_number' as claim_number, m.outcome, m.released_at, m.document ->> 'approved_on' as approved_on,
      -- What a void let go was in the file; what a run that was recorded by hand let go before it was completed, was not.
      m.outcome in ('included', 'refused') or (
        m.outcome = 'released' and ((run.it).origin <> 'manual' or m.released_at > (run.it).completed_at)
      ) as is_kept
    from public.export_run_claims as m
    cross join run
    where
      -- Single values, so that the index gives the order and the run is not sorted for each page.
      m.run_id = (select (x.it).id from run as x)
      and m.position > (
        select case
          when (x.it).run_number = (p_row.cursor ->> 'run_number')::bigint then (p_row.cursor ->> 'position')::integer
          else 0
        end
        from run as x
      )
    order by m.position
    limit p_limit
  ),
  summed as (
    select
      coalesce(jsonb_object_agg(c.currency, c.amount), '{}') as totals,
      coalesce(jsonb_object_agg(c.currency, c.left_out), '{}') as left_out_totals,
      coalesce(jsonb_object_agg(c.currency, c.kept), '{}') as kept_totals
    from (
      select
        m.currency,
        sum(m.amount)::numeric(18, 2)::text as amount,
        coalesce(sum(m.amount) filter (where m.outcome = 'left_out'), 0)::numeric(18, 2)::text as left_out,
        coalesce(sum(m.amount) filter (where m.is_kept), 0)::numeric(18, 2)::text as kept
      from members as m
      group by m.currency
    ) as c
  ),
  facts as materialized (
    select f.claim_id, f.is_approved
    from export_engine.claim_facts(array(select m.claim_id from members as m where m.released_at is null)) as f
  ),
  -- Claims in the books that nobody finds among the approved ones, each at its effective entry.
  judged as materialized (
    select j.class, j.currency, j.amount, j.finding
    from export_engine.judge_claims(
      array(
        select m.claim_id
        from members as m
        join facts as f on f.claim_id = m.claim_id
        where
          not f.is_approved
          and m.released_at is null
          and coalesce(m.approved_on >= p_row.period_from::text, true)
          and coalesce(m.approved_on <= p_row.period_to::text, true)
      ),
      p_row.time_zone
    ) as j
    join members as m on m.claim_id = j.claim_id and m.released_at is null
    join run on true
    where case
      when j.entry_position is null then m.kind = 'reversal' and j.finding is not null
      else m.kind = 'entry' and (j.entry_run_id, j.entry_position) = ((run.it).id, m.position)
    end
  ),
  found as (
    select j.finding from judged as j where j.finding is not null
    union all
    select export_engine.finding(
      'claim_gone', format('Claim %s is in run %s, and not in the app any more.', m.claim_number, (run.it).run_number),
      export_engine.run_about(run.it) || jsonb_build_object('claim_id', m.claim_id, 'claim_number', m.claim_number)
    )
    from members as m
    join run on true
    left join facts as f on f.claim_id = m.claim_id
    where m.released_at is null and f.claim_id is null
    union all
    select export_engine.finding(
      'ended_run_holds_claims',
      format('Run %s is %s and still holds %s claims, %s among them.', x.run_number, x.status, x.claims, x.claim_number),
      jsonb_build_object('run_id', x.id, 'run_number', x.run_number, 'claim_number', x.claim_number)
    )
    from (
      select
        (run.it).id, (run.it).run_number, (run.it).status, count(*) as claims, min(m.claim_number) as claim_number
      from members as m
      join run on true
      where m.released_at is null and (run.it).status in ('failed', 'voided')
      group by 1, 2, 3
    ) as x
    union all
    select export_engine.finding(
      'amount_not_of_document',
      format('Voucher %s says %s, the frozen claim %s.', m.voucher_number, m.amount, m.document_total),
      export_engine.run_about(run.it)
        || jsonb_build_object('claim_id', m.claim_id, 'claim_number', m.claim_number, 'number', m.voucher_number)
    )
    from members as m
    join run on true
    where m.document_total is distinct from case m.kind when 'entry' then m.amount else -m.amount end::text
    union all
    select export_engine.finding(
      'number_beyond_counter',
      format('Voucher %s of run %s is above the counter, which will give it again.', x.number, x.run_number),
      jsonb_build_object('run_id', x.id, 'run_number', x.run_number, 'number', x.number)
    )
    from (
      select (run.it).id, (run.it).run_number, max(m.voucher_number) as number
      from members as m
      join run on true
      group by 1, 2
    ) as x
    where x.number > coalesce(
      (
        select c.last_value from public.export_counters as c
        where c.organization_id = p_row.organization_id and c.name = 'voucher_number'
      ),
      0
    )
    union all
    select export_engine.finding(
      'fencing_token_behind',
      format('Run %s had token %s, the lock has %s: an old worker could pass for a new one.', (run.it).run_number, (run.it).fencing_token, l.fencing_token),
      export_engine.run_about(run.it)
    )
    from run
    join public.export_locks as l on l.organization_id = p_row.organization_id
    where (run.it).fencing_token > l.fencing_token
  )
  select
    run.it,
    (select count(*) from members),
    (select max(m.position) from members as m),
    summed.totals,
    (select count(*) from members as m where m.outcome = 'left_out'),
    summed.left_out_totals,
    (select count(*) from members as m where m.is_kept),
    summed.kept_totals,
    (
      select coalesce(jsonb_agg(to_jsonb(s)), '[]')
      from (
        select j.class, j.currency, count(*) as claims, sum(j.amount)::numeric(18, 2)::text as amount
        from judged as j
        where j.class is not null
        group by j.class, j.currency
      ) as s
    ),
    (select coalesce(jsonb_agg(f.finding), '[]') from found as f)
  from run
  cross join summed;
$$;

comment on function export_engine.reconcile_run_page is
  'The next run of a reconciliation with a page of its members, summed and judged at one moment. No row when no run is left.';

create function export_engine.check_run_sums(p_run public.export_runs, p_sums jsonb)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_findings jsonb := '[]';
begin
  -- Also while claims join it: they join behind what was read, together with the run's figures.
  if not coalesce(
    (p_sums ->> 'members')::integer = p_run.reserved_count
    and coalesce((p_sums ->> 'position')::integer, 0) = p_run.reserved_count
    and export_engine.same_totals(p_sums -> 'totals', p_run.reserved_totals),
    false
  ) then
    v_findings := v_findings || export_engine.finding(
      'run_members_mismatch',
      format(
        'Run %s reserved %s claims, %s; its members are %s, %s.', p_run.run_number, p_run.reserved_count, p_run.reserved_totals,
        p_sums ->> 'members', p_sums -> 'totals'
      ),
      export_engine.run_about(p_run)
    );
  end if;
  if not (p_sums ->> 'is_completed')::boolean then
    return v_findings;
  end if;
  if not coalesce(
    (p_sums ->> 'left_out_count')::integer = p_run.left_out_count
    and export_engine.same_totals(p_sums -> 'left_out_totals', p_run.left_out_totals),
    false
  ) then
    v_findings := v_findings || export_engine.finding(
      'run_members_mismatch',
      format(
        'Run %s left %s claims out, %s; of its members %s are, %s.', p_run.run_number, p_run.left_out_count, p_run.left_out_totals,
        p_sums ->> 'left_out_count', p_sums -> 'left_out_totals'
      ),
      export_engine.run_about(p_run)
    );
  end if;
  if not coalesce(
    (p_sums ->> 'kept_count')::integer = p_run.claim_count
    and export_engine.same_totals(p_sums -> 'kept_totals', p_run.totals),
    false
  ) then
    v_findings := v_findings || export_engine.finding(
      'run_totals_mismatch',
      format(
        'The file of run %s has %s claims, %s; its members come to %s, %s.', p_run.run_number, p_run.claim_count, p_run.totals,
        p_sums ->> 'kept_count', p_sums -> 'kept_totals'
      ),
      export_engine.run_about(p_run)
    );
  end if;
  return v_findings;
end;
$$;

comment on function export_engine.check_run_sums is
  'I4: what the pages of a run''s members came to, against what the run says. Refused vouchers still count: they were in the file.';

create function export_engine.check_run_file(p_run public.export_runs)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_object jsonb;
begin
  if p_run.file_path is null then
    -- What was exported by hand may have no file of ours.
    return case when p_run.origin = 'manual' then '[]' else jsonb_build_array(export_engine.finding(
      'file_missing', format('Run %s is completed and names no file.', p_run.run_number), export_engine.run_about(p_run)
    )) end;
  end if;
  if not (
    starts_with(p_run.file_path, format('%s/%s/%s.', p_run.organization_id, p_run.id, p_run.file_sha256))
    or (
      p_run.origin = 'manual'
      and starts_with(p_run.file_path, p_run.organization_id || '/')
      and position(p_run.file_sha256 in p_run.file_path) > 0
    )
  ) then
    return jsonb_build_array(export_engine.finding(
      'file_path_wrong', format('The path of run %s is not made of organisation, run and hash.', p_run.run_number),
      export_engine.run_about(p_run) || jsonb_build_object('object', p_run.file_path)
    ));
  end if;
  select to_jsonb(o) into v_object
  from storage.objects as o
  where o.bucket_id = 'exports' and o.name = p_run.file_path;
  if v_object is null then
    return jsonb_build_array(export_engine.finding(
      'file_missing', format('The file of run %s is not in the bucket.', p_run.run_number),
      export_engine.run_about(p_run) || jsonb_build_object('object', p_run.file_path)
    ));
  end if;
  -- Older storage servers keep no metadata of ours; the bytes tell.
  if (v_object -> 'metadata' ->> 'size')::bigint <> p_run.file_size
    or v_object -> 'user_metadata' ->> 'sha256' <> p_run.file_sha256 then
    return jsonb_build_array(export_engine.finding(
      'file_altered', format('The file of run %s has another size or hash than the run says.', p_run.run_number),
      export_engine.run_about(p_run) || jsonb_build_object('object', p_run.file_path)
    ));
  end if;
  return '[]';
end;
$$;

comment on function export_engine.check_run_file is
  'I2: the file of a completed run lies in the bucket under the path that its content gives it, with that size and hash. Looks at what '
  'storage says of the object; the bytes are read in the phase files.';

create function export_engine.add_run_page(p_sums jsonb, p_page record)
returns jsonb
language plpgsql
immutable
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs := p_page.run;
begin
  if (p_sums ->> 'run_number')::bigint is distinct from v_run.run_number then
    -- Its first page. What becomes final only later is not compared.
    p_sums := jsonb_build_object(
      'run_number', v_run.run_number,
      'is_completed', v_run.completed_at is not null
    );
  end if;
  return p_sums || jsonb_build_object(
    'position', coalesce(p_page.last_position, (p_sums ->> 'position')::integer, 0),
    'members', coalesce((p_sums ->> 'members')::bigint, 0) + p_page.seen,
    'totals', export_engine.add_totals(coalesce(p_sums -> 'totals', '{}'), p_page.totals),
    'left_out_count', coalesce((p_sums ->> 'left_out_count')::bigint, 0) + p_page.left_out_count,
    'left_out_totals', export_engine.add_totals(coalesce(p_sums -> 'left_out_totals', '{}'), p_page.left_out_totals),
    'kept_count', coalesce((p_sums ->> 'kept_count')::bigint, 0) + p_page.kept_count,
    'kept_totals', export_engine.add_totals(coalesce(p_sums -> 'kept_totals', '{}'), p_page.kept_totals)
  );
end;
$$;

comment on function export_engine.add_run_page is 'Adds a page of members to what the earlier pages of the same run came to.';

create function export_engine.reconcile_runs_page(p_row public.export_reconciliations)
returns public.export_reconciliations
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_row public.export_reconciliations := p_row;
  v_page record;
  v_run public.export_runs;
  v_left integer := export_engine.page_size();
begin
  -- Runs are small as a rule: as many as come to a page of members together.
  for v_turn in 1..200 loop
    select * into v_page from export_engine.reconcile_run_page(v_row, v_left);
    if not found then
      return export_engine.next_phase(v_row, 'numbers');
    end if;
    v_run := v_page.run;
    v_row := export_engine.add_judged(v_row, v_page.sums);
    v_row := export_engine.add_findings(v_row, v_page.findings);
    v_row := export_engine.add_checked(v_row, 'members', v_page.seen);
    v_row.cursor := export_engine.add_run_page(v_row.cursor, v_page);
    v_left := v_left - v_page.seen;
    exit when v_left <= 0;

    -- Fewer than were asked for: that was the run's last page.
    v_row := export_engine.add_findings(v_row, export_engine.check_run_sums(v_run, v_row.cursor));
    if (v_row.cursor ->> 'is_completed')::boolean then
      v_row := export_engine.add_findings(v_row, export_engine.check_run_file(v_run));
    end if;
    v_row := export_engine.add_checked(v_row, 'runs', 1);
    v_row.cursor := jsonb_build_object('next_run_number', v_run.run_number + 1);
  end loop;
  return v_row;
end;
$$;

comment on function export_engine.reconcile_runs_page is
  'One page of the phase runs: runs in order of their numbers, with the members of each. Volatile, so that each run is read as it is now.';

revoke execute on function export_engine.reconcile_run_page(public.export_reconciliations, integer) from public;
revoke execute on function export_engine.check_run_sums(public.export_runs, jsonb) from public;
revoke execute on function export_engine.check_run_file(public.export_runs) from public;
revoke execute on function export_engine.add_run_page(jsonb, record) from public;
revoke execute on function export_engine.reconcile_runs_page(public.export_reconciliations) from public;
