-- Purpose: how a run comes into being, gets its claims page by page, and is sealed.
-- Internal: nothing here is executable by an API role; the guard calls it while it holds the organisation's lock row.

create function export_engine.freeze_configuration(p_target public.export_targets, p_renderer_version text)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'target', p_target.target,
    'format', p_target.format,
    'time_zone', p_target.time_zone,
    'layout', p_target.layout,
    'settings', p_target.settings,
    'on_problem', p_target.on_problem,
    'renderer_version', p_renderer_version,
    'posting_rules', coalesce(
      (
        select jsonb_agg(
          jsonb_build_object(
            'side', r.side,
            'expense_type', r.expense_type,
            'account_code', r.account_code,
            'tax_code', r.tax_code,
            'dimensions', r.dimensions,
            'subledger', r.subledger
          )
          order by r.side, r.expense_type
        )
        from public.export_posting_rules as r
        where r.organization_id = p_target.organization_id and r.target = p_target.target
      ),
      '[]'::jsonb
    )
  );
$$;

comment on function export_engine.freeze_configuration is
  'Everything that decides the bytes of a file except the claims: frozen into a run when it is created. The renderer '
  'version is that of the worker who began; the run itself records the one that rendered the stored bytes.';

create function export_engine.create_run(
  p_target public.export_targets,
  p_origin text,
  p_trigger text,
  p_triggered_by uuid,
  p_period_from date,
  p_period_to date,
  p_cut_off timestamptz,
  p_idempotency_key text,
  p_request_fingerprint text,
  p_configuration jsonb
)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  insert into public.export_runs (
    organization_id, run_number, origin, trigger, triggered_by, triggered_by_name, target, format,
    period_from, period_to, time_zone, cut_off, export_date, idempotency_key, request_fingerprint, configuration
  )
  values (
    p_target.organization_id,
    export_engine.take_numbers(p_target.organization_id, 'run_number', 1),
    p_origin,
    p_trigger,
    p_triggered_by,
    export_engine.member_name(p_target.organization_id, p_triggered_by),
    p_target.target,
    p_target.format,
    p_period_from,
    coalesce(p_period_to, (p_cut_off at time zone p_target.time_zone)::date),
    p_target.time_zone,
    p_cut_off,
    (p_cut_off at time zone p_target.time_zone)::date,
    p_idempotency_key,
    p_request_fingerprint,
    p_configuration
  )
  returning * into v_run;
  perform export_engine.record_event(v_run, 'created', p_triggered_by, jsonb_build_object('run_number', v_run.run_number));
  return v_run;
end;
$$;

comment on function export_engine.create_run is
  'Inserts a pending run with its number and its configuration. A null p_period_to means up to the export date.';

create function export_engine.start_attempt(p_run public.export_runs, p_invocation_id uuid, p_actor_id uuid, p_event text)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_token bigint;
begin
  update public.export_locks
  set
    fencing_token = fencing_token + 1,
    holder_id = p_invocation_id,
    run_id = p_run.id,
    acquired_at = clock_timestamp(),
    expires_at = clock_timestamp() + export_engine.lease()
  where organization_id = p_run.organization_id
  returning fencing_token into v_token;

  update public.export_runs
  set status = 'processing', attempt = attempt + 1, attempt_by = p_actor_id, fencing_token = v_token
  where id = p_run.id
  returning * into v_run;
  perform export_engine.record_event(
    v_run, p_event, p_actor_id, jsonb_build_object('attempt', v_run.attempt, 'fencing_token', v_token)
  );
  return v_run;
end;
$$;

comment on function export_engine.start_attempt is
  'Gives the organisation''s lock to an invocation with a new fencing token and counts the attempt. The caller has locked the lock row.';

create function export_engine.approved_from(p_run public.export_runs)
returns timestamptz
language sql
immutable
security invoker
set search_path = ''
return coalesce((p_run.period_from::timestamp at time zone p_run.time_zone), '-infinity'::timestamptz);

comment on function export_engine.approved_from is 'First instant of the run''s period, in its time zone.';

create function export_engine.approved_before(p_run public.export_runs)
returns timestamptz
language sql
immutable
security invoker
set search_path = ''
return least(((p_run.period_to + 1)::timestamp at time zone p_run.time_zone), p_run.cut_off);

comment on function export_engine.approved_before is
  'First instant after the run''s period or its cut-off, whichever comes first. Both ends of a period are inclusive dates.';

create function export_engine.reserve_claims(p_run public.export_runs, p_claim_ids uuid[])
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

comment on function export_engine.reserve_claims is
  'Freezes claims that the caller has locked into the run: documents in a second statement, positions and voucher numbers '
  'in the given order, counts and sums added to the run. A claim that is live elsewhere fails on the unique index.';

create function export_engine.seal_run(p_run public.export_runs)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  update public.export_runs set sealed_at = clock_timestamp() where id = p_run.id returning * into v_run;
  perform export_engine.record_event(
    v_run, 'sealed', v_run.attempt_by,
    jsonb_build_object('claims', v_run.reserved_count, 'totals', v_run.reserved_totals, 'skipped', v_run.skipped_count)
  );
  return v_run;
