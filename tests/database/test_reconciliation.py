"""Reconciliation: a healthy organisation is green at every moment, and whatever is damaged is named."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import (
    Bookkeeper,
    complete_reversal,
    pages_of_two,
    refusal,
    vouchers,
)
from tests.database.reconciler import Reconciler, codes, reconciled
from tests.database.worker import Worker
from tests.organisation import APPROVED_AT, Organisation, begin, call, complete

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "reconciliation.md"
NOTES = {
    "orphan_object",
    "file_not_read",
    "lease_over",
    "run_parked",
    "run_in_doubt",
    "run_pending",
}


@pytest.fixture
def organisation(database: Database) -> Organisation:
    """Pages of two, so that five claims are three pages."""
    organisation = Organisation.create(database)
    pages_of_two(organisation)
    return organisation


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


def reserve_all(service: psycopg.Connection, begun: Mapping[str, Any]) -> list[dict[str, Any]]:
    members, page = list(begun["claims"]), begun
    while not page["last_page"]:
        page = call(
            service,
            "reserve_export_page",
            p_run_id=begun["run"]["run_id"],
            p_fencing_token=begun["fencing_token"],
            p_after_position=members[-1]["position"] if members else 0,
        )
        members += page["claims"]
    return members


def export(organisation: Organisation, coordinator: psycopg.Connection) -> str:
    """A completed run of all that is free, over its pages."""
    begun = begin(coordinator, organisation)
    with organisation.as_service() as service:
        complete(organisation, {**begun, "claims": reserve_all(service, begun)})
    return str(begun["run"]["run_id"])


def assert_green(organisation: Organisation, **arguments: object) -> dict[str, Any]:
    told = reconciled(organisation, **arguments)
    assert (told["is_green"], told["findings"]) == (True, [])
    return told


def counts(told: Mapping[str, Any]) -> dict[str, tuple[int, dict[str, str]]]:
    return {name: (c["count"], c["amounts"]) for name, c in told["classes"].items()}


# --- healthy


def test_every_claim_is_counted_once_in_its_class(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Exported, left out, held, reserved and pending claims, with what they come to; together they are the whole."""
    left_out, *exported = organisation.add_claims(5)
    begun = begin(coordinator, organisation)
    with organisation.as_service() as service:
        members = reserve_all(service, begun)
        kept = [m for m in members if m["claim_id"] != str(left_out)]
        Worker.of(organisation, service, begun).complete(kept, [left_out])
        organisation.execute(
            "update public.expense_claims set status = 'draft', approved_at = null where id = %s",
            exported[0],
        )
        organisation.add_claim((("mileage", "7.50"),), currency="EUR")
        [*_, held] = organisation.add_claims(2, approved_at=APPROVED_AT + timedelta(days=1))
        call(
            organisation.as_user(organisation.add_member("admin")),
            "hold_claims",
            p_claim_ids=[held],
            p_reason="Receipt is missing.",
        )

    told = assert_green(organisation)

    assert counts(told) == {
        "exported": (4, {"NOK": "400.00"}),
        "left_out": (1, {"NOK": "100.00"}),
        "held": (1, {"NOK": "100.00"}),
        "pending": (2, {"NOK": "100.00", "EUR": "7.50"}),
    }
    assert told["whole"] == {"count": 8, "amounts": {"NOK": "700.00", "EUR": "7.50"}}
    assert told["checked"] == {"claims": 7, "runs": 1, "members": 5, "numbers": 6, "objects": 1}

    begin(coordinator, organisation)
    assert counts(assert_green(organisation))["reserved"] == (
        2,
        {"NOK": "100.00", "EUR": "7.50"},
    )


