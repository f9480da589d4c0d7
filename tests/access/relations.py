"""Tries every verb on every table and view, as every role."""

from collections.abc import Iterator, Mapping

import psycopg
from psycopg import errors, sql

from tests.access.matrix import Cell, Outcome, cells, database_role
from tests.access.world import Place, World

VERBS = ("insert", "update", "delete", "truncate")
ELSE = "everything else"
# No right, or a view that nobody could write to.
_CLOSED = (
    errors.InsufficientPrivilege,
    errors.ObjectNotInPrerequisiteState,
    errors.WrongObjectType,
)
# By what a row's organisation is known, where it is not a column of that name.
_ORGANISATION = {
    "organizations": "id",
    "export_engine.entered_claims": "(select r.organization_id from public.export_runs as r where r.id = run_id)",
    "expense_claim_lines": "(select c.organization_id from public.expense_claims as c where c.id = claim_id)",
}
# Which rows are about a person herself.
_ABOUT_HER = {
    "organization_members": "user_id = {}",
    "expense_claims": "claimant_id = {}",
    "expense_claim_lines": "claim_id in (select c.id from public.expense_claims as c where c.claimant_id = {})",
}


def _address(table: str) -> str:
    return table if "." in table else f"public.{table}"


def relations(world: World) -> dict[str, list[str]]:
    """Every table and view of ours by name, with its columns."""
    with world.database.connect("supabase_admin") as superuser:
        rows = superuser.execute(
            "select replace(c.relnamespace::regnamespace || '.' || c.relname, 'public.', '') as name,"
            " array_agg(a.attname::text order by a.attnum) from pg_class as c"
            " join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped"
            " where c.relnamespace in ('public'::regnamespace, 'export_engine'::regnamespace)"
            " and c.relkind in ('r', 'p', 'v', 'm', 'f') group by name"
        ).fetchall()
    return dict(rows)


def wrong_reading(world: World, rows: Mapping[str, str]) -> Iterator[str]:
    """The cells of `read` that are not so."""
    truth = _truth(world, rows)
    for cell in cells(rows):
        for place, is_own in world.places():
            outcome = _read(world.session(cell.role), cell, place, truth, is_own=is_own)
            if not cell.allows(outcome, is_own=is_own):
                yield cell.says(outcome, is_own=is_own)


def _truth(world: World, rows: Mapping[str, str]) -> dict[tuple[str, object], int]:
    """How many rows there are, and how many are about the member."""
    counts: dict[tuple[str, object], int] = {}
    with world.database.connect("postgres") as owner:
        for table in rows:
            for place, is_own in world.places():
                counts[table, is_own] = _count(owner, table, place)
                assert counts[table, is_own] > 0, f"the world has nothing in {table}"
            if table in _ABOUT_HER:
                for role, person in world.people.items():
                    about = _ABOUT_HER[table].format(sql.Literal(person).as_string(owner))
                    counts[table, role] = _count(owner, table, world.own, about)
    return counts


def _count(
    connection: psycopg.Connection, table: str, place: Place, condition: str = "true"
) -> int:
    organisation = _ORGANISATION.get(table, "organization_id")
    row = connection.execute(
        f"select count(*) from {_address(table)} where {organisation} = %s and {condition}".encode(),
        [place.organisation.id],
    ).fetchone()
    assert row is not None
    return int(row[0])


def _read(
    connection: psycopg.Connection,
    cell: Cell,
    place: Place,
    truth: Mapping[tuple[str, object], int],
    *,
    is_own: bool,
) -> Outcome:
    try:
        seen = _count(connection, cell.thing, place)
    except errors.InsufficientPrivilege:
        return "."
    finally:
        connection.rollback()
    if seen == truth[cell.thing, is_own]:
        return "done"
    if seen == 0:
        return "nothing"
    # Neither all nor none: nobody is promised such a thing but about herself.
    return "mine" if is_own and seen == truth.get((cell.thing, cell.role)) else "some"


def wrong_writing(
    world: World, rows: Mapping[str, str], all_relations: Mapping[str, list[str]]
) -> Iterator[str]:
    """The cells of `write` that are not so: those of exceptions as named, all others as `everything else` says."""
    every = {
        f"{table} ({verb})": rows.get(f"{table} ({verb})", rows[ELSE])
        for table in all_relations
        for verb in VERBS
    }
    assert set(rows) - {ELSE} <= set(every), "a row of `write` for something that is not there"
    rights = _rights(world)
    for cell in cells(every):
        table, verb = cell.thing.rstrip(")").split(" (")
        outcome = _write(world.session(cell.role), table, verb, all_relations[table][0])
        if (database_role(cell.role), table.rpartition(".")[2], verb) in rights:
            outcome = "done"
        if not cell.allows(outcome, is_own=True):
            yield cell.says(outcome, is_own=True)


def _write(connection: psycopg.Connection, table: str, verb: str, column: str) -> Outcome:
    statements = {
        "insert": "insert into {table} default values",
        "update": "update {table} set {column} = default where false",
        "delete": "delete from {table} where false",
        "truncate": "truncate {table}",
    }
    statement = sql.SQL(statements[verb]).format(
        table=sql.Identifier(*_address(table).split(".")), column=sql.Identifier(column)
    )
    try:
        connection.execute(statement)
    except _CLOSED:
        return "."
    except psycopg.Error:
        # Let in, and stopped by what holds everybody.
        return "done"
    finally:
        connection.rollback()
    return "done"


def _rights(world: World) -> set[tuple[str, str, str]]:
    """Role, relation and verb of every right to write, on the whole or on one column, usable or not."""
    with world.database.connect("supabase_admin") as superuser:
        rows = superuser.execute(
            "select role, c.relname, verb from pg_class as c"
            " cross join unnest(array['anon', 'authenticated', 'service_role']) as role"
            " cross join unnest(array['insert', 'update', 'delete', 'truncate']) as verb"
            " where c.relnamespace in ('public'::regnamespace, 'export_engine'::regnamespace)"
            " and c.relkind in ('r', 'p', 'v', 'm', 'f') and (has_table_privilege(role, c.oid, verb)"
            "  or (verb in ('insert', 'update') and has_any_column_privilege(role, c.oid, verb)))"
        ).fetchall()
    return set(rows)


def readable_columns(world: World, table: str) -> set[str]:
    """The columns that some API role can read."""
    with world.database.connect("supabase_admin") as superuser:
        rows = superuser.execute(
            "select distinct a.attname from pg_attribute as a"
            " cross join unnest(array['anon', 'authenticated', 'service_role']) as role"
            " where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped"
            " and has_column_privilege(role, a.attrelid, a.attnum, 'select')",
            [_address(table)],
        ).fetchall()
    return {row[0] for row in rows}
