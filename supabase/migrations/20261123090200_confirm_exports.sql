-- Purpose: people report what the accounting system made of a file. A refused voucher frees exactly its claims.

create function export_engine.record_event_of(p_run public.export_runs, p_event text, p_actor text, p_detail jsonb)
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  insert into public.export_run_events (run_id, organization_id, actor_id, actor, event, detail)
  values (p_run.id, p_run.organization_id, (select auth.uid()), p_actor, p_event, p_detail);
$$;

comment on function export_engine.record_event_of is 'Adds an event by the caller, under a name that is known already.';

create function export_engine.run_confirmation(p_run_id uuid)
returns text
language sql
stable
security invoker
set search_path = ''
as $$
  select c.outcome
  from public.export_confirmations as c
  where c.run_id = p_run_id and c.voucher_number is null
  order by c.id desc
  limit 1;
$$;

comment on function export_engine.run_confirmation is 'What was last said about the run as a whole; null if nothing.';

create function export_engine.is_imported(p_run_id uuid)
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  -- What was said later about the whole run outweighs what was said before about its vouchers.
  select coalesce(whole.outcome in ('imported', 'booked'), false) or exists (
    select
    from public.export_confirmations as c
    where
      c.run_id = p_run_id
      and c.voucher_number is not null
      and c.outcome in ('imported', 'booked')
      and c.id > coalesce(whole.id, 0)
  )
  from (values (p_run_id)) as asked (run_id)
  left join lateral (
    select c.id, c.outcome
    from public.export_confirmations as c
    where c.run_id = asked.run_id and c.voucher_number is null
    order by c.id desc
    limit 1
  ) as whole on true;
$$;

comment on function export_engine.is_imported is 'True when people said that the accounting system has the run''s file, or a voucher of it.';

create function export_engine.hold_run_for_caller(p_run_id uuid, p_roles text[])
returns public.export_runs
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  select r.* into v_run from public.export_runs as r where r.id = p_run_id;
  -- Somebody who may not see the run hears the same as about a run that is not there.
  if v_run.id is null or (
    (select auth.uid()) is not null
    and not export_engine.member_has_role(v_run.organization_id, (select auth.uid()), array['coordinator', 'accountant', 'admin'])
  ) then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  -- Nothing of an organisation is locked by whoever may not.
  perform export_engine.require_role(v_run.organization_id, p_roles);
  perform export_engine.wait_for_lock_row(p_run_id);
  select r.* into v_run from public.export_runs as r where r.id = p_run_id for update;
  return v_run;
end;
$$;

comment on function export_engine.hold_run_for_caller is
  'Locks lock row and run for a caller with one of the roles: 404 for whoever may not see it, 403 for staff without the role. Trusts the '
  'service key and the database owner.';

create function export_engine.actor_name(p_organization_id uuid, p_actor text)
returns text
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_name text := coalesce(export_engine.member_name(p_organization_id, (select auth.uid())), btrim(p_actor));
begin
  if v_name is null or char_length(v_name) not between 1 and 200 then
    perform export_engine.refuse(400, 'actor_required', 'A name of 1 to 200 characters is needed.', 'Say who does this.');
  end if;
  return v_name;
end;
$$;

comment on function export_engine.actor_name is 'The signed-in member''s name; for a caller without a login the name that she gives, which is demanded.';

