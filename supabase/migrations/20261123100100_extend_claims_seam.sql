-- Purpose: what the readers of history need to know about the app's claims; the seam stays the only place that knows its tables.

create function export_engine.claim_facts(p_claim_ids uuid[])
returns table (claim_id uuid, organization_id uuid, claim_number text, is_approved boolean)
language sql
stable
security invoker
set search_path = ''
as $$
  select c.id, c.organization_id, c.claim_number, c.status = 'approved'
  from public.expense_claims as c
  where c.id = any (p_claim_ids);
$$;

comment on function export_engine.claim_facts is 'Seam: whose the claims are, what they are called, and whether they are approved now.';

create function export_engine.claims_with_number(p_organization_id uuid, p_claim_number text)
returns setof uuid
language sql
stable
security invoker
set search_path = ''
as $$
  select c.id
  from public.expense_claims as c
  where c.organization_id = p_organization_id and c.claim_number = p_claim_number;
$$;

comment on function export_engine.claims_with_number is 'Seam: the claim that carries this number in the organisation now.';

create function export_engine.caller_has_role(p_organization_id uuid, p_roles text[])
returns boolean
language sql
stable
security invoker
set search_path = ''
as $$
  select
    not row_security_active('public.export_runs')
    or p_organization_id in (select export_engine.organizations_of_caller(p_roles));
$$;

comment on function export_engine.caller_has_role is
  'Whether the caller has one of the roles in the organisation. True for whom row-level security does not bind: the service key '
  'and the owner.';

revoke execute on function export_engine.claim_facts(uuid[]) from public;
revoke execute on function export_engine.claims_with_number(uuid, text) from public;
revoke execute on function export_engine.caller_has_role(uuid, text[]) from public;

-- Row-level security judges what these readers see, claim_documents included.
grant execute on function export_engine.claim_documents(uuid[], text) to authenticated, service_role;
grant execute on function export_engine.claim_facts(uuid[]) to authenticated, service_role;
grant execute on function export_engine.claims_with_number(uuid, text) to authenticated, service_role;
grant execute on function export_engine.caller_has_role(uuid, text[]) to authenticated, service_role;
grant execute on function export_engine.organizations_of_caller(text[]) to service_role;
