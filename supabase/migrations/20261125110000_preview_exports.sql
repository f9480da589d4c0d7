-- Purpose: what an export would take now, without taking it. A preview walks the same claims in the same order through the same
--   seam as a reservation, reads them and lets them go: it locks nothing, writes nothing, and takes no number.
-- Also: the frozen members of a completed run, read again, so that somebody can see what another layout would have made of them.
-- Vouchers are formed by what forms them when claims are reserved. A candidate may form others: of it only that part comes here,
--   because everything else is the renderer's.
-- Surprising: nothing here is a transaction over several pages. The cut-off of the first page bounds the later ones; a claim that
--   somebody exports meanwhile is missing on a later page, as it would be missing in an export.

create function export_engine.run_that_would_begin(
  p_target public.export_targets, p_period_from date, p_period_to date, p_cut_off timestamptz, p_configuration jsonb
)
returns public.export_runs
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  v_run.organization_id := p_target.organization_id;
  v_run.target := p_target.target;
  v_run.format := p_target.format;
  v_run.period_from := p_period_from;
  v_run.period_to := p_period_to;
  v_run.time_zone := p_target.time_zone;
  v_run.cut_off := p_cut_off;
  v_run.export_date := (p_cut_off at time zone p_target.time_zone)::date;
  v_run.configuration := p_configuration;
  v_run.origin := 'engine';
  v_run.reserved_count := 0;
  return v_run;
end;
$$;

comment on function export_engine.run_that_would_begin is
  'What begin would write of a run of this scope at this moment, as a value: period, cut-off and export date. No row and no number.';

create function export_engine.preview_page(
  p_run public.export_runs,
  p_first_voucher_number bigint,
  p_open_number bigint,
  p_open export_engine.voucher_in_making
)
returns jsonb
language plpgsql
stable
security invoker
set search_path = ''
as $$
declare
  v_voucher_per text := export_engine.voucher_per(p_run.configuration);
  v_seen uuid[];
  v_last_approved_at timestamptz;
  v_claim_ids uuid[];
  v_voucher_ordinals integer[];
  v_last_ordinal integer;
  v_claims jsonb;
  v_last_document jsonb;
  v_open_lines integer;
begin
  -- The question that next_claims asks before it locks. Claims on hold are among them: whoever exports by hand takes them.
  select array_agg(c.claim_id order by c.approved_at, c.claim_id), max(c.approved_at)
  into v_seen, v_last_approved_at
  from export_engine.eligible_claims(
    p_run.organization_id,
    export_engine.approved_from(p_run),
    export_engine.approved_before(p_run),
    coalesce(p_run.cursor_approved_at, '-infinity'::timestamptz),
    coalesce(p_run.cursor_claim_id, '00000000-0000-0000-0000-000000000000'::uuid),
    export_engine.page_size()
  ) as c;

  -- As reserve_claims forms and numbers them.
  select array_agg(g.claim_id order by g.place), array_agg(g.voucher_ordinal order by g.place)
  into v_claim_ids, v_voucher_ordinals
  from export_engine.claims_in_vouchers(p_run.configuration, v_seen, p_run.time_zone, p_open) as g;
  v_last_ordinal := coalesce(v_voucher_ordinals[cardinality(v_voucher_ordinals)], 0);

  with members as (
    select
      wanted.place,
      wanted.voucher_ordinal,
      claim.document,
      jsonb_build_object(
        'position', p_run.reserved_count + wanted.place,
        'claim_id', claim.claim_id,
        'kind', 'entry',
        'generation', 1 + coalesce(back.generation, 0),
        'voucher_number', case
          when wanted.voucher_ordinal = 0 then p_open_number else p_first_voucher_number + wanted.voucher_ordinal - 1
        end,
        'document', claim.document
      ) as member
    from rows from (unnest(v_claim_ids), unnest(v_voucher_ordinals)) with ordinality as wanted (claim_id, voucher_ordinal, place)
    join export_engine.claim_documents(v_seen, p_run.time_zone) as claim on claim.claim_id = wanted.claim_id
    left join (
      select m.claim_id, max(m.generation) as generation
      from public.export_run_claims as m
      where m.claim_id = any (v_seen) and m.kind = 'reversal' and m.released_at is null
      group by m.claim_id
    ) as back on back.claim_id = wanted.claim_id
  )
  select
    coalesce(jsonb_agg(m.member order by m.place), '[]'::jsonb),
    (array_agg(m.document order by m.place desc) filter (where v_voucher_per <> 'claim'))[1],
    sum(export_engine.most_lines_of(m.document, p_run.configuration))
      filter (where v_voucher_per <> 'claim' and m.voucher_ordinal = v_last_ordinal)
  into v_claims, v_last_document, v_open_lines
  from members as m;

  return jsonb_build_object(
    'claims', v_claims,
    'next', case
      when cardinality(v_seen) = export_engine.page_size()
        then jsonb_build_object(
          'approved_at', v_last_approved_at,
          'claim_id', v_seen[cardinality(v_seen)],
          'position', p_run.reserved_count + cardinality(v_seen),
          'first_voucher_number', p_first_voucher_number + v_last_ordinal,
          'open_voucher', case
            when v_voucher_per <> 'claim'
              then jsonb_build_object(
                'voucher_number', case
                  when v_last_ordinal = 0 then p_open_number else p_first_voucher_number + v_last_ordinal - 1
                end,
                'grouping_key', export_engine.voucher_key(v_voucher_per, v_claim_ids[cardinality(v_claim_ids)], v_last_document),
                'line_count', v_open_lines + case when v_last_ordinal = 0 then (p_open).line_count else 0 end
              )
          end
        )
    end
  );
