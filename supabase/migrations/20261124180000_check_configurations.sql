-- Purpose: a configuration that no file can be made of stops an export before any claim is reserved, however it was saved.
--   Only the functions can judge a layout, so begin asks them once for each configuration that it has not seen: it answers
--   unchecked, the caller checks and writes down what it found, and begins again.
-- Tables: export_configuration_checks.

create table public.export_configuration_checks (
  organization_id uuid not null,
  target text not null,
  fingerprint text not null,
  renderer_version text not null,
  problems jsonb not null,
  checked_at timestamptz not null default clock_timestamp(),
  constraint export_configuration_checks_pkey primary key (organization_id, target, fingerprint),
  constraint export_configuration_checks_target_fkey
    foreign key (organization_id, target) references public.export_targets (organization_id, target) on delete cascade,
  constraint export_configuration_checks_fingerprint_check check (fingerprint ~ '^[0-9a-f]{64}$'),
  constraint export_configuration_checks_renderer_version_check check (char_length(renderer_version) between 1 and 50),
  constraint export_configuration_checks_problems_check
    check (jsonb_typeof(problems) = 'array' and octet_length(problems::text) <= 100000)
);

comment on table public.export_configuration_checks is
  'What the functions found in each state of an organisation''s settings, layout and posting rules: nothing, or problems that stop '
  'every export until they are mended. Written by functions only.';
comment on column public.export_configuration_checks.fingerprint is 'SHA-256 of the whole configuration as a run would freeze it, renderer version included.';
comment on column public.export_configuration_checks.problems is 'Each with code, field and message; empty when exports may begin.';

create trigger refuse_direct_write
before insert or update on public.export_configuration_checks
for each statement execute function export_engine.refuse_direct_write();

create trigger refuse_truncate
before truncate on public.export_configuration_checks
for each statement execute function export_engine.refuse_change();

alter table public.export_configuration_checks enable row level security;
revoke all on table public.export_configuration_checks from public, anon, authenticated, service_role;

create policy "Staff sees the configuration checks of the organisation" on public.export_configuration_checks
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_configuration_checks to authenticated, service_role;

create function export_engine.configuration_fingerprint(p_configuration jsonb)
returns text
language sql
immutable
security invoker
set search_path = ''
return encode(sha256(convert_to(p_configuration::text, 'UTF8')), 'hex');

comment on function export_engine.configuration_fingerprint is 'SHA-256 of a configuration as a run freezes it.';

