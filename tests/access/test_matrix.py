"""Who may reach what in the database: every cell of the matrix, and nothing that is not in it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from stack.hosted_platform import DefaultGrants
from stack.migrations import apply_migrations
from tests.access.functions import functions, wrong_calls
from tests.access.matrix import cells, database_role, load
from tests.access.relations import readable_columns, relations, wrong_reading, wrong_writing
from tests.access.world import World
from tests.conftest import OwnDatabase

MATRIX = load()
USERS_AND_SERVICE = {"authenticated", "service_role"}


@pytest.fixture(params=["old", "new"])
def world(
    request: pytest.FixtureRequest, unmigrated_database: Callable[[DefaultGrants], OwnDatabase]
) -> World:
    """Two organisations in a database of either kind of default grants."""
    database = unmigrated_database(request.param)
    apply_migrations(database)
    return World.create(database)


def wrong(world: World, matrix: Mapping[str, Any] = MATRIX) -> Iterator[str]:
    """Everything that is not as the matrix says."""
    there = relations(world)
    callable_there = functions(world)
    yield from missing("read", set(there), set(matrix["read"]))
    yield from wrong_reading(world, matrix["read"])
    yield from wrong_writing(world, matrix["write"], there)
    for table, columns in there.items():
        hidden = set(columns) - readable_columns(world, table)
        if hidden != set(matrix["hidden_columns"].get(table, [])):
            yield f"{table}: nobody reads {sorted(hidden)}"
    parts = set(matrix["parts"])
    yield from missing(
        "functions", {one.name for one in callable_there} - parts, set(matrix["functions"])
    )
    yield from wrong_calls(world, matrix["functions"], callable_there)
    granted = dict.fromkeys(matrix["functions"], frozenset[str]())
    for cell in cells(matrix["functions"]):
        if cell.word != ".":
            granted[cell.thing] |= {database_role(cell.role)}
    for one in callable_there:
        if one.roles != granted.get(one.name, one.roles):
            yield f"{one.schema}.{one.name} may be executed by {sorted(one.roles)}"
        if one.name in parts and (one.is_definer or one.roles != USERS_AND_SERVICE):
            yield f"{one.name} is no part: definer {one.is_definer}, for {sorted(one.roles)}"


def missing(section: str, there: set[str], written: set[str]) -> Iterator[str]:
    """What the database and a section of the matrix do not have in common."""
    for name in sorted(there - written):
        yield f"{name} is not in the section {section} of matrix.yaml: say who may reach it"
    for name in sorted(written - there):
        yield f"{name} is in the section {section} of matrix.yaml, and nowhere else"


def test_the_database_is_as_the_matrix_says(world: World) -> None:
    """Every table, view and function, every verb, every role, her own organisation and the other."""
    assert list(wrong(world)) == []