end;
$$;

comment on function export_engine.preview_page is
  'The members that a run''s next page would have, and where the page after it begins; null after the last. Locks nothing.';

create function export_engine.runs_to_compare_with(p_organization_id uuid, p_target text)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object('run', export_engine.run_json(latest.run), 'breakdown', case when latest.place = 1 then (latest.run).breakdown end)
      order by latest.place
    ),
    '[]'::jsonb
  )
  from (
    select r as run, row_number() over (order by r.created_at desc, r.run_number desc) as place
    from public.export_runs as r
    where
      r.organization_id = p_organization_id
      and r.target = p_target
      and r.status = 'completed'
      and r.origin = 'engine'
      and r.reverses_run_id is null
      and r.deleted_at is null
    order by r.created_at desc, r.run_number desc
    limit 5
  ) as latest;
$$;

comment on function export_engine.runs_to_compare_with is
  'The last five completed exports to a target, newest first, the newest with what it booked: what a preview is held against.';

create function export_engine.last_number(p_organization_id uuid, p_name text)
returns bigint
language sql
stable
security invoker
set search_path = ''
as $$
  select coalesce(
    (select c.last_value from public.export_counters as c where c.organization_id = p_organization_id and c.name = p_name), 0
  );
$$;

comment on function export_engine.last_number is 'The last number given, 0 before the first. It is not taken: the next one may be somebody else''s by then.';

