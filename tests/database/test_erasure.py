"""erase_claimant: a person's data leaves the app's tables, and the history of exports stays whole."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import Bookkeeper, complete_reversal
from tests.organisation import Organisation, begin, call, complete

PERSONAL = ("Åse", "Ødegård", "10023", "Tromsø")


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def admin(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member("admin", "Kari Admin"))


def erase(
    caller: psycopg.Connection, organisation: Organisation, *claim_ids: UUID, **more: object
) -> dict[str, Any]:
    arguments: dict[str, object] = {"p_reason": "Request 17 of the claimant.", **more}
    return call(
        caller,
        "erase_claimant",
        p_organization_id=organisation.id,
        p_claim_ids=list(claim_ids),
        **arguments,
    )


def refusal(
    caller: psycopg.Connection, organisation: Organisation, *claim_ids: UUID, **more: object
) -> tuple[str | None, str | None, str | None]:
    with pytest.raises(psycopg.Error) as error:
        erase(caller, organisation, *claim_ids, **more)
    return error.value.sqlstate, error.value.diag.message_detail, error.value.diag.message_primary


def app_text(organisation: Organisation, claim_id: UUID) -> str:
    """All that the app's tables say about a claim."""
    rows = organisation.execute(
        "select to_jsonb(c)::text || coalesce(string_agg(to_jsonb(l)::text, ''), '') from public.expense_claims c"
        " left join public.expense_claim_lines l on l.claim_id = c.id where c.id = %s group by c.id",
        claim_id,
    )
    return str(rows[0][0])


def engine_text(organisation: Organisation) -> list[tuple[Any, ...]]:
    """All that the history says, row by row."""
    return organisation.execute(
        "select to_jsonb(r)::text from public.export_runs r union all"
        " select to_jsonb(m)::text from public.export_run_claims m union all"
        " select to_jsonb(e)::text from public.export_run_events e order by 1"
    )


