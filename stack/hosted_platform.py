"""Makes a Postgres server and its databases look like a new hosted Supabase project."""

from pathlib import Path
from typing import Literal

import psycopg
from psycopg import sql

from stack.database import Database
from stack.supabase_lite import system_tables

DefaultGrants = Literal["old", "new"]
"""What a new object in `public` gives to the API roles without being asked.

old: everything, in projects made before 30 May 2026 (until 30 October 2026).
new: nothing that reads, writes or executes.
https://supabase.com/changelog/45329-breaking-change-tables-not-exposed-to-data-and-graphql-api-automatically
"""

_GRANT = "alter default privileges for role postgres in schema public grant {} on {} to {}"
_REVOKE = "alter default privileges for role postgres in schema public revoke {} on {} from {}"
_API_ROLES = "anon, authenticated, service_role"
_OLD = [_GRANT.format("all", kind, _API_ROLES) for kind in ("tables", "sequences", "functions")]
# Exactly these verbs are taken back: TRUNCATE, REFERENCES and TRIGGER on tables stay, and so does
# EXECUTE for PUBLIC on functions.
_NEW = [
    *_OLD,
    _REVOKE.format("select, insert, update, delete", "tables", _API_ROLES),
    _REVOKE.format("usage, select", "sequences", _API_ROLES),
    _REVOKE.format("execute", "functions", _API_ROLES),
]
_DEFAULT_GRANTS: dict[DefaultGrants, list[str]] = {"old": _OLD, "new": _NEW}


def _script(name: str) -> bytes:
    return Path(__file__).with_name(name).read_bytes()


def create_roles(server: Database) -> None:
    """Create the platform's roles; those that log in get the password that `server` carries."""
    with server.connect("supabase_admin") as superuser:
        superuser.execute("set scram_iterations = 1")
        superuser.execute(_script("hosted_roles.sql"))
        for role in ("postgres", "authenticator"):
            superuser.execute(
                sql.SQL("alter role {} password {}").format(sql.Identifier(role), server.password)
            )


def roles_exist(server: Database) -> bool:
    """Whether `create_roles` has run on this server."""
    with server.connect("supabase_admin") as superuser:
        found = superuser.execute("select from pg_roles where rolname = 'authenticator'").fetchone()
    return found is not None


def create_database(server: Database, name: str, default_grants: DefaultGrants = "new") -> Database:
    """Create a database as a new project has it: with auth and storage, before any migration."""
    with server.connect("supabase_admin") as superuser:
        superuser.execute(sql.SQL("create database {} owner postgres").format(sql.Identifier(name)))
    database = Database(server.port, name, server.password)
    with database.connect("supabase_admin", autocommit=False) as superuser:
        for schema in ("auth", "storage"):
            _create_system_schema(superuser, schema)
        superuser.execute(_script("hosted_schemas.sql"))
        for statement in _DEFAULT_GRANTS[default_grants]:
            superuser.execute(statement.encode())
    return database


def _create_system_schema(
    superuser: psycopg.Connection, schema: Literal["auth", "storage"]
) -> None:
    owner = sql.Identifier(f"supabase_{schema}_admin")
    superuser.execute(
        sql.SQL("create schema {} authorization {}").format(sql.Identifier(schema), owner)
    )
    superuser.execute(
        sql.SQL("grant create on database {} to {}").format(
            sql.Identifier(superuser.info.dbname), owner
        )
    )
    superuser.execute(sql.SQL("set role {}").format(owner))
    superuser.execute(system_tables(schema).encode())
    superuser.execute("reset role")
