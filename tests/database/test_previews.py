"""preview_export, preview_export_page, read_frozen_members: what would be reserved, read and left alone."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors

from tests.database.organisation_snapshot import take_snapshot
from tests.organisation import (
    APPROVED_AT,
    OCTOBER,
    Organisation,
    begin,
    call,
    complete,
    store_file,
    summary_of,
)

PAGE = 2000


@pytest.fixture
def organisation(database: Any) -> Organisation:
    """An organisation with Xledger and no claims."""
    return Organisation.create(database)


def preview(
    connection: psycopg.Connection, organisation: Organisation, **changes: object
) -> dict[str, Any]:
    """The first page of October."""
    return call(
        connection,
        "preview_export",
        **{
            "p_organization_id": organisation.id,
            "p_target": None,
            "p_period_from": OCTOBER[0],
            "p_period_to": OCTOBER[1],
            **changes,
        },
    )


def page_after(
    connection: psycopg.Connection, first: dict[str, Any], place: dict[str, Any], **changes: object
) -> dict[str, Any]:
    run = first["run"]
    arguments = {
        "p_organization_id": run["organization_id"],
        "p_target": run["target"],
        "p_period_from": run["period_from"],
        "p_period_to": run["period_to"],
        "p_candidate": None,
        "p_cut_off": run["cut_off"],
        "p_place": place,
    }
    return call(connection, "preview_export_page", **{**arguments, **changes})


def frozen(
    connection: psycopg.Connection, organisation: Organisation, run_id: object, after: int = 0
) -> dict[str, Any]:
    return call(
        connection,
        "read_frozen_members",
        p_organization_id=organisation.id,
        p_target="xledger",
        p_run_id=run_id,
        p_after_position=after,
    )


def walked(
    connection: psycopg.Connection,
    organisation: Organisation,
    candidate: dict[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """The members of all pages."""
    first = page = preview(connection, organisation, p_candidate=candidate)
    members: list[dict[str, Any]] = list(first["claims"])
    while page["next"] is not None:
        page = page_after(connection, first, page["next"], p_candidate=candidate)
        members += page["claims"]
    return members


SHARED = {
    "claim": {},
    "claimant": {"voucher_per": "claimant", "most_voucher_lines": 900},
    "run": {"voucher_per": "run", "most_voucher_lines": 7},
    # Two whole pages of two lines a claim, and not one claim more.
    "run of pages": {"voucher_per": "run", "most_voucher_lines": 8001},
}


def share_vouchers(organisation: Organisation, settings: dict[str, Any]) -> None:
    """Save settings about vouchers beside the others."""
    organisation.execute(
        "update public.export_targets set settings = settings || %s::jsonb where organization_id = %s",
        json.dumps(settings),
        organisation.id,
    )


def reserved(user: psycopg.Connection, organisation: Organisation) -> list[dict[str, Any]]:
    """The members of a run, after all its pages."""
    begun = page = begin(user, organisation)
    members: list[dict[str, Any]] = list(page["claims"])
    with organisation.as_service() as service:
        while not page["last_page"]:
            page = call(
                service,
                "reserve_export_page",
                p_run_id=begun["run"]["run_id"],
                p_fencing_token=begun["fencing_token"],
                p_after_position=members[-1]["position"],
            )
            members += page["claims"]
    return members


@pytest.mark.parametrize("sharing", SHARED)
@pytest.mark.parametrize("count", [1, PAGE, 2 * PAGE + 1])
def test_the_members_are_those_that_a_run_reserves(
    organisation: Organisation, count: int, sharing: str
) -> None:
    """Claims, documents, positions, generations and voucher numbers, whoever shares a voucher."""
    organisation.add_claims(count // 2, spacing=timedelta(0))
    organisation.add_claims(count - count // 2)
    organisation.execute(
        "update public.expense_claims set claimant_number = nullif(abs(hashtext(id::text)) %% 4, 0)"
        " where organization_id = %s",
        organisation.id,
    )
    organisation.execute(
        "insert into public.export_counters (organization_id, name, last_value)"
        " values (%s, 'voucher_number', 41)",
        organisation.id,
    )
    share_vouchers(organisation, SHARED[sharing])
    user = organisation.as_user(organisation.add_member())

    seen = walked(user, organisation)
    members = reserved(user, organisation)

    assert len(seen) == count
    assert seen[0]["voucher_number"] == 42
    assert seen == members


@pytest.mark.parametrize("voucher_per", ["claimant", "run"])
def test_a_candidate_forms_vouchers_before_it_is_saved(
    organisation: Organisation, voucher_per: str
) -> None:
    """On all pages, and also that a rule splits tax off; then the same is saved and exported."""
    organisation.add_claims(PAGE + 500)
    rules = [{"tax_account_code": "2710"}]
    candidate = {"settings": SHARED[voucher_per], "posting_rules": rules}
    admin = organisation.as_user(organisation.add_member("admin"))
    as_saved = walked(admin, organisation)

    seen = walked(admin, organisation, candidate)
    share_vouchers(organisation, SHARED[voucher_per])
    organisation.execute(
        "update public.export_posting_rules set tax_percent = 25, tax_account_code = '2710'"
        " where organization_id = %s and expense_type = 'mileage'",
        organisation.id,
    )

    assert seen == reserved(admin, organisation)
    assert seen != as_saved


def test_the_frame_is_what_a_run_freezes(organisation: Organisation) -> None:
    """Configuration, numbers and days as begin writes them; without a claim there is an empty page."""
    user = organisation.as_user(organisation.add_member())
    assert (preview(user, organisation)["claims"], preview(user, organisation)["next"]) == (
        [],
        None,
    )
    organisation.add_claim()
    first = preview(user, organisation)

    begun = begin(user, organisation)

    assert first["configuration"] == begun["configuration"]
    names = ("run_number", "target", "format", "period_from", "period_to", "export_date")
    assert {name: first["run"][name] for name in names} == {
        name: begun["run"][name] for name in names
    }
    assert first["run"]["first_voucher_number"] == begun["claims"][0]["voucher_number"]


def test_nothing_is_written_or_locked(organisation: Organisation) -> None:
    """A preview in a transaction that may only read, beside somebody who holds every row."""
    organisation.add_claims(3)
    user = organisation.as_user(organisation.add_member("accountant"))
    owner = organisation.database.connect("postgres")
    run = complete(
        organisation, begin(organisation.as_user(organisation.add_member()), organisation)
    )
    organisation.add_claims(3)
    before = take_snapshot(owner, organisation.id)
    holder = organisation.database.connect("postgres", autocommit=False)
    for table in ("expense_claims", "export_targets", "export_locks", "export_counters"):
        holder.execute(f"select from public.{table} for update".encode())

    user.execute("set default_transaction_read_only = on")
    user.execute("set lock_timeout = '1s'")
    first = preview(user, organisation, p_candidate={})
    kept = frozen(user, organisation, run["run"]["run_id"])

    holder.rollback()
    assert (len(first["claims"]), len(kept["claims"])) == (3, 3)
    assert take_snapshot(owner, organisation.id) == before


def test_a_claim_that_was_approved_after_the_first_page_waits(organisation: Organisation) -> None:
    """The first page's cut-off bounds the others; a later one is not believed beyond now."""
    now = datetime.now(UTC)
    organisation.add_claims(PAGE, approved_at=now - timedelta(days=1), spacing=timedelta(seconds=0))
    user = organisation.as_user(organisation.add_member())
    days = {"p_period_from": None, "p_period_to": (now + timedelta(days=2)).date()}
    first = preview(user, organisation, **days)
    organisation.add_claims(1, approved_at=datetime.now(UTC), spacing=timedelta(seconds=0))
    organisation.add_claims(1, approved_at=now + timedelta(hours=3), spacing=timedelta(seconds=0))

    assert page_after(user, first, first["next"])["claims"] == []
    later = page_after(user, first, first["next"], p_cut_off="infinity")
    assert len(later["claims"]) == 1


