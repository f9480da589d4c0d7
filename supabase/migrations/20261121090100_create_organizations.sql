-- Purpose: reference schema of the app around the engine: organisations and who may do what in them.
-- Tables: organizations, organization_members.
-- An adopter who has such tables already replaces this file, and the two functions at its end read theirs.

create table public.organizations (
  id uuid not null default gen_random_uuid(),
  name text not null,
  created_at timestamptz not null default now(),
  constraint organizations_pkey primary key (id),
  constraint organizations_name_check check (char_length(name) between 1 and 200)
);

comment on table public.organizations is 'Organisations that pay back expense claims. Part of the app, not of the engine.';

create table public.organization_members (
  organization_id uuid not null,
  user_id uuid not null,
  role text not null,
  display_name text not null,
  created_at timestamptz not null default now(),
  constraint organization_members_pkey primary key (organization_id, user_id),
  constraint organization_members_organization_id_fkey
    foreign key (organization_id) references public.organizations (id) on delete cascade,
  constraint organization_members_user_id_fkey
    foreign key (user_id) references auth.users (id) on delete cascade,
  constraint organization_members_role_check check (role in ('member', 'coordinator', 'accountant', 'admin')),
  constraint organization_members_display_name_check check (char_length(display_name) between 1 and 200)
);

comment on table public.organization_members is
  'Who may do what: member hands in claims, coordinator exports, accountant reads and confirms, admin does all of it.';
comment on column public.organization_members.display_name is 'Shown to colleagues, for example in "being exported by".';

create index organization_members_user_id_idx on public.organization_members (user_id);

alter table public.organizations enable row level security;
alter table public.organization_members enable row level security;
revoke all on table public.organizations from public, anon, authenticated, service_role;
revoke all on table public.organization_members from public, anon, authenticated, service_role;

-- The seam to the app's notion of membership.
create function export_engine.organizations_of_caller(p_roles text[])
returns setof uuid
language sql
stable
security definer
set search_path = ''
as $$
  select m.organization_id
  from public.organization_members as m
  where m.user_id = (select auth.uid()) and m.role = any (p_roles);
$$;

comment on function export_engine.organizations_of_caller is
  'Organisations in which the caller, judged by her token, has one of the roles. Used by row-level security. Definer, because '
  'a policy on organization_members could not read that table without recursion.';

create function export_engine.member_has_role(p_organization_id uuid, p_user_id uuid, p_roles text[])
returns boolean
language sql
stable
security definer
set search_path = ''
as $$
  select exists (
    select from public.organization_members as m
    where m.organization_id = p_organization_id and m.user_id = p_user_id and m.role = any (p_roles)
  );
$$;

comment on function export_engine.member_has_role is 'True when that user has one of the roles in that organisation now. Definer, because callers do not see all members.';

create function export_engine.member_name(p_organization_id uuid, p_user_id uuid)
returns text
language sql
stable
security definer
set search_path = ''
as $$
  select m.display_name
  from public.organization_members as m
  where m.organization_id = p_organization_id and m.user_id = p_user_id;
$$;

comment on function export_engine.member_name is 'Display name of a member; null for the system and for strangers. Definer, because callers do not see all members.';

create function export_engine.require_role(p_organization_id uuid, p_roles text[])
returns void
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  -- The service key and the database owner are trusted: their role is set by the data API or by the login.
  -- current_user would be this function's owner here, so the caller's role is read from the setting.
  if coalesce(nullif(current_setting('role'), 'none'), session_user) in ('service_role', 'postgres', 'supabase_admin') then
    return;
  end if;
  if (select auth.uid()) is null then
    perform export_engine.refuse(401, 'not_authenticated', 'Nobody is signed in.', 'Sign in and try again.');
  end if;
  if not coalesce(export_engine.member_has_role(p_organization_id, (select auth.uid()), p_roles), false) then
    -- The same words whether the organisation exists or not.
    perform export_engine.refuse(
      403, 'not_allowed', 'You may not do this in this organisation.',
      'Ask an admin of the organisation for the role ' || array_to_string(p_roles, ' or ') || '.'
    );
  end if;
end;
$$;

comment on function export_engine.require_role is
  'Refuses a caller without a login (401) or without one of the roles in the organisation (403). Trusts the '
  'service key. Definer, because callers do not see all members.';

revoke execute on function export_engine.organizations_of_caller(text[]) from public;
revoke execute on function export_engine.member_has_role(uuid, uuid, text[]) from public;
revoke execute on function export_engine.member_name(uuid, uuid) from public;
revoke execute on function export_engine.require_role(uuid, text[]) from public;
grant execute on function export_engine.organizations_of_caller(text[]) to authenticated;
grant execute on function export_engine.require_role(uuid, text[]) to authenticated, service_role;

create policy "Members see their organisations" on public.organizations
for select to authenticated
using (id in (select export_engine.organizations_of_caller(array['member', 'coordinator', 'accountant', 'admin'])));

create policy "Members see themselves, staff sees all members" on public.organization_members
for select to authenticated
using (
  user_id = (select auth.uid())
  or organization_id in (select export_engine.organizations_of_caller(array['coordinator', 'accountant', 'admin']))
);

grant select on table public.organizations to authenticated, service_role;
grant select on table public.organization_members to authenticated, service_role;
