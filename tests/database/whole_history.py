"""Every row of the engine's history, so that "nothing changed" can be compared."""

from typing import Any

import psycopg

TABLES = {
    "export_runs": "id",
    "export_run_claims": "run_id, position",
    "export_run_events": "id",
    "export_confirmations": "id",
    "export_holds": "held_at, id",
    "export_locks": "organization_id",
    "export_counters": "organization_id, name",
    "expense_claims": "id",
}


def whole_history(owner: psycopg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables that an export touches, leases included, by table."""
    return {
        table: owner.execute(
            f"select to_jsonb(t) from public.{table} as t order by {order}".encode()
        ).fetchall()
        for table, order in TABLES.items()
    }
