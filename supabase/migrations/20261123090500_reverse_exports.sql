-- Purpose: a completed run whose file was imported is taken back by a run of its own: the same vouchers with opposite signs.
-- The reversed run stays completed, for its vouchers stay in the books; its claims may be entered again, as the next
-- generation, once the reversing run is completed too.
-- Surprising: amounts of reversals are negative, here and in all sums, so that counts and totals need no second arithmetic.

create or replace function export_engine.keep_run_law()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if new.status is distinct from old.status then
    if not export_engine.transition_is_legal(old.status, new.status) then
      perform export_engine.refuse(
        409, 'illegal_transition', format('A run that is %s cannot become %s.', old.status, new.status),
        'Read the run again: somebody else may have finished it.'
      );
    end if;
    new.processing_at := case when new.status = 'processing' then coalesce(old.processing_at, clock_timestamp()) else new.processing_at end;
    new.parked_at := case when new.status = 'parked' then clock_timestamp() end;
    new.in_doubt_at := case when new.status = 'in_doubt' then clock_timestamp() end;
    new.completed_at := case when new.status = 'completed' then clock_timestamp() else new.completed_at end;
    new.releasing_at := case when new.status = 'releasing' then clock_timestamp() else new.releasing_at end;
    new.failed_at := case when new.status = 'failed' then clock_timestamp() else new.failed_at end;
    new.voiding_at := case when new.status = 'voiding' then clock_timestamp() else new.voiding_at end;
    new.voided_at := case when new.status = 'voided' then clock_timestamp() else new.voided_at end;
  end if;
  -- What a run was asked to do never changes.
  if (
    new.id, new.organization_id, new.run_number, new.origin, new.trigger, new.triggered_by, new.triggered_by_name,
    new.target, new.format, new.period_from, new.period_to, new.time_zone, new.cut_off, new.export_date,
    new.configuration, new.created_at, new.reverses_run_id
  ) is distinct from (
    old.id, old.organization_id, old.run_number, old.origin, old.trigger, old.triggered_by, old.triggered_by_name,
    old.target, old.format, old.period_from, old.period_to, old.time_zone, old.cut_off, old.export_date,
    old.configuration, old.created_at, old.reverses_run_id
  ) then
    perform export_engine.refuse(403, 'history_is_protected', 'What a run was asked to do never changes.');
  end if;
  if old.sealed_at is not null and (
    new.sealed_at, new.reserved_count, new.reserved_totals
  ) is distinct from (old.sealed_at, old.reserved_count, old.reserved_totals) then
    perform export_engine.refuse(409, 'run_is_sealed', 'Nothing joins a sealed run.');
  end if;
  -- The stored file of a completed run is for ever.
  if old.completed_at is not null and (
    new.completed_at, new.claim_count, new.voucher_count, new.line_count, new.totals, new.file_path, new.file_name,
    new.file_sha256, new.file_size, new.content_type, new.renderer_version, new.layout, new.left_out_count
  ) is distinct from (
    old.completed_at, old.claim_count, old.voucher_count, old.line_count, old.totals, old.file_path, old.file_name,
    old.file_sha256, old.file_size, old.content_type, old.renderer_version, old.layout, old.left_out_count
  ) then
    perform export_engine.refuse(403, 'history_is_protected', 'The file of a completed run never changes.');
  end if;
  return new;
end;
$$;

