-- Purpose: what a run that was exported by hand keeps: the name of the file that was made then, found again by search, and as its own
-- stored file the list that it was recorded from. One list may record several runs.

alter table public.export_runs
  add column manual_file_name text,
  add constraint export_runs_manual_file_name_check
  check (manual_file_name is null or (origin = 'manual' and char_length(manual_file_name) between 1 and 200));

comment on column public.export_runs.manual_file_name is
  'Name of the file that was made by hand, as the list says it; null for the engine''s own runs. The run''s stored file is the list.';

create index export_runs_manual_file_name_idx
on public.export_runs (organization_id, manual_file_name)
where manual_file_name is not null;

-- The runs of one list share its object; every other file belongs to one run.
drop index public.export_runs_file_path_key;
create unique index export_runs_file_path_key
on public.export_runs (file_path, (case when origin = 'manual' then id end)) nulls not distinct
where file_path is not null;

-- A list may be a workbook. A bucket without a list of types takes every type.
update storage.buckets
set allowed_mime_types = allowed_mime_types || array['application/vnd.openxmlformats-officedocument.spreadsheetml.sheet']
where
  id = 'exports'
  and not allowed_mime_types @> array['application/vnd.openxmlformats-officedocument.spreadsheetml.sheet'];

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
    new.configuration, new.created_at, new.reverses_run_id, new.manual_file_name
  ) is distinct from (
    old.id, old.organization_id, old.run_number, old.origin, old.trigger, old.triggered_by, old.triggered_by_name,
    old.target, old.format, old.period_from, old.period_to, old.time_zone, old.cut_off, old.export_date,
    old.configuration, old.created_at, old.reverses_run_id, old.manual_file_name
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

create or replace function public.find_exports(p_organization_id uuid, p_text text)
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
      (
        select f.id, 'manual_file_name' from public.export_runs as f
        where f.organization_id = p_organization_id and f.manual_file_name = v_text
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
    -- A number that was reported twice is found once.
    select m as member, array_agg(distinct hit.by order by hit.by) as by
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
      union all
      (
        select x.run_id, m.position, 'external_number'
        from public.export_confirmations as x
        join public.export_run_claims as m
          on m.organization_id = x.organization_id and m.voucher_number = x.voucher_number and m.run_id = x.run_id
        where x.organization_id = p_organization_id and x.external_number = v_text
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
  'For staff: runs by number, file name (of the stored file or of the one made by hand) or the first 8 or more characters of the '
  'file''s hash; memberships by our voucher number, the accounting system''s, or the number that the claim carries now. At most 50 of '
  'each, newest first; deleted runs are included and marked.';

create or replace function export_engine.void_export(p_run_id uuid, p_reason text, p_actor text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = ''
as $$
declare
  v_run public.export_runs := export_engine.hold_run_for_caller(p_run_id, array['admin']);
  v_actor text := export_engine.actor_name(v_run.organization_id, p_actor);
begin
  if p_reason is null or char_length(btrim(p_reason)) not between 1 and 500 then
    perform export_engine.refuse(400, 'reason_required', 'A reason of 1 to 500 characters is needed.', 'Say why the run is voided.');
  end if;
  if v_run.status in ('voiding', 'voided') then
    perform export_engine.refuse(409, 'run_is_voided', 'The run is voided already.', 'Export again: its claims are free.');
  end if;
  if v_run.deleted_at is not null then
    perform export_engine.refuse(
      409, 'run_is_deleted', 'The run was deleted from the lists.', 'A deleted run keeps its claims; it can be reversed, not voided.'
    );
  end if;
  if v_run.status <> 'completed' then
    perform export_engine.refuse(
      409, 'run_unfinished', format('The run is %s.', v_run.status), 'Only a completed run is voided; fail one that is not finished.'
    );
  end if;
  perform export_engine.check_can_be_taken_back(v_run);
  -- What was recorded by hand has no vouchers of ours that a reversal could take back, booked or not.
  if v_run.origin <> 'manual' and export_engine.is_imported(v_run.id) then
    perform export_engine.refuse(
      409, 'run_was_imported', 'The accounting system has vouchers of this run.', 'Reverse the run: its vouchers are entered with opposite signs.'
    );
  end if;
  perform export_engine.open_for_writing();
  update public.export_runs set status = 'voiding' where id = v_run.id returning * into v_run;
  perform export_engine.record_event_of(v_run, 'voiding', v_actor, jsonb_build_object('reason', p_reason));
  v_run := export_engine.finish_void(v_run);
  perform export_engine.close_for_writing();
  return jsonb_build_object('run', export_engine.run_json(v_run), 'released', v_run.status = 'voided');
end;
$$;

comment on function export_engine.void_export is
  'Takes a completed run back whose file was never imported, or that was recorded by hand: lets the first page of claims go and holds '
  'them; the sweep, or continue_export_release, the others. Definer, because no API role may write the tables.';
