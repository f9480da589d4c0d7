"""What the access matrix (tests/access/matrix.yaml) cannot say: tricks, and stored files as the database sees them."""

import psycopg
import pytest

from stack.database import Database
from tests.database.documents import record_documents
from tests.organisation import Organisation, begin, complete


@pytest.fixture
def organisation(database: Database) -> Organisation:
    """An organisation with a completed run and its documents."""
    organisation = Organisation.create(database)
    organisation.add_claims(2)
    coordinator = organisation.as_user(organisation.add_member())
    done = complete(organisation, begin(coordinator, organisation))
    record_documents(organisation, done["run"]["run_id"])
    return organisation


def test_files_of_completed_runs_are_readable_by_staff_only(organisation: Organisation) -> None:
    """Storage shows staff the files of completed runs of its organisation; orphans and foreign files are not there."""
    organisation.execute(
        "insert into storage.objects (bucket_id, name) values ('exports', %s)",
        f"{organisation.id}/orphan.csv",
    )
    organisation.execute(
        "insert into storage.objects (bucket_id, name)"
        " select 'exports', format('%%s/%%s/%%s.xlsx', organization_id, id, repeat('f', 64)) from public.export_runs"
    )
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    coordinator = organisation.as_user(organisation.add_member())
    paths = organisation.execute(
        "select file_path from public.export_runs where file_path is not null union all select path from public.export_run_documents"
    )
    query = "select name from storage.objects"

    assert len(paths) == 3
    assert sorted(coordinator.execute(query).fetchall()) == sorted(paths)
    assert organisation.as_user(organisation.add_member("member")).execute(query).fetchall() == []
    assert other.as_user(other.add_member("admin")).execute(query).fetchall() == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        coordinator.execute("insert into storage.objects (bucket_id, name) values ('exports', 'x')")


def test_a_user_cannot_mark_her_own_writes_as_the_engines(organisation: Organisation) -> None:
    """Setting the engine's mark by hand opens nothing to an API role."""
    coordinator = organisation.as_user(organisation.add_member())
    coordinator.execute("select set_config('export_engine.writing', 'on', false)")

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        coordinator.execute("update public.export_runs set status = 'failed'")