-- A reversing run is nobody's export: whoever exports the same period does not join it, and is not shown it as hers.
create or replace function export_engine.answer_without_work(
  p_lock public.export_locks,
  p_target text,
  p_period_from date,
  p_period_to date,
  p_idempotency_key text,
  p_request_fingerprint text
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_is_live boolean := coalesce(p_lock.expires_at > clock_timestamp(), false);
  v_run public.export_runs;
begin
  v_run := export_engine.run_with_key(p_lock.organization_id, p_idempotency_key);
  if v_run.id is not null then
    if v_run.request_fingerprint <> p_request_fingerprint then
      perform export_engine.refuse(
        422, 'idempotency_key_reused', 'This idempotency key was used for another request.', 'Make a new key for a new request.'
      );
    end if;
    if v_run.id is distinct from p_lock.run_id then
      return jsonb_build_object('outcome', 'replayed', 'run', export_engine.run_json(v_run));
    end if;
    if v_is_live then
      return jsonb_build_object(
        'outcome', 'replayed', 'run', export_engine.run_json(v_run), 'retry_after', export_engine.retry_after(p_lock)
      );
    end if;
    return null;
  end if;

  if not v_is_live then
    return null;
  end if;
  select r.* into v_run from public.export_runs as r where r.id = p_lock.run_id;
  return jsonb_build_object(
    'outcome', case
      when v_run.reverses_run_id is null
        and v_run.target = coalesce(p_target, v_run.target)
        and (v_run.period_from, v_run.period_to) is not distinct from (p_period_from, p_period_to)
        then 'joined'
      else 'busy'
    end,
    'run', export_engine.run_json(v_run),
    'retry_after', export_engine.retry_after(p_lock)
  );
end;
$$;

create or replace function export_engine.latest_run(p_organization_id uuid, p_target text, p_period_from date, p_period_to date)
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
    and r.reverses_run_id is null
    and r.deleted_at is null
    and r.period_to >= coalesce(p_period_from, '-infinity'::date)
    and coalesce(r.period_from, '-infinity'::date) <= p_period_to
  order by
    ((r.period_from, r.period_to) is not distinct from (p_period_from, p_period_to)) desc,
    r.created_at desc,
    r.run_number desc
  limit 1;
$$;

create or replace function export_engine.parked_run(p_organization_id uuid, p_target text, p_period_from date, p_period_to date)
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
    and r.status = 'parked'
    and r.reverses_run_id is null
    and r.period_to >= coalesce(p_period_from, '-infinity'::date)
    and coalesce(r.period_from, '-infinity'::date) <= p_period_to
  order by r.parked_at desc
  limit 1;
$$;

create or replace function export_engine.release_page(p_run public.export_runs)
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
  if p_run.reverses_run_id is not null then
    -- The earlier entry counts again, so that there is nothing to hold.
    perform export_engine.lift_reversal_holds(p_run, array(
      select m.claim_id
      from public.export_run_claims as m
      where m.run_id = p_run.id and m.position > p_run.released_position and m.position <= v_until
    ));
  end if;
  update public.export_runs as r
  set released_position = coalesce(v_until, r.reserved_count)
  where r.id = p_run.id
  returning r.* into v_run;
  return v_run;
end;
$$;

create or replace function export_engine.run_json(p_run public.export_runs)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'run_id', p_run.id,
    'organization_id', p_run.organization_id,
    'run_number', p_run.run_number,
    'origin', p_run.origin,
    'reverses_run_id', p_run.reverses_run_id,
    'trigger', p_run.trigger,
    'triggered_by', p_run.triggered_by,
    'triggered_by_name', p_run.triggered_by_name,
    'target', p_run.target,
    'format', p_run.format,
    'period_from', p_run.period_from,
    'period_to', p_run.period_to,
    'time_zone', p_run.time_zone,
    'cut_off', p_run.cut_off,
    'export_date', p_run.export_date,
    'status', p_run.status,
    'attempt', p_run.attempt,
    'reserved_count', p_run.reserved_count,
    'claim_count', p_run.claim_count,
    'left_out_count', p_run.left_out_count,
    'skipped_count', p_run.skipped_count,
    'voucher_count', p_run.voucher_count,
    'line_count', p_run.line_count,
    'totals', p_run.totals,
    'file', case when p_run.file_sha256 is not null then jsonb_build_object(
      'path', p_run.file_path,
      'name', p_run.file_name,
      'sha256', p_run.file_sha256,
      'size', p_run.file_size,
      'content_type', p_run.content_type
    ) end,
    'renderer_version', p_run.renderer_version,
    'error_code', p_run.error_code,
    'error_detail', p_run.error_detail
  ) || jsonb_build_object(
    'created_at', p_run.created_at,
    'processing_at', p_run.processing_at,
    'sealed_at', p_run.sealed_at,
    'parked_at', p_run.parked_at,
    'in_doubt_at', p_run.in_doubt_at,
    'completed_at', p_run.completed_at,
    'releasing_at', p_run.releasing_at,
    'failed_at', p_run.failed_at,
    'voiding_at', p_run.voiding_at,
    'voided_at', p_run.voided_at,
    'deleted_at', p_run.deleted_at,
    'deleted', p_run.deleted_at is not null
  );
