"""A claim that was left out is tried again when it, or the configuration, changed; until then it is reported, not retried."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from exporters.run_renderer import RENDERER_VERSION
from stack.database import Database
from tests.organisation import (
    APPROVED_AT,
    OCTOBER,
    Organisation,
    begin,
    call,
    store_file,
    summary_of,
)


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


def reason(claim_id: UUID | str) -> dict[str, Any]:
    return {
        "claim_id": str(claim_id),
        "code": "no_account_for_expense_type",
        "field": "lines[1].expense_type",
        "message": "No account.",
    }


def export_leaving_out(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> str:
    """Export everything but one claim, and return the run."""
    begun = begin(coordinator, organisation)
    run_id: str = begun["run"]["run_id"]
    kept = [claim for claim in begun["claims"] if claim["claim_id"] != str(claim_id)]
    with organisation.as_service() as service:
        if kept:
            call(
                service,
                "complete_export_run",
                p_run_id=run_id,
                p_fencing_token=begun["fencing_token"],
                p_file=store_file(organisation, run_id),
                p_summary=summary_of(kept),
                p_left_out=[reason(claim_id)],
            )
        else:
            call(
                service,
                "fail_export_run",
                p_run_id=run_id,
                p_fencing_token=begun["fencing_token"],
                p_error_code="all_claims_left_out",
                p_error_detail={},
                p_left_out=[reason(claim_id)],
            )
    return run_id


def test_second_tap_names_the_run_and_what_is_still_left_out(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """After a success with one claim left out, another tap is no failure: it names the run and the claim."""
    left_out, _ = organisation.add_claim(), organisation.add_claim()
    run_id = export_leaving_out(organisation, coordinator, left_out)
    before = organisation.execute("select name, last_value from public.export_counters order by 1")

    answer = begin(coordinator, organisation)

    assert (answer["outcome"], answer["run"]["run_id"]) == ("nothing_to_export", run_id)
    assert [{**claim, "claim_number": ""} for claim in answer["left_out"]] == [
        {**reason(left_out), "claim_number": ""}
    ]
    assert (
        organisation.execute("select name, last_value from public.export_counters order by 1")
        == before
    )
    assert organisation.execute("select count(*) from public.export_runs") == [(1,)]


def test_second_tap_over_nothing_but_left_out_claims_makes_no_second_failure(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """When nothing could be exported at all, tapping again changes nothing."""
    export_leaving_out(organisation, coordinator, organisation.add_claim())

    answer = begin(coordinator, organisation)

    assert (answer["outcome"], answer["run"], len(answer["left_out"])) == (
        "nothing_to_export",
        None,
        1,
    )
    assert organisation.execute("select status from public.export_runs") == [("failed",)]


@pytest.mark.parametrize(
    "change",
    [
        "update public.expense_claims set purpose = 'Rettet'",
        "update public.expense_claim_lines set expense_type = 'toll'",
        "update public.expense_claim_lines set amount = amount + 1",
        (
            "insert into public.export_posting_rules (organization_id, target, side, expense_type, account_code)"
            " select organization_id, target, 'expense', 'hotel', '7150' from public.export_targets"
        ),
        'update public.export_targets set settings = settings || \'{"header": "names"}\'',
        "update public.export_targets set on_problem = 'refuse_run'",
    ],
)
def test_change_of_claim_or_configuration_tries_it_again(
    organisation: Organisation, coordinator: psycopg.Connection, change: str
) -> None:
    """Whatever could make a difference makes the next tap try the claim again."""
    left_out = organisation.add_claim()
    export_leaving_out(organisation, coordinator, left_out)
    organisation.execute(change)

    answer = begin(coordinator, organisation)

    assert (answer["outcome"], len(answer["claims"])) == ("started", 1)


def test_newer_renderer_tries_it_again(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A deploy that renders differently may export what the older one could not."""
    export_leaving_out(organisation, coordinator, organisation.add_claim())
    request = {
        "p_organization_id": organisation.id,
        "p_target": None,
        "p_period_from": OCTOBER[0],
        "p_period_to": OCTOBER[1],
        "p_idempotency_key": None,
        "p_invocation_id": organisation.id,
    }

    assert call(coordinator, "begin_export", **request)["outcome"] == "nothing_to_export"
    newer = {**request, "p_renderer_version": RENDERER_VERSION}
    assert call(coordinator, "begin_export", **newer)["outcome"] == "unchecked"
    organisation.check_configuration()
    assert call(coordinator, "begin_export", **newer)["outcome"] == "started"


def test_new_claim_beside_it_tries_both(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A run that has something new to export also tries what was left out."""
    left_out = organisation.add_claim()
    export_leaving_out(organisation, coordinator, left_out)
    new = organisation.add_claim()

    answer = begin(coordinator, organisation)

    assert {claim["claim_id"] for claim in answer["claims"]} == {str(left_out), str(new)}


def leave_all_out(organisation: Organisation, coordinator: psycopg.Connection) -> None:
    """Export, and leave every claim out, page by page."""
    begun = begin(coordinator, organisation)
    held = {"p_run_id": begun["run"]["run_id"], "p_fencing_token": begun["fencing_token"]}
    page = begun
    with organisation.as_service() as service:
        while True:
            left_out = [reason(claim["claim_id"]) for claim in page["claims"]]
            call(service, "leave_out_export_claims", **held, p_left_out=left_out)
            if page["last_page"]:
                break
            position = page["claims"][-1]["position"]
            page = call(service, "reserve_export_page", **held, p_after_position=position)
        reasons = {
            "p_error_code": "all_claims_left_out",
            "p_error_detail": {},
            "p_left_out": [],
        }
        while not call(service, "fail_export_run", **held, **reasons)["released"]:
            pass


@pytest.mark.parametrize(
    ("claims", "added", "outcome"),
    [
        (5, 0, "nothing_to_export"),
        (8, 0, "nothing_to_export"),
        (5, 1, "started"),
        (12, 0, "nothing_to_export"),
    ],
)
def test_pages_of_unchanged_claims_are_looked_past(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    claims: int,
    added: int,
    outcome: str,
) -> None:
    """Pages that would only be left out again make no run, unless something new follows."""
    organisation.execute(
        "create or replace function export_engine.page_size() returns integer language sql immutable return 2"
    )
    organisation.add_claims(claims)
    leave_all_out(organisation, coordinator)
    organisation.add_claims(added, approved_at=APPROVED_AT + timedelta(hours=1))

    again = begin(coordinator, organisation)

    assert again["outcome"] == outcome
    runs = organisation.execute("select count(*) from public.export_runs")[0][0]
    assert runs == (1 if outcome == "nothing_to_export" else 2)
    if outcome == "nothing_to_export":
        assert len(again["left_out"]) == claims


def test_looking_past_pages_has_an_end(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A begin that has looked at pages for two seconds tries the run instead of running into its time limit."""
    organisation.execute(
        "create or replace function export_engine.page_size() returns integer language sql immutable return 2"
    )
    organisation.execute(
        "create or replace function export_engine.repeats_left_out(p_run public.export_runs, p_after_position integer)"
        " returns boolean language sql volatile as 'select true from pg_sleep(1.1)'"
    )
    organisation.add_claims(20)

    begun = begin(coordinator, organisation)

    assert (begun["outcome"], begun["run"]["reserved_count"]) == ("started", 4)