create function export_engine.check_vouchers(p_vouchers jsonb)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if jsonb_typeof(p_vouchers) is distinct from 'array' or jsonb_array_length(p_vouchers) = 0 then
    perform export_engine.refuse(
      400, 'vouchers_malformed', 'Vouchers are a list of objects with voucher_number.', 'Leave vouchers out to mean the whole run.'
    );
  end if;
  if jsonb_array_length(p_vouchers) > export_engine.page_size() then
    perform export_engine.refuse(
      413, 'too_many_vouchers', format('At most %s vouchers can be confirmed at once.', export_engine.page_size()), 'Send them in pages.'
    );
  end if;
  if exists (
    select
    from jsonb_array_elements(p_vouchers) as v
    where
      jsonb_typeof(v.value) <> 'object'
      or jsonb_typeof(v.value -> 'voucher_number') is distinct from 'number'
      or v.value ->> 'voucher_number' !~ '^[1-9][0-9]{0,7}$'
      or coalesce(jsonb_typeof(v.value -> 'external_number'), 'null') not in ('null', 'string')
      or coalesce(v.value ->> 'external_number' !~ '\S' or char_length(v.value ->> 'external_number') > 100, false)
      or coalesce(jsonb_typeof(v.value -> 'note'), 'null') not in ('null', 'string')
      or coalesce(v.value ->> 'note' !~ '\S' or char_length(v.value ->> 'note') > 500, false)
  ) or (
    select count(distinct v.value ->> 'voucher_number') < count(*) from jsonb_array_elements(p_vouchers) as v
  ) then
    perform export_engine.refuse(
      400, 'vouchers_malformed',
      'Each voucher has voucher_number, once, and if known external_number (100 characters) and note (500 characters).',
      'Correct the list; nothing of it was recorded.'
    );
  end if;
end;
$$;

comment on function export_engine.check_vouchers is 'Refuses a list of vouchers that is not one, is too long, or names a voucher twice.';

create function export_engine.confirmed_vouchers(p_run public.export_runs, p_vouchers jsonb)
returns table (
  voucher_number bigint, external_number text, note text, member_outcome text, latest text, latest_external_number text, is_overruled boolean
)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    w.voucher_number, w.external_number, w.note, m.outcome, latest.outcome, latest.external_number,
    coalesce(whole.outcome = 'refused' and whole.id > latest.id, false)
  from (
    select
      (v.value ->> 'voucher_number')::bigint as voucher_number,
      v.value ->> 'external_number' as external_number,
      v.value ->> 'note' as note
    from jsonb_array_elements(p_vouchers) as v
  ) as w
  left join lateral (
    -- A voucher of several claims is in or out as a whole, so any of its members tells.
    select x.outcome
    from public.export_run_claims as x
    where
      x.organization_id = p_run.organization_id
      and x.run_id = p_run.id
      and x.voucher_number = w.voucher_number
      and x.outcome in ('included', 'refused')
    limit 1
  ) as m on true
  left join lateral (
    select c.id, c.outcome, c.external_number
    from public.export_confirmations as c
    where c.run_id = p_run.id and c.voucher_number = w.voucher_number
    order by c.id desc
    limit 1
  ) as latest on true
  left join lateral (
    select c.id, c.outcome
    from public.export_confirmations as c
    where c.run_id = p_run.id and c.voucher_number is null
    order by c.id desc
    limit 1
  ) as whole on true;
$$;

comment on function export_engine.confirmed_vouchers is 'The vouchers of a list beside what the run and earlier confirmations say of them. Overruled: the whole run was refused since.';

create function export_engine.has_reversal(p_run_id uuid)
returns boolean
language sql
stable
security invoker
set search_path = ''
return exists (select from public.export_runs as r where r.reverses_run_id = p_run_id and r.status not in ('failed', 'voided'));

comment on function export_engine.has_reversal is 'True while a run takes this one back, or has done so, and until a failing or voided one has let its last member go.';

