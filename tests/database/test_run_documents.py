"""Documents beside a file: recorded once, kept as long as the run, known to reconciliation, and due until they are there."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import Bookkeeper, complete_reversal, vouchers
from tests.database.documents import record_documents, stored_documents
from tests.database.voiding import void
from tests.database.worker import Worker
from tests.organisation import Organisation, begin, call, complete


@pytest.fixture
def organisation(database: Database) -> Organisation:
    """An organisation with claims."""
    organisation = Organisation.create(database)
    organisation.add_claims(3)
    return organisation


@pytest.fixture
def service(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_service()


@pytest.fixture
def run_id(organisation: Organisation) -> str:
    """A completed run of three claims."""
    user = organisation.as_user(organisation.add_member())
    identifier: str = complete(organisation, begin(user, organisation))["run"]["run_id"]
    return identifier


def refusal(work: Callable[[], object]) -> tuple[str | None, str | None]:
    with pytest.raises(psycopg.Error) as error:
        work()
    return error.value.sqlstate, error.value.diag.message_detail


def due(organisation: Organisation) -> list[tuple[Any, ...]]:
    return organisation.execute(
        "select run_id::text, tries, problem_code from public.export_documents_due"
    )


def members(service: psycopg.Connection, run_id: str, after: int = 0) -> list[int]:
    answer = call(service, "read_file_members", p_run_id=run_id, p_after_position=after)
    assert answer["last_page"]
    return [claim["position"] for claim in answer["claims"]]


def test_a_completed_run_wants_its_documents_until_they_are_recorded(
    organisation: Organisation, run_id: str
) -> None:
    assert due(organisation) == [(run_id, 0, None)]

    told = record_documents(organisation, run_id)

    assert [document["kind"] for document in told["documents"]] == [
        "manifest",
        "verification_sheet_nb",
    ]
    assert due(organisation) == []


def test_recording_again_keeps_the_first(
    organisation: Organisation, service: psycopg.Connection, run_id: str
) -> None:
    """A slower worker with other bytes is told what was recorded before."""
    first = record_documents(organisation, run_id)
    [other, _] = stored_documents(organisation, run_id)
    path = f"{organisation.id}/{run_id}/{'e' * 64}.xlsx"
    organisation.execute(
        "insert into storage.objects (bucket_id, name) values ('exports', %s)", path
    )

    again = call(
        service,
        "record_export_documents",
        p_run_id=run_id,
        p_documents=[{**other, "path": path, "sha256": "e" * 64}],
    )

    assert again == first


def test_only_what_lies_in_the_runs_folder_is_recorded(
    organisation: Organisation, service: psycopg.Connection, run_id: str
) -> None:
    [document, _] = stored_documents(organisation, run_id)

    def record(**changes: object) -> object:
        documents = [{**document, **changes}]
        return call(service, "record_export_documents", p_run_id=run_id, p_documents=documents)

    assert refusal(lambda: record(path=f"{organisation.id}/x/{'c' * 64}.xlsx")) == (
        "PT409",
        "file_path_mismatch",
    )
    elsewhere = {"path": f"{organisation.id}/{run_id}/{'9' * 64}.xlsx", "sha256": "9" * 64}
    assert refusal(lambda: record(**elsewhere)) == ("PT409", "file_not_stored")


def test_unfinished_failed_and_manual_runs_have_none(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    user = organisation.as_user(organisation.add_member())
    run_id = begin(user, organisation)["run"]["run_id"]
    asked = [
        lambda: call(service, "get_export_document_source", p_run_id=run_id),
        lambda: call(service, "read_file_members", p_run_id=run_id, p_after_position=0),
        lambda: call(service, "read_left_out_members", p_run_id=run_id, p_after_position=0),
        lambda: call(service, "record_export_documents", p_run_id=run_id, p_documents=[]),
    ]
    for ask in asked:
        assert refusal(ask) == ("PT409", "run_has_no_file")
    organisation.execute("select public.fail_export_run_by_admin(%s, 'x', 'Kari')", run_id)
    assert refusal(asked[0]) == ("PT409", "run_has_no_file")
    [[run_id]] = organisation.execute(
        "select public.create_export_run(%s, null, 'xledger_gl02b', 'manual') ->> 'run_id'",
        organisation.id,
    )
    assert refusal(asked[0]) == ("PT409", "run_is_manual")
    assert due(organisation) == []


def test_the_members_of_a_file_are_the_same_whatever_became_of_them(
    organisation: Organisation, service: psycopg.Connection, run_id: str
) -> None:
    """Refused, reversed, voided: the file has them. What was left out it has not."""
    assert members(service, run_id) == [1, 2, 3]
    accountant = Bookkeeper(organisation.as_user(organisation.add_member("accountant")))
    accountant.confirm(run_id, "refused", vouchers(2))
    assert members(service, run_id) == [1, 2, 3]
    void(organisation.database.connect("postgres"), run_id)
    assert members(service, run_id) == [1, 2, 3]
    assert members(service, run_id, after=2) == [3]


def test_left_out_members_are_read_apart(
    organisation: Organisation, service: psycopg.Connection
) -> None:
    worker = Worker.of(
        organisation, service, begin(organisation.as_user(organisation.add_member()), organisation)
    )
    claims = worker.reserve_all()
    worker.complete([claims[0], claims[2]], [claims[1]["claim_id"]])

    answer = call(service, "read_left_out_members", p_run_id=worker.run_id, p_after_position=0)
    [left_out] = answer["claims"]
    assert (left_out["position"], left_out["code"], left_out["amount"]) == (
        2,
        "no_account_for_expense_type",
        "100.00",
    )
    assert members(service, worker.run_id) == [1, 3]


def test_two_sweeps_do_not_take_the_same(
    organisation: Organisation, service: psycopg.Connection, run_id: str
) -> None:
    """A run that is taken is put off, and after five tries nobody takes it any more."""
    assert call(service, "take_due_documents", p_limit=5)["runs"] == [
        {"run_id": run_id, "organization_id": str(organisation.id)}
    ]
    assert call(service, "take_due_documents", p_limit=5)["runs"] == []
    for _ in range(4):
        organisation.execute(
            "update public.export_documents_due set due_at = now() - interval '1 s'"
        )
        assert len(call(service, "take_due_documents", p_limit=5)["runs"]) == 1
    organisation.execute("update public.export_documents_due set due_at = now() - interval '1 s'")
    assert call(service, "take_due_documents", p_limit=5)["runs"] == []
    assert due(organisation) == [(run_id, 5, None)]


def test_what_was_given_up_is_taken_no_more(
    organisation: Organisation, service: psycopg.Connection, run_id: str
) -> None:
    call(service, "give_up_due_documents", p_run_id=run_id, p_problem_code="sheet_not_reproducible")

    assert call(service, "take_due_documents", p_limit=5)["runs"] == []
    assert due(organisation) == [(run_id, 0, "sheet_not_reproducible")]


@pytest.mark.parametrize(
    "edit",
    [
        "update public.export_run_documents set sha256 = repeat('0', 64)",
        "delete from public.export_run_documents",
        "truncate public.export_run_documents",
        "insert into public.export_run_documents select * from public.export_run_documents",
        "update storage.objects set name = 'elsewhere' where name like '%.xlsx'",
        "select set_config('storage.allow_delete_query', 'true', true); delete from storage.objects where name like '%.xlsx'",
        "select export_engine.open_for_writing(); delete from public.export_run_documents",
    ],
)
def test_nobody_changes_a_document(organisation: Organisation, run_id: str, edit: str) -> None:
    """Neither row nor object, not the owner and not a superuser."""
    record_documents(organisation, run_id)
    with organisation.database.connect("supabase_admin", autocommit=False) as superuser:
        assert refusal(lambda: superuser.execute(edit.encode())) == (
            "PT403",
            "history_is_protected",
        )


def test_reconciliation_knows_documents(organisation: Organisation, run_id: str) -> None:
    """A recorded one is no finding; one without a row is a note, and no red one."""

    def of_objects() -> list[tuple[Any, ...]]:
        rows = organisation.execute(
            "select what, sentence from public.reconcile_exports(%s)", organisation.id
        )
        return [row for row in rows if "object" in row[0] or "object" in str(row[1])]

    stored_documents(organisation, run_id)
    assert len([row for row in of_objects() if "No run names the object" in str(row[1])]) == 2
    record_documents(organisation, run_id)
    assert not [row for row in of_objects() if "No run names the object" in str(row[1])]


def test_documents_go_with_their_run(organisation: Organisation, run_id: str) -> None:
    """In a database for tests a run is deleted for good, its documents with it, and then their objects may go."""
    record_documents(organisation, run_id)
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute(
            f"alter database {organisation.database.name} set export_engine.is_test_database = 'on'"
        )
    organisation.execute("select public.hard_delete_export_run(%s, null, 'Old', 'Kari')", run_id)

    assert organisation.execute("select from public.export_run_documents") == []
    assert due(organisation) == []
    with organisation.database.connect("postgres") as owner:
        owner.execute("select set_config('storage.allow_delete_query', 'true', false)")
        assert owner.execute("delete from storage.objects").rowcount == 3


def test_a_reversing_run_wants_its_own(organisation: Organisation, run_id: str) -> None:
    admin = Bookkeeper(organisation.as_user(organisation.add_member("admin")))
    complete_reversal(organisation, admin.reverse(run_id))

    assert len(due(organisation)) == 2


@pytest.mark.parametrize(
    ("function", "more"),
    [
        ("get_export_document_source", {}),
        ("read_file_members", {"p_after_position": 0}),
        ("read_left_out_members", {"p_after_position": 0}),
        ("record_export_documents", {"p_documents": []}),
        ("give_up_due_documents", {"p_problem_code": "x"}),
    ],
)
def test_users_cannot_call_what_the_service_calls(
    organisation: Organisation, run_id: str, function: str, more: dict[str, Any]
) -> None:
    """Not even an admin of the organisation: her sheet is made for her."""
    admin = organisation.as_user(organisation.add_member("admin"))

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        call(admin, function, p_run_id=run_id, **more)
