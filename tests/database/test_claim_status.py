"""get_claim_status: where a claim stands, in which file it is, what changed since, and who may ask."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.voiding import void
from tests.organisation import (
    APPROVED_AT,
    Organisation,
    begin,
    call,
    complete,
    store_file,
    summary_of,
)


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


def statuses(reader: psycopg.Connection, *claim_ids: UUID) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = call(reader, "get_claim_status", p_claim_ids=list(claim_ids))[
        "claims"
    ]
    return answer


def refusal(
    reader: psycopg.Connection, claim_ids: Sequence[UUID | None] | None
) -> tuple[str | None, ...]:
    with pytest.raises(psycopg.Error) as error:
        call(reader, "get_claim_status", p_claim_ids=claim_ids)
    return error.value.sqlstate, error.value.diag.message_detail


def export_without(
    organisation: Organisation, coordinator: psycopg.Connection, left_out: UUID
) -> dict[str, Any]:
    """Export everything but one claim."""
    begun = begin(coordinator, organisation)
    run_id = begun["run"]["run_id"]
    reason = {
        "claim_id": str(left_out),
        "code": "no_account_for_expense_type",
        "field": "lines[1].expense_type",
        "message": "No account.",
    }
    with organisation.as_service() as service:
        call(
            service,
            "complete_export_run",
            p_run_id=run_id,
            p_fencing_token=begun["fencing_token"],
            p_file=store_file(organisation, run_id),
            p_summary=summary_of([c for c in begun["claims"] if c["claim_id"] != str(left_out)]),
            p_left_out=[reason],
        )
    return begun


def test_every_state_is_told(organisation: Organisation, coordinator: psycopg.Connection) -> None:
    """Exported, left out, eligible, not approved, reserved and held, in the order asked, each once."""
    exported, left_out = organisation.add_claim(), organisation.add_claim()
    export_without(organisation, coordinator, left_out)
    eligible = organisation.add_claim(approved_at=APPROVED_AT + timedelta(days=1))
    draft, unknown = organisation.add_claim(status="draft"), uuid4()
    asked = [draft, exported, unknown, left_out, eligible, exported]

    told = statuses(coordinator, *asked)

    assert [(claim["claim_id"], claim["state"]) for claim in told] == [
        (str(draft), "not_approved"),
        (str(exported), "exported"),
        (str(unknown), "unknown"),
        (str(left_out), "left_out"),
        (str(eligible), "eligible"),
    ]
    begun = begin(coordinator, organisation)
    [reserved] = statuses(coordinator, eligible)
    assert (reserved["state"], reserved["run"]["run_number"]) == ("reserved", 2)
    assert (reserved["file_name"], reserved["voucher_number"]) == (None, 4)
    organisation.execute(
        "select export_engine.open_for_writing();"
        f"select export_engine.park_run(r) from public.export_runs as r where r.id = '{begun['run']['run_id']}'"
    )
    [held] = statuses(coordinator, eligible)
    assert (held["state"], held["reason"]["code"]) == ("held", "run_parked")


def test_an_exported_claim_names_its_file(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Run, date, person, file, hash and voucher: what somebody needs who has the claim in her hand."""
    claim_id = organisation.add_claim()
    run = complete(organisation, begin(coordinator, organisation))["run"]

    [claim] = statuses(coordinator, claim_id)

    assert claim["run"]["run_id"] == run["run_id"]
    assert claim["run"]["triggered_by_name"] == "Kåre Åsen"
    assert claim["run"]["export_date"] == run["export_date"]
    assert (claim["file_name"], claim["file_sha256"]) == ("export.csv", "a" * 64)
    assert (claim["voucher_number"], claim["reason"]) == (1, None)
    assert (claim["changed_since_export"], claim["changes"]) == (False, [])
    assert not claim["no_longer_approved"]