create function export_engine.check_can_be_taken_back(p_run public.export_runs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if export_engine.has_reversal(p_run.id) then
    perform export_engine.refuse(
      409, 'run_has_reversal', 'Another run takes this one back.', 'Void that run first, if its file was never imported.'
    );
  end if;
  -- Without the reversal the earlier entry counts again, beside the one that came after it.
  if p_run.reverses_run_id is not null and exists (
    select
    from public.export_run_claims as m
    join public.export_run_claims as next
      on next.claim_id = m.claim_id and next.kind = 'entry' and next.generation = m.generation + 1 and next.released_at is null
    where m.run_id = p_run.id and m.kind = 'reversal' and m.released_at is null
  ) then
    perform export_engine.refuse(
      409, 'claims_entered_again', 'Claims that this run took back are in a later run.', 'Take the later run back first.'
    );
  end if;
end;
$$;

comment on function export_engine.check_can_be_taken_back is
  'Refuses to let members of a completed run go while another run takes it back, or while claims that it took back are entered again.';

create function export_engine.confirm_vouchers(p_run public.export_runs, p_outcome text, p_vouchers jsonb, p_actor text)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_wrong text;
  v_count integer;
begin
  perform export_engine.check_vouchers(p_vouchers);
  select string_agg(w.voucher_number::text, ', ' order by w.voucher_number) into v_wrong
  from export_engine.confirmed_vouchers(p_run, p_vouchers) as w
  where w.member_outcome is null;
  if v_wrong is not null then
    perform export_engine.refuse(
      422, 'vouchers_not_in_run', format('Not in the file of this run: %s.', left(v_wrong, 200)), 'Check run and voucher numbers.'
    );
  end if;
  select string_agg(w.voucher_number::text, ', ' order by w.voucher_number) into v_wrong
  from export_engine.confirmed_vouchers(p_run, p_vouchers) as w
  where
    -- Booked by itself, or with its whole run.
    (p_outcome = 'refused' and w.member_outcome = 'included' and 'booked' in (w.latest, export_engine.run_confirmation(p_run.id)))
    or (p_outcome <> 'refused' and w.member_outcome = 'refused');
  if v_wrong is not null then
    perform export_engine.refuse(
      409, 'voucher_is_settled', format('Already booked, or refused and set free: %s.', left(v_wrong, 200)),
      'What is booked is taken back by reversing the run; what was refused may be in another run by now.'
    );
  end if;
  insert into public.export_confirmations (run_id, organization_id, voucher_number, outcome, external_number, note, actor_id, actor)
  select p_run.id, p_run.organization_id, w.voucher_number, p_outcome, coalesce(w.external_number, w.latest_external_number), w.note, (select auth.uid()), p_actor
  from export_engine.confirmed_vouchers(p_run, p_vouchers) as w
  -- Saying the same again adds nothing, unless something else was said meanwhile.
  where
    w.latest is distinct from p_outcome
    or (w.is_overruled and p_outcome <> 'refused')
    or coalesce(w.external_number, w.latest_external_number) is distinct from w.latest_external_number;
  get diagnostics v_count = row_count;
  if p_outcome = 'refused' then
    perform export_engine.free_refused_vouchers(p_run, p_vouchers, p_actor);
  end if;
  return v_count;
end;
$$;

comment on function export_engine.confirm_vouchers is
  'Records an outcome for each voucher of a list, all or none, and frees the claims of refused ones. Answers how many are news.';

create function export_engine.lift_reversal_holds(p_run public.export_runs, p_claim_ids uuid[])
returns void
language sql
volatile
security invoker
set search_path = ''
as $$
  update public.export_holds
  set lifted_at = clock_timestamp(), lifted_by = format('run %s', p_run.run_number)
  where claim_id = any (p_claim_ids) and lifted_at is null and cause = 'reversed';
$$;

comment on function export_engine.lift_reversal_holds is 'Ends the holds of a reversing run on claims that it takes back after all not.';

create function export_engine.free_refused_vouchers(p_run public.export_runs, p_vouchers jsonb, p_actor text)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_numbers bigint[] := array(select (v.value ->> 'voucher_number')::bigint from jsonb_array_elements(p_vouchers) as v);
begin
  if not exists (
    select
    from public.export_run_claims as m
    where
      m.organization_id = p_run.organization_id
      and m.run_id = p_run.id
      and m.voucher_number = any (v_numbers)
      and m.outcome = 'included'
  ) then
    return;
  end if;
  perform export_engine.check_can_be_taken_back(p_run);
  insert into public.export_holds (organization_id, claim_id, cause, reason, held_by)
  select m.organization_id, m.claim_id, 'refused', format('Voucher %s of run %s was refused.', m.voucher_number, p_run.run_number), p_actor
  from public.export_run_claims as m
  where
    m.organization_id = p_run.organization_id
    and m.run_id = p_run.id
    and m.voucher_number = any (v_numbers)
    and m.outcome = 'included'
    and m.kind = 'entry'
  on conflict (claim_id) where claim_id is not null and lifted_at is null do nothing;
  -- A reversal that was refused leaves the earlier entry in force.
  perform export_engine.lift_reversal_holds(p_run, array(
    select m.claim_id
    from public.export_run_claims as m
    where
      m.organization_id = p_run.organization_id
      and m.run_id = p_run.id
      and m.voucher_number = any (v_numbers)
      and m.kind = 'reversal'
  ));
  update public.export_run_claims as m
  set outcome = 'refused', released_at = clock_timestamp()
  where
    m.organization_id = p_run.organization_id
    and m.run_id = p_run.id
    and m.voucher_number = any (v_numbers)
    and m.outcome = 'included';
end;
$$;

comment on function export_engine.free_refused_vouchers is
  'Lets the claims of refused vouchers go and holds them, so that no automatic trigger sends the same again. The run keeps its totals.';

create function export_engine.confirm_export(p_run_id uuid, p_outcome text, p_vouchers jsonb, p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run_for_caller(p_run_id, array['accountant', 'admin']);
  v_actor text := export_engine.actor_name(v_run.organization_id, p_actor);
  v_news integer := 0;
begin
  if p_outcome is null or p_outcome not in ('imported', 'booked', 'refused') then
    perform export_engine.refuse(
      400, 'unknown_outcome', 'A confirmation is imported, booked or refused.', 'Send one of them.'
    );
  end if;
  if v_run.status <> 'completed' then
    perform export_engine.refuse(
      409, 'illegal_transition', format('A run that is %s has no file to confirm.', v_run.status), 'Only a completed run is confirmed.'
    );
  end if;
  perform export_engine.open_for_writing();
  if p_vouchers is not null then
    v_news := export_engine.confirm_vouchers(v_run, p_outcome, p_vouchers, v_actor);
  elsif
    p_outcome is distinct from export_engine.run_confirmation(v_run.id)
    -- Refused once more counts when a voucher was imported or booked since.
    or (p_outcome = 'refused' and export_engine.is_imported(v_run.id))
  then
    insert into public.export_confirmations (run_id, organization_id, outcome, actor_id, actor)
    values (v_run.id, v_run.organization_id, p_outcome, (select auth.uid()), v_actor);
    v_news := 1;
  end if;
  if v_news > 0 then
    perform export_engine.record_event_of(
      v_run, 'confirmed', v_actor,
      jsonb_build_object('outcome', p_outcome, 'vouchers', case when p_vouchers is not null then v_news end)
    );
  end if;
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run), 'recorded', v_news);
end;
$$;

