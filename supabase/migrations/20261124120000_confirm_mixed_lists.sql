-- Purpose: a list from the accounting system names an outcome per voucher. It is recorded in one transaction, all or nothing, and can
-- be checked without recording anything.

create function export_engine.check_confirmable(p_run public.export_runs, p_outcome text, p_vouchers jsonb)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_wrong text;
begin
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
  if p_outcome = 'refused' and exists (
    select from export_engine.confirmed_vouchers(p_run, p_vouchers) as w where w.member_outcome = 'included'
  ) then
    perform export_engine.check_can_be_taken_back(p_run);
  end if;
end;
$$;

comment on function export_engine.check_confirmable is 'Refuses an outcome that cannot be recorded for each voucher of a list. Writes nothing.';

create function export_engine.news_of_vouchers(p_run public.export_runs, p_outcome text, p_vouchers jsonb)
returns table (voucher_number bigint, external_number text, note text)
language sql
stable
security invoker
set search_path = ''
as $$
  select w.voucher_number, coalesce(w.external_number, w.latest_external_number), w.note
  from export_engine.confirmed_vouchers(p_run, p_vouchers) as w
  -- Saying the same again adds nothing, unless something else was said meanwhile.
  where
    w.latest is distinct from p_outcome
    or (w.is_overruled and p_outcome <> 'refused')
    or coalesce(w.external_number, w.latest_external_number) is distinct from w.latest_external_number;
$$;

comment on function export_engine.news_of_vouchers is 'Those vouchers of a list about which the outcome, or the number, was not said before.';

create or replace function export_engine.confirm_vouchers(p_run public.export_runs, p_outcome text, p_vouchers jsonb, p_actor text)
returns integer
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_count integer;
begin
  perform export_engine.check_vouchers(p_vouchers);
  perform export_engine.check_confirmable(p_run, p_outcome, p_vouchers);
  insert into public.export_confirmations (run_id, organization_id, voucher_number, outcome, external_number, note, actor_id, actor)
  select p_run.id, p_run.organization_id, n.voucher_number, p_outcome, n.external_number, n.note, (select auth.uid()), p_actor
  from export_engine.news_of_vouchers(p_run, p_outcome, p_vouchers) as n;
  get diagnostics v_count = row_count;
  if p_outcome = 'refused' then
    perform export_engine.free_refused_vouchers(p_run, p_vouchers, p_actor);
  end if;
  return v_count;
end;
$$;

create function export_engine.check_run_confirmable(p_run public.export_runs)
returns void
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if p_run.status <> 'completed' then
    perform export_engine.refuse(
      409, 'illegal_transition', format('A run that is %s has no file to confirm.', p_run.status), 'Only a completed run is confirmed.'
    );
  end if;
end;
$$;

comment on function export_engine.check_run_confirmable is 'Refuses to confirm a run that has no file.';

create function export_engine.check_outcomes(p_vouchers jsonb)
returns void
language plpgsql
immutable
security invoker
set search_path = ''
as $$
begin
  if exists (
    select
    from jsonb_array_elements(p_vouchers) as v
    where
      jsonb_typeof(v.value -> 'outcome') is distinct from 'string'
      or v.value ->> 'outcome' not in ('imported', 'booked', 'refused')
  ) then
    perform export_engine.refuse(
      400, 'unknown_outcome', 'Each voucher of the list is imported, booked or refused.', 'Give each voucher one of them as its outcome.'
    );
  end if;
end;
$$;

comment on function export_engine.check_outcomes is 'Refuses a list in which a voucher has no outcome, or one that is none.';

create function export_engine.confirm_export_vouchers(p_run_id uuid, p_vouchers jsonb, p_actor text, p_dry_run boolean)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run_for_caller(p_run_id, array['accountant', 'admin']);
  v_actor text := export_engine.actor_name(v_run.organization_id, p_actor);
  v_group record;
  v_news integer;
  v_recorded integer := 0;
begin
  -- The list as a whole, before it is looked at by outcome: a voucher has one outcome.
  perform export_engine.check_vouchers(p_vouchers);
  perform export_engine.check_outcomes(p_vouchers);
  perform export_engine.check_run_confirmable(v_run);
  perform export_engine.open_for_writing();
  for v_group in
    select v.value ->> 'outcome' as outcome, jsonb_agg(v.value) as vouchers
    from jsonb_array_elements(p_vouchers) as v
    group by 1
    order by 1
  loop
    if p_dry_run then
      perform export_engine.check_confirmable(v_run, v_group.outcome, v_group.vouchers);
      select count(*) into v_news from export_engine.news_of_vouchers(v_run, v_group.outcome, v_group.vouchers);
    else
      v_news := export_engine.confirm_vouchers(v_run, v_group.outcome, v_group.vouchers, v_actor);
      if v_news > 0 then
        perform export_engine.record_event_of(
          v_run, 'confirmed', v_actor, jsonb_build_object('outcome', v_group.outcome, 'vouchers', v_news)
        );
      end if;
    end if;
    v_recorded := v_recorded + v_news;
  end loop;
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run), 'recorded', v_recorded);
end;
$$;

comment on function export_engine.confirm_export_vouchers is
  'Records the outcome that each voucher of a list has, all or none. A dry run checks the same and tells how many would be news. '
  'Definer, because no API role may write the tables.';

create function public.confirm_export_vouchers(
  p_run_id uuid,
  p_vouchers jsonb,
  p_actor text default null,
  p_dry_run boolean default false
)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.confirm_export_vouchers(p_run_id, p_vouchers, p_actor, coalesce(p_dry_run, false));
$$;

comment on function public.confirm_export_vouchers is
  'Accountant, admin: what the accounting system made of each of at most 2,000 vouchers ([{"voucher_number": 1001, "outcome": "booked", '
  '"external_number": "B17", "note": "..."}]), all or none. p_dry_run checks and records nothing. Without a login say who you are (p_actor).';

revoke execute on function export_engine.check_confirmable(public.export_runs, text, jsonb) from public;
revoke execute on function export_engine.news_of_vouchers(public.export_runs, text, jsonb) from public;
revoke execute on function export_engine.check_run_confirmable(public.export_runs) from public;
revoke execute on function export_engine.check_outcomes(jsonb) from public;
revoke execute on function export_engine.confirm_export_vouchers(uuid, jsonb, text, boolean) from public;
revoke execute on function public.confirm_export_vouchers(uuid, jsonb, text, boolean) from public, anon, authenticated, service_role;
grant execute on function export_engine.confirm_export_vouchers(uuid, jsonb, text, boolean) to authenticated, service_role;
grant execute on function public.confirm_export_vouchers(uuid, jsonb, text, boolean) to authenticated, service_role;