$$;

create function export_engine.reserve_reversals(p_run public.export_runs)
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
  v_after integer;
  v_count integer;
  v_totals jsonb;
begin
  -- Members of the reversed run in their order, after the one that was taken back last.
  select coalesce(max(o.position), 0) into v_after
  from public.export_run_claims as o
  where
    o.run_id = p_run.reverses_run_id
    and o.claim_id = (
      select m.claim_id from public.export_run_claims as m where m.run_id = p_run.id order by m.position desc limit 1
    );
  perform export_engine.hold_before_claims(p_run.organization_id);

  with page as (
    select o.claim_id, o.generation, o.document, o.amount, o.currency, o.position
    from public.export_run_claims as o
    where o.run_id = p_run.reverses_run_id and o.position > v_after and o.outcome = 'included' and o.kind = 'entry'
    order by o.position
    limit export_engine.page_size()
  ),
  numbered as (
    select page.*, row_number() over (order by page.position) as ordinal from page
  ),
  taken as (
    select export_engine.take_numbers(p_run.organization_id, 'voucher_number', count(*)::integer) as first_number from page
  ),
  inserted as (
    insert into public.export_run_claims (
      run_id, position, organization_id, claim_id, kind, generation, voucher_number, document, amount, currency
    )
    select
      p_run.id, p_run.reserved_count + n.ordinal, p_run.organization_id, n.claim_id, 'reversal', n.generation,
      taken.first_number + n.ordinal - 1, n.document, -n.amount, n.currency
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
  'Takes the next page of the reversed run''s vouchers back: the frozen documents again, with voucher numbers of their own.';

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
  if p_run.reverses_run_id is not null then
    return export_engine.reserve_reversals(p_run);
  end if;
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

create function export_engine.create_reversal(p_run public.export_runs, p_actor_id uuid, p_actor text, p_reason text)
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
    organization_id, run_number, origin, trigger, triggered_by, triggered_by_name, target, format, period_from, period_to,
    time_zone, cut_off, export_date, configuration, reverses_run_id
  )
  values (
    p_run.organization_id, export_engine.take_numbers(p_run.organization_id, 'run_number', 1), 'engine',
    case when p_actor_id is null then 'cli' else 'user' end, p_actor_id, p_actor, p_run.target, p_run.format,
    p_run.period_from, p_run.period_to, p_run.time_zone, clock_timestamp(),
    (clock_timestamp() at time zone p_run.time_zone)::date, p_run.configuration, p_run.id
  )
  returning * into v_run;
  perform export_engine.record_event_of(
    v_run, 'created', p_actor,
    jsonb_build_object('run_number', v_run.run_number, 'reverses', p_run.run_number, 'reason', p_reason)
  );
  return v_run;
end;
$$;

comment on function export_engine.create_reversal is
  'A pending run that takes another one back, under the configuration that the other was rendered with.';

