-- Purpose: from what stands in the books or on the file back to the run and the claim.

-- Numbers are drawn in order, so that an insert appends to the last page of the index.
create index export_run_claims_voucher_number_idx on public.export_run_claims (organization_id, voucher_number);
create index export_runs_file_name_idx on public.export_runs (organization_id, file_name) where file_name is not null;
create index export_runs_file_sha256_idx
on public.export_runs (organization_id, file_sha256 text_pattern_ops)
where file_sha256 is not null;

create function public.find_exports(p_organization_id uuid, p_text text)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
-- What the text can be decides which index is read.
set plan_cache_mode = 'force_custom_plan'
as $$
declare
  v_text text := btrim(p_text);
  v_number bigint := case when btrim(p_text) ~ '^[0-9]{1,18}$' then btrim(p_text)::bigint end;
  v_hash text := case when btrim(p_text) ~* '^[0-9a-f]{8,64}$' then lower(btrim(p_text)) end;
  v_limit constant integer := 50;
  v_runs jsonb;
  v_claims jsonb;
begin
  perform export_engine.require_role(p_organization_id, array['coordinator', 'accountant', 'admin']);
  if coalesce(char_length(v_text), 0) not between 1 and 200 then
    perform export_engine.refuse(
      400, 'invalid_search', 'Search for 1 to 200 characters.',
      'Use a voucher, claim or run number, a file name, or the first 8 characters of a hash.'
    );
  end if;

  select coalesce(jsonb_agg(export_engine.run_json(found.run) || jsonb_build_object('found_by', found.by)), '[]'::jsonb)
  into v_runs
  from (
    select r as run, array_agg(hit.by order by hit.by) as by
    from (
      select n.id, 'run_number' as by from public.export_runs as n
      where n.organization_id = p_organization_id and n.run_number = v_number
      union all
      (
        select f.id, 'file_name' from public.export_runs as f
        where f.organization_id = p_organization_id and f.file_name = v_text
        limit v_limit + 1
      )
      union all
      -- Operators that row-level security lets pass to the index, as like would not be.
      (
        select h.id, 'file_sha256' from public.export_runs as h
        where h.organization_id = p_organization_id and h.file_sha256 ~>=~ v_hash and h.file_sha256 ~<~ (v_hash || 'g')
        limit v_limit + 1
      )
    ) as hit
    join public.export_runs as r on r.id = hit.id
    group by r.id, r
    order by r.created_at desc, r.run_number desc
    limit v_limit + 1
  ) as found;

  select coalesce(
    jsonb_agg(
      export_engine.membership_in_short(found.member) || jsonb_build_object(
        'claim_id', (found.member).claim_id,
        'claim_number', (found.member).document ->> 'claim_number',
        'run', export_engine.run_in_short(r),
        'found_by', found.by
      )
      order by (found.member).reserved_at desc
    ),
    '[]'::jsonb
  )
  into v_claims
  from (
    select m as member, array_agg(hit.by order by hit.by) as by
    from (
      (
        select v.run_id, v.position, 'voucher_number' as by from public.export_run_claims as v
        where v.organization_id = p_organization_id and v.voucher_number = v_number
        limit v_limit + 1
      )
      union all
      (
        select c.run_id, c.position, 'claim_number' from public.export_run_claims as c
        where
          c.claim_id = (select n.claim_id from export_engine.claims_with_number(p_organization_id, v_text) as n (claim_id) limit 1)
          and c.organization_id = p_organization_id
        order by c.reserved_at desc
        limit v_limit + 1
      )
    ) as hit
    join public.export_run_claims as m on m.run_id = hit.run_id and m.position = hit.position
    group by m.run_id, m.position, m
    order by m.reserved_at desc
    limit v_limit + 1
  ) as found
  join public.export_runs as r on r.id = (found.member).run_id;

  return jsonb_build_object(
    'runs', jsonb_path_query_array(v_runs, '$[0 to 49]'),
    'claims', jsonb_path_query_array(v_claims, '$[0 to 49]'),
    'has_more', greatest(jsonb_array_length(v_runs), jsonb_array_length(v_claims)) > v_limit
  );
end;
$$;

comment on function public.find_exports is
  'For staff: runs by number, file name or the first 8 or more characters of the file''s hash; memberships by our voucher number '
  'or by the number that the claim carries now. At most 50 of each, newest first; deleted runs are included and marked.';

revoke execute on function public.find_exports(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.find_exports(uuid, text) to authenticated, service_role;
