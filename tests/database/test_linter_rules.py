"""The rules of Supabase's database linter (supabase/splinter), by its names, as our own questions to the catalogue.

Each rule lists its offenders, which must be none, and has a statement that makes one: every test is seen to be able to
fail. The linter's queries exempt what its makers had to; ours look at both schemas and exempt by name, with a reason.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest

from stack.database import Database

IN_OURS = "in ('public'::regnamespace, 'export_engine'::regnamespace)"
POLICY = (
    " from (select p.*, concat_ws(' ', p.qual, p.with_check) as condition from pg_policies as p"
    " where p.schemaname = 'public' or (p.schemaname, p.tablename) = ('storage', 'objects')) as p "
)
# What the server calls a policy's `(select auth.uid())`: evaluated once, not for every row.
ONCE = r"\( SELECT auth\.(uid|jwt|role|email)\(\) AS \w+\)"
PROBE = "create table public.probe (id int, other int); alter table public.probe enable row level security; "


@dataclass(frozen=True)
class Rule:
    """`offenders` selects names; `offence` makes one more, run as the database owner and rolled back."""

    name: str
    offenders: str
    offence: str
    exempt: dict[str, str] = field(default_factory=dict)

    def broken_by(self, connection: psycopg.Connection) -> list[str]:
        """Who breaks it now, without excuse."""
        names = [row[0] for row in connection.execute(self.offenders.encode())]
        return sorted(set(names) - set(self.exempt))


def relations(kinds: str, condition: str) -> str:
    return f"select c.relname from pg_class as c where c.relnamespace {IN_OURS} and c.relkind = any ('{{{kinds}}}') and {condition}"


RULES = [
    Rule(
        "unindexed_foreign_keys",
        f"select k.conname from pg_constraint as k where k.connamespace {IN_OURS} and k.contype = 'f' and not exists ("
        " select from pg_index as i where i.indrelid = k.conrelid and i.indisvalid and i.indpred is null"
        " and (i.indkey::int2[])[0:cardinality(k.conkey) - 1] @> k.conkey)",
        "create table public.probe (id uuid references public.export_runs (id))",
    ),
    Rule(
        "auth_users_exposed",
        "select distinct r.ev_class::regclass::text from pg_depend as d join pg_rewrite as r on r.oid = d.objid"
        " where d.classid = 'pg_rewrite'::regclass and d.refobjid = 'auth.users'::regclass",
        "create view public.probe with (security_invoker = true) as select u.email from auth.users as u",
    ),
    Rule(
        "auth_rls_initplan",
        "select p.policyname" + POLICY + f"where regexp_replace(p.condition, '{ONCE}', '', 'g')"
        r" ~ 'auth\.(uid|jwt|role|email)\(|current_setting\('",
        PROBE
        + "create policy probe on public.probe for select to authenticated using (auth.uid() is not null)",
    ),
    Rule(
        "no_primary_key",
        relations(
            "r,p",
            "not exists (select from pg_constraint as k where k.conrelid = c.oid and k.contype = 'p')",
        ),
        PROBE,
    ),
    Rule(
        "multiple_permissive_policies",
        "select p.tablename from (select p.tablename, verb, unnest(p.roles) as role"
        + POLICY
        + "cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as verb"
        " where p.permissive = 'PERMISSIVE' and p.cmd in (verb, 'ALL')) as p group by p.tablename, verb, role having count(*) > 1",
        "create policy probe on public.export_runs for all to authenticated using (false)",
    ),
    Rule(
        "policy_exists_rls_disabled",
        relations(
            "r,p",
            "not c.relrowsecurity and exists (select from pg_policy as p where p.polrelid = c.oid)",
        ),
        "alter table public.export_runs disable row level security",
    ),
    Rule(
        "rls_enabled_no_policy",
        relations(
            "r,p",
            "c.relrowsecurity and not exists (select from pg_policy as p where p.polrelid = c.oid)",
        ),
        'drop policy "Staff sees the runs of the organisation" on public.export_runs',
        {"export_counters": "on purpose: no user sees the numbers to come, functions give them"},
    ),
    Rule(
        "duplicate_index",
        "select a.indexrelid::regclass::text from pg_index as a join pg_index as b on b.indrelid = a.indrelid and b.indexrelid <> a.indexrelid"
        " join pg_class as c on c.oid = a.indrelid"
        f" where c.relnamespace {IN_OURS} and (a.indkey, a.indclass, a.indoption) = (b.indkey, b.indclass, b.indoption)"
        " and (pg_get_expr(a.indexprs, a.indrelid), pg_get_expr(a.indpred, a.indrelid))"
        " is not distinct from (pg_get_expr(b.indexprs, b.indrelid), pg_get_expr(b.indpred, b.indrelid))",
        "create index probe on public.export_runs (id)",
    ),
    Rule(
        "security_definer_view",
        relations("v", "not coalesce('security_invoker=true' = any (c.reloptions), false)"),
        "create view public.probe as select 1 as one",
    ),
    Rule(
        # Stricter: not only set, but empty. An aggregate resolves nothing; the functions it is made of are listed, too.
        "function_search_path_mutable",
        f"select p.proname from pg_proc as p where p.pronamespace {IN_OURS} and p.prokind <> 'a'"
        " and not coalesce('search_path=\"\"' = any (p.proconfig), false)",
        "create function export_engine.probe() returns int language sql set search_path = public as 'select 1'",
    ),
    Rule(
        "rls_disabled_in_public",
        relations("r,p", "not c.relrowsecurity"),
        "create table export_engine.probe (id int primary key)",
    ),
    Rule(
        "extension_in_public",
        f"select e.extname from pg_extension as e where e.extnamespace {IN_OURS}",
        "update pg_extension set extnamespace = 'public'::regnamespace",
    ),
    Rule(
        # Stricter: a user edits these, so no function, view or policy of ours reads them.
        "rls_references_user_metadata",
        "select policyname from (select p.policyname, p.condition"
        + POLICY
        + f"union all select p.proname, p.prosrc from pg_proc as p where p.pronamespace {IN_OURS}"
        f" union all select c.relname, pg_get_viewdef(c.oid) from pg_class as c where c.relnamespace {IN_OURS} and c.relkind = 'v') as p"
        " where p.condition ~* 'user_metadata|raw_user_meta_data|user_meta'",
        PROBE + "create policy probe on public.probe for select to authenticated"
        " using (((select auth.jwt()) -> 'user_metadata' ->> 'role') = 'admin')",
        {
            "check_run_file": "what the service wrote beside a stored file: another thing of that name"
        },
    ),
    Rule(
        "materialized_view_in_api",
        relations("m", "true"),
        "create materialized view public.probe as select 1 as one",
    ),
    Rule(
        "foreign_table_in_api",
        relations("f", "true"),
        "create foreign data wrapper probe; create server probe foreign data wrapper probe;"
        " create foreign table public.probe (id int) server probe",
    ),
    Rule(
        "unsupported_reg_types",
        "select a.attname from pg_attribute as a join pg_class as c on c.oid = a.attrelid"
        f" where c.relnamespace {IN_OURS} and a.atttypid::regtype::text ~ '^reg' and a.atttypid not in"
        " ('regclass'::regtype, 'regtype'::regtype, 'regrole'::regtype)",
        "create table public.probe (handler regproc)",
    ),
    Rule(
        # Rows that stay when a user goes must not hang on a column of auth that is unique by accident.
        "fkey_to_auth_unique",
        "select k.conname from pg_constraint as k join pg_class as c on c.oid = k.confrelid join pg_index as i on i.indexrelid = k.conindid"
        f" where k.connamespace {IN_OURS} and k.contype = 'f' and c.relnamespace = 'auth'::regnamespace and not i.indisprimary",
        "create table auth.probe (token text unique); create table public.probe (token text references auth.probe (token))",
    ),
    Rule(
        "sensitive_columns_exposed",
        "select c.relname || '.' || a.attname from pg_attribute as a join pg_class as c on c.oid = a.attrelid"
        f" where c.relnamespace {IN_OURS} and a.attnum > 0"
        " and a.attname ~ 'passw|secret|api_?key|private_key|access_token|refresh_token|ssn|credit_card|national_id|iban'",
        "alter table public.export_targets add column client_secret text",
    ),
    Rule(
        "rls_policy_always_true",
        "select p.policyname"
        + POLICY
        + "where p.permissive = 'PERMISSIVE' and 'true' in (p.qual, p.with_check)",
        PROBE + "create policy probe on public.probe for select to authenticated using (true)",
    ),
    Rule(
        "public_bucket_allows_listing",
        "select b.id from storage.buckets as b where b.public",
        "update storage.buckets set public = true where id = 'exports'",
    ),
    Rule(
        # Of pg_graphql, and of everything else that shows a table to whoever may select from it.
        "pg_graphql_anon_table_exposed",
        relations(
            "r,p,v,m,f",
            "has_any_column_privilege('anon', c.oid, 'select, insert, update, references')",
        ),
        "grant select (id) on public.export_runs to anon",
    ),
    Rule(
        # Stricter: anon and the role public execute nothing at all of ours. A name in `exempt` would be an exception.
        "anon_security_definer_function_executable",
        "select p.proname from pg_proc as p cross join aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a"
        f" where p.pronamespace {IN_OURS} and a.grantee in (0, 'anon'::regrole)",
        "create function export_engine.probe() returns int language sql security definer set search_path = '' as 'select 1'",
    ),
    Rule(
        # Stricter: none for any role. Definer bodies live in the schema that is not exposed.
        "authenticated_security_definer_function_executable",
        "select p.proname from pg_proc as p where p.pronamespace = 'public'::regnamespace and p.prosecdef",
        "alter function public.begin_export security definer",
    ),
    Rule(
        "autovacuum_disabled",
        relations("r,p", "'autovacuum_enabled=false' = any (c.reloptions)"),
        "alter table public.export_runs set (autovacuum_enabled = false)",
    ),
    Rule(
        "invalid_index",
        "select i.indexrelid::regclass::text from pg_index as i join pg_class as c on c.oid = i.indrelid"
        f" where c.relnamespace {IN_OURS} and not (i.indisvalid and i.indisready)",
        "update pg_index set indisvalid = false where indexrelid = 'public.export_runs_pkey'::regclass",
    ),
    Rule(
        # A caller without a token has no uid: a condition that holds then is open to everybody.
        "rls_policy_null_auth_disjunct",
        "select p.policyname"
        + POLICY
        + r"where p.condition ~ '(auth\.(uid|jwt|role|email)\(\)|current_setting\([^)]*\))( AS \w+\))? IS (NULL|NOT DISTINCT)'",
        PROBE
        + "create policy probe on public.probe for select to authenticated using ((select auth.uid()) is null or id = 1)",
    ),
]
# What the linter asks and a catalogue of migrations cannot answer, or what is right here.
NOT_APPLICABLE = {
    "unused_index": "counts uses on a server in use; test_history_plans.py holds which index a question uses",
    "table_bloat": "measures a server in use",
    "extension_versions_outdated": "the migrations need no extension (test_catalog.py)",
    "pg17_deprecated_extensions": "the migrations need no extension (test_catalog.py)",
    "insecure_queue_exposed_in_api": "queues of pgmq; the migrations need no extension (test_catalog.py)",
    "unused_replication_slot": "the migrations make none",
    "auth_allow_anonymous_sign_ins": "who is signed in is nobody until she is a member: tests/access/matrix.yaml tries everybody on another organisation",
    "pg_graphql_authenticated_table_exposed": "signed-in users read through row-level security on purpose: tests/access/matrix.yaml",
}


@pytest.fixture
def owner(unchanged_database: Database) -> Iterator[psycopg.Connection]:
    """The superuser, whose work is rolled back."""
    with unchanged_database.connect("supabase_admin", autocommit=False) as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_of_the_linter_holds_and_can_break(owner: psycopg.Connection, rule: Rule) -> None:
    """Nobody breaks the rule; one who did would be seen."""
    assert rule.broken_by(owner) == []

    owner.execute(rule.offence.encode())

    assert rule.broken_by(owner) != []


def test_every_exemption_is_still_needed(owner: psycopg.Connection) -> None:
    """An excuse whose offender is gone would excuse the next of that name."""
    for rule in RULES:
        names = {row[0] for row in owner.execute(rule.offenders.encode())}
        assert set(rule.exempt) <= names, rule.name


def test_every_rule_is_judged_once() -> None:
    """A rule is held here or said not to apply, never both."""
    assert {rule.name for rule in RULES} & set(NOT_APPLICABLE) == set()
