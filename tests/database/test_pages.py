"""Reserving page by page: cut-off, seal, lost replies, and claims that change between two pages."""

import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from stack.database import Database
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
    """An organisation in a database whose pages hold two claims."""
    database.connect("postgres").execute(
        "create or replace function export_engine.page_size() returns integer language sql immutable return 2"
    )
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def service(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_service()


def reserve(
    service: psycopg.Connection, begun: dict[str, Any], after_position: int
) -> dict[str, Any]:
    return call(
        service,
        "reserve_export_page",
        p_run_id=begun["run"]["run_id"],
        p_fencing_token=begun["fencing_token"],
        p_after_position=after_position,
    )


def reserve_all(service: psycopg.Connection, begun: dict[str, Any]) -> list[dict[str, Any]]:
    claims, page = list(begun["claims"]), begun
    while not page["last_page"]:
        page = reserve(service, begun, claims[-1]["position"])
        claims += page["claims"]
    return claims


def claim_ids(claims: list[dict[str, Any]]) -> list[str]:
    return [claim["claim_id"] for claim in claims]


def test_pages_cover_every_claim_once_in_order_of_approval(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Five claims in pages of two: three pages, each claim once, positions and voucher numbers without a gap."""
    wanted = organisation.add_claims(5)

    claims = reserve_all(service, begin(coordinator, organisation))

    assert claim_ids(claims) == [str(claim_id) for claim_id in wanted]
    assert [claim["position"] for claim in claims] == [1, 2, 3, 4, 5]
    assert [claim["voucher_number"] for claim in claims] == [1, 2, 3, 4, 5]


def test_run_is_sealed_by_the_page_that_finds_no_more(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A full last page leaves the run open; the empty page after it seals it."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation)
    assert (begun["last_page"], begun["run"]["sealed_at"]) == (False, None)

    page = reserve(service, begun, 2)

    assert (page["claims"], page["last_page"]) == ([], True)
    assert page["run"]["sealed_at"] is not None


def test_lost_reply_of_a_page_loses_no_claim(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Asking twice after the same position gives the same members, and reserves nothing more."""
    organisation.add_claims(6)
    begun = begin(coordinator, organisation)

    first, second = reserve(service, begun, 2), reserve(service, begun, 2)

    assert first["claims"] == second["claims"]
    assert second["run"]["reserved_count"] == 4


def test_claims_approved_after_the_cut_off_stay_for_the_next_run(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A claim that is approved while the pages are read does not join, and is taken next time."""
    organisation.add_claims(3)
    begun = begin(coordinator, organisation, ("2026-10-01", "2027-09-30"))
    [[now]] = organisation.execute("select clock_timestamp()")
    late = organisation.add_claim(approved_at=now)

    claims = reserve_all(service, begun)

    assert str(late) not in claim_ids(claims)
    complete(organisation, {**begun, "claims": claims})
    assert claim_ids(begin(coordinator, organisation, ("2026-10-01", "2027-09-30"))["claims"]) == [
        str(late)
    ]


def test_claim_unapproved_between_two_pages_is_out(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A claim that loses its approval before its page is read is not in the run at all."""
    wanted = organisation.add_claims(4)
    begun = begin(coordinator, organisation)
    organisation.execute(
        "update public.expense_claims set status = 'submitted', approved_at = null where id = %s",
        wanted[3],
    )

    assert claim_ids(reserve_all(service, begun)) == [str(claim_id) for claim_id in wanted[:3]]


def test_claim_unapproved_after_it_was_reserved_stays_whole(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """What was frozen is exported as it was, whatever happens to the claim afterwards."""
    wanted = organisation.add_claims(3)
    begun = begin(coordinator, organisation)
    organisation.execute(
        "update public.expense_claims set status = 'submitted', approved_at = null where id = %s",
        wanted[0],
    )

    claims = reserve_all(service, begun)

    assert claim_ids(claims) == [str(claim_id) for claim_id in wanted]
    assert complete(organisation, {**begun, "claims": claims})["run"]["claim_count"] == 3


def test_edit_between_two_pages_is_taken_in_whole(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Head and lines that are changed together before their page is read are frozen together."""
    wanted = organisation.add_claims(3)
    begun = begin(coordinator, organisation)
    organisation.execute(
        "with head as (update public.expense_claims set purpose = 'Ny' where id = %s returning id)"
        " update public.expense_claim_lines set amount = 200, description = 'Ny' where claim_id = (select id from head)",
        wanted[2],
    )

    document = reserve_all(service, begun)[2]["document"]

    assert (document["purpose"], document["total"], document["lines"][0]["description"]) == (
        "Ny",
        "200.00",
        "Ny",
    )


def test_never_an_old_line_beside_a_new_head(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """An edit that commits between the snapshot and the lock is frozen as a whole or not at all.

    The editor holds the head's lock when begin takes its snapshot and commits while begin works. With skip locked the
    claim is left for the next run; without it, begin would wait and then read lines from the older snapshot.
    """
    import time

    for _ in range(10):
        claim_id = organisation.add_claim([("mileage", "1.00"), ("toll", "1.00")])
        editor = organisation.database.connect("postgres", autocommit=False)
        editor.execute("update public.expense_claims set purpose = '2' where id = %s", [claim_id])
        editor.execute(
            "update public.expense_claim_lines set amount = 2, description = '2' where claim_id = %s",
            [claim_id],
        )
        commit = threading.Timer(0.005, editor.commit)
        commit.start()
        deadline = time.monotonic() + 5
        while (answer := begin(coordinator, organisation))["outcome"] == "nothing_to_export":
            assert time.monotonic() < deadline
        commit.join()
        document = answer["claims"][0]["document"]
        assert {line["amount"] for line in document["lines"]} == {f"{document['purpose']}.00"}
        complete(organisation, answer)


def test_rows_locked_and_documents_built_in_one_statement_would_tear() -> None:
    """The seam keeps locking and rendering apart: neither function does the other's work."""
    from stack.migrations import DIRECTORY

    [seam] = DIRECTORY.glob("*_create_claims_seam.sql")
    functions = {
        part.split("(")[0]: part
        for part in seam.read_text(encoding="utf-8").split("create function export_engine.")
    }

    assert "expense_claim_lines" not in functions["lock_claims"].split("comment on")[0]
    assert "for no key update" not in functions["claim_documents"].split("comment on")[0]


def test_left_out_claims_of_a_page_are_not_reserved_again_by_the_same_run(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A claim that was left out early is free, but the run that left it out never takes it a second time."""
    wanted = organisation.add_claims(5)
    begun = begin(coordinator, organisation)
    reason = {
        "claim_id": str(wanted[0]),
        "code": "no_account_for_expense_type",
        "field": "lines[0]",
        "message": "No account.",
    }
    call(
        service,
        "leave_out_export_claims",
        p_run_id=begun["run"]["run_id"],
        p_fencing_token=begun["fencing_token"],
        p_left_out=[reason],
    )

    claims = reserve_all(service, begun)

    assert claim_ids(claims[2:]) == [str(claim_id) for claim_id in wanted[2:]]
    completed = complete(organisation, {**begun, "claims": claims[1:]})
    assert (completed["run"]["claim_count"], completed["run"]["left_out_count"]) == (4, 1)
    organisation.execute(
        "update public.expense_claims set purpose = 'Rettet' where id = %s", wanted[0]
    )
    assert claim_ids(begin(coordinator, organisation)["claims"]) == [str(wanted[0])]


def test_claims_approved_at_the_same_instant_are_paged_once(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A bulk approval gives all claims one timestamp: pages go on by id, also past one that was left out."""
    wanted = organisation.add_claims(5, spacing=timedelta(0))
    begun = begin(coordinator, organisation)
    reasons = [
        {
            "claim_id": claim["claim_id"],
            "code": "no_lines",
            "field": "lines",
            "message": "No lines.",
        }
        for claim in begun["claims"]
    ]
    call(
        service,
        "leave_out_export_claims",
        p_run_id=begun["run"]["run_id"],
        p_fencing_token=begun["fencing_token"],
        p_left_out=reasons,
    )

    claims = reserve_all(service, begun)

    assert sorted(claim_ids(claims)) == sorted(str(claim_id) for claim_id in wanted)


def test_successor_does_not_get_what_was_left_out(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A claim that the dead worker left out stays left out, so that the same file comes out."""
    wanted = organisation.add_claims(2)
    first = begin(coordinator, organisation)
    call(
        service,
        "leave_out_export_claims",
        p_run_id=first["run"]["run_id"],
        p_fencing_token=first["fencing_token"],
        p_left_out=[
            {
                "claim_id": str(wanted[0]),
                "code": "no_lines",
                "field": "lines",
                "message": "No lines.",
            }
        ],
    )
    organisation.expire_lease()

    second = begin(coordinator, organisation)

    assert (second["outcome"], claim_ids(second["claims"])) == ("resumed", [str(wanted[1])])


def test_page_of_nothing_but_edited_claims_does_not_end_the_run(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """When a whole page is being edited, the claims after it are exported and the page is counted as skipped."""
    wanted = organisation.add_claims(3)
    with organisation.database.connect("postgres", autocommit=False) as editor:
        editor.execute(
            "update public.expense_claims set purpose = 'Ny' where id = any (%s)", [wanted[:2]]
        )

        answer = begin(coordinator, organisation)

    assert (claim_ids(answer["claims"]), answer["last_page"]) == ([str(wanted[2])], True)
    assert answer["run"]["skipped_count"] == 2


def test_claim_approved_anew_while_its_page_is_read_waits_for_the_next_run(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Between reading a page and locking it a claim may be approved anew: after the cut-off it does not join."""
    kept, moved = organisation.add_claims(2)
    organisation.execute(
        "alter function export_engine.eligible_claims rename to eligible_claims_at_once"
    )
    organisation.execute(
        "create function export_engine.eligible_claims(uuid, timestamptz, timestamptz, timestamptz, uuid, integer)"
        " returns table (claim_id uuid, approved_at timestamptz) language plpgsql as $$ begin return query"
        " select * from export_engine.eligible_claims_at_once($1, $2, $3, $4, $5, $6); perform pg_sleep(0.5); end $$"
    )
    approve_anew = threading.Timer(
        0.2,
        organisation.execute,
        ["update public.expense_claims set approved_at = clock_timestamp() where id = %s", moved],
    )
    approve_anew.start()

    answer = begin(coordinator, organisation, ("2026-10-01", "2027-09-30"))

    approve_anew.join()
    assert claim_ids(answer["claims"]) == [str(kept)]
    assert answer["run"]["skipped_count"] == 1


def test_takeover_in_the_middle_of_the_pages_reserves_the_rest(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """A successor reads the frozen members back and goes on where the dead worker stopped."""
    wanted = organisation.add_claims(5)
    first = begin(coordinator, organisation)
    reserve(service, first, 2)
    organisation.expire_lease()

    second = begin(coordinator, organisation)

    assert second["outcome"] == "resumed"
    assert claim_ids(reserve_all(service, second)) == [str(claim_id) for claim_id in wanted]


def test_only_a_sealed_run_is_completed(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """While claims may still join, complete is refused."""
    organisation.add_claims(3)
    begun = begin(coordinator, organisation)

    with pytest.raises(psycopg.Error) as error:
        complete(organisation, begun)

    assert error.value.diag.message_detail == "run_not_sealed"


def test_sealed_run_takes_nothing_more_even_by_the_owner(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """The trigger holds the seal for everybody."""
    organisation.add_claim()
    begin(coordinator, organisation)

    owner = organisation.database.connect("postgres", autocommit=False)
    owner.execute("select export_engine.open_for_writing()")
    with pytest.raises(psycopg.Error) as error:
        owner.execute("update public.export_runs set reserved_count = reserved_count + 1")

    assert error.value.diag.message_detail == "run_is_sealed"


def test_failing_a_large_run_releases_page_by_page(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Each call releases one page; the last one ends in failed, and every claim is free again."""
    organisation.add_claims(5)
    begun = begin(coordinator, organisation)
    reserve_all(service, begun)
    request: dict[str, Any] = {
        "p_run_id": begun["run"]["run_id"],
        "p_fencing_token": begun["fencing_token"],
        "p_error_code": "configuration_invalid",
        "p_error_detail": {"errors": []},
        "p_left_out": [],
    }

    answers = [call(service, "fail_export_run", **request) for _ in range(3)]

    assert [(answer["released"], answer["run"]["status"]) for answer in answers] == [
        (False, "releasing"),
        (False, "releasing"),
        (True, "failed"),
    ]
    assert organisation.live_memberships() == {}


def test_counts_and_totals_of_the_run_follow_its_pages(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Each page adds its counts and sums per currency to the run, and complete compares them."""
    organisation.add_claims(3)
    organisation.add_claim(
        [("receipt", "12.34")], currency="EUR", approved_at=APPROVED_AT + timedelta(hours=1)
    )
    begun = begin(coordinator, organisation)
    claims = reserve_all(service, begun)
    run_id = begun["run"]["run_id"]
    wrong = {**summary_of(claims), "totals": {"NOK": "300.00", "EUR": "12.35"}}

    with pytest.raises(psycopg.Error) as error:
        call(
            service,
            "complete_export_run",
            p_run_id=run_id,
            p_fencing_token=begun["fencing_token"],
            p_file=store_file(organisation, run_id),
            p_summary=wrong,
            p_left_out=[],
        )
    completed = complete(organisation, {**begun, "claims": claims})

    assert error.value.diag.message_detail == "totals_mismatch"
    assert completed["run"]["totals"] == {"NOK": "300.00", "EUR": "12.34"}


def test_a_first_large_export_on_tables_that_were_never_analysed_stays_fast(
    database: Database,
) -> None:
    """Pages of 2,000 claims come within the data API's time limit although the planner knows nothing of the tables."""
    with database.connect("supabase_admin") as superuser:
        superuser.execute("alter table public.export_run_claims set (autovacuum_enabled = off)")
        superuser.execute("alter table public.expense_claims set (autovacuum_enabled = off)")
        superuser.execute("alter table public.expense_claim_lines set (autovacuum_enabled = off)")
    organisation = Organisation.create(database)
    wanted = organisation.add_claims(12_000, spacing=timedelta(milliseconds=1))
    user = organisation.as_user(organisation.add_member())
    with organisation.as_service() as service:
        begun = begin(user, organisation)
        claims = reserve_all(service, begun)
        reasons = [
            {
                "claim_id": claim["claim_id"],
                "code": "no_lines",
                "field": "lines",
                "message": "No lines.",
            }
            for claim in claims[:2000]
        ]
        left_out = call(
            service,
            "leave_out_export_claims",
            p_run_id=begun["run"]["run_id"],
            p_fencing_token=begun["fencing_token"],
            p_left_out=reasons,
        )

    assert claim_ids(claims) == [str(claim_id) for claim_id in wanted]
    assert left_out["run"]["left_out_count"] == 2000


def test_leaving_out_does_not_depend_on_what_the_planner_knows(database: Database) -> None:
    """The last page of a run that is newer than the statistics is left out well within the time of a statement."""
    with database.connect("supabase_admin") as superuser:
        superuser.execute("alter table public.export_run_claims set (autovacuum_enabled = off)")
    organisation = Organisation.create(database)
    user, service = organisation.as_user(organisation.add_member()), organisation.as_service()
    organisation.add_claims(1999)
    complete(organisation, begin(user, organisation))
    with database.connect("supabase_admin") as superuser:
        superuser.execute("analyze public.export_run_claims")
    later = APPROVED_AT + timedelta(days=1)
    organisation.add_claims(8000, approved_at=later, spacing=timedelta(milliseconds=1))
    begun = begin(user, organisation)
    reasons = [
        {"claim_id": claim["claim_id"], "code": "no_lines", "field": None, "message": "No lines."}
        for claim in reserve_all(service, begun)[-2000:]
    ]

    service.execute("set statement_timeout = '1500ms'")
    answer = call(
        service,
        "leave_out_export_claims",
        p_run_id=begun["run"]["run_id"],
        p_fencing_token=begun["fencing_token"],
        p_left_out=reasons,
    )

    assert answer["run"]["left_out_count"] == 2000


def test_a_claim_that_is_in_the_run_twice_is_left_out_where_it_still_is(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """Left out, approved again behind the cursor, reserved and left out again: the run's sums follow, and it completes."""
    claims = organisation.add_claims(5)
    begun = begin(coordinator, organisation)
    held = {"p_run_id": begun["run"]["run_id"], "p_fencing_token": begun["fencing_token"]}
    reason = {"claim_id": str(claims[0]), "code": "no_lines", "field": None, "message": "No."}
    call(service, "leave_out_export_claims", **held, p_left_out=[reason])
    organisation.execute(
        "update public.expense_claims set approved_at = %s where id = %s",
        APPROVED_AT + timedelta(hours=1),
        claims[0],
    )
    kept = [c for c in reserve_all(service, begun) if c["claim_id"] != str(claims[0])]
    call(service, "leave_out_export_claims", **held, p_left_out=[reason])

    done = call(
        service,
        "complete_export_run",
        **held,
        p_file=store_file(organisation, begun["run"]["run_id"]),
        p_summary=summary_of(kept),
        p_left_out=[],
    )

    assert (done["run"]["status"], done["run"]["claim_count"]) == ("completed", 4)
    assert done["run"]["left_out_count"] == 2
