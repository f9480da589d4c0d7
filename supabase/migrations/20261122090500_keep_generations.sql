-- Purpose: the unique index holds one live entry per claim and generation; this holds that a generation is earned.
-- Without it a second entry under a higher number would pass the index.

create function export_engine.keep_generations()
returns trigger
language plpgsql
volatile
security invoker
set search_path = ''
as $$
declare
  -- An entry after the first follows a reversal of the one before it; a reversal takes back the entry of its generation.
  v_kind text := case new.kind when 'entry' then 'reversal' else 'entry' end;
  v_generation integer := case new.kind when 'entry' then new.generation - 1 else new.generation end;
begin
  if not exists (
    select
    from public.export_run_claims as m
    join public.export_runs as r on r.id = m.run_id
    where
      m.claim_id = new.claim_id
      and m.kind = v_kind
      and m.generation = v_generation
      and m.released_at is null
      and r.status = 'completed'
  ) then
    perform export_engine.refuse(
      409, 'generation_not_earned',
      format('Generation %s of this %s needs a completed %s of generation %s first.', new.generation, new.kind, v_kind, v_generation),
      'Read the runs of the claim again.'
    );
  end if;
  return new;
end;
$$;

comment on function export_engine.keep_generations is
  'Trigger: a claim is entered again only after its last entry was taken back in a completed run, and taken back only when it was '
  'entered in one. Also for the owner.';

create trigger keep_generations
before insert on public.export_run_claims
for each row when (new.kind <> 'entry' or new.generation > 1)
execute function export_engine.keep_generations();

revoke execute on function export_engine.keep_generations() from public;
