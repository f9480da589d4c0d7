"""What the access matrix (tests/access/matrix.yaml) cannot say: tricks."""

import psycopg
import pytest

from stack.database import Database
from tests.organisation import Organisation


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


def test_a_user_cannot_mark_her_own_writes_as_the_engines(organisation: Organisation) -> None:
    """Setting the engine's mark by hand opens nothing to an API role."""
    coordinator = organisation.as_user(organisation.add_member())
    coordinator.execute("select set_config('export_engine.writing', 'on', false)")

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        coordinator.execute("update public.export_runs set status = 'failed'")
