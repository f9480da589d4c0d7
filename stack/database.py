"""One database of the embedded Postgres, entered in the ways hosted Supabase offers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

API_ROLES = ("anon", "authenticated", "service_role")
# https://supabase.com/docs/guides/database/postgres/timeouts
STATEMENT_TIMEOUTS = {"anon": "3s", "authenticated": "8s", "service_role": "8s"}


@dataclass(frozen=True)
class Database:
    """Address of one database."""

    port: int
    name: str
    password: str

    def dsn(self, role: str = "postgres") -> str:
        """Return the address for a role that logs in: postgres, authenticator, supabase_admin."""
        return psycopg.conninfo.make_conninfo(
            host="127.0.0.1",
            port=self.port,
            dbname=self.name,
            user=role,
            password=self.password,
            connect_timeout=10,
        )

    def connect(
        self,
        role: str = "postgres",
        *,
        claims: Mapping[str, Any] | None = None,
        autocommit: bool = True,
    ) -> psycopg.Connection:
        """Connect as postgres, who owns what migrations make, as supabase_admin or an API role.

        An API role gets the data API's session: logged in as authenticator, with its time limits
        and with `claims` where `auth.uid()` reads them. Claims without a role get this one.
        """
        if role not in API_ROLES:
            return psycopg.connect(self.dsn(role), autocommit=autocommit)
        connection = psycopg.connect(self.dsn("authenticator"), autocommit=True)
        connection.execute(sql.SQL("set role {}").format(sql.Identifier(role)))
        connection.execute(
            "select set_config('request.jwt.claims', %s, false),"
            " set_config('statement_timeout', %s, false)",
            [json.dumps({"role": role, **(claims or {})}), STATEMENT_TIMEOUTS[role]],
        )
        connection.autocommit = autocommit
        return connection