def test_a_left_out_claim_says_why(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Code, field and sentence of the last run that tried; no file, because it is in none."""
    organisation.add_claim()
    left_out = organisation.add_claim()
    export_without(organisation, coordinator, left_out)

    [claim] = statuses(coordinator, left_out)

    assert claim["reason"] == {
        "code": "no_account_for_expense_type",
        "field": "lines[1].expense_type",
        "message": "No account.",
    }
    assert (claim["file_name"], claim["run"]["run_number"]) == (None, 1)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (
            "update public.expense_claims set purpose = 'Rettet'",
            [("purpose", None, "Tillitsvalgtmøte i Tromsø", "Rettet")],
        ),
        (
            "update public.expense_claims set claimant_number = null",
            [
                (
                    "claimant",
                    None,
                    {"name": "Åse Ødegård", "number": "10023"},
                    {"name": "Åse Ødegård", "number": None},
                )
            ],
        ),
        (
            "update public.expense_claim_lines set amount = 57 where line_number = 2",
            [("total", None, "406.00", "407.00"), ("lines", 2, "56.00", "57.00")],
        ),
        (
            "delete from public.expense_claim_lines where line_number = 1",
            [("total", None, "406.00", "56.00"), ("lines", 1, "350.00", None)],
        ),
        (
            (
                "insert into public.expense_claim_lines (claim_id, line_number, expense_type, description, expense_date, amount)"
                " select id, 3, 'toll', 'Bom', '2026-09-30', 10 from public.expense_claims"
            ),
            [("total", None, "406.00", "416.00"), ("lines", 3, None, "10.00")],
        ),
        ("update public.expense_claims set updated_at = now() + interval '1 day'", []),
    ],
)
def test_what_changed_since_the_export_is_named(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    change: str,
    difference: list[tuple[str, int | None, object, object]],
) -> None:
    """Each field and line that differs from what was frozen, with what it was and what it is."""
    claim_id = organisation.add_claim()
    complete(organisation, begin(coordinator, organisation))
    organisation.execute(change)

    [claim] = statuses(coordinator, claim_id)

    def amount(value: Any, field: str) -> Any:
        return value["amount"] if field == "lines" and value else value

    assert claim["state"] == "exported"
    assert claim["changed_since_export"] == bool(difference)
    assert [
        (c["field"], c["line_number"], amount(c["was"], c["field"]), amount(c["is"], c["field"]))
        for c in claim["changes"]
    ] == difference


def test_an_approval_that_was_taken_back_is_told(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """The claim stays exported, and whoever looks reads that it is no longer approved."""
    claim_id = organisation.add_claim()
    complete(organisation, begin(coordinator, organisation))
    organisation.execute(
        "update public.expense_claims set status = 'submitted', approved_at = null"
    )

    [claim] = statuses(coordinator, claim_id)

    assert (claim["state"], claim["no_longer_approved"]) == ("exported", True)
    assert claim["changed_since_export"]
    assert [change["field"] for change in claim["changes"]] == ["approved_on"]


def test_earlier_memberships_are_told_in_short(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A voided and a failed run stay in the story, newest first, and do not decide the state."""
    claim_id = organisation.add_claim()
    first = complete(organisation, begin(coordinator, organisation))["run"]
    void(organisation.database.connect("postgres"), first["run_id"])
    [free] = statuses(coordinator, claim_id)
    assert (free["state"], free["run"], free["voucher_number"]) == ("eligible", None, None)
    second = begin(coordinator, organisation)

    [claim] = statuses(coordinator, claim_id)

    assert claim["state"] == "reserved"
    assert [(m["run"]["status"], m["outcome"]) for m in claim["memberships"]] == [
        ("processing", "included"),
        ("voided", "released"),
    ]
    assert claim["memberships"][0]["run"]["run_id"] == second["run"]["run_id"]


def test_the_story_of_a_claim_is_bounded(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Ten memberships are told, the newest; the search by claim has all of them."""
    claim_id = organisation.add_claim()
    for _ in range(11):
        run = complete(organisation, begin(coordinator, organisation))["run"]
        void(organisation.database.connect("postgres"), run["run_id"])

    [claim] = statuses(coordinator, claim_id)

    assert [m["run"]["run_number"] for m in claim["memberships"]] == list(range(11, 1, -1))
    assert len(call(coordinator, "find_runs_by_claim_id", p_claim_id=claim_id)["runs"]) == 11


def test_foreign_claims_are_as_unknown_as_unknown_ones(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Strangers, and claimants of their own claims, read the same as of an id that does not exist."""
    claim_id = organisation.add_claim()
    complete(organisation, begin(coordinator, organisation))
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    claimant = organisation.add_member("member")
    organisation.execute("update public.expense_claims set claimant_id = %s", claimant)

    for reader in (
        other.as_user(other.add_member("admin")),
        organisation.as_user(claimant),
        organisation.as_user(uuid4()),
    ):
        unknown = uuid4()
        assert statuses(reader, claim_id, unknown) == [
            {"claim_id": str(claim_id), "state": "unknown"},
            {"claim_id": str(unknown), "state": "unknown"},
        ]
    for role in ("coordinator", "accountant", "admin"):
        reader = organisation.as_user(organisation.add_member(role))
        assert [claim["state"] for claim in statuses(reader, claim_id)] == ["exported"]
    assert [claim["state"] for claim in statuses(organisation.as_service(), claim_id)] == [
        "exported"
    ]


def test_one_to_two_hundred_claims_are_told(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """None, nulls and more than two hundred are refused; two hundred are answered."""
    claim_ids = organisation.add_claims(201)

    for bad in ([], None, [None], claim_ids):
        assert refusal(coordinator, bad) == ("PT400", "claim_ids_out_of_range")
    assert {claim["state"] for claim in statuses(coordinator, *claim_ids[:200])} == {"eligible"}


def test_the_dashboards_view_agrees(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """claim_export_details shows the file's hash, who exported, and that the approval was taken back."""
    claim_id = organisation.add_claim()
    complete(organisation, begin(coordinator, organisation))
    columns = "claim_id, file_sha256, exported_by, is_no_longer_approved"
    query = f"select {columns} from public.claim_export_details".encode()

    assert coordinator.execute(query).fetchall() == [(claim_id, "a" * 64, "Kåre Åsen", False)]
    organisation.execute("update public.expense_claims set status = 'draft', approved_at = null")
    assert coordinator.execute(query).fetchall() == [(claim_id, "a" * 64, "Kåre Åsen", True)]
