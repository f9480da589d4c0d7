"""The harness's own record of what each claim was at any moment, kept by a trigger."""

from stack.database import Database

# The stamp is taken after the row was locked and before the lock is let go, so that for whoever
# locks the row later the newest version stamped before is the one there was.
_AUDIT = """
create schema chaos;
create table chaos.claim_versions (
  id bigint generated always as identity primary key,
  claim_id uuid not null,
  version integer not null,
  status text not null,
  amount numeric(18, 2) not null,
  approved_at timestamptz,
  stamped_at timestamptz not null
);
create function chaos.keep_version() returns trigger language plpgsql as $$
begin
  insert into chaos.claim_versions (claim_id, version, status, amount, approved_at, stamped_at)
  values (
    new.id, substr(split_part(new.purpose, ' ', 2), 2)::integer, new.status,
    split_part(new.purpose, ' ', 3)::numeric, new.approved_at, clock_timestamp()
  );
  return null;
end;
$$;
create trigger keep_version after insert or update on public.expense_claims
for each row execute function chaos.keep_version();
"""


def purpose_of(version: int, amount: object) -> str:
    """The head of a claim as the trigger, and the oracle, read it."""
    return f"Møte v{version} {amount}"


def keep_versions(database: Database) -> None:
    """From now on every claim must have a purpose made by `purpose_of`."""
    with database.connect("postgres") as owner:
        owner.execute(_AUDIT)
