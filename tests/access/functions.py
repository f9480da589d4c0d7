"""Calls every function that the matrix names, as every role, for both organisations."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import errors, sql
from psycopg.types.json import Jsonb

from tests.access.matrix import Cell, Outcome, cells
from tests.access.world import Place, World
from tests.organisation import OCTOBER

SCHEMAS = ("public", "export_engine")
# How the engine says no to a caller; what it does not show is not there.
_NO = {
    "not_authenticated",
    "not_allowed",
    "run_not_found",
    "claims_not_found",
    "claim_not_found",
}
# True, and nothing: what a judge says to whom it lets pass.
_YES = ([(True,)], [("",)])
_ALL_ROLES = ["member", "coordinator", "accountant", "admin"]


@dataclass(frozen=True)
class Function:
    """A function as the catalogue has it: where it is, and its arguments with their types."""

    schema: str
    name: str
    arguments: Mapping[str, str]
    is_definer: bool
    roles: frozenset[str]


def functions(world: World) -> list[Function]:
    """Those of the data API, and those of the private schema that some API role may execute."""
    with world.database.connect("supabase_admin") as superuser:
        rows = superuser.execute(
            "select n.nspname, p.proname, p.prosecdef, coalesce((select jsonb_object_agg(a.name, a.type::regtype)"
            "  from unnest(p.proargnames[1:p.pronargs], p.proargtypes::oid[]) as a (name, type)), '{}'),"
            " array(select role from unnest(array['anon', 'authenticated', 'service_role']) as role"
            "  where has_function_privilege(role, p.oid, 'execute'))"
            " from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace where n.nspname = any (%s)",
            [list(SCHEMAS)],
        ).fetchall()
    found = [
        Function(schema, name, arguments, is_definer, frozenset(roles))
        for schema, name, is_definer, arguments, roles in rows
    ]
    return [one for one in found if one.roles or one.schema == "public"]


def arguments_for(place: Place, name: str) -> dict[str, Any]:
    """What a caller who means this organisation would send, by parameter; some functions need their own."""
    usual: dict[str, Any] = {
        "p_organization_id": place.organisation.id,
        "p_run_id": place.run_id,
        "p_claim_id": place.exported,
        "p_claim_ids": [place.exported],
        "p_reconciliation_id": place.reconciliation,
        "p_name": place.file_path,
        "p_roles": _ALL_ROLES,
        "p_target": "xledger",
        "p_period_from": OCTOBER[0],
        "p_period_to": OCTOBER[1],
        "p_invocation_id": uuid4(),
        "p_text": "1",
        "p_line_number": 2,
        "p_outcome": "imported",
        "p_reason": "Asked for.",
        "p_cut_off": "2026-11-30T12:00:00Z",
        "p_fencing_token": 1,
        "p_after_position": 0,
        "p_limit": 10,
        "p_format": "xledger_gl02b",
        "p_trigger": "sweep",
        "p_status": "completed",
    }
    particular: dict[str, dict[str, Any]] = {
        "hold_claims": {"p_claim_ids": [place.eligible]},
        "lift_export_hold": {"p_claim_ids": [place.held]},
        **_PARTICULAR,
    }
    return {**usual, **particular.get(name, {})}


_PARTICULAR: dict[str, dict[str, Any]] = {
    "confirm_export_vouchers": {
        "p_vouchers": Jsonb([{"voucher_number": 1, "outcome": "imported"}]),
        "p_dry_run": True,
    },
    "record_configuration_check": {
        "p_fingerprint": "a" * 64,
        "p_renderer_version": "1",
        "p_problems": Jsonb([]),
    },
    "get_export_history": {
        "p_include_deleted": False,
        "p_target": None,
        "p_trigger": None,
        "p_period_from": None,
        "p_period_to": None,
    },
}


def wrong_calls(world: World, rows: Mapping[str, str], existing: list[Function]) -> Iterator[str]:
    """The cells of `functions` that are not so."""
    marks = {is_own: place.marks() for place, is_own in world.places()}
    by_name: dict[str, list[Function]] = {}
    for function in existing:
        by_name.setdefault(function.name, []).append(function)
    for cell in cells(rows):
        for place, is_own in world.places():
            for function in by_name[cell.thing]:
                outcome = _call(world.session(cell.role), cell, function, place, marks[is_own])
                if not cell.allows(outcome, is_own=is_own):
                    yield f"{function.schema}." + cell.says(outcome, is_own=is_own)


def _call(
    connection: psycopg.Connection, cell: Cell, function: Function, place: Place, marks: set[str]
) -> Outcome:
    given = arguments_for(place, function.name)
    sent = {name: given.get(name) for name in function.arguments}
    arguments = [
        sql.SQL("{} => {}::" + type_name).format(sql.Identifier(name), sql.Placeholder(name))
        for name, type_name in function.arguments.items()
    ]
    statement = sql.SQL("select to_jsonb({}({}))").format(
        sql.Identifier(function.schema, function.name), sql.SQL(", ").join(arguments)
    )
    try:
        rows = connection.execute(statement, sent).fetchall()
    except errors.InsufficientPrivilege:
        return "."
    except psycopg.Error as error:
        return _refusal(error, cell)
    finally:
        connection.rollback()
    return _answer(rows, marks, sent, cell)


def _refusal(error: psycopg.Error, cell: Cell) -> Outcome:
    code = error.diag.message_detail
    if code in _NO:
        return "refused"
    if cell.role == "service" and (error.sqlstate or "").startswith("PT4"):
        # The door let it in; the run, its lock or the list is not ready for this.
        return "done"
    raise AssertionError(f"{cell.thing}, {cell.role}: {error}") from error


def _answer(
    rows: list[tuple[Any, ...]], marks: set[str], sent: Mapping[str, Any], cell: Cell
) -> Outcome:
    """An answer that names nothing of the organisation but what the caller sent tells nothing.

    Both organisations are in the same state: what is recognised as done in her own would be in the other.
    """
    if cell.role == "service":
        return "done" if rows else "nothing"
    told = json.dumps(rows)
    repeated = json.dumps(list(sent.values()), default=str)
    names_something = any(mark in told for mark in marks if mark not in repeated)
    changed_something = any(f'"{verb}": 1' in told for verb in ("recorded", "lifted", "erased"))
    return "done" if names_something or changed_something or rows in _YES else "nothing"