create function export_engine.unchecked_configuration(p_target public.export_targets, p_renderer_version text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_configuration jsonb;
  v_fingerprint text;
begin
  -- Whoever names no renderer renders nothing; a worker that takes the run over checks what was frozen.
  if p_renderer_version is null then
    return null;
  end if;
  v_configuration := export_engine.freeze_configuration(p_target, p_renderer_version);
  v_fingerprint := export_engine.configuration_fingerprint(v_configuration);
  if exists (
    select
    from public.export_configuration_checks as c
    where
      c.organization_id = p_target.organization_id
      and c.target = p_target.target
      and c.fingerprint = v_fingerprint
      and c.problems = '[]'
  ) then
    return null;
  end if;
  return jsonb_build_object(
    'outcome', 'unchecked',
    'target', p_target.target,
    'configuration', v_configuration,
    'fingerprint', v_fingerprint
  );
end;
$$;

comment on function export_engine.unchecked_configuration is
  'Null when this configuration was found good for this renderer; else begin''s answer unchecked, with what is to be checked.';

create function export_engine.record_configuration_check(
  p_organization_id uuid, p_target text, p_fingerprint text, p_renderer_version text, p_problems jsonb
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
begin
  perform export_engine.open_for_writing();
  -- A target that was removed meanwhile needs no check.
  insert into public.export_configuration_checks (organization_id, target, fingerprint, renderer_version, problems)
  select t.organization_id, t.target, p_fingerprint, p_renderer_version, p_problems
  from public.export_targets as t
  where t.organization_id = p_organization_id and t.target = p_target
  on conflict on constraint export_configuration_checks_pkey do update
  set problems = excluded.problems, checked_at = clock_timestamp();
  perform export_engine.close_for_writing();
  return jsonb_build_object('recorded', true);
end;
$$;

comment on function export_engine.record_configuration_check is
  'Writes down what a worker found in a configuration. Definer, because no API role may write the tables.';

create function public.record_configuration_check(
  p_organization_id uuid, p_target text, p_fingerprint text, p_renderer_version text, p_problems jsonb
)
returns jsonb
language sql
volatile
security invoker
set search_path = ''
as $$
  select export_engine.record_configuration_check(p_organization_id, p_target, p_fingerprint, p_renderer_version, p_problems);
$$;

comment on function public.record_configuration_check is 'Guard: what the functions found in a configuration that begin called unchecked (service key).';

create or replace function export_engine.begin_run(
  p_organization_id uuid,
  p_target text,
  p_period_from date,
  p_period_to date,
  p_idempotency_key text,
  p_invocation_id uuid,
  p_trigger text,
  p_actor_id uuid,
  p_renderer_version text
)
returns jsonb
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  v_fingerprint text := export_engine.request_fingerprint(p_target, p_period_from, p_period_to);
  v_attempt_by uuid := case when p_trigger = 'user' then p_actor_id end;
  v_lock public.export_locks;
  v_target public.export_targets;
  v_answer jsonb;
begin
  perform export_engine.check_begin(p_period_from, p_period_to, p_idempotency_key, p_invocation_id, p_renderer_version);

  -- Most retries end here, without a lock, and whatever became of the configuration since.
  select l.* into v_lock from public.export_locks as l where l.organization_id = p_organization_id;
  if v_lock.organization_id is null then
    perform export_engine.find_target(p_organization_id, p_target);
  elsif v_lock.holder_id is distinct from p_invocation_id then
    v_answer := export_engine.answer_without_work(
      v_lock, p_target, p_period_from, p_period_to, p_idempotency_key, v_fingerprint
    );
    if not export_engine.is_settled(v_answer) then
      perform export_engine.check_not_held(p_organization_id);
    end if;
    if v_answer is not null then
      return v_answer;
    end if;
  end if;

  v_lock := export_engine.lock_row(p_organization_id);
  if v_lock.organization_id is null then
    return jsonb_build_object('outcome', 'busy', 'run', null, 'retry_after', 1);
  end if;
  if v_lock.holder_id = p_invocation_id then
    -- The reply to this very invocation was lost: the same token again, with a fresh lease.
    return export_engine.repeat_answer(v_lock, v_attempt_by);
  end if;
  v_answer := export_engine.answer_without_work(
    v_lock, p_target, p_period_from, p_period_to, p_idempotency_key, v_fingerprint
  );
  if not export_engine.is_settled(v_answer) then
    -- Now for certain: whoever places a hold has the lock row while she does.
    perform export_engine.check_not_held(p_organization_id);
  end if;
  if v_answer is not null then
    return v_answer;
  end if;

  perform export_engine.open_for_writing();
  -- A dead worker's run comes before any question about the target: it must not be stranded by a changed configuration.
  if v_lock.run_id is not null then
    v_answer := export_engine.take_over(v_lock, p_invocation_id, v_attempt_by);
    if v_answer is null then
      -- The run was failed or parked. If it was this key's own, a failed one has let the key go, and a parked one answers.
      select l.* into v_lock from public.export_locks as l where l.organization_id = p_organization_id;
      v_answer := export_engine.answer_without_work(
        v_lock, p_target, p_period_from, p_period_to, p_idempotency_key, v_fingerprint
      );
      if v_answer is null and not export_engine.target_is_clear(p_organization_id, p_target) then
        -- A refusal would undo what became of the run. The next begin is refused instead, with nothing to lose.
        v_answer := jsonb_build_object('outcome', 'busy', 'run', null, 'retry_after', 1);
      end if;
    end if;
  end if;
  if v_answer is null then
    v_target := export_engine.find_target(p_organization_id, p_target);
    v_answer := export_engine.unchecked_configuration(v_target, p_renderer_version);
  end if;
  if v_answer is null then
    perform export_engine.forget_old_key(p_organization_id, p_idempotency_key);
    v_answer := export_engine.start_run(
      v_target, p_trigger, p_actor_id, p_period_from, p_period_to,
      p_idempotency_key, case when p_idempotency_key is not null then v_fingerprint end, p_invocation_id,
      p_renderer_version
    );
  end if;
  perform export_engine.close_for_writing();
  return v_answer;
end;
$$;

comment on function export_engine.begin_run is
  'The first step of an export, for whoever asks: started, replayed, resumed, joined, busy, unchecked or nothing_to_export.';

create view public.export_configuration_problems
with (security_invoker = true)
as
select
  o.name as organization,
  t.target,
  p.problem ->> 'field' as field,
  p.problem ->> 'message' as problem,
  p.problem ->> 'code' as code,
  latest.checked_at,
  t.organization_id
from public.export_targets as t
join public.organizations as o on o.id = t.organization_id
cross join lateral (
  select c.problems, c.checked_at
  from public.export_configuration_checks as c
  where c.organization_id = t.organization_id and c.target = t.target
  order by c.checked_at desc
  limit 1
) as latest
cross join lateral jsonb_array_elements(latest.problems) as p (problem)
where t.is_enabled;

comment on view public.export_configuration_problems is
  'What is wrong with settings, layout or posting rules, as the last export that was tried found it: nothing is exported until it is mended.';

revoke all on table public.export_configuration_problems from public, anon, authenticated, service_role;
grant select on table public.export_configuration_problems to authenticated, service_role;

revoke execute on function export_engine.configuration_fingerprint(jsonb) from public;
revoke execute on function export_engine.unchecked_configuration(public.export_targets, text) from public;
revoke execute on function export_engine.record_configuration_check(uuid, text, text, text, jsonb) from public;
revoke execute on function public.record_configuration_check(uuid, text, text, text, jsonb) from public, anon, authenticated, service_role;
grant execute on function export_engine.record_configuration_check(uuid, text, text, text, jsonb) to service_role;
grant execute on function public.record_configuration_check(uuid, text, text, text, jsonb) to service_role;
