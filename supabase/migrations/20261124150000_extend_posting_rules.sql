-- Purpose: posting rules by dimension and person, a rule for every other expense type, and tax that is split from a gross amount.
-- Tables: export_posting_rules.

alter table public.export_posting_rules
add column conditions jsonb not null default '{}'::jsonb,
add column tax_percent numeric(5, 2),
add column tax_account_code text,
drop constraint export_posting_rules_rule_key,
add constraint export_posting_rules_rule_key unique nulls not distinct (organization_id, target, side, expense_type, conditions),
drop constraint export_posting_rules_expense_type_check,
add constraint export_posting_rules_expense_type_check check (
  (side = 'expense' or expense_type is null) and expense_type ~ '^[a-z][a-z0-9_]{0,49}$' is not false
),
-- Texts only: {"department": "410"}. A number would never equal a code.
add constraint export_posting_rules_conditions_check check (
  jsonb_typeof(conditions) = 'object'
  and octet_length(conditions::text) <= 2000
  and not jsonb_path_exists(conditions, '$.* ? (@.type() != "string")')
),
add constraint export_posting_rules_tax_percent_check check (tax_percent > 0 and tax_percent <= 100),
add constraint export_posting_rules_tax_account_code_check check (tax_account_code ~ '^\S{1,20}$'),
add constraint export_posting_rules_tax_split_check check (
  num_nonnulls(tax_percent, tax_account_code) in (0, 2)
  and (tax_percent is null or (side = 'expense' and tax_code is null))
);

comment on table public.export_posting_rules is
  'Per organisation and target: expense type -> account, tax code, dimensions; and the payable side. Of the rules whose conditions hold, '
  'one for the expense type goes before one for every type, then the one with most conditions. A claim that no rule fits, or two '
  'alike, is left out of the export, with that reason.';
comment on column public.export_posting_rules.expense_type is
  'Null for the payable side, and for the rule of every expense type that has none of its own.';
comment on column public.export_posting_rules.conditions is
  'When the rule applies: dimensions by name, and claimant for the claimant''s number, for example {"department": "410"}. Empty: always.';
comment on column public.export_posting_rules.tax_percent is
  'Tax within the gross amount, posted as a line of its own on tax_account_code; null to leave the amount whole.';
comment on column public.export_posting_rules.tax_account_code is 'Account of the tax line; null together with tax_percent.';

create or replace function export_engine.freeze_configuration(p_target public.export_targets, p_renderer_version text)
returns jsonb
language sql
stable
security invoker
set search_path = ''
as $$
  select jsonb_build_object(
    'target', p_target.target,
    'format', p_target.format,
    'time_zone', p_target.time_zone,
    'layout', p_target.layout,
    'settings', p_target.settings,
    'on_problem', p_target.on_problem,
    'renderer_version', p_renderer_version,
    'posting_rules', coalesce(
      (
        select jsonb_agg(
          jsonb_build_object(
            'side', r.side,
            'expense_type', r.expense_type,
            'account_code', r.account_code,
            'tax_code', r.tax_code,
            'dimensions', r.dimensions,
            'subledger', r.subledger,
            'conditions', r.conditions,
            'tax_percent', r.tax_percent::text,
            'tax_account_code', r.tax_account_code
          )
          order by r.side, r.expense_type, r.conditions
        )
        from public.export_posting_rules as r
        where r.organization_id = p_target.organization_id and r.target = p_target.target
      ),
      '[]'::jsonb
    )
  );
$$;
