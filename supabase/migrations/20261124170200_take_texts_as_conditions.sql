-- Purpose: a posting rule whose condition is a list is not saved. Every export of the organisation would be refused because of it.
-- Tables: export_posting_rules.

alter table public.export_posting_rules
drop constraint export_posting_rules_conditions_check,
-- Texts only: {"department": "410"}. A number would never equal a code. Strict, as a lax path looks into a list instead of at it.
add constraint export_posting_rules_conditions_check check (
  jsonb_typeof(conditions) = 'object'
  and octet_length(conditions::text) <= 2000
  and not jsonb_path_exists(conditions, 'strict $.* ? (@.type() != "string")', silent => true)
);
