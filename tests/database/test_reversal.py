"""reverse_export: a run whose file was imported is taken back by a run of its own, with opposite signs."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import (
    Bookkeeper,
    begin_by_itself,
    complete_reversal,
    effective_entries,
    pages_of_two,
    refusal,
    standing_holds,
    vouchers,
)
from tests.database.whole_history import whole_history
from tests.database.worker import Worker
from tests.organisation import Organisation, begin, call, complete, store_file, summary_of

MOST_ATTEMPTS = 5


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def service(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_service()


@pytest.fixture
def admin(organisation: Organisation) -> Bookkeeper:
    return Bookkeeper(organisation.as_user(organisation.add_member("admin", "Ingrid Vik")))


def export(organisation: Organisation, coordinator: psycopg.Connection) -> dict[str, Any]:
    """A completed and imported run."""
    run: dict[str, Any] = complete(organisation, begin(coordinator, organisation))["run"]
    Bookkeeper(organisation.as_service(), "Revisor").confirm(run["run_id"], "imported")
    return run


def status_of(organisation: Organisation, run_id: str) -> str:
    [[status]] = organisation.execute("select status from public.export_runs where id = %s", run_id)
    return str(status)


def fail_by_admin(service: psycopg.Connection, run_id: str) -> dict[str, Any]:
    return call(
        service, "fail_export_run_by_admin", p_run_id=run_id, p_reason="Test.", p_actor="Test"
    )


def park(organisation: Organisation, admin: Bookkeeper, run_id: str) -> str:
    """Let five workers of a reversal die; the id of the parked run."""
    answers = []
    for _ in range(MOST_ATTEMPTS):
        answers.append(admin.reverse(run_id))
        organisation.expire_lease()
    assert [a["outcome"] for a in answers] == ["started", *["resumed"] * (MOST_ATTEMPTS - 1)]
    return str(answers[0]["run"]["run_id"])


def test_reversal_has_the_same_documents_with_opposite_signs(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Kind, amounts and totals say that it takes back; documents, order and configuration are the original's, numbers its own."""
    organisation.add_claims(2)
    organisation.add_claim(currency="EUR")
    run = export(organisation, coordinator)
    organisation.execute("update public.expense_claim_lines set amount = 999")
    organisation.execute("update public.export_posting_rules set account_code = '9999'")

    answer = admin.reverse(run["run_id"], "Wrong company.")

    assert (answer["outcome"], answer["last_page"]) == ("started", True)
    assert answer["run"]["reverses_run_id"] == run["run_id"]
    assert [(m["kind"], m["generation"], m["voucher_number"]) for m in answer["claims"]] == [
        ("reversal", 1, 4),
        ("reversal", 1, 5),
        ("reversal", 1, 6),
    ]
    pairs = organisation.execute(
        "select m.claim_id = o.claim_id and m.document = o.document and m.currency = o.currency,"
        " m.amount + o.amount, b.configuration = a.configuration, b.reserved_totals"
        " from public.export_run_claims m join public.export_run_claims o on o.position = m.position"
        " join public.export_runs b on b.id = m.run_id join public.export_runs a on a.id = o.run_id"
        " where m.kind = 'reversal' and o.kind = 'entry'"
    )
    totals = {currency: str(-Decimal(total)) for currency, total in run["totals"].items()}
    assert pairs == [(True, 0, True, totals)] * 3
    same = ("target", "format", "period_from", "period_to", "time_zone")
    assert {k: answer["run"][k] for k in same} == {k: run[k] for k in same}
    assert answer["run"]["triggered_by_name"] == "Ingrid Vik"
    assert organisation.execute(
        "select actor, detail ->> 'reason', detail ->> 'reverses' from public.export_run_events"
        " where event = 'created' and run_id = %s",
        answer["run"]["run_id"],
    ) == [("Ingrid Vik", "Wrong company.", "1")]


