-- Purpose: a claim's whole story with the exports: where it stands, in which file it is, what changed since, where it was before.

create function export_engine.run_in_short(p_run public.export_runs)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'run_id', p_run.id,
    'run_number', p_run.run_number,
    'status', p_run.status,
    'target', p_run.target,
    'export_date', p_run.export_date,
    'triggered_by_name', p_run.triggered_by_name,
    'created_at', p_run.created_at,
    'completed_at', p_run.completed_at,
    'deleted', p_run.deleted_at is not null
  );
$$;

comment on function export_engine.run_in_short is 'A run in one line, beside a claim: number, state, date and who.';

create function export_engine.membership_in_short(p_member public.export_run_claims)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'position', p_member.position,
    'kind', p_member.kind,
    'generation', p_member.generation,
    'voucher_number', p_member.voucher_number,
    'outcome', p_member.outcome,
    'reason_code', p_member.reason_code,
    'reserved_at', p_member.reserved_at,
    'released_at', p_member.released_at
  );
$$;

comment on function export_engine.membership_in_short is 'What a claim is, or was, in a run, without its document.';

create function export_engine.document_changes(p_was jsonb, p_is jsonb)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object('field', c.field, 'line_number', c.line_number, 'was', c.was, 'is', c.is_now)
      order by c.line_number nulls first, c.field
    ),
    '[]'::jsonb
  )
  from (
    -- What the frozen form does not have is a new member of the form, not a change of the claim.
    select w.key as field, null::integer as line_number, w.value as was, p_is -> w.key as is_now
    from jsonb_each(p_was) as w
    where w.key <> 'lines' and w.value is distinct from p_is -> w.key
    union all
    select 'lines', coalesce(o.line_number, n.line_number), o.line, n.line
    from (
      select (l.value ->> 'line_number')::integer as line_number, l.value as line
      from jsonb_array_elements(p_was -> 'lines') as l
    ) as o
    full join (
      select (l.value ->> 'line_number')::integer as line_number, l.value as line
      from jsonb_array_elements(p_is -> 'lines') as l
    ) as n on n.line_number = o.line_number
    where o.line is distinct from n.line
  ) as c;
$$;

comment on function export_engine.document_changes is
  'What differs between a frozen claim and the claim of now: each top-level field, and each line by its number, with what it was '
  'and what it is. A line that came or went has null on the other side.';

create function export_engine.claim_standing(p_claim_ids uuid[])
returns table (
  claim_id uuid, claim_number text, is_approved boolean, state text, reason jsonb, run public.export_runs,
  member public.export_run_claims
)
language sql
stable
security invoker
set search_path = ''
as $$
  select
    f.claim_id,
    f.claim_number,
    f.is_approved,
    case
      when s.export_status <> 'pending' then s.export_status
      when f.is_approved then 'eligible'
      else 'not_approved'
    end,
    case when s.export_status in ('left_out', 'held') then jsonb_build_object(
      'code', s.reason_code, 'field', s.reason_field, 'message', s.reason_message
    ) end,
    case when r.id is not null then r end,
    held.member
  from export_engine.claim_facts(p_claim_ids) as f
  -- What a claim's class is stands in one place, the dashboard's view.
  left join lateral (
    select v.export_status, v.run_id, v.reason_code, v.reason_field, v.reason_message
    from public.claim_export_status as v
    where v.claim_id = f.claim_id
    limit 1
  ) as s on true
  left join lateral (
    select m as member
    from public.export_run_claims as m
    where
      m.claim_id = f.claim_id
      and m.run_id = s.run_id
      and m.kind = 'entry'
      and m.outcome = case when s.export_status = 'left_out' then 'left_out' else 'included' end
    limit 1
  ) as held on true
  left join public.export_runs as r on r.id = (held.member).run_id
  where export_engine.caller_has_role(f.organization_id, array['coordinator', 'accountant', 'admin']);
$$;

comment on function export_engine.claim_standing is
  'Where each claim stands, for staff: its live entry, or the run that could not use it. Claims of others, and claimants'' own, '
  'are left away.';

create function export_engine.claim_memberships(p_claim_id uuid)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      export_engine.membership_in_short(x.member) || jsonb_build_object('run', export_engine.run_in_short(x.run))
      order by x.reserved_at desc
    ),
    '[]'::jsonb
  )
  from (
    select m as member, r as run, m.reserved_at
    from public.export_run_claims as m
    join public.export_runs as r on r.id = m.run_id
    where m.claim_id = p_claim_id
    order by m.reserved_at desc
    limit 10
  ) as x;
$$;