create function export_engine.preview_export(
  p_organization_id uuid, p_target text, p_period_from date, p_period_to date, p_candidate jsonb, p_renderer_version text
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_target public.export_targets;
  v_configuration jsonb;
  v_run public.export_runs;
  v_first_voucher_number bigint;
begin
  -- Whoever may read frozen configurations may try another one; the others see what would be exported as things are.
  perform export_engine.require_role(
    p_organization_id,
    case when p_candidate is null then array['coordinator', 'accountant', 'admin'] else array['accountant', 'admin'] end
  );
  perform export_engine.check_period(p_period_from, p_period_to);
  v_target := export_engine.find_target(p_organization_id, p_target);
  v_configuration := export_engine.freeze_configuration(v_target, p_renderer_version);
  v_run := export_engine.run_that_would_begin(
    v_target, p_period_from, p_period_to, clock_timestamp(), v_configuration || coalesce(p_candidate, '{}'::jsonb)
  );
  v_first_voucher_number := 1 + export_engine.last_number(p_organization_id, 'voucher_number');
  return jsonb_build_object(
    'run', jsonb_build_object(
      'organization_id', v_run.organization_id,
      'target', v_run.target,
      'format', v_run.format,
      'period_from', v_run.period_from,
      'period_to', v_run.period_to,
      'time_zone', v_run.time_zone,
      'cut_off', v_run.cut_off,
      'export_date', v_run.export_date,
      'run_number', 1 + export_engine.last_number(p_organization_id, 'run_number'),
      'first_voucher_number', v_first_voucher_number
    ),
    'configuration', v_configuration,
    'hold', (
      select jsonb_build_object('reason', h.reason, 'held_by', h.held_by)
      from export_engine.standing_hold(p_organization_id) as h
      where h.id is not null
    ),
    'run_under_way', (
      select export_engine.run_json(r)
      from public.export_locks as l
      join public.export_runs as r on r.id = l.run_id
      where l.organization_id = p_organization_id and l.expires_at > clock_timestamp()
    ),
    'latest_runs', export_engine.runs_to_compare_with(p_organization_id, v_target.target)
  ) || export_engine.preview_page(v_run, v_first_voucher_number, null, null);
end;
$$;

comment on function export_engine.preview_export is
  'What an export of this scope would freeze and reserve first, and what there is to hold it against. Definer, because documents, '
  'counters and configuration are read as begin reads them, for callers that are judged here.';

create function export_engine.preview_export_page(
  p_organization_id uuid,
  p_target text,
  p_period_from date,
  p_period_to date,
  p_candidate jsonb,
  p_cut_off timestamptz,
  p_place jsonb
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_target public.export_targets;
  v_run public.export_runs;
  v_open jsonb := nullif(p_place -> 'open_voucher', 'null'::jsonb);
  v_voucher export_engine.voucher_in_making;
begin
  perform export_engine.require_role(p_organization_id, array['coordinator', 'accountant', 'admin']);
  perform export_engine.check_period(p_period_from, p_period_to);
  v_target := export_engine.find_target(p_organization_id, p_target);
  v_run := export_engine.run_that_would_begin(
    v_target,
    p_period_from,
    p_period_to,
    least(p_cut_off, clock_timestamp()),
    export_engine.freeze_configuration(v_target, null) || coalesce(p_candidate, '{}'::jsonb)
  );
  v_run.cursor_approved_at := p_place ->> 'approved_at';
  v_run.cursor_claim_id := p_place ->> 'claim_id';
  v_run.reserved_count := p_place ->> 'position';
  if v_open is not null then
    v_voucher := row(1, v_open ->> 'grouping_key', (v_open ->> 'line_count')::integer);
  end if;
  return export_engine.preview_page(
    v_run, (p_place ->> 'first_voucher_number')::bigint, (v_open ->> 'voucher_number')::bigint, v_voucher
  );
end;
$$;

comment on function export_engine.preview_export_page is
  'The page of a preview from a place on. Definer, because documents are built as reserve builds them, for callers that are judged here.';

create function export_engine.read_frozen_members(
  p_organization_id uuid, p_target text, p_run_id uuid, p_after_position integer
)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs;
begin
  perform export_engine.require_role(p_organization_id, array['accountant', 'admin']);
  select r.* into v_run from public.export_runs as r where r.id = p_run_id and r.organization_id = p_organization_id;
  if v_run.id is null then
    perform export_engine.refuse(404, 'run_not_found', 'There is no such run.', 'Check the run id.');
  end if;
  if v_run.status <> 'completed' or v_run.file_sha256 is null or v_run.target <> p_target then
    perform export_engine.refuse(
      409, 'run_not_comparable', 'Only a completed run of this target that has a file can be rendered again.', 'Choose another run.'
    );
  end if;
  return jsonb_build_object('run', export_engine.run_json(v_run), 'configuration', v_run.configuration, 'layout', v_run.layout)
    || export_engine.read_file_members(v_run.id, p_after_position);
end;
$$;

comment on function export_engine.read_frozen_members is
  'A completed run with the configuration, the layout it used and a page of the claims that are in its file. Definer, because the page is read as a '
  'worker reads it, for accountants and admins, who are judged here.';

create function public.preview_export(
  p_organization_id uuid,
  p_target text,
  p_period_from date,
  p_period_to date,
  p_candidate jsonb default null,
  p_renderer_version text default null
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select export_engine.preview_export(p_organization_id, p_target, p_period_from, p_period_to, p_candidate, p_renderer_version);
$$;

comment on function public.preview_export is
  'What an export of this period would take now: configuration, the first page of claims, provisional numbers, the last runs. Changes nothing.';

create function public.preview_export_page(
  p_organization_id uuid,
  p_target text,
  p_period_from date,
  p_period_to date,
  p_candidate jsonb,
  p_cut_off timestamptz,
  p_place jsonb
)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select export_engine.preview_export_page(
    p_organization_id, p_target, p_period_from, p_period_to, p_candidate, p_cut_off, p_place
  );
$$;

comment on function public.preview_export_page is 'The next members of a preview, from the place that the page before named. Changes nothing.';

create function public.read_frozen_members(p_organization_id uuid, p_target text, p_run_id uuid, p_after_position integer default 0)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select export_engine.read_frozen_members(p_organization_id, p_target, p_run_id, p_after_position);
$$;

comment on function public.read_frozen_members is
  'The claims of a completed run as they were frozen, a page at a time, with the run''s configuration (accountant, admin). Changes nothing.';

revoke execute on function export_engine.run_that_would_begin(public.export_targets, date, date, timestamptz, jsonb) from public;
revoke execute on function export_engine.preview_page(public.export_runs, bigint, bigint, export_engine.voucher_in_making) from public;
revoke execute on function export_engine.runs_to_compare_with(uuid, text) from public;
revoke execute on function export_engine.last_number(uuid, text) from public;
revoke execute on function export_engine.preview_export(uuid, text, date, date, jsonb, text) from public;
revoke execute on function export_engine.preview_export_page(uuid, text, date, date, jsonb, timestamptz, jsonb) from public;
revoke execute on function export_engine.read_frozen_members(uuid, text, uuid, integer) from public;
revoke execute on function public.preview_export(uuid, text, date, date, jsonb, text) from public, anon, authenticated, service_role;
revoke execute on function public.preview_export_page(uuid, text, date, date, jsonb, timestamptz, jsonb)
from public, anon, authenticated, service_role;
revoke execute on function public.read_frozen_members(uuid, text, uuid, integer) from public, anon, authenticated, service_role;

grant execute on function export_engine.preview_export(uuid, text, date, date, jsonb, text) to authenticated, service_role;
grant execute on function export_engine.preview_export_page(uuid, text, date, date, jsonb, timestamptz, jsonb)
to authenticated, service_role;
grant execute on function export_engine.read_frozen_members(uuid, text, uuid, integer) to authenticated, service_role;
grant execute on function public.preview_export(uuid, text, date, date, jsonb, text) to authenticated, service_role;
grant execute on function public.preview_export_page(uuid, text, date, date, jsonb, timestamptz, jsonb) to authenticated, service_role;
grant execute on function public.read_frozen_members(uuid, text, uuid, integer) to authenticated, service_role;
