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
    name = "{self._content.sha256}.{extension}"
    other = "{self._content.sha256}.{run.attempt}.{extension}"
    return _copy_with(directory, "run_rendering.py", name, other)


def clearing_nothing(directory: Path) -> Path:
    """A copy that says that a predecessor's container is removed, and leaves it."""
    removal = "        await delivery.clear(container.container, container.document_numbers)\n"
    noted = "        await self._book.clear(run_id, fencing_token, container.fencing_token)\n"
    return _copy_with(
        directory, "run_delivery.py", f"{removal}{noted}\n    async", f"{noted}\n    async"
    )


def _copy_with(directory: Path, module: str, old: str, new: str) -> Path:
    for package in ("exporters", "functions"):
        shutil.copytree(CHECKOUT / package, directory / package, dirs_exist_ok=True)
    path = directory / "functions" / module
    code = path.read_text(encoding="utf-8")
    assert code.count(old) == 1, f"{module} has another text now"
    path.write_text(code.replace(old, new), encoding="utf-8")
    return directory


def replace_in_function(database: Database, function: str, old: str, new: str) -> None:
    """Define one of the engine's functions anew with other text; the old text must have been there."""
    with database.connect("postgres") as owner:
        [definition] = owner.execute(
            "select pg_get_functiondef(('export_engine.' || %s::text)::regproc)", [function]
        ).fetchone() or [""]
        assert definition.count(old) == 1, f"{function} has another text now"
        owner.execute(definition.replace(old, new).encode())
