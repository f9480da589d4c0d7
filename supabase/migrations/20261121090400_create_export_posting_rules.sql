-- Purpose: which account, tax code and dimensions a claim line gets, and where the other side goes.
-- Tables: export_posting_rules. Editable in the dashboard.

create table public.export_posting_rules (
  id bigint generated always as identity,
  organization_id uuid not null,
  target text not null,
  side text not null,
  expense_type text,
  account_code text not null,
  tax_code text,
  dimensions jsonb not null default '{}'::jsonb,
  subledger text not null default 'none',
  created_at timestamptz not null default now(),
  constraint export_posting_rules_pkey primary key (id),
  constraint export_posting_rules_target_fkey
    foreign key (organization_id, target) references public.export_targets (organization_id, target) on delete cascade,
  constraint export_posting_rules_rule_key unique nulls not distinct (organization_id, target, side, expense_type),
  constraint export_posting_rules_side_check check (
    side in (
      'expense',  -- the debit lines: one rule per expense type
      'payable'   -- the line that balances them: one rule
    )
  ),
  constraint export_posting_rules_expense_type_check
    check ((side = 'expense') = (expense_type is not null) and expense_type ~ '^[a-z][a-z0-9_]{0,49}$' is not false),
  constraint export_posting_rules_account_code_check check (account_code ~ '^\S{1,20}$'),
  constraint export_posting_rules_tax_code_check check (tax_code ~ '^\S{1,20}$'),
  constraint export_posting_rules_dimensions_check
    check (jsonb_typeof(dimensions) = 'object' and octet_length(dimensions::text) <= 2000),
  constraint export_posting_rules_subledger_check check (
    subledger in (
      'none',     -- a plain account
      'claimant'  -- a control account: the line carries the claimant's number
    )
  )
);

comment on table public.export_posting_rules is
  'Per organisation and target: expense type -> account, tax code, dimensions; and the payable side. A type without a rule '
  'is left out of the export, with that reason.';
comment on column public.export_posting_rules.expense_type is 'Null for the payable side.';
comment on column public.export_posting_rules.tax_code is 'The accounting system''s own code; null for none.';
comment on column public.export_posting_rules.dimensions is 'Defaults; the claim''s and the line''s dimensions win over them.';
comment on column public.export_posting_rules.subledger is 'claimant: the account is a control account and needs the claimant''s number.';

alter table public.export_posting_rules enable row level security;
revoke all on table public.export_posting_rules from public, anon, authenticated, service_role;
revoke all on sequence public.export_posting_rules_id_seq from public, anon, authenticated, service_role;

create policy "Staff sees the posting rules of the organisation" on public.export_posting_rules
for select to authenticated
using (organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin'])));

grant select on table public.export_posting_rules to authenticated, service_role;
