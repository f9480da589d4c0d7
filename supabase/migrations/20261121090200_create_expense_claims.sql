-- Purpose: reference schema of the app around the engine: expense claims and their lines.
-- Tables: expense_claims, expense_claim_lines.
-- The engine reads these tables in create_claims_seam.sql and nowhere else.

create table public.expense_claims (
  id uuid not null default gen_random_uuid(),
  organization_id uuid not null,
  claim_number text not null,
  claimant_id uuid,
  claimant_name text not null,
  claimant_number text,
  purpose text not null,
  currency text not null default 'NOK',
  dimensions jsonb not null default '{}'::jsonb,
  status text not null default 'draft',
  approved_at timestamptz,
  approved_by uuid,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint expense_claims_pkey primary key (id),
  constraint expense_claims_organization_id_claim_number_key unique (organization_id, claim_number),
  constraint expense_claims_organization_id_fkey
    foreign key (organization_id) references public.organizations (id) on delete restrict,
  constraint expense_claims_claim_number_check check (char_length(claim_number) between 1 and 50),
  constraint expense_claims_claimant_name_check check (char_length(claimant_name) between 1 and 200),
  constraint expense_claims_claimant_number_check check (char_length(claimant_number) between 1 and 50),
  constraint expense_claims_purpose_check check (char_length(purpose) between 1 and 500),
  constraint expense_claims_currency_check check (currency ~ '^[A-Z]{3}$'),
  constraint expense_claims_dimensions_check
    check (jsonb_typeof(dimensions) = 'object' and octet_length(dimensions::text) <= 2000),
  constraint expense_claims_status_check check (
    status in (
      'draft',      -- -> submitted
      'submitted',  -- -> approved | rejected
      'approved',   -- -> submitted (un-approved)
      'rejected'    -- -> submitted
    )
  ),
  constraint expense_claims_approved_check check ((status = 'approved') = (approved_at is not null))
);

comment on table public.expense_claims is 'Expense claims of volunteers. Part of the app; the engine exports the approved ones.';
comment on column public.expense_claims.claimant_id is 'The claimant''s login; null when somebody else entered the claim for her.';
comment on column public.expense_claims.claimant_number is
  'The claimant''s number in the accounting system (supplier, employee or other sub-ledger); null when she has none.';
comment on column public.expense_claims.dimensions is 'Analysis codes for the whole claim, for example {"department": "410"}.';
comment on column public.expense_claims.approved_at is 'Null unless approved. Un-approving clears it.';
comment on column public.expense_claims.approved_by is 'Null unless a person approved it.';

-- The engine walks approved claims in this order; the page after (approved_at, id) starts here.
create index expense_claims_eligible_idx on public.expense_claims (organization_id, approved_at, id)
where status = 'approved';
create index expense_claims_claimant_id_idx on public.expense_claims (claimant_id);

create table public.expense_claim_lines (
  id uuid not null default gen_random_uuid(),
  claim_id uuid not null,
  line_number integer not null,
  expense_type text not null,
  description text not null,
  expense_date date not null,
  amount numeric(12, 2) not null,
  quantity numeric(12, 3),
  unit text,
  dimensions jsonb not null default '{}'::jsonb,
  constraint expense_claim_lines_pkey primary key (id),
  constraint expense_claim_lines_claim_id_line_number_key unique (claim_id, line_number),
  constraint expense_claim_lines_claim_id_fkey
    foreign key (claim_id) references public.expense_claims (id) on delete cascade,
  constraint expense_claim_lines_line_number_check check (line_number > 0),
  constraint expense_claim_lines_expense_type_check check (expense_type ~ '^[a-z][a-z0-9_]{0,49}$'),
  constraint expense_claim_lines_description_check check (char_length(description) between 1 and 500),
  -- Also excludes NaN, which numeric(12, 2) takes and which would poison every sum.
  constraint expense_claim_lines_amount_check check (amount between -9999999999.99 and 9999999999.99),
  constraint expense_claim_lines_unit_check check (char_length(unit) between 1 and 20),
  constraint expense_claim_lines_dimensions_check
    check (jsonb_typeof(dimensions) = 'object' and octet_length(dimensions::text) <= 2000)
);

comment on table public.expense_claim_lines is 'What a claim consists of: mileage, tolls, receipts. Part of the app.';
comment on column public.expense_claim_lines.expense_type is 'The app''s own word, for example mileage or toll; posting rules map it to an account.';
comment on column public.expense_claim_lines.amount is 'In the claim''s currency; negative for money given back.';
comment on column public.expense_claim_lines.quantity is 'Null where nothing is counted; kilometres for mileage.';
comment on column public.expense_claim_lines.unit is 'Null together with quantity; km for mileage.';
comment on column public.expense_claim_lines.dimensions is 'Analysis codes for this line; they win over the claim''s.';

create trigger refuse_truncate
before truncate on public.expense_claims
for each statement execute function export_engine.refuse_change();

alter table public.expense_claims enable row level security;
alter table public.expense_claim_lines enable row level security;
revoke all on table public.expense_claims from public, anon, authenticated, service_role;
revoke all on table public.expense_claim_lines from public, anon, authenticated, service_role;

create policy "Claimants see their claims, staff sees all of the organisation" on public.expense_claims
for select to authenticated
using (
  claimant_id = (select auth.uid())
  or organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin']))
);

create policy "Lines are seen by those who see the claim" on public.expense_claim_lines
for select to authenticated
using (exists (select from public.expense_claims as c where c.id = claim_id));

-- Reading only: how claims are written is the app's business. Its service key needs to write them.
grant select on table public.expense_claims to authenticated;
grant select on table public.expense_claim_lines to authenticated;
grant select, insert, update, delete on table public.expense_claims to service_role;
grant select, insert, update, delete on table public.expense_claim_lines to service_role;
