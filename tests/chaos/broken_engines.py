"""Engines broken on purpose, in one campaign's own database or copy of the code."""

import shutil
from pathlib import Path

from stack.database import Database
from stack.functions_server import CHECKOUT

_TOKEN_CHECK = "where organization_id = v_organization_id and run_id = p_run_id and fencing_token = p_fencing_token"
_IN_NO_RUN = "(select e.claim_id from export_engine.entered_claims as e where e.claim_id = c.id limit 1) is null"
# Looked at when the transaction began, marked later.
_WAS_IN_NO_RUN = (
    "(select e.claim_id from public.export_run_claims as e where e.claim_id = c.id and e.released_at is null"
    " and e.reserved_at < transaction_timestamp() limit 1) is null"
)


def without_index(database: Database) -> None:
    """Nothing below the engine's own care keeps a claim from being entered twice."""
    with database.connect("postgres") as owner:
        owner.execute("drop index public.export_run_claims_live_key")


def without_token_check(database: Database) -> None:
    """Whoever names the run that holds the lock may write, with whatever token."""
    replace_in_function(
        database, "hold_run", f"{_TOKEN_CHECK};", _TOKEN_CHECK.rpartition(" and ")[0] + ";"
    )


def select_then_mark(database: Database) -> None:
    """The naive export: look which claims are free, then mark them; nobody locks or checks anything."""
    without_index(database)
    without_token_check(database)
    # Nobody waits for anybody; the pause makes room for what a busy database does by itself.
    replace_in_function(
        database,
        "lock_row",
        "where l.organization_id = p_organization_id for update;",
        "where l.organization_id = p_organization_id; perform pg_sleep(0.1);",
    )
    replace_in_function(database, "lock_claims", "for no key update of c skip locked", "")
    for function in ("lock_claims", "eligible_claims"):
        replace_in_function(database, function, _IN_NO_RUN, _WAS_IN_NO_RUN)
    replace_in_function(
        database,
        "hold_run",
        "organization_id = v_organization_id and run_id = p_run_id",
        "organization_id = v_organization_id",
    )


def object_name_per_attempt(directory: Path) -> Path:
    """A copy of the code in which an attempt's file has a name of its own."""
    for package in ("exporters", "functions"):
        shutil.copytree(CHECKOUT / package, directory / package, dirs_exist_ok=True)
    module = directory / "functions" / "run_rendering.py"
    code = module.read_text(encoding="utf-8")
    name = "{self._content.sha256}.{extension}"
    assert code.count(name) == 1
    broken = code.replace(name, "{self._content.sha256}.{run.attempt}.{extension}")
    module.write_text(broken, encoding="utf-8")
    return directory


def replace_in_function(database: Database, function: str, old: str, new: str) -> None:
    """Define one of the engine's functions anew with other text; the old text must have been there."""
    with database.connect("postgres") as owner:
        [definition] = owner.execute(
            "select pg_get_functiondef(('export_engine.' || %s::text)::regproc)", [function]
        ).fetchone() or [""]
        assert definition.count(old) == 1, f"{function} has another text now"
        owner.execute(definition.replace(old, new).encode())