def test_an_exported_claim_loses_its_person(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """Name, number, login, purpose and descriptions are gone from the app's tables; the history did not move."""
    claim_id = organisation.add_claim()
    organisation.execute(
        "update public.expense_claims set claimant_id = %s", organisation.add_member("member")
    )
    complete(organisation, begin(coordinator, organisation))
    before = engine_text(organisation)
    [amounts] = [
        organisation.execute("select amount, expense_type from public.expense_claim_lines")
    ]

    answer = erase(admin, organisation, claim_id)

    assert answer == {"erased": 1, "already_erased": 0}
    assert [word for word in PERSONAL if word in app_text(organisation, claim_id)] == []
    assert organisation.execute(
        "select claimant_name, claimant_id, claimant_number, purpose, status from public.expense_claims"
    ) == [("erased", None, None, "erased", "approved")]
    assert amounts == organisation.execute(
        "select amount, expense_type from public.expense_claim_lines"
    )
    assert engine_text(organisation) == before
    assert any("Åse" in row[0] for row in before), "what was frozen is kept"


def test_erasing_again_changes_nothing(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """A repeated request answers so, and leaves one trace; a name that came back is erased again."""
    first, second = organisation.add_claims(2)
    complete(organisation, begin(coordinator, organisation))

    assert erase(admin, organisation, first) == {"erased": 1, "already_erased": 0}
    [[before]] = organisation.execute("select max(updated_at) from public.expense_claims")
    assert erase(admin, organisation, first) == {"erased": 0, "already_erased": 1}
    assert organisation.execute("select max(updated_at) from public.expense_claims") == [(before,)]
    assert erase(admin, organisation, first, second, first) == {"erased": 1, "already_erased": 1}
    organisation.execute(
        "update public.expense_claims set claimant_name = 'Åse Ødegård' where id = %s", first
    )
    assert erase(admin, organisation, first, second) == {"erased": 1, "already_erased": 1}

    assert organisation.execute(
        "select claim_id, actor, reason from public.export_erasures order by id"
    ) == [(claim, "Kari Admin", "Request 17 of the claimant.") for claim in (first, second, first)]


@pytest.mark.parametrize("status", ["draft", "rejected"])
def test_a_closed_claim_is_erased(
    organisation: Organisation, admin: psycopg.Connection, status: str
) -> None:
    """Nobody asks to be paid for a draft or a rejected claim."""
    claim_id = organisation.add_claim(status=status)

    assert erase(admin, organisation, claim_id)["erased"] == 1
    assert "Åse" not in app_text(organisation, claim_id)


def test_a_claim_that_is_still_to_be_exported_is_not(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """Approved, handed in, reserved, taken back: refused by name, and the others of the call with it."""
    exported = organisation.add_claim()
    complete(organisation, begin(coordinator, organisation))
    submitted = organisation.add_claim(status="submitted")
    approved = organisation.add_claim()

    for claim_id, why in ((submitted, "not exported"), (approved, "not exported")):
        state, code, sentence = refusal(admin, organisation, exported, claim_id)
        assert (state, code) == ("PT422", "claims_not_erasable")
        assert sentence is not None
        assert f"2026-{claim_id.hex[:8]} ({why})" in sentence
        assert f"2026-{exported.hex[:8]}" not in sentence
    begin(coordinator, organisation)
    assert "(reserved)" in (refusal(admin, organisation, approved)[2] or "")
    organisation.execute(
        "update public.expense_claims set status = 'rejected', approved_at = null where id = %s",
        approved,
    )
    assert "(reserved)" in (refusal(admin, organisation, approved)[2] or "")
    assert "Åse" in app_text(organisation, exported)
    assert organisation.execute("select count(*) from public.export_erasures") == [(0,)]


def test_a_claim_that_is_taken_back_is_needed_again(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """While its reversal runs, after it, and after a void: it is to be exported again, with its texts."""
    claim_id = organisation.add_claim()
    admin = Bookkeeper(organisation.as_user(organisation.add_member("admin")))
    run_id = complete(organisation, begin(coordinator, organisation))["run"]["run_id"]
    admin.confirm(run_id, "booked")
    reversing = admin.reverse(run_id)

    assert "(reserved)" in (refusal(admin.connection, organisation, claim_id)[2] or "")
    complete_reversal(organisation, reversing)
    assert "(not exported)" in (refusal(admin.connection, organisation, claim_id)[2] or "")
    again = complete(organisation, begin(coordinator, organisation), content_hash="d" * 64)
    assert erase(admin.connection, organisation, claim_id)["erased"] == 1
    admin.void(again["run"]["run_id"])
    assert refusal(admin.connection, organisation, claim_id)[1] == "claims_not_erasable"


def test_an_erased_claim_was_not_changed_after_its_export(
    organisation: Organisation, coordinator: psycopg.Connection, admin: psycopg.Connection
) -> None:
    """The passport shows no change, and no name; a real change still shows."""
    claim_id = organisation.add_claim()
    complete(organisation, begin(coordinator, organisation))
    erase(admin, organisation, claim_id)

    [status] = call(coordinator, "get_claim_status", p_claim_ids=[claim_id])["claims"]
    assert (status["state"], status["changed_since_export"], status["changes"]) == (
        "exported",
        False,
        [],
    )

    listed = "select changes::text from public.export_changed_claims"
    assert organisation.execute("select count(*) from public.export_claim_changes") != [(0,)]
    assert organisation.execute(listed) == []

    organisation.execute("update public.expense_claim_lines set amount = 1 where line_number = 1")
    [status] = call(coordinator, "get_claim_status", p_claim_ids=[claim_id])["claims"]
    assert status["changed_since_export"]
    assert [change["field"] for change in status["changes"]] == ["total", "lines"]
    assert "Tromsø" not in str(status)
    [[changes]] = organisation.execute(listed)
    assert "Tromsø" not in changes


def test_bad_requests_are_told_apart(organisation: Organisation, admin: psycopg.Connection) -> None:
    """No claims, too many, unknown and foreign ones, no reason, no name."""
    claim_id = organisation.add_claim(status="draft")
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    foreign = other.add_claim(status="draft")
    service = organisation.as_service()

    assert refusal(admin, organisation)[:2] == ("PT400", "erasure_out_of_range")
    many = [uuid4() for _ in range(2001)]
    assert refusal(admin, organisation, *many)[:2] == ("PT400", "erasure_out_of_range")
    unknown = refusal(admin, organisation, claim_id, uuid4())
    assert unknown[:2] == ("PT404", "claim_not_found")
    assert refusal(admin, organisation, claim_id, foreign) == unknown
    assert refusal(admin, organisation, claim_id, p_reason=" ")[:2] == ("PT400", "reason_required")
    assert refusal(service, organisation, claim_id)[:2] == ("PT400", "actor_required")
    assert erase(service, organisation, claim_id, p_actor="Operator")["erased"] == 1
    assert organisation.execute("select actor, actor_id from public.export_erasures") == [
        ("Operator", None)
    ]


def test_only_admins_erase(organisation: Organisation) -> None:
    """Other roles, another organisation's admin and somebody without a login are refused."""
    claim_id = organisation.add_claim(status="draft")
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    callers = [
        organisation.as_user(organisation.add_member(role))
        for role in ("member", "coordinator", "accountant")
    ]
    for caller in (*callers, other.as_user(other.add_member("admin"))):
        assert refusal(caller, organisation, claim_id)[:2] == ("PT403", "not_allowed")
    nobody = organisation.database.connect("authenticated", claims={})
    assert refusal(nobody, organisation, claim_id)[:2] == ("PT401", "not_authenticated")
    with (
        organisation.database.connect("anon") as anonymous,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        erase(anonymous, organisation, claim_id)
    assert "Åse" in app_text(organisation, claim_id)


def test_traces_are_kept_and_seen_by_staff_only(
    organisation: Organisation, admin: psycopg.Connection
) -> None:
    """Nobody edits or removes one; members and strangers see none."""
    claim_id = organisation.add_claim(status="draft")
    erase(admin, organisation, claim_id)
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    query = "select claim_id from public.export_erasures"

    assert admin.execute(query).fetchall() == [(claim_id,)]
    assert organisation.as_user(organisation.add_member("member")).execute(query).fetchall() == []
    assert other.as_user(other.add_member("admin")).execute(query).fetchall() == []
    for way in ("delete from", "truncate"):
        with pytest.raises(psycopg.Error, match="written once"):
            organisation.execute(f"{way} public.export_erasures")
    with pytest.raises(psycopg.Error, match="history of exports"):
        organisation.execute(
            "insert into public.export_erasures (organization_id, claim_id, actor, reason)"
            " select organization_id, claim_id, 'x', 'x' from public.export_erasures"
        )


def test_no_run_takes_a_claim_that_is_being_erased(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Approved and erased at the same moment: whoever comes second waits, and sees what the first one did."""
    claim_id = organisation.add_claim(status="draft")
    slow = organisation.database.connect("service_role", autocommit=False)
    erase(slow, organisation, claim_id, p_actor="Operator")

    with organisation.database.connect("postgres") as app:
        app.execute("set lock_timeout = '200ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            app.execute(
                "update public.expense_claims set status = 'approved', approved_at = '2026-10-05' where id = %s",
                [claim_id],
            )
    assert begin(coordinator, organisation)["outcome"] == "busy"
    slow.commit()
    assert begin(coordinator, organisation)["outcome"] == "nothing_to_export"


@pytest.mark.parametrize("table", ["expense_claims", "expense_claim_lines"])
def test_who_erases_waits_for_no_claim_that_is_being_saved(
    organisation: Organisation, table: str
) -> None:
    """She would hold other claims meanwhile that the same save wants next: the app would be a deadlock's victim."""
    first, second = sorted(organisation.add_claim(status="draft") for _ in range(2))
    column = "id" if table == "expense_claims" else "claim_id"
    save = f"update public.{table} set {column} = {column} where {column} = %s".encode()
    eraser = organisation.database.connect("service_role")
    with organisation.database.connect("postgres", autocommit=False) as app:
        app.execute(save, [second])
        eraser.execute("set lock_timeout = '5s'")
        started = time.monotonic()
        with pytest.raises(psycopg.errors.LockNotAvailable):
            erase(eraser, organisation, first, second, p_actor="Operator")
        assert time.monotonic() - started < 3
        app.execute(save, [first])

    assert erase(eraser, organisation, first, second, p_actor="Operator")["erased"] == 2


def test_who_erases_waits_for_the_organisation_before_she_locks_claims(
    organisation: Organisation,
) -> None:
    """The app locks an organisation before its claims; the other way round they would wait for each other."""
    claim_id = organisation.add_claim(status="draft")
    eraser = organisation.database.connect("service_role")
    eraser.execute("set lock_timeout = '5s'")
    with (
        ThreadPoolExecutor(1) as pool,
        organisation.database.connect("postgres", autocommit=False) as app,
        organisation.database.connect("postgres") as watcher,
    ):
        app.execute("select from public.organizations where id = %s for update", [organisation.id])
        erasing = pool.submit(erase, eraser, organisation, claim_id, p_actor="Operator")
        blocked = "select cardinality(pg_blocking_pids(%s)) > 0"
        while watcher.execute(blocked, [eraser.info.backend_pid]).fetchone() != (True,):
            time.sleep(0.01)
        app.execute("select from public.expense_claims where id = %s for update nowait", [claim_id])
        app.commit()
        assert erasing.result()["erased"] == 1


@pytest.mark.parametrize("table", ["expense_claims", "expense_claim_lines"])
def test_nobody_learns_or_locks_what_others_are_saving(
    organisation: Organisation, table: str
) -> None:
    """An admin who names another organisation's claim hears that it is not there, whoever saves it."""
    other = Organisation.create(organisation.database, name="HLF")
    claim_id = other.add_claim(status="draft")
    admin = organisation.as_user(organisation.add_member("admin"))
    column = "id" if table == "expense_claims" else "claim_id"
    with organisation.database.connect("postgres", autocommit=False) as app:
        save = f"update public.{table} set {column} = {column} where {column} = %s"
        app.execute(save.encode(), [claim_id])

        assert refusal(admin, organisation, claim_id)[:2] == ("PT404", "claim_not_found")
