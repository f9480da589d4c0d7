-- Purpose: an erasure is no change of a claim: neither the list of changed claims nor the passport shows it as one, or what was erased.

create or replace function export_engine.document_to_compare(p_claim_id uuid, p_document jsonb)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  -- The day of an approval that was repeated is no change of the claim.
  select export_engine.comparable_document(p_claim_id, p_document) - 'approved_on';
$$;

comment on function export_engine.document_to_compare is
  'What was frozen of a claim, as the list of changed claims compares it with the claim of now: without the day of approval, and '
  'without the texts that were erased since.';

create or replace function public.get_claim_status(p_claim_ids uuid[])
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
          'lines', case when s.state = 'exported' then export_engine.lines_of(s.run, (s.member).position) end,
          'backfilled', s.state = 'exported' and (s.run).origin = 'manual',
          'reason', s.reason,
          'changed_since_export', difference.changes <> '[]' or (p.claim_id is not null and not s.is_approved),
          'no_longer_approved', p.claim_id is not null and not s.is_approved,
          'changes', coalesce(difference.changes, '[]'),
          'memberships', export_engine.claim_memberships(s.claim_id)
        ) as entry
      from standing as s
      left join present as p on p.claim_id = s.claim_id
      left join lateral (
        select export_engine.document_changes(
          export_engine.comparable_document(s.claim_id, (s.member).document), p.document
        ) as changes
        where p.claim_id is not null
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