def test_an_entry_that_was_taken_back_is_its_next_generation(organisation: Organisation) -> None:
    """As a reservation counts it."""
    claim_id = organisation.add_claim()
    admin = organisation.as_user(organisation.add_member("admin"))
    done = complete(organisation, begin(admin, organisation))
    call(admin, "confirm_export", p_run_id=done["run"]["run_id"], p_outcome="imported")
    back = call(
        admin,
        "reverse_export",
        p_run_id=done["run"]["run_id"],
        p_reason="Feil år",
        p_invocation_id=uuid4(),
    )
    complete_reversal(organisation, back)

    [claim] = preview(admin, organisation)["claims"]

    assert (claim["claim_id"], claim["generation"]) == (str(claim_id), 2)


def complete_reversal(organisation: Organisation, begun: dict[str, Any]) -> None:
    """Complete a run whose totals have the opposite sign."""
    run_id = begun["run"]["run_id"]
    summary = summary_of(begun["claims"])
    summary["totals"] = {currency: f"-{total}" for currency, total in summary["totals"].items()}
    with organisation.as_service() as service:
        call(
            service,
            "complete_export_run",
            p_run_id=run_id,
            p_fencing_token=begun["fencing_token"],
            p_file=store_file(organisation, run_id, "b" * 64),
            p_summary=summary,
            p_left_out=[],
        )


def test_the_last_five_exports_are_told(organisation: Organisation) -> None:
    """Newest first, the newest with its breakdown; voided, failed and deleted ones are not among them."""
    user = organisation.as_user(organisation.add_member("admin"))
    runs = []
    for number in range(7):
        organisation.add_claim()
        begun = begin(user, organisation)
        runs.append(complete(organisation, begun, content_hash=f"{number}" * 64)["run"])
    call(user, "void_export", p_run_id=runs[-1]["run_id"], p_reason="Feil")

    told = preview(user, organisation)["latest_runs"]

    assert [one["run"]["run_number"] for one in told] == [6, 5, 4, 3, 2]
    assert [one["breakdown"] is not None for one in told] == [True, False, False, False, False]