def test_frozen_amounts_count_for_what_is_in_a_run(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A line that is changed after the export changes no sum; one of a pending claim does."""
    [exported] = organisation.add_claims(1)
    export(organisation, coordinator)
    [pending] = organisation.add_claims(1)
    for claim in (exported, pending):
        organisation.execute(
            "update public.expense_claim_lines set amount = 55 where claim_id = %s", claim
        )

    assert counts(assert_green(organisation)) == {
        "exported": (1, {"NOK": "100.00"}),
        "pending": (1, {"NOK": "55.00"}),
    }


def test_a_period_is_of_approval_dates(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """In the organisation's time zone, both days inclusive; what was approved outside is not counted."""
    for day in range(4):
        # 23:30 in Oslo, the day before in UTC.
        organisation.add_claims(1, approved_at=APPROVED_AT.replace(day=5 + day, hour=21, minute=30))
    lost_approval = organisation.add_claims(
        1, approved_at=APPROVED_AT.replace(day=6, hour=22, minute=30)
    )
    export(organisation, coordinator)
    organisation.execute(
        "update public.expense_claims set status = 'rejected', approved_at = null where id = %s",
        lost_approval[0],
    )

    def count_of(first: str | None, last: str | None) -> int:
        told = assert_green(organisation, p_period_from=first, p_period_to=last)
        return int(told["whole"]["count"])

    assert count_of("2026-10-06", "2026-10-07") == 3, "the 7th in Oslo, and the 6th"
    assert count_of("2026-10-07", "2026-10-07") == 2
    assert count_of("2026-10-08", None) == 1
    assert count_of(None, "2026-10-05") == 1
    assert count_of(None, None) == 5
    assert count_of("2027-01-01", None) == 0


def by_hand(organisation: Organisation, claims: list[Any], kept: list[Any]) -> str:
    """A run that was exported by hand: reserves the claims, keeps some."""
    with organisation.as_service() as service:
        run = call(
            service,
            "create_export_run",
            p_organization_id=organisation.id,
            p_triggered_by=None,
            p_format="xledger_gl02b",
            p_origin="manual",
        )
        token = call(
            service,
            "update_export_run_status",
            p_run_id=run["run_id"],
            p_status="processing",
            p_claim_ids=claims,
        )["fencing_token"]
        call(
            service,
            "update_export_run_status",
            p_run_id=run["run_id"],
            p_status="completed",
            p_claim_ids=kept,
            p_fencing_token=token,
        )
    return str(run["run_id"])


def test_a_run_recorded_by_hand_is_the_sum_of_what_it_kept(organisation: Organisation) -> None:
    """It has no file, and what it let go before it was completed does not count; also after it was voided."""
    claims = organisation.add_claims(2)
    run_id = by_hand(organisation, claims, claims[:1])
    assert counts(assert_green(organisation)) == {
        "exported": (1, {"NOK": "100.00"}),
        "pending": (1, {"NOK": "100.00"}),
    }

    Bookkeeper(organisation.as_service(), "Ingrid").void(run_id)

    assert set(assert_green(organisation)["classes"]) == {"held", "pending"}


def test_refused_vouchers_and_reversals_are_green(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A refused voucher stays in its run's totals; a reversing run has negative ones; the claims are held, then exported anew."""
    organisation.add_claims(3)
    run_id = export(organisation, coordinator)
    with organisation.as_service() as service:
        keeper = Bookkeeper(service, "Ingrid")
        keeper.confirm(run_id, "imported")
        keeper.confirm(run_id, "refused", vouchers(2))
        assert counts(assert_green(organisation)) == {
            "exported": (2, {"NOK": "200.00"}),
            "held": (1, {"NOK": "100.00"}),
        }
        back = keeper.reverse(run_id)
        complete_reversal(organisation, back, reserve_all(service, back))
    assert counts(assert_green(organisation)) == {"held": (3, {"NOK": "300.00"})}

    export(organisation, coordinator)

    assert counts(assert_green(organisation)) == {"exported": (3, {"NOK": "300.00"})}


def test_a_raised_counter_explains_its_gap(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A new series of vouchers, at the beginning or later, is no loss; who raised the counter is kept."""
    organisation.execute(
        "insert into public.export_counters (organization_id, name, last_value) values (%s, 'voucher_number', 500)",
        organisation.id,
    )
    organisation.add_claims(3)
    export(organisation, coordinator)
    organisation.execute(
        "update public.export_counters set last_value = last_value + 100 where organization_id = %s",
        organisation.id,
    )
    organisation.add_claims(1)
    export(organisation, coordinator)

    assert_green(organisation)
    assert organisation.execute(
        "select name, first_number, last_number, actor from public.export_number_gaps order by 1, 2"
    ) == [
        ("run_number", 2, 101, "postgres"),
        ("voucher_number", 1, 500, "postgres"),
        ("voucher_number", 504, 603, "postgres"),
    ]


def test_a_run_that_was_deleted_for_good_explains_its_numbers(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Its numbers are no loss, and its file, which stays until somebody deletes it, is that of a known run."""
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute(
            f"alter database {organisation.database.name} set export_engine.is_test_database = 'on'".encode()
        )
    organisation.add_claims(2)
    run_id = export(organisation, coordinator)
    organisation.add_claims(1)
    export(organisation, coordinator)

    organisation.execute(
        "select public.hard_delete_export_run(%s, 'yes', 'Retention is over.', 'Ingrid')", run_id
    )

    told = reconciled(organisation)
    assert (told["is_green"], codes(told)) == (True, {"orphan_object": 1})


# --- while the world goes on


def busy_days(organisation: Organisation, coordinator: psycopg.Connection) -> Iterator[str]:
    """Exports, voids, refusals, a reversal and changes of mind, one call at a time."""
    service = organisation.as_service()
    keeper = Bookkeeper(service, "Ingrid")

    def exported() -> Iterator[str]:
        begun = begin(coordinator, organisation)
        yield "begun"
        worker = Worker.of(organisation, service, begun)
        members, page = list(begun["claims"]), begun
        while not page["last_page"]:
            page = worker.reserve(members[-1]["position"])
            members += page["claims"]
            yield "reserved"
        complete(organisation, {**begun, "claims": members})
        yield str(begun["run"]["run_id"])

    claims = organisation.add_claims(7)
    run_id = ""
    for run_id in exported():
        yield run_id
    answer = keeper.void(run_id)
    while not answer["released"]:
        yield "voiding"
        answer = call(service, "continue_export_release", p_run_id=run_id)
    organisation.execute(
        "update public.expense_claims set status = 'draft', approved_at = null where id = any (%s)",
        claims[1:3],
    )
    yield "not approved"
    organisation.execute(
        "update public.expense_claims set status = 'approved', approved_at = clock_timestamp() where id = %s",
        claims[1],
    )
    for run_id in exported():
        yield run_id
    keeper.confirm(run_id, "refused", vouchers(8))
    yield "refused"
    keeper.confirm(run_id, "imported")
    back = keeper.reverse(run_id)
    yield "reversing"
    complete_reversal(organisation, back, reserve_all(service, back))
    yield "reversed"
    organisation.add_claims(2)
    for run_id in exported():
        yield run_id
    by_hand(organisation, organisation.add_claims(1), [])
    yield "by hand"


@pytest.mark.parametrize("steps_between", [1, 2, 3, 5])
def test_a_reconciliation_of_a_moving_world_is_green(
    organisation: Organisation, coordinator: psycopg.Connection, steps_between: int
) -> None:
    """Its pages are read at different moments, before and after each call of exports, voids and reversals."""
    reconciler = Reconciler.of(organisation)
    told, finished = reconciler.begin(), 0
    for _ in busy_days(organisation, coordinator):
        for _ in range(steps_between):
            told = reconciler.step(told)
            if told["finished_at"] is not None:
                assert told["is_green"], told["findings"]
                told, finished = reconciler.begin(), finished + 1

    assert reconciler.finish(told)["is_green"]
    assert finished >= 1
    assert_green(organisation)


def test_a_claim_left_out_behind_the_reader_is_no_alarm(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """A run that was unfinished when its first page was read: what is left out and completed meanwhile is the next one's."""
    organisation.add_claims(5)
    begun = begin(coordinator, organisation)
    service = organisation.as_service()
    worker, reconciler = Worker.of(organisation, service, begun), Reconciler.of(organisation)
    told = reconciler.begin()
    while "members" not in told["checked"]:
        told = reconciler.step(told)
    assert told["checked"]["members"] == 2, "the reader is within the run"

    first, *others = reserve_all(service, begun)
    worker.leave_out([first["claim_id"]])
    worker.complete(others)

    told = reconciler.finish(told)
    assert (told["is_green"], told["checked"]["members"]) == (True, 5)
    assert_green(organisation)


def test_two_who_continue_the_same_one_count_nothing_twice(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Each call does the next page, whoever makes it."""
    organisation.add_claims(7)
    export(organisation, coordinator)
    one, other = Reconciler.of(organisation), Reconciler.of(organisation)

    told = one.begin()
    while told["finished_at"] is None:
        one.step(told)
        told = other.step(told)

    assert counts(told) == {"exported": (7, {"NOK": "700.00"})}
    assert one.step(told)["finished_at"] == told["finished_at"], "once more changes nothing"


# --- damaged


@dataclass(frozen=True)
class Damage:
    """A healthy organisation, and a superuser whom no trigger stops."""

    organisation: Organisation
    superuser: psycopg.Connection
    exported: str
    unfinished: str

    def do(self, statement: str, *parameters: object) -> None:
        """One statement; {run} is the completed run, {unfinished} the processing one, {id} the organisation."""
        self.superuser.execute(
            statement.replace("{run}", f"'{self.exported}'")
            .replace("{unfinished}", f"'{self.unfinished}'")
            .replace("{id}", f"'{self.organisation.id}'")
            .encode(),
            parameters or None,
        )

    def show_instead(self, query: str) -> None:
        """Let claim_export_status show this of what it shows now."""
        row = self.superuser.execute(
            "select pg_get_viewdef('public.claim_export_status'), string_agg(attname, ', ' order by attnum)"
            " from pg_attribute where attrelid = 'public.claim_export_status'::regclass and attnum > 0"
        ).fetchone()
        assert row is not None
        shown = query.replace("*", row[1]).replace("shown", f"({row[0].rstrip(';')}) as shown")
        self.do(f"create or replace view public.claim_export_status as {shown}")


@pytest.fixture
def damage(organisation: Organisation, coordinator: psycopg.Connection) -> Iterator[Damage]:
    """Five claims exported, one reserved by a living worker, one left pending."""
    organisation.add_claims(5)
    exported = export(organisation, coordinator)
    organisation.add_claims(1)
    begun = begin(coordinator, organisation)
    organisation.add_claims(1)
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        yield Damage(organisation, superuser, exported, begun["run"]["run_id"])


def copy_member(damage: Damage, run: str, position: int, number: int, **changed: str) -> None:
    """The second member of the completed run once more."""
    columns = {
        "run_id": run,
        "position": str(position),
        "voucher_number": str(number),
        "generation": "generation",
        "kind": "kind",
        "amount": "amount",
        **changed,
    }
    damage.do("drop index if exists public.export_run_claims_live_key")
    damage.do(
        "insert into public.export_run_claims (organization_id, claim_id, document, currency,"
        f" {', '.join(columns)})"
        f" select organization_id, claim_id, document, currency, {', '.join(columns.values())}"
        " from public.export_run_claims where run_id = {run} and position = 2"
    )


def delete_entry(damage: Damage) -> None:
    damage.do("delete from public.export_run_claims where run_id = {run} and position = 2")


def change_total(damage: Damage) -> None:
    damage.do("""update public.export_runs set totals = '{"NOK": "500.01"}' where id = {run}""")


def change_reserved(damage: Damage) -> None:
    damage.do("update public.export_runs set reserved_count = 6 where id = {run}")


def double_entry(damage: Damage) -> None:
    copy_member(damage, "{unfinished}", 2, 6)


def reverse_without_entry(damage: Damage) -> None:
    copy_member(damage, "{run}", 6, 6, kind="'reversal'", amount="-amount")
    damage.do(
        "update public.export_run_claims set outcome = 'released', released_at = now()"
        " where run_id = {run} and position = 2"
    )


def end_run_that_holds(damage: Damage) -> None:
    damage.do(
        "update public.export_runs set status = 'failed', releasing_at = now(), failed_at = now() where id = {unfinished}"
    )


def change_amount(damage: Damage) -> None:
    damage.do(
        "update public.export_run_claims set amount = 90 where run_id = {run} and position = 1"
    )


def give_number_twice(damage: Damage) -> None:
    damage.do("update public.export_run_claims set voucher_number = 3 where run_id = {unfinished}")


def remove_run(damage: Damage) -> None:
    damage.do("delete from public.export_run_claims where run_id = {unfinished}")
    damage.do("delete from public.export_runs where id = {unfinished}")


def lower_counter(damage: Damage) -> None:
    damage.do("update public.export_counters set last_value = 2 where name = 'voucher_number'")


def lower_token(damage: Damage) -> None:
    damage.do("update public.export_locks set fencing_token = 1 where organization_id = {id}")


def remove_object(damage: Damage) -> None:
    damage.do("delete from storage.objects where bucket_id = 'exports'")


def forget_file(damage: Damage) -> None:
    damage.do(
        "alter table public.export_runs drop constraint export_runs_completed_file_check,"
        " drop constraint export_runs_file_check"
    )
    damage.do("update public.export_runs set file_path = null, file_sha256 = null where id = {run}")


def change_size(damage: Damage) -> None:
    damage.do("""update storage.objects set metadata = '{"size": 11}'""")


def change_stored_hash(damage: Damage) -> None:
    damage.do("""update storage.objects set user_metadata = '{"sha256": "b"}'""")


def change_path(damage: Damage) -> None:
    damage.do("update public.export_runs set file_path = 'elsewhere.csv' where id = {run}")


def add_unknown_file(damage: Damage) -> None:
    damage.do(
        "insert into storage.objects (bucket_id, name) values ('exports', {id} || '/' || gen_random_uuid() || '/a.csv')"
    )


def add_orphan(damage: Damage) -> None:
    damage.do(
        "insert into storage.objects (bucket_id, name) values ('exports', {id} || '/' || {run} || '/b.csv')"
    )


def add_stray(damage: Damage) -> None:
    damage.do(
        "insert into storage.objects (bucket_id, name) values ('exports', {id} || '/note.csv')"
    )


def keep_lock(damage: Damage) -> None:
    damage.do("update public.export_locks set run_id = {run} where organization_id = {id}")


def lose_lock(damage: Damage) -> None:
    damage.do(
        "update public.export_locks set run_id = null, holder_id = null, acquired_at = null, expires_at = null"
        " where organization_id = {id}"
    )


def let_lease_end(damage: Damage) -> None:
    damage.organisation.expire_lease()


def park(damage: Damage) -> None:
    damage.do(
        "update public.export_runs set status = 'parked', parked_at = now() where id = {unfinished}"
    )
    lose_lock(damage)


def doubt(damage: Damage) -> None:
    damage.do(
        "update public.export_runs set status = 'in_doubt', in_doubt_at = now() where id = {unfinished}"
    )
    lose_lock(damage)


def forget_pending(damage: Damage) -> None:
    with damage.organisation.as_service() as service:
        call(
            service,
            "create_export_run",
            p_organization_id=damage.organisation.id,
            p_triggered_by=None,
            p_format="xledger_gl02b",
        )
    damage.do(
        "update public.export_runs set created_at = now() - interval '2 hours' where status = 'pending'"
    )


def remove_claim(damage: Damage) -> None:
    damage.do(
        "delete from public.expense_claims where id ="
        " (select claim_id from public.export_run_claims where run_id = {run} and position = 2)"
    )


def hide_claims(damage: Damage) -> None:
    damage.show_instead("select * from shown where export_status <> 'pending'")


def show_wrong_class(damage: Damage) -> None:
    columns = "organization_id, claim_id, claim_number, 'pending'::text as export_status, run_id, run_number, voucher_number"
    columns += ", file_name, reason_code, reason_field, reason_message"
    damage.show_instead(f"select {columns} from shown")


def leave_out_without_reason(damage: Damage) -> None:
    damage.do("alter table public.export_run_claims drop constraint export_run_claims_reason_check")
    damage.do(
        "update public.export_run_claims set outcome = 'left_out', released_at = now() where run_id = {run} and position = 2"
    )


Hurt = Callable[[Damage], None]
DAMAGES: list[tuple[Hurt, set[str]]] = [
    (
        delete_entry,
        {"run_members_mismatch", "run_totals_mismatch", "voucher_number_missing"},
    ),
    (change_total, {"run_totals_mismatch"}),
    (change_reserved, {"run_members_mismatch"}),
    (double_entry, {"claim_entered_twice", "run_members_mismatch"}),
    (
        reverse_without_entry,
        {
            "reversal_without_entry",
            "run_members_mismatch",
            "run_totals_mismatch",
            "voucher_number_doubled",
        },
    ),
    (end_run_that_holds, {"ended_run_holds_claims", "lock_of_finished_run"}),
    (change_amount, {"amount_not_of_document", "run_members_mismatch", "run_totals_mismatch"}),
    (give_number_twice, {"voucher_number_doubled", "voucher_number_missing"}),
    (remove_run, {"run_number_missing", "voucher_number_missing"}),
    (lower_counter, {"number_beyond_counter"}),
    (lower_token, {"fencing_token_behind"}),
    (remove_object, {"file_missing"}),
    (forget_file, {"file_missing", "orphan_object"}),
    (change_size, {"file_altered"}),
    (change_stored_hash, {"file_altered"}),
    (change_path, {"file_path_wrong", "orphan_object"}),
    (add_unknown_file, {"file_of_unknown_run"}),
    (add_orphan, {"orphan_object"}),
    (add_stray, {"orphan_object"}),
    (keep_lock, {"lock_of_finished_run", "run_without_lock"}),
    (lose_lock, {"run_without_lock"}),
    (let_lease_end, {"lease_over"}),
    (park, {"run_parked"}),
    (doubt, {"run_in_doubt"}),
    (forget_pending, {"run_pending"}),
    (remove_claim, {"claim_gone"}),
    (hide_claims, {"claim_without_class", "classes_do_not_sum"}),
    (show_wrong_class, {"claim_class_wrong"}),
    (
        leave_out_without_reason,
        {"claim_without_reason", "run_members_mismatch", "run_totals_mismatch"},
    ),
]


def test_the_damages_are_done_to_something_healthy(damage: Damage) -> None:
    """Or a finding would prove nothing."""
    assert set(assert_green(damage.organisation)["classes"]) == {"exported", "reserved", "pending"}


@pytest.mark.parametrize(
    ("hurt", "expected"), DAMAGES, ids=lambda given: getattr(given, "__name__", "")
)
def test_damage_is_found(damage: Damage, hurt: Hurt, expected: set[str]) -> None:
    """By its code, red or a note, and with what it is about; nothing else is found beside what follows from it."""
    hurt(damage)

    told = reconciled(damage.organisation)

    assert set(codes(told)) == expected
    assert told["is_green"] is (expected <= NOTES)
    assert told["red_count"] == sum(finding["is_red"] for finding in told["findings"])
    assert told["finding_counts"] == dict(codes(told))
    for finding in told["findings"]:
        assert finding["is_red"] == (finding["code"] not in NOTES)
        if finding["code"] != "classes_do_not_sum":
            assert {"run_id", "claim_id", "number", "object"} & finding.keys()
        assert re.fullmatch(r"[A-Z].*\.", finding["sentence"])


def test_claims_in_no_class_are_missed_in_the_sum(damage: Damage) -> None:
    """What the classes come to is compared with the whole, which is counted beside them."""
    reconciler = Reconciler.of(damage.organisation)
    told = reconciler.begin()
    while told["phase"] == "claims":
        told = reconciler.step(told)
    damage.do("""update public.export_reconciliations set whole = whole || '{"count": 8}'""")

    assert codes(reconciler.finish(told)) == {"classes_do_not_sum": 1}


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"p_sha256": "a" * 64, "p_size": 10}, None),
        ({"p_sha256": "b" * 64, "p_size": 10}, "file_altered"),
        ({"p_sha256": "a" * 64, "p_size": 11}, "file_altered"),
        ({"p_sha256": None, "p_size": None}, "file_missing"),
        ({"p_sha256": None, "p_size": None, "p_gave_up": True}, "file_not_read"),
    ],
    ids=["same", "other hash", "other size", "gone", "too large"],
)
def test_the_bytes_are_compared_here(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    told: dict[str, Any],
    expected: str | None,
) -> None:
    """Whoever reads a file says what it is; which hash it should have is not told before. Saying it twice counts once."""
    organisation.add_claims(1)
    run_id = export(organisation, coordinator)
    reconciler = Reconciler.of(organisation)
    begun = answer = reconciler.begin(p_with_files=True)
    while not answer.get("files"):
        answer = reconciler.step(begun)
    assert [set(file) for file in answer["files"]] == [{"run_id", "path", "size"}]

    for _ in range(2):
        reconciler.tell(begun, run_id, **told)
    answer = reconciler.finish(begun)

    assert dict(codes(answer)) == ({expected: 1} if expected else {})
    assert answer["is_green"] is (expected in {None, "file_not_read"})
    assert answer["checked"]["files"] == (0 if expected == "file_not_read" else 1)


def test_a_flood_of_one_code_hides_no_other(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Fifty of a code are told, and how many there were; the fifty-first of another is told too."""
    organisation.add_claims(1)
    export(organisation, coordinator)
    organisation.execute(
        "insert into storage.objects (bucket_id, name) select 'exports', %s || '/stray/' || n from generate_series(1, 120) as n",
        str(organisation.id),
    )
    organisation.execute(
        "insert into storage.objects (bucket_id, name) values ('exports', %s)",
        f"{organisation.id}/{uuid4()}/a.csv",
    )

    told = reconciled(organisation)

    assert told["finding_counts"] == {"orphan_object": 120, "file_of_unknown_run": 1}
    assert codes(told) == {"orphan_object": 50, "file_of_unknown_run": 1}
    assert (told["red_count"], told["note_count"]) == (1, 120)


def test_a_gap_can_be_explained(damage: Damage) -> None:
    """By the owner, for numbers that were given, with a reason; the next reconciliation names it no more."""
    remove_run(damage)
    explain = "select public.explain_number_gap(%s, %s, %s, %s, 'Lost before the audit.', 'Ingrid')"
    execute, own = damage.organisation.execute, damage.organisation.id

    execute(explain, own, "run_number", 2, 2)
    assert set(codes(reconciled(damage.organisation))) == {"voucher_number_missing"}
    execute(explain, own, "voucher_number", 6, 6)
    assert_green(damage.organisation)

    assert refusal(lambda: execute(explain, own, "run_number", 2, 3)) == (
        "PT400",
        "invalid_number_gap",
    )
    assert refusal(lambda: execute(explain, own, "claim_number", 1, 1)) == (
        "PT400",
        "invalid_number_gap",
    )


# --- who may, and what stays


def test_what_was_found_is_never_changed(organisation: Organisation) -> None:
    """Not by the owner in the table editor either; and nobody writes a result by hand."""
    told = assert_green(organisation)
    statements = [
        "update public.export_reconciliations set is_green = false, red_count = 1",
        "delete from public.export_reconciliations",
        "truncate public.export_reconciliations",
        "insert into public.export_reconciliations default values",
        "delete from public.export_number_gaps",
    ]
    organisation.execute(
        "insert into public.export_counters values (%s, 'run_number', 1)", organisation.id
    )
    for statement in statements:
        assert refusal(lambda s=statement: organisation.execute(s)) == (  # type: ignore[misc]
            "PT403",
            "history_is_protected",
        ), statement
    with organisation.database.connect("postgres", autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        assert refusal(
            lambda: owner.execute("update public.export_reconciliations set findings = '[]'")
        ) == ("PT403", "history_is_protected")
    assert organisation.execute("select id::text, is_green from public.export_reconciliations") == [
        (told["reconciliation_id"], True)
    ]


def test_requests_that_make_no_sense_are_refused(organisation: Organisation) -> None:
    """Each with its code."""
    reconciler = Reconciler.of(organisation)
    nobody = Reconciler(Organisation(organisation.database), reconciler.service)
    bare = Organisation(organisation.database)
    bare.execute("insert into public.organizations (id, name) values (%s, 'HLF')", bare.id)

    assert refusal(nobody.begin) == ("PT404", "organization_not_found")
    assert refusal(Reconciler(bare, reconciler.service).begin) == ("PT422", "unknown_target")
    assert refusal(lambda: reconciler.begin(p_asked_by="sweep")) == ("PT400", "unknown_asker")
    assert refusal(
        lambda: reconciler.begin(p_period_from="2026-02-01", p_period_to="2026-01-31")
    ) == ("PT400", "period_reversed")
    assert refusal(lambda: reconciler.step({"reconciliation_id": uuid4()})) == (
        "PT404",
        "reconciliation_not_found",
    )
    begun = reconciler.begin()
    assert refusal(lambda: reconciler.tell(begun, uuid4(), p_sha256="a", p_size=1)) == (
        "PT404",
        "run_not_found",
    )


def test_the_dashboard_reconciles_in_one_go(damage: Damage) -> None:
    """The first row is the verdict, then classes and findings; the latest stands in a view, one line per organisation."""
    add_orphan(damage)
    execute, own = damage.organisation.execute, damage.organisation.id
    rows = execute("select * from public.reconcile_exports(%s)", own)
    assert [(row[0], row[1]) for row in rows] == [
        ("green", 7),
        ("exported", 5),
        ("pending", 1),
        ("reserved", 1),
        ("orphan_object", 1),
    ]
    change_total(damage)
    rows = execute("select * from public.reconcile_exports(%s)", own)
    execute("select * from public.reconcile_exports(%s, '2026-01-01', '2026-01-31')", own)

    [latest] = execute(
        "select result, sentence, red_count, note_count, asked_by from public.export_reconciliation_latest"
    )
    sentence = "Red: run_totals_mismatch (1). Notes: orphan_object (1)."
    assert latest == ("red", sentence, 1, 1, "dashboard")
    assert (rows[0][0], rows[0][3]) == ("red", sentence)
    urgent = (
        "select kind, what, how_many from public.export_needs_attention where kind like 'red%%'"
    )
    assert execute(urgent) == [("red_reconciliation", sentence, 1)]


# --- the sweep's


@contextmanager
def days_later(organisation: Organisation, days: int) -> Iterator[None]:
    """As if everything that was ever reconciled had been reconciled this much earlier."""
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute(
            "update public.export_reconciliations set started_at = started_at - make_interval(days => %s),"
            " touched_at = touched_at - make_interval(days => %s), finished_at = finished_at - make_interval(days => %s)",
            [days] * 3,
        )
    yield


def test_each_organisation_is_due_once_a_day(organisation: Organisation) -> None:
    """The one that waited longest comes first; one that is not finished is continued; then there is none."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    reconciler = Reconciler.of(organisation)

    def next_one() -> dict[str, Any] | None:
        due: dict[str, Any] | None = call(reconciler.service, "next_reconciliation")[
            "reconciliation"
        ]
        return due

    first, second, again = next_one(), next_one(), next_one()
    assert first is not None
    assert second is not None
    assert again is not None
    assert {first["organization_id"], second["organization_id"]} == {
        str(organisation.id),
        str(other.id),
    }
    assert again["reconciliation_id"] == first["reconciliation_id"], "touched longest ago"
    for one in (first, second):
        assert reconciler.finish(one)["asked_by"] == "sweep"
    assert next_one() is None

    with days_later(organisation, 1):
        assert next_one() is not None


def test_files_are_read_when_new_and_all_once_a_month(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Every download costs: what was read within a month is trusted to its size and stored hash."""
    organisation.add_claims(1)
    export(organisation, coordinator)
    reconciler = Reconciler.of(organisation)

    def read_in_sweep() -> int:
        due = call(reconciler.service, "next_reconciliation")["reconciliation"]
        answer = reconciler.step(due)
        while answer["finished_at"] is None:
            for file in answer["files"]:
                reconciler.tell(due, file["run_id"], p_sha256="a" * 64, p_size=10)
            answer = reconciler.step(due)
        assert answer["is_green"]
        return int(answer["checked"].get("files", 0))

    assert read_in_sweep() == 1
    with days_later(organisation, 2):
        organisation.execute("select 1")
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute(
            "update public.export_runs set completed_at = completed_at - interval '3 days'"
        )
    assert read_in_sweep() == 0, "was read before"
    with days_later(organisation, 1):
        organisation.add_claims(1)
    export(organisation, coordinator)
    assert read_in_sweep() == 1, "the new one"
    with days_later(organisation, 30):
        assert read_in_sweep() == 2, "all"


def test_every_finding_is_explained() -> None:
    """The page has one row for each code that the damages above bring about, and no other."""
    rows = set(re.findall(r"^\| `([a-z_]+)` \|", DOCUMENTATION.read_text("utf-8"), re.MULTILINE))
    provoked = {code for _, expected in DAMAGES for code in expected}

    assert rows == provoked | {"file_not_read"}