def test_original_stays_completed_and_marked(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Its row does not change, its entries stay live, and the reversing run names it."""
    claims = organisation.add_claims(2)
    run = export(organisation, coordinator)
    rows = "select to_jsonb(r) from public.export_runs as r where id = %s"
    before = organisation.execute(rows, run["run_id"])

    done = complete_reversal(organisation, admin.reverse(run["run_id"]))["run"]

    assert (done["status"], done["reverses_run_id"]) == ("completed", run["run_id"])
    assert done["totals"] == {"NOK": "-200.00"}
    assert organisation.execute(rows, run["run_id"]) == before
    assert len(organisation.live_memberships()[claims[0]]) == 2
    assert effective_entries(organisation) == dict.fromkeys(claims, 0)


def test_claims_count_until_the_reversal_is_completed(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """While it is under way nobody can enter them a second time, and the dashboard says exported."""
    claims = organisation.add_claims(2)
    run = export(organisation, coordinator)
    answer = admin.reverse(run["run_id"])

    assert begin(coordinator, organisation)["outcome"] == "busy"
    statuses = "select distinct export_status from public.claim_export_status"
    assert coordinator.execute(statuses).fetchall() == [("exported",)]
    complete_reversal(organisation, answer)
    assert coordinator.execute(statuses).fetchall() == [("held",)]
    assert standing_holds(organisation) == dict.fromkeys(claims, "reversed")


def test_reversed_claims_are_entered_again_by_hand(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """No automatic trigger takes them; a person's export does, as the next generation, as they are now."""
    claims = organisation.add_claims(2)
    run_id = export(organisation, coordinator)["run_id"]
    for generation in (2, 3):
        complete_reversal(organisation, admin.reverse(run_id))
        organisation.execute("update public.expense_claim_lines set amount = amount + 1")

        assert begin_by_itself(organisation, "schedule")["outcome"] == "nothing_to_export"
        begun = begin(coordinator, organisation)
        assert [(m["claim_id"], m["kind"], m["generation"]) for m in begun["claims"]] == [
            (str(claim_id), "entry", generation) for claim_id in claims
        ]
        run_id = complete(organisation, begun)["run"]["run_id"]
        assert effective_entries(organisation) == dict.fromkeys(claims, 1)
        assert standing_holds(organisation) == {}
        assert begun["claims"][0]["document"]["total"] == f"{99 + generation}.00"


def test_totals_of_a_reversal_are_checked(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """A file with the signs of the original does not match the books: 409."""
    organisation.add_claims(2)
    answer = admin.reverse(export(organisation, coordinator)["run_id"])

    assert refusal(lambda: complete(organisation, answer)) == ("PT409", "totals_mismatch")
    assert complete_reversal(organisation, answer)["run"]["status"] == "completed"


def test_lost_reply_is_repeated(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """The same invocation gets the same run, token and members; another person with its number does not."""
    organisation.add_claims(2)
    run_id = export(organisation, coordinator)["run_id"]
    invocation = uuid4()

    first, second = (admin.reverse(run_id, invocation=invocation) for _ in range(2))

    assert (second["outcome"], second["fencing_token"]) == ("started", first["fencing_token"])
    assert (second["run"]["run_id"], second["claims"]) == (
        first["run"]["run_id"],
        first["claims"],
    )
    other = Bookkeeper(organisation.as_user(organisation.add_member("admin")))
    assert refusal(lambda: other.reverse(run_id, invocation=invocation)) == ("PT409", "run_locked")
    assert organisation.execute("select count(*) from public.export_runs") == [(2,)]


def test_another_call_is_replayed(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """While it is under way and afterwards: one reversal, and no token for whoever asks again."""
    organisation.add_claims(2)
    run_id = export(organisation, coordinator)["run_id"]
    answer = admin.reverse(run_id)

    told = [admin.reverse(run_id)]
    complete_reversal(organisation, answer)
    told.append(admin.reverse(run_id))
    begin(coordinator, organisation)
    told.append(admin.reverse(run_id))

    assert [(t["outcome"], t["run"]["run_id"], t["run"]["status"]) for t in told] == [
        ("replayed", answer["run"]["run_id"], "processing"),
        ("replayed", answer["run"]["run_id"], "completed"),
        ("replayed", answer["run"]["run_id"], "completed"),
    ]
    assert not any("fencing_token" in t for t in told)


def test_reversals_at_once_make_one_run(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Of several admins one starts it; the others are told of her run."""
    claims = organisation.add_claims(3)
    run_id = export(organisation, coordinator)["run_id"]
    admins = [Bookkeeper(organisation.as_user(organisation.add_member("admin"))) for _ in range(4)]
    start = Barrier(len(admins))

    def reverse(who: Bookkeeper) -> dict[str, Any]:
        start.wait()
        return who.reverse(run_id)

    with ThreadPoolExecutor(len(admins)) as pool:
        answers = list(pool.map(reverse, admins))

    assert sorted(a["outcome"] for a in answers) == ["replayed"] * 3 + ["started"]
    assert len({a["run"]["run_id"] for a in answers}) == 1
    [started] = [a for a in answers if a["outcome"] == "started"]
    complete_reversal(organisation, started)
    assert effective_entries(organisation) == dict.fromkeys(claims, 0)


def test_reversal_waits_for_a_living_run(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Busy, with the run that is under way and when to ask again; no run is made."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]
    organisation.add_claims(1)
    living = begin(coordinator, organisation)

    answer = admin.reverse(run_id)

    assert (answer["outcome"], answer["run"]["run_id"]) == ("busy", living["run"]["run_id"])
    assert answer["retry_after"] >= 1
    complete(organisation, living)
    assert admin.reverse(run_id)["outcome"] == "started"


def test_export_does_not_join_a_reversal(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Whoever exports the same period beside a reversing run is told to come back, and is never shown it as hers."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]
    answer = admin.reverse(run_id)
    assert begin(coordinator, organisation)["outcome"] == "busy"
    complete_reversal(organisation, answer)

    nothing = begin_by_itself(organisation, "schedule")

    assert (nothing["outcome"], nothing["run"]["run_id"]) == ("nothing_to_export", run_id)


def test_parked_reversal_does_not_hold_up_exports(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """It is parked by the next begin, which has its own claims; it holds none that a coordinator waits for."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]
    parked = park(organisation, admin, run_id)

    nothing = begin(coordinator, organisation)

    assert status_of(organisation, parked) == "parked"
    assert (nothing["outcome"], nothing["parked_run"]) == ("nothing_to_export", None)
    organisation.add_claims(1)
    assert begin(coordinator, organisation)["outcome"] == "started"


def test_parked_reversal_is_replayed_until_it_is_failed(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """The call that parks it and the later ones name it as parked; when an admin has failed it a new one begins."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]
    parked = park(organisation, admin, run_id)

    told = [admin.reverse(run_id) for _ in range(2)]

    assert [(t["outcome"], t["run"]["run_id"], t["run"]["status"]) for t in told] == [
        ("replayed", parked, "parked")
    ] * 2
    fail_by_admin(service, parked)
    assert admin.reverse(run_id)["outcome"] == "started"


def test_parked_reversal_is_recovered(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """After the cause is mended the same run goes on, with its members."""
    claims = organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]
    parked = park(organisation, admin, run_id)
    admin.reverse(run_id)
    call(service, "recover_export_run", p_run_id=parked, p_reason="Mended.", p_actor="Test")

    resumed = admin.reverse(run_id)

    assert (resumed["outcome"], resumed["run"]["run_id"]) == ("resumed", parked)
    complete_reversal(organisation, resumed)
    assert effective_entries(organisation) == dict.fromkeys(claims, 0)


@pytest.mark.parametrize("dead", ["export", "reversal"])
@pytest.mark.parametrize("successor", ["admin", "coordinator", "sweep"])
def test_dead_workers_run_comes_first(  # noqa: PLR0913, PLR0917 - fixtures
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
    dead: str,
    successor: str,
) -> None:
    """Whoever comes next, with whatever wish, resumes what a dead worker left, with the same members under a higher token."""
    organisation.add_claims(2)
    run_id = export(organisation, coordinator)["run_id"]
    organisation.add_claims(1)
    left = admin.reverse(run_id) if dead == "reversal" else begin(coordinator, organisation)
    organisation.expire_lease()

    if successor == "admin":
        resumed = admin.reverse(run_id)
    elif successor == "coordinator":
        resumed = begin(coordinator, organisation)
    else:
        resumed = call(
            service,
            "take_over_export_run",
            p_organization_id=organisation.id,
            p_invocation_id=uuid4(),
        )

    assert (resumed["outcome"], resumed["run"]["run_id"]) == ("resumed", left["run"]["run_id"])
    assert resumed["claims"] == left["claims"]
    assert resumed["fencing_token"] > left["fencing_token"]
    finish = complete_reversal if dead == "reversal" else complete
    assert refusal(lambda: finish(organisation, left)) == ("PT409", "stale_token")
    assert finish(organisation, resumed)["run"]["status"] == "completed"


def test_failed_reversal_changes_nothing(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """Its members are released, no hold is left, the original counts, and it may be reversed again under new numbers."""
    claims = organisation.add_claims(2)
    run_id = export(organisation, coordinator)["run_id"]
    failed = admin.reverse(run_id)
    Worker.of(organisation, service, failed).fail()

    assert effective_entries(organisation) == dict.fromkeys(claims, 1)
    assert standing_holds(organisation) == {}
    assert organisation.execute(
        "select distinct lifted_by, lifted_at is not null from public.export_holds"
    ) == [("run 2", True)]
    assert begin(coordinator, organisation)["outcome"] == "nothing_to_export"

    again = admin.reverse(run_id)
    assert (again["outcome"], [m["voucher_number"] for m in again["claims"]]) == ("started", [5, 6])
    complete_reversal(organisation, again)
    assert effective_entries(organisation) == dict.fromkeys(claims, 0)


def test_reversal_that_is_let_go_page_by_page_is_waited_for(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """Busy until the last member of a failing or voided reversal is released; then a new one takes all of them."""
    claims = organisation.add_claims(5)
    run_id = export(organisation, coordinator)["run_id"]
    pages_of_two(organisation)
    failing = Worker.of(organisation, service, admin.reverse(run_id))
    failing.reserve_all()
    fail_by_admin(service, failing.run_id)

    told = admin.reverse(run_id)
    assert (told["outcome"], told["run"]["status"]) == ("busy", "releasing")
    while not call(service, "continue_export_release", p_run_id=failing.run_id)["released"]:
        pass

    again = admin.reverse(run_id)
    members = Worker.of(organisation, service, again).reserve_all()
    assert [m["claim_id"] for m in members] == [str(claim_id) for claim_id in claims]
    done = complete_reversal(organisation, again, members)["run"]
    admin.void(done["run_id"])
    told = admin.reverse(run_id)
    assert (told["outcome"], told["run"]["status"]) == ("busy", "voiding")
    assert set(effective_entries(organisation).values()) == {1}


def test_large_run_is_reversed_page_by_page(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """Pages follow the original's order; a lost reply reserves nothing twice, a successor reads what is there and goes on."""
    claims = organisation.add_claims(5)
    run_id = export(organisation, coordinator)["run_id"]
    pages_of_two(organisation)
    begun = admin.reverse(run_id)
    assert (len(begun["claims"]), begun["last_page"]) == (2, False)
    worker = Worker.of(organisation, service, begun)

    first, second = worker.reserve(2), worker.reserve(2)
    assert first["claims"] == second["claims"]
    assert second["run"]["reserved_count"] == 4
    organisation.expire_lease()
    resumed = admin.reverse(run_id)
    members = Worker.of(organisation, service, resumed).reserve_all()

    assert [(m["claim_id"], m["position"], m["voucher_number"]) for m in members] == [
        (str(claim_id), number, 5 + number) for number, claim_id in enumerate(claims, start=1)
    ]
    assert complete_reversal(organisation, resumed, members)["run"]["totals"] == {"NOK": "-500.00"}
    assert effective_entries(organisation) == dict.fromkeys(claims, 0)
    assert set(standing_holds(organisation)) == set(claims)


@pytest.mark.parametrize("count", [2, 4])
def test_reversal_of_full_pages_is_sealed_by_the_empty_one(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
    count: int,
) -> None:
    """A run of exactly one or two pages is taken back once, and then sealed."""
    claims = organisation.add_claims(count)
    run_id = export(organisation, coordinator)["run_id"]
    pages_of_two(organisation)
    begun = admin.reverse(run_id)

    members = Worker.of(organisation, service, begun).reserve_all()

    assert [m["claim_id"] for m in members] == [str(claim_id) for claim_id in claims]
    assert complete_reversal(organisation, begun, members)["run"]["claim_count"] == count


def test_refused_and_left_out_vouchers_are_not_reversed(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """Only what is in the books is taken back, over page ends too."""
    claims = organisation.add_claims(7)
    begun = begin(coordinator, organisation)
    Worker.of(organisation, service, begun).leave_out([claims[0]])
    run = complete(organisation, {**begun, "claims": begun["claims"][1:]})["run"]
    admin.confirm(run["run_id"], "refused", vouchers(2, 5))
    pages_of_two(organisation)

    answer = admin.reverse(run["run_id"])
    members = Worker.of(organisation, service, answer).reserve_all()

    wanted = [claims[2], claims[3], claims[5], claims[6]]
    assert [m["claim_id"] for m in members] == [str(claim_id) for claim_id in wanted]
    complete_reversal(organisation, answer, members)
    assert effective_entries(organisation) == dict.fromkeys(wanted, 0)


def test_nothing_is_refused_while_a_reversal_is_under_way(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """A voucher that is being taken back is not set free beside: 409."""
    organisation.add_claims(2)
    run_id = export(organisation, coordinator)["run_id"]
    admin.reverse(run_id)

    assert refusal(lambda: admin.confirm(run_id, "refused", vouchers(1))) == (
        "PT409",
        "run_has_reversal",
    )
    assert admin.confirm(run_id, "booked", vouchers(1))["recorded"] == 1


def test_fully_refused_run_has_nothing_to_reverse(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """409, no run, and no number used; a dead worker's run is not touched by the refusal."""
    organisation.add_claims(2)
    run_id = export(organisation, coordinator)["run_id"]
    admin.confirm(run_id, "refused", vouchers(1, 2))
    begin(coordinator, organisation)
    organisation.expire_lease()
    owner = organisation.database.connect()
    before = whole_history(owner)

    assert refusal(lambda: admin.reverse(run_id)) == ("PT409", "nothing_to_reverse")
    assert whole_history(owner) == before


def test_reversing_and_manual_runs_are_not_reversed(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """They have no vouchers of ours to take back: 409."""
    [first] = organisation.add_claims(1)
    reversal = complete_reversal(
        organisation, admin.reverse(export(organisation, coordinator)["run_id"])
    )["run"]
    manual = call(
        service,
        "create_export_run",
        p_organization_id=organisation.id,
        p_triggered_by=None,
        p_format="xledger_gl02b",
        p_origin="manual",
    )
    call(
        service,
        "update_export_run_status",
        p_run_id=manual["run_id"],
        p_status="completed",
        p_claim_ids=[first],
    )

    for run_id in (reversal["run_id"], manual["run_id"]):
        assert refusal(lambda run_id=run_id: admin.reverse(run_id)) == (  # type: ignore[misc]
            "PT409",
            "run_not_reversible",
        )


def test_only_completed_runs_are_reversed(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """A run that is under way, failed or voided is 409, also while another run is live."""
    organisation.add_claims(1)
    illegal = ("PT409", "illegal_transition")
    begun = begin(coordinator, organisation)
    failed = begun["run"]["run_id"]
    assert refusal(lambda: admin.reverse(failed)) == illegal
    Worker.of(organisation, service, begun).fail()
    assert refusal(lambda: admin.reverse(failed)) == illegal
    voided = complete(organisation, begin(coordinator, organisation))["run"]["run_id"]
    admin.void(voided)
    begin(coordinator, organisation)
    assert refusal(lambda: admin.reverse(voided)) == illegal


@pytest.mark.parametrize("reason", [None, "", "  ", "x" * 501])
def test_reversing_needs_a_reason(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    admin: Bookkeeper,
    reason: str | None,
) -> None:
    """Nobody takes a run back without saying why: 400."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]

    assert refusal(lambda: admin.reverse(run_id, reason)) == ("PT400", "reason_required")


def test_reversing_needs_an_invocation(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Without its number a lost reply could not be repeated: 400."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]

    assert refusal(
        lambda: call(
            admin.connection,
            "reverse_export",
            p_run_id=run_id,
            p_reason="Test.",
            p_invocation_id=None,
        )
    ) == ("PT400", "invocation_missing")


def test_service_reverses_under_a_name(
    organisation: Organisation, coordinator: psycopg.Connection, service: psycopg.Connection
) -> None:
    """The service key says for whom; the run is the system's, by that name."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]
    assert refusal(lambda: Bookkeeper(service).reverse(run_id)) == ("PT400", "actor_required")

    run = Bookkeeper(service, "Revisor").reverse(run_id)["run"]

    assert (run["trigger"], run["triggered_by"], run["triggered_by_name"]) == (
        "cli",
        None,
        "Revisor",
    )


@pytest.mark.parametrize(
    ("role", "refused"),
    [
        ("coordinator", ("PT403", "not_allowed")),
        ("accountant", ("PT403", "not_allowed")),
        ("member", ("PT404", "run_not_found")),
        ("stranger", ("PT404", "run_not_found")),
    ],
)
def test_only_an_admin_reverses(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    role: str,
    refused: tuple[str, str],
) -> None:
    """Other staff may not; whoever does not see the run hears that there is none."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    user = (
        other.as_user(other.add_member("admin"))
        if role == "stranger"
        else organisation.as_user(organisation.add_member(role))
    )

    assert refusal(lambda: Bookkeeper(user).reverse(run_id)) == refused
    nobody = organisation.database.connect("anon")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        Bookkeeper(nobody).reverse(run_id)


def copy_member(
    organisation: Organisation, run_id: str, claim_id: UUID, kind: str, generation: int
) -> None:
    """Write a member as only the engine does, whatever it knows."""
    with organisation.database.connect(autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        owner.execute(
            "insert into public.export_run_claims (run_id, position, organization_id, claim_id, kind, generation,"
            " voucher_number, document, amount, currency)"
            " select %s, 900, organization_id, claim_id, %s, %s, 900, document, -amount, currency"
            " from public.export_run_claims where claim_id = %s limit 1",
            [run_id, kind, generation, claim_id],
        )


def test_no_claim_is_taken_back_twice_by_the_tables_own_law(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """The unique index allows one live reversal of a generation, and the trigger none of what was not entered."""
    [claim_id] = organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]
    answer = admin.reverse(run_id)
    reversal_id = answer["run"]["run_id"]

    with pytest.raises(psycopg.errors.UniqueViolation) as error:
        copy_member(organisation, reversal_id, claim_id, "reversal", 1)
    assert error.value.diag.constraint_name == "export_run_claims_live_key"
    for kind in ("entry", "reversal"):
        assert refusal(
            lambda kind=kind: copy_member(organisation, reversal_id, claim_id, kind, 2)  # type: ignore[misc]
        ) == ("PT409", "generation_not_earned")
    complete_reversal(organisation, answer)
    with pytest.raises(psycopg.errors.UniqueViolation):
        copy_member(organisation, reversal_id, claim_id, "reversal", 1)


def test_run_keeps_what_it_reverses(
    organisation: Organisation, coordinator: psycopg.Connection, admin: Bookkeeper
) -> None:
    """Not even the engine points a run at another original, and no run has two reversals."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)["run_id"]
    reversal_id = admin.reverse(run_id)["run"]["run_id"]
    organisation.add_claims(1)

    with organisation.database.connect(autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        assert refusal(
            lambda: owner.execute(
                "update public.export_runs set reverses_run_id = null where id = %s", [reversal_id]
            )
        ) == ("PT403", "history_is_protected")
    with organisation.database.connect(autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        with pytest.raises(psycopg.errors.UniqueViolation) as error:
            owner.execute(
                "select export_engine.create_reversal(r, null, 'Test', 'Test.')"
                " from public.export_runs as r where id = %s",
                [run_id],
            )
        assert error.value.diag.constraint_name == "export_runs_reverses_run_id_key"


def test_reversal_that_leaves_claims_out_keeps_them_entered(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """What the file could not take back still counts; the rest is taken back."""
    kept, taken_back = organisation.add_claims(2)
    answer = admin.reverse(export(organisation, coordinator)["run_id"])
    worker = Worker.of(organisation, service, answer)
    worker.leave_out([kept])

    complete_reversal(organisation, answer, answer["claims"][1:])

    assert effective_entries(organisation) == {kept: 1, taken_back: 0}
    assert [m["claim_id"] for m in begin(coordinator, organisation)["claims"]] == [str(taken_back)]


def test_completing_a_reversal_again_is_no_fault(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    service: psycopg.Connection,
    admin: Bookkeeper,
) -> None:
    """A lost reply to complete: the same hash gets the same run, another one is refused."""
    organisation.add_claims(1)
    answer = admin.reverse(export(organisation, coordinator)["run_id"])
    first = complete_reversal(organisation, answer)

    assert complete_reversal(organisation, answer) == first
    worker = Worker.of(organisation, service, answer)
    assert refusal(
        lambda: call(
            service,
            "complete_export_run",
            p_run_id=worker.run_id,
            p_fencing_token=worker.token,
            p_file=store_file(organisation, worker.run_id, "f" * 64),
            p_summary=summary_of(answer["claims"]),
            p_left_out=[],
        )
    ) == ("PT409", "file_mismatch")