comment on function export_engine.confirm_export is
  'Records what the accounting system made of a run or of single vouchers. Saying the same again records nothing. Definer, because '
  'no API role may write the tables.';

create function public.confirm_export(p_run_id uuid, p_outcome text, p_vouchers jsonb default null, p_actor text default null)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.confirm_export(p_run_id, p_outcome, p_vouchers, p_actor);
$$;

comment on function public.confirm_export is
  'Accountant, admin: the file of a run, or single vouchers of it ([{"voucher_number": 1001, "external_number": "B17", "note": "..."}]), '
  'was imported, booked or refused. Without a login say who you are (p_actor).';

revoke execute on function export_engine.record_event_of(public.export_runs, text, text, jsonb) from public;
revoke execute on function export_engine.run_confirmation(uuid) from public;
revoke execute on function export_engine.is_imported(uuid) from public;
revoke execute on function export_engine.hold_run_for_caller(uuid, text[]) from public;
revoke execute on function export_engine.actor_name(uuid, text) from public;
revoke execute on function export_engine.check_vouchers(jsonb) from public;
revoke execute on function export_engine.confirmed_vouchers(public.export_runs, jsonb) from public;
revoke execute on function export_engine.has_reversal(uuid) from public;
revoke execute on function export_engine.check_can_be_taken_back(public.export_runs) from public;
revoke execute on function export_engine.confirm_vouchers(public.export_runs, text, jsonb, text) from public;
revoke execute on function export_engine.lift_reversal_holds(public.export_runs, uuid[]) from public;
revoke execute on function export_engine.free_refused_vouchers(public.export_runs, jsonb, text) from public;
revoke execute on function export_engine.confirm_export(uuid, text, jsonb, text) from public;
revoke execute on function public.confirm_export(uuid, text, jsonb, text) from public, anon, authenticated, service_role;
grant execute on function export_engine.confirm_export(uuid, text, jsonb, text) to authenticated, service_role;
grant execute on function public.confirm_export(uuid, text, jsonb, text) to authenticated, service_role;