end;
$$;

comment on function export_engine.seal_run is 'From now on nothing joins the run.';

create function export_engine.latest_run(p_organization_id uuid, p_target text, p_period_from date, p_period_to date)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select export_engine.run_json(r)
  from public.export_runs as r
  where
    r.organization_id = p_organization_id
    and r.target = p_target
    and r.status = 'completed'
    and r.deleted_at is null
    and r.period_to >= coalesce(p_period_from, '-infinity'::date)
    and coalesce(r.period_from, '-infinity'::date) <= p_period_to
  order by
    ((r.period_from, r.period_to) is not distinct from (p_period_from, p_period_to)) desc,
    r.created_at desc,
    r.run_number desc
  limit 1;
$$;

comment on function export_engine.latest_run is
  'The latest completed run that took a scope: the same period if there is one, else an overlapping one; null if none.';

create function export_engine.next_claims(p_run public.export_runs)
returns table (seen integer, claim_ids uuid[], last_approved_at timestamptz, last_claim_id uuid)
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_seen uuid[];
begin
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
  claim_ids := array(
    select c.claim_id
    from export_engine.lock_claims(p_run.organization_id, v_seen) as c
    where c.approved_at >= export_engine.approved_from(p_run) and c.approved_at < export_engine.approved_before(p_run)
    order by c.approved_at, c.claim_id
  );
  return next;
end;
$$;

comment on function export_engine.next_claims is
  'The next page of eligible claims after the run''s cursor: how many were seen, which of them could be locked, and where the '
  'page ends.';

create function export_engine.reserve_next(p_run public.export_runs)
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
  select * into v_page from export_engine.next_claims(p_run);
  if cardinality(v_page.claim_ids) > 0 then
    v_run := export_engine.reserve_claims(p_run, v_page.claim_ids);
  end if;
  update public.export_runs
  set
    cursor_approved_at = coalesce(v_page.last_approved_at, cursor_approved_at),
    cursor_claim_id = coalesce(v_page.last_claim_id, cursor_claim_id),
    skipped_count = skipped_count + v_page.seen - cardinality(v_page.claim_ids)
  where id = v_run.id
  returning * into v_run;
  if v_page.seen < export_engine.page_size() then
    v_run := export_engine.seal_run(v_run);
  end if;
  return v_run;
end;
$$;

comment on function export_engine.reserve_next is
  'Reserves the next page of the run, and seals it when no page is left that was approved before the cut-off.';

create function export_engine.repeats_left_out(p_run public.export_runs)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select not exists (
    select
    from public.export_run_claims as m
    where
      m.run_id = p_run.id
      and not coalesce(
        (
          select
            earlier.outcome = 'left_out' and earlier.document = m.document and run.configuration = p_run.configuration
          from public.export_run_claims as earlier
          join public.export_runs as run on run.id = earlier.run_id
          where earlier.claim_id = m.claim_id and earlier.run_id <> m.run_id
          order by earlier.reserved_at desc
          limit 1
        ),
        false
      )
  );
$$;

comment on function export_engine.repeats_left_out is
  'True when every claim of the run was left out by the last run that tried it, and neither the claim nor the configuration '
  'changed since: the run would end the same way.';

create function export_engine.members_page(p_run public.export_runs, p_after_position integer)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  with page as (
    select m.position, m.claim_id, m.kind, m.generation, m.voucher_number, m.document
    from public.export_run_claims as m
    where m.run_id = p_run.id and m.position > p_after_position and m.outcome = 'included'
    order by m.position
    limit export_engine.page_size()
  )
  select jsonb_build_object(
    'claims', coalesce(
      jsonb_agg(
        jsonb_build_object(
          'position', page.position,
          'claim_id', page.claim_id,
          'kind', page.kind,
          'generation', page.generation,
          'voucher_number', page.voucher_number,
          'document', page.document
        )
        order by page.position
      ),
      '[]'::jsonb
    ),
    'last_page', p_run.sealed_at is not null and not exists (
      select
      from public.export_run_claims as later
      where
        later.run_id = p_run.id
        and later.outcome = 'included'
        and later.position > (select coalesce(max(p.position), p_after_position) from page as p)
    )
  )
  from page;
$$;

comment on function export_engine.members_page is
  'One page of the run''s live members after a position, and whether it is the last one there will ever be.';

create function export_engine.release_page(p_run public.export_runs)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_until integer;
begin
  -- By position, so that a page does not read again what earlier pages released.
  select max(page.position) into v_until
  from (
    select m.position
    from public.export_run_claims as m
    where m.run_id = p_run.id and m.position > p_run.released_position
    order by m.position
    limit export_engine.page_size()
  ) as page;
  update public.export_run_claims as m
  set outcome = 'released', released_at = clock_timestamp()
  where m.run_id = p_run.id and m.position > p_run.released_position and m.position <= v_until and m.outcome = 'included';
  update public.export_runs as r
  set released_position = coalesce(v_until, r.reserved_count)
  where r.id = p_run.id
  returning r.* into v_run;
  return v_run;
