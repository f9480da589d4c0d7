-- Purpose: the private schema of the export engine, and the few functions that everything else stands on:
--   one way to refuse, one place for limits, one marker that tells the engine's own writes from anybody else's.
-- Surprising: API roles get usage on this schema, because the thin wrappers in public run as the caller. What they
--   may execute in it is granted function by function; the schema itself is not exposed by the data API.

create schema export_engine;

comment on schema export_engine is
  'Private part of the export engine: rules, guard and triggers. Not exposed by the data API; public holds thin wrappers.';

revoke all on schema export_engine from public;
grant usage on schema export_engine to authenticated, service_role;

create function export_engine.refuse(p_status integer, p_code text, p_message text, p_hint text default null)
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  -- PostgREST turns PTxyz into HTTP xyz and keeps message, detail and hint in the body.
  raise exception using
    errcode = 'PT' || p_status,
    message = p_message,
    detail = p_code,
    hint = coalesce(p_hint, '');
end;
$$;

comment on function export_engine.refuse is
  'Ends the transaction with an HTTP status, a sentence, a stable code (in detail) and what to do next (in hint).';

create function export_engine.page_size()
returns integer
language sql
immutable
security invoker
set search_path = ''
return 2000;

comment on function export_engine.page_size is
  'Members that one statement may touch. API roles are cut off after 8 seconds and one jsonb holds 256 MB: 2,000 members '
  'stay far below both, also when each has a hundred lines.';

create function export_engine.lease()
returns interval
language sql
immutable
security invoker
set search_path = ''
return interval '60 seconds';

comment on function export_engine.lease is
  'How long a worker may be silent before somebody else may take over its run. Renewed by every accepted write.';

create function export_engine.begin_patience()
returns text
language sql
immutable
security invoker
set search_path = ''
return '150ms';

comment on function export_engine.begin_patience is
  'lock_timeout while a begin waits for another begin. Short: a waiting call holds a connection of the data API.';

create function export_engine.key_lifetime()
returns interval
language sql
immutable
security invoker
set search_path = ''
return interval '30 days';

comment on function export_engine.key_lifetime is
  'How long an idempotency key is remembered. A forgotten key is harmless: the claims themselves are guarded.';

create function export_engine.open_for_writing()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform set_config('export_engine.writing', 'on', true);
end;
$$;

comment on function export_engine.open_for_writing is
  'Marks this transaction as the engine''s own. Without the mark the history triggers refuse, so that the table editor '
  'cannot rewrite history by accident.';

create function export_engine.close_for_writing()
returns void
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform set_config('export_engine.writing', 'off', true);
end;
$$;

comment on function export_engine.close_for_writing is
  'Takes the mark of open_for_writing back, so that a later statement of the same transaction is not trusted.';

create function export_engine.is_writing()
returns boolean
language sql
stable
security invoker
set search_path = ''
return coalesce(current_setting('export_engine.writing', true), 'off') = 'on';

comment on function export_engine.is_writing is 'True inside the engine''s own functions; see open_for_writing.';

create function export_engine.refuse_direct_write()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  if not export_engine.is_writing() then
    perform export_engine.refuse(
      403, 'history_is_protected',
      format('%s on %I is not allowed: this table is the history of exports.', lower(tg_op), tg_table_name),
      'Use the export functions: they keep the history whole.'
    );
  end if;
  return null;
end;
$$;

comment on function export_engine.refuse_direct_write is
  'Statement trigger: only the engine''s own functions write here, whoever asks, the database owner in the table editor included.';

create function export_engine.refuse_change()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
begin
  perform export_engine.refuse(
    403, 'history_is_protected',
    format('%s on %I is not allowed: its rows are written once and kept.', lower(tg_op), tg_table_name),
    'Record a new fact instead of changing an old one.'
  );
  return null;
end;
$$;

comment on function export_engine.refuse_change is 'Trigger: rows of this table are never changed or deleted, by anybody.';

create function export_engine.add_totals(p_left jsonb, p_right jsonb)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
as $$
  -- Currencies whose sum is zero stay: a total of 0.00 is a statement too.
  select coalesce(jsonb_object_agg(summed.currency, summed.amount::text), '{}'::jsonb)
  from (
    select parts.currency, sum(parts.amount)::numeric(18, 2) as amount
    from (
      select l.key as currency, l.value::numeric as amount from jsonb_each_text(p_left) as l
      union all
      select r.key, r.value::numeric from jsonb_each_text(p_right) as r
    ) as parts
    group by parts.currency
  ) as summed;
$$;

comment on function export_engine.add_totals is
  'Adds two totals of the form {"NOK": "123.45"}. Amounts travel as text, so that no reader makes a float of them.';

create function export_engine.negate_totals(p_totals jsonb)
returns jsonb
language sql
immutable
security invoker
set search_path = ''
as $$
  select coalesce(jsonb_object_agg(t.key, (-t.value::numeric)::numeric(18, 2)::text), '{}'::jsonb)
  from jsonb_each_text(p_totals) as t;
$$;

comment on function export_engine.negate_totals is 'The same totals with opposite signs.';

create function export_engine.same_totals(p_left jsonb, p_right jsonb)
returns boolean
language sql
immutable
security invoker
set search_path = ''
as $$
  -- A currency that one side lacks counts as zero there.
  select not exists (
    select from jsonb_each_text(export_engine.add_totals(p_left, export_engine.negate_totals(p_right))) as difference
    where difference.value::numeric <> 0
  );
$$;

comment on function export_engine.same_totals is 'True when both totals hold the same amount in every currency.';

revoke execute on all functions in schema export_engine from public;