comment on function export_engine.claim_memberships is
  'The last ten runs that a claim is or was in, newest first: two hundred claims stay within a page. find_runs_by_claim_id has all.';

create function public.get_claim_status(p_claim_ids uuid[])
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
begin
  if coalesce(cardinality(p_claim_ids), 0) not between 1 and 200 or array_position(p_claim_ids, null) is not null then
    perform export_engine.refuse(
      400, 'claim_ids_out_of_range', 'Ask for 1 to 200 claims.', 'Ask for the others in another call.'
    );
  end if;
  return (
    with standing as materialized (
      select s.* from export_engine.claim_standing(p_claim_ids) as s
    ),
    present as materialized (
      -- The date of approval is written in the time zone of the run.
      select d.claim_id, d.document
      from (
        select (s.run).time_zone, array_agg(s.claim_id) as claim_ids
        from standing as s
        where (s.run).id is not null
        group by (s.run).time_zone
      ) as z
      cross join lateral export_engine.claim_documents(z.claim_ids, z.time_zone) as d
    ),
    told as (
      select
        s.claim_id,
        jsonb_build_object(
          'claim_id', s.claim_id,
          'claim_number', s.claim_number,
          'state', s.state,
          'run', case when (s.run).id is not null then export_engine.run_in_short(s.run) end,
          'file_name', case when s.state = 'exported' then (s.run).file_name end,
          'file_sha256', case when s.state = 'exported' then (s.run).file_sha256 end,
          'voucher_number', (s.member).voucher_number,
          'reason', s.reason,
          'changed_since_export', difference.changes <> '[]' or (p.claim_id is not null and not s.is_approved),
          'no_longer_approved', p.claim_id is not null and not s.is_approved,
          'changes', coalesce(difference.changes, '[]'),
          'memberships', export_engine.claim_memberships(s.claim_id)
        ) as entry
      from standing as s
      left join present as p on p.claim_id = s.claim_id
      left join lateral (
        select export_engine.document_changes((s.member).document, p.document) as changes where p.claim_id is not null
      ) as difference on true
    )
    select jsonb_build_object(
      'claims', jsonb_agg(
        coalesce(told.entry, jsonb_build_object('claim_id', asked.claim_id, 'state', 'unknown')) order by asked.place
      )
    )
    from (
      select w.claim_id, min(w.place) as place from unnest(p_claim_ids) with ordinality as w (claim_id, place) group by w.claim_id
    ) as asked
    left join told on told.claim_id = asked.claim_id
  );
end;
$$;

comment on function public.get_claim_status is
  'For staff: each claim''s state (eligible, not_approved, reserved, exported, held, left_out), its run, file, voucher and reason, '
  'what changed since it was frozen, and its last ten memberships. Unknown and foreign ids are unknown alike.';

create view public.claim_export_details
with (security_invoker = true)
as
select
  s.organization_id,
  s.claim_id,
  s.claim_number,
  s.export_status,
  s.run_number,
  r.export_date,
  coalesce(r.triggered_by_name, 'system') as exported_by,
  r.completed_at,
  s.voucher_number,
  r.file_name,
  r.file_sha256,
  c.status <> 'approved' as is_no_longer_approved,
  s.run_id
from public.claim_export_status as s
join public.expense_claims as c on c.id = s.claim_id
join public.export_runs as r on r.id = s.run_id
where s.export_status = 'exported';

comment on view public.claim_export_details is
  'For staff: every exported claim with its file and the file''s hash, its voucher, when and by whom, and whether its approval was '
  'taken back since. get_claim_status also tells what else changed.';

revoke all on table public.claim_export_details from public, anon, authenticated, service_role;
grant select on table public.claim_export_details to authenticated, service_role;

revoke execute on function export_engine.run_in_short(public.export_runs) from public;
revoke execute on function export_engine.membership_in_short(public.export_run_claims) from public;
revoke execute on function export_engine.document_changes(jsonb, jsonb) from public;
revoke execute on function export_engine.claim_standing(uuid[]) from public;
revoke execute on function export_engine.claim_memberships(uuid) from public;
revoke execute on function public.get_claim_status(uuid[]) from public, anon, authenticated, service_role;

grant execute on function export_engine.run_in_short(public.export_runs) to authenticated, service_role;
grant execute on function export_engine.membership_in_short(public.export_run_claims) to authenticated, service_role;
grant execute on function export_engine.document_changes(jsonb, jsonb) to authenticated, service_role;
grant execute on function export_engine.claim_standing(uuid[]) to authenticated, service_role;
grant execute on function export_engine.claim_memberships(uuid) to authenticated, service_role;
grant execute on function public.get_claim_status(uuid[]) to authenticated, service_role;