end;
$$;

comment on function export_engine.release_page is
  'Lets one page of members go. None is left when released_position has reached reserved_count.';

create function export_engine.free_lock(p_run public.export_runs)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  update public.export_locks
  set holder_id = null, run_id = null, acquired_at = null, expires_at = null
  where organization_id = p_run.organization_id and run_id = p_run.id;
$$;

comment on function export_engine.free_lock is 'Gives the organisation''s lock back. The token stays, so the old holder is still recognised.';

create function export_engine.finish_failure(p_run public.export_runs)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.release_page(p_run);
begin
  if v_run.released_position >= v_run.reserved_count then
    update public.export_runs set status = 'failed' where id = v_run.id returning * into v_run;
    perform export_engine.record_event(v_run, 'failed', v_run.attempt_by, jsonb_build_object('error_code', v_run.error_code));
    perform export_engine.free_lock(v_run);
  end if;
  return v_run;
end;
$$;

comment on function export_engine.finish_failure is
  'One step of a failing run: releases a page of members; after the last one the run is failed and the lock free.';

create function export_engine.apply_left_out(p_run public.export_runs, p_left_out jsonb)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs := p_run;
  v_positions integer[];
  v_reasons jsonb;
  v_count integer;
  v_totals jsonb;
begin
  if coalesce(jsonb_array_length(p_left_out), 0) = 0 then
    return v_run;
  end if;
  if jsonb_array_length(p_left_out) > export_engine.page_size() then
    perform export_engine.refuse(
      413, 'too_many_claims', format('At most %s claims can be left out at once.', export_engine.page_size()),
      'Send them in pages.'
    );
  end if;
  -- One index look-up per claim, and then by position: a join of the list with the run's members is a nested loop over
  -- both as long as nobody has analysed the table.
  select array_agg(found.position), jsonb_object_agg(coalesce(found.position, 0), found.reason)
  into v_positions, v_reasons
  from (
    select
      (
        select m.position
        from public.export_run_claims as m
        where m.claim_id = (item.value ->> 'claim_id')::uuid and m.run_id = p_run.id and m.outcome in ('included', 'left_out')
        limit 1
      ) as position,
      item.value as reason
    from jsonb_array_elements(p_left_out) as item
  ) as found;
  if array_position(v_positions, null) is not null then
    perform export_engine.refuse(
      422, 'claims_not_in_run', 'Only claims of this run can be left out of it.', 'Read the run''s claims again.'
    );
  end if;

  with released as (
    update public.export_run_claims as m
    set
      outcome = 'left_out',
      released_at = clock_timestamp(),
      reason_code = v_reasons -> m.position::text ->> 'code',
      reason_field = left(v_reasons -> m.position::text ->> 'field', 100),
      reason_message = left(v_reasons -> m.position::text ->> 'message', 1000)
    where m.run_id = p_run.id and m.position = any (v_positions) and m.outcome = 'included'
    returning m.amount, m.currency
  ),
  summed as (
    select r.currency, sum(r.amount)::numeric(18, 2) as amount, count(*) as claims from released as r group by r.currency
  )
  select coalesce(sum(s.claims), 0), coalesce(jsonb_object_agg(s.currency, s.amount::text), '{}'::jsonb)
  into v_count, v_totals
  from summed as s;

  if v_count > 0 then
    update public.export_runs
    set left_out_count = left_out_count + v_count, left_out_totals = export_engine.add_totals(left_out_totals, v_totals)
    where id = p_run.id
    returning * into v_run;
    perform export_engine.record_event(v_run, 'claims_left_out', v_run.attempt_by, jsonb_build_object('claims', v_count));
  end if;
  return v_run;
end;
$$;

comment on function export_engine.apply_left_out is
  'Releases claims that could not be exported, each with code, field and sentence. Saying it twice changes nothing.';

revoke execute on function export_engine.freeze_configuration(public.export_targets, text) from public;
revoke execute on function export_engine.create_run(
  public.export_targets, text, text, uuid, date, date, timestamptz, text, text, jsonb
) from public;
revoke execute on function export_engine.start_attempt(public.export_runs, uuid, uuid, text) from public;
revoke execute on function export_engine.approved_from(public.export_runs) from public;
revoke execute on function export_engine.approved_before(public.export_runs) from public;
revoke execute on function export_engine.reserve_claims(public.export_runs, uuid[]) from public;
revoke execute on function export_engine.seal_run(public.export_runs) from public;
revoke execute on function export_engine.latest_run(uuid, text, date, date) from public;
revoke execute on function export_engine.next_claims(public.export_runs) from public;
revoke execute on function export_engine.repeats_left_out(public.export_runs) from public;
revoke execute on function export_engine.reserve_next(public.export_runs) from public;
revoke execute on function export_engine.members_page(public.export_runs, integer) from public;
revoke execute on function export_engine.release_page(public.export_runs) from public;
revoke execute on function export_engine.free_lock(public.export_runs) from public;
revoke execute on function export_engine.finish_failure(public.export_runs) from public;
revoke execute on function export_engine.apply_left_out(public.export_runs, jsonb) from public;