def test_frozen_members_come_by_pages(organisation: Organisation) -> None:
    """All that is in the file, once, with the configuration of the run."""
    organisation.add_claims(3)
    coordinator = organisation.as_user(organisation.add_member())
    begun = begin(coordinator, organisation)
    run = complete(organisation, begun)["run"]
    accountant = organisation.as_user(organisation.add_member("accountant"))

    whole = frozen(accountant, organisation, run["run_id"])
    rest = frozen(accountant, organisation, run["run_id"], 1)

    assert whole["configuration"] == begun["configuration"]
    assert (whole["claims"], whole["last_page"]) == (begun["claims"], True)
    assert rest["claims"] == begun["claims"][1:]


def refusal(call_it: Any) -> tuple[str, str]:
    """SQLSTATE and code of what a call is refused with."""
    with pytest.raises(psycopg.Error) as refused:
        call_it()
    return refused.value.sqlstate or "", refused.value.diag.message_detail or ""


def test_members_and_strangers_are_refused(organisation: Organisation) -> None:
    """Every function says the same to a claimant, and to another organisation's admin."""
    organisation.add_claim()
    coordinator = organisation.as_user(organisation.add_member())
    first = preview(coordinator, organisation)
    place = {"approved_at": str(APPROVED_AT), "claim_id": str(uuid4())}
    run = complete(organisation, begin(coordinator, organisation))["run"]
    other = Organisation.create(organisation.database, "dynamics", "HLF")

    for user in (
        organisation.as_user(organisation.add_member("member")),
        other.as_user(other.add_member("admin")),
    ):
        for ask in (
            lambda user=user: preview(user, organisation),
            lambda user=user: page_after(user, first, place),
            lambda user=user: frozen(user, organisation, run["run_id"]),
        ):
            assert refusal(ask) == ("PT403", "not_allowed")


def test_a_coordinator_has_no_candidate_and_no_frozen_configuration(
    organisation: Organisation,
) -> None:
    """She exports as things are."""
    organisation.add_claim()
    coordinator = organisation.as_user(organisation.add_member())
    run = complete(organisation, begin(coordinator, organisation))["run"]

    asked = refusal(lambda: preview(coordinator, organisation, p_candidate={}))
    assert asked == ("PT403", "not_allowed")
    assert refusal(lambda: frozen(coordinator, organisation, run["run_id"])) == (
        "PT403",
        "not_allowed",
    )


def test_nobody_without_a_login_asks(organisation: Organisation) -> None:
    """Anon may not even call; a token without a user is 401."""
    organisation.add_claim()
    with (
        organisation.database.connect("anon") as nobody,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        preview(nobody, organisation)
    blank = organisation.database.connect("authenticated", claims={})
    assert refusal(lambda: preview(blank, organisation)) == ("PT401", "not_authenticated")


def test_foreign_and_unfinished_runs_are_not_read(organisation: Organisation) -> None:
    """An accountant names a run of another organisation, one under way, and one to another target."""
    organisation.add_claim()
    accountant = organisation.as_user(organisation.add_member("accountant"))
    run = begin(organisation.as_user(organisation.add_member()), organisation)["run"]
    other = Organisation.create(organisation.database)
    other.add_claim()
    foreign = complete(other, begin(other.as_user(other.add_member()), other))["run"]

    assert refusal(lambda: frozen(accountant, organisation, run["run_id"])) == (
        "PT409",
        "run_not_comparable",
    )
    for run_id in (foreign["run_id"], uuid4()):
        assert refusal(lambda it=run_id: frozen(accountant, organisation, it)) == (
            "PT404",
            "run_not_found",
        )


@pytest.mark.parametrize("analysed", [False, True])
def test_a_page_reads_a_page(organisation: Organisation, analysed: bool) -> None:  # noqa: FBT001
    """In the middle of 60,000 claims: by index, whether or not the tables were ever analysed."""
    organisation.add_claims(60_000, spacing=timedelta(milliseconds=20))
    if analysed:
        organisation.execute("analyze public.expense_claims, public.expense_claim_lines")
    user = organisation.as_user(organisation.add_member())
    first = preview(user, organisation)
    middle = {
        **first["next"],
        "approved_at": str(APPROVED_AT + timedelta(seconds=600)),
        "claim_id": str(uuid4()),
    }

    with user.transaction():
        page = page_after(user, first, middle)
        read = user.execute(
            "select coalesce(sum(pg_stat_get_xact_tuples_returned(c.oid)) filter (where c.relkind = 'r'), 0),"
            " coalesce(sum(pg_stat_get_xact_tuples_returned(c.oid)), 0) from pg_class c"
            " where c.relname ~ '^(export_run|expense_claim)'"
        ).fetchone()

    assert len(page["claims"]) == PAGE
    assert read is not None
    assert (read[0], read[1] < 8 * PAGE) == (0, True), read