create function export_engine.check_reversible(p_run public.export_runs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_run.status <> 'completed' then
    perform export_engine.refuse(
      409, 'illegal_transition', format('A run that is %s cannot be reversed.', p_run.status), 'Only a completed run can be reversed.'
    );
  end if;
  if p_run.reverses_run_id is not null or p_run.origin = 'manual' then
    perform export_engine.refuse(
      409, 'run_not_reversible', 'A run that reverses another, or was recorded by hand, has no vouchers of ours to take back.',
      'Void it, or export its claims again.'
    );
  end if;
  if not exists (
    select from public.export_run_claims as m where m.run_id = p_run.id and m.outcome = 'included' and m.kind = 'entry'
  ) then
    perform export_engine.refuse(
      409, 'nothing_to_reverse', 'No voucher of this run is in the books any more.', 'Look at its confirmations.'
    );
  end if;
end;
$$;

comment on function export_engine.check_reversible is
  'Refuses to reverse a run that has no vouchers of ours in the books. Asked before anything is done, because a refusal would undo it.';

create function export_engine.reversal_without_work(p_run public.export_runs, p_lock public.export_locks)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_is_live boolean := coalesce(p_lock.expires_at > clock_timestamp(), false);
  v_reversal public.export_runs;
begin
  select r.* into v_reversal
  from public.export_runs as r
  where r.reverses_run_id = p_run.id and r.status not in ('failed', 'voided');
  if v_reversal.id = p_lock.run_id and not v_is_live then
    return null;
  end if;
  -- One that is being let go answers like a stranger's run: afterwards the run may be reversed again.
  if v_reversal.id is not null and v_reversal.status not in ('releasing', 'voiding') then
    return jsonb_build_object('outcome', 'replayed', 'run', export_engine.run_json(v_reversal));
  end if;
  if v_is_live or v_reversal.id is not null then
    return jsonb_build_object(
      'outcome', 'busy',
      'run', (
        select export_engine.run_json(r) from public.export_runs as r where r.id = case when v_is_live then p_lock.run_id else v_reversal.id end
      ),
      'retry_after', case when v_is_live then export_engine.retry_after(p_lock) else 1 end
    );
  end if;
  return null;
end;
$$;

comment on function export_engine.reversal_without_work is
  'The answers to a reversal that need no work: replayed (asked before) and busy (another run comes first). Null when there is work.';

create function export_engine.reverse_export(p_run_id uuid, p_reason text, p_invocation_id uuid, p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run_for_caller(p_run_id, array['admin']);
  v_actor text := export_engine.actor_name(v_run.organization_id, p_actor);
  v_user uuid := (select auth.uid());
  v_lock public.export_locks;
  v_reversal public.export_runs;
  v_answer jsonb;
begin
  if p_invocation_id is null then
    perform export_engine.refuse(400, 'invocation_missing', 'The invocation id is missing.', 'Make a random UUID per call.');
  end if;
  if p_reason is null or char_length(btrim(p_reason)) not between 1 and 500 then
    perform export_engine.refuse(400, 'reason_required', 'A reason of 1 to 500 characters is needed.', 'Say why the run is reversed.');
  end if;
  select l.* into v_lock from public.export_locks as l where l.organization_id = v_run.organization_id;
  if v_lock.holder_id = p_invocation_id then
    return export_engine.repeat_answer(v_lock, v_user);
  end if;
  perform export_engine.check_reversible(v_run);
  v_answer := export_engine.reversal_without_work(v_run, v_lock);
  if v_answer is not null then
    return v_answer;
  end if;
  perform export_engine.open_for_writing();
  if v_lock.run_id is not null then
    v_answer := export_engine.take_over(v_lock, p_invocation_id, v_user);
    if v_answer is null then
      -- It was failed or parked; if it was this run's own reversal, a parked one answers.
      select l.* into v_lock from public.export_locks as l where l.organization_id = v_run.organization_id;
      v_answer := export_engine.reversal_without_work(v_run, v_lock);
    end if;
  end if;
  if v_answer is null then
    v_reversal := export_engine.start_attempt(
      export_engine.create_reversal(v_run, v_user, v_actor, p_reason), p_invocation_id, v_user, 'started'
    );
    v_reversal := export_engine.reserve_next(v_reversal);
    -- A statement of its own: in one with the reserving it would not see what was reserved.
    v_answer := export_engine.work_answer('started', v_reversal);
  end if;
  perform export_engine.close_for_writing();
  return v_answer;
end;
$$;

comment on function export_engine.reverse_export is
  'First step of a reversing run: started, resumed (a dead worker''s run comes first), replayed or busy. Definer, because no API role '
  'may write the tables.';

create function public.reverse_export(p_run_id uuid, p_reason text, p_invocation_id uuid, p_actor text default null)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.reverse_export(p_run_id, p_reason, p_invocation_id, p_actor);
$$;

comment on function public.reverse_export is
  'Admin: begins the run that takes an imported run back, with opposite signs; the worker that calls this renders and completes it.';

revoke execute on function export_engine.reserve_reversals(public.export_runs) from public;
revoke execute on function export_engine.create_reversal(public.export_runs, uuid, text, text) from public;
revoke execute on function export_engine.check_reversible(public.export_runs) from public;
revoke execute on function export_engine.reversal_without_work(public.export_runs, public.export_locks) from public;
revoke execute on function export_engine.reverse_export(uuid, text, uuid, text) from public;
revoke execute on function public.reverse_export(uuid, text, uuid, text) from public, anon, authenticated, service_role;
grant execute on function export_engine.reverse_export(uuid, text, uuid, text) to authenticated, service_role;
grant execute on function public.reverse_export(uuid, text, uuid, text) to authenticated, service_role;
