"""All that the engine keeps of one organisation at one moment, and what must be true of it whatever happened before."""

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg

Row = Mapping[str, Any]

# One statement, so that everything is seen at the same moment. `at` is what only the clock decides: leases.
_TAKE = """
select jsonb_build_object(
  'runs', (select coalesce(jsonb_agg(to_jsonb(r) order by r.run_number), '[]') from public.export_runs r where r.organization_id = %(id)s),
  'members', (select coalesce(jsonb_agg(to_jsonb(m) || jsonb_build_object('amount', m.amount::text) order by m.reserved_at, m.run_id, m.position), '[]')
    from public.export_run_claims m where m.organization_id = %(id)s),
  'events', (select coalesce(jsonb_agg(to_jsonb(e) order by e.id), '[]') from public.export_run_events e where e.organization_id = %(id)s),
  'counters', (select coalesce(jsonb_agg(to_jsonb(n) order by n.name), '[]') from public.export_counters n where n.organization_id = %(id)s),
  'lock', (select to_jsonb(l) from public.export_locks l where l.organization_id = %(id)s),
  'claims', (select coalesce(jsonb_agg(to_jsonb(c) || jsonb_build_object('total', (
      select sum(i.amount)::text from public.expense_claim_lines i where i.claim_id = c.id)) order by c.id), '[]')
    from public.expense_claims c where c.organization_id = %(id)s),
  'classes', (select coalesce(jsonb_agg(to_jsonb(s) order by s.claim_id), '[]') from public.claim_export_status s where s.organization_id = %(id)s),
  'eligible', (select coalesce(jsonb_agg(e.claim_id), '[]')
    from export_engine.eligible_claims(%(id)s, '-infinity', 'infinity', '-infinity', '00000000-0000-0000-0000-000000000000', 1000) e)
)
"""
LEGAL = {
    "pending": {"processing", "releasing"},
    "processing": {"completed", "parked", "in_doubt", "releasing"},
    "parked": {"processing", "releasing"},
    "in_doubt": {"completed", "processing", "releasing"},
    "releasing": {"failed"},
    "completed": {"voiding"},
    "voiding": {"voided"},
}
TIMES = {
    "parked_at": {"parked"},
    "in_doubt_at": {"in_doubt"},
    "completed_at": {"completed", "voiding", "voided"},
    "releasing_at": {"releasing", "failed"},
    "failed_at": {"failed"},
    "voiding_at": {"voiding", "voided"},
    "voided_at": {"voided"},
}
FROZEN = ("claim_id", "kind", "generation", "voucher_number", "document", "amount", "currency")


def take_snapshot(owner: psycopg.Connection, organisation_id: UUID) -> dict[str, Any]:
    """Everything of one organisation."""
    row = owner.execute(_TAKE.encode(), {"id": organisation_id}).fetchone()
    assert row is not None
    snapshot: dict[str, Any] = row[0]
    return snapshot


def without_lease(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """The same, but for the times of the lease, which every accepted write renews."""
    lock = {k: v for k, v in snapshot["lock"].items() if k not in {"acquired_at", "expires_at"}}
    return {**snapshot, "lock": lock}


def assert_sound(snapshot: Mapping[str, Any]) -> None:
    """What must be true at every moment."""
    runs = {run["id"]: run for run in snapshot["runs"]}
    live = [member for member in snapshot["members"] if member["released_at"] is None]
    assert_entered_once(live)
    assert_exported_with_a_file(snapshot["classes"], runs)
    assert_nothing_is_forgotten(snapshot, live)
    assert_classes_are_whole(snapshot, live)
    for run in runs.values():
        assert_totals_are_sums(run, [m for m in snapshot["members"] if m["run_id"] == run["id"]])
        assert_times_fit_the_state(run)
    numbers = [member["voucher_number"] for member in snapshot["members"]]
    assert len(numbers) == len(set(numbers)), "a voucher number is given once"


def assert_entered_once(live: Iterable[Row]) -> None:
    """I1: at most one effective entry per claim."""
    entries = Counter(member["claim_id"] for member in live if member["kind"] == "entry")
    assert max(entries.values(), default=0) <= 1, "I1: a claim has two effective entries"


def assert_exported_with_a_file(classes: Iterable[Row], runs: Mapping[str, Row]) -> None:
    """I2: exported means in a completed run with a hash, or recorded by hand."""
    for row in classes:
        if row["export_status"] == "exported":
            run = runs[row["run_id"]]
            assert run["completed_at"], "I2: exported by a run that is not completed"
            assert run["file_sha256"] or run["origin"] == "manual", "I2: exported without a hash"


def assert_nothing_is_forgotten(snapshot: Mapping[str, Any], live: Iterable[Row]) -> None:
    """I2: an approved claim in no run is eligible, and nothing else is."""
    taken = {member["claim_id"] for member in live}
    waiting = {c["id"] for c in snapshot["claims"] if c["status"] == "approved"} - taken
    assert set(snapshot["eligible"]) == waiting, "I2: eligible is what is approved and in no run"


def assert_classes_are_whole(snapshot: Mapping[str, Any], live: Iterable[Row]) -> None:
    """I3: each claim is in exactly one class, and the classes sum to the whole by count and amount."""
    taken = {member["claim_id"] for member in live}
    shown = [c for c in snapshot["claims"] if c["status"] == "approved" or c["id"] in taken]
    amounts = {claim["id"]: Decimal(claim["total"]) for claim in snapshot["claims"]}
    rows = snapshot["classes"]
    assert sorted(row["claim_id"] for row in rows) == sorted(c["id"] for c in shown), "I3: count"
    by_class = Counter[str]()
    for row in rows:
        by_class[row["export_status"]] += 1
    assert set(by_class) <= {"exported", "reserved", "held", "left_out", "pending"}
    assert sum(by_class.values()) == len(shown)
    assert sum(amounts[row["claim_id"]] for row in rows) == sum(amounts[c["id"]] for c in shown)


def total_of(members: Iterable[Row]) -> dict[str, Decimal]:
    """Sum per currency; what is zero is left out."""
    totals: dict[str, Decimal] = {}
    for member in members:
        currency = member["currency"]
        totals[currency] = totals.get(currency, Decimal(0)) + Decimal(member["amount"])
    return _amounts(totals)


def _amounts(totals: Mapping[str, Any]) -> dict[str, Decimal]:
    return {currency: Decimal(v) for currency, v in totals.items() if Decimal(v)}


def assert_totals_are_sums(run: Row, members: list[Row]) -> None:
    """I4: counts and totals of the run are those of its members."""
    left_out = [member for member in members if member["outcome"] == "left_out"]
    assert run["reserved_count"] == len(members), "I4: reserved count"
    assert _amounts(run["reserved_totals"]) == total_of(members), "I4: reserved totals"
    assert run["left_out_count"] == len(left_out), "I4: left-out count"
    assert _amounts(run["left_out_totals"]) == total_of(left_out), "I4: left-out totals"
    if run["completed_at"] is not None:
        kept = [member for member in members if member["outcome"] == "included"]
        if run["voided_at"] is not None:
            assert kept == [], "I4: a voided run keeps no claim"
            kept = [member for member in members if member["outcome"] == "released"]
        assert run["claim_count"] == len(kept), "I4: claim count"
        assert _amounts(run["totals"]) == total_of(kept), "I4: totals"


def assert_times_fit_the_state(run: Row) -> None:
    """I10: each state has its time and no other, and they are in order."""
    for column, states in TIMES.items():
        assert (run[column] is not None) == (run["status"] in states), f"I10: {column}"
    times = [run[c] for c in ("created_at", "processing_at", "sealed_at", "completed_at")]
    known = [time for time in times if time is not None]
    assert known == sorted(known), "I10: times are in order"


def reachable(status: str) -> set[str]:
    """Every state that legal transitions lead to, itself included."""
    found = {status}
    while more := {t for s in found for t in LEGAL.get(s, set())} - found:
        found |= more
    return found


def assert_only_grown(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """I6, I10: what was frozen stays, events are appended, states follow the law, nothing disappears."""
    assert after["events"][: len(before["events"])] == before["events"], "I10: events only grow"
    runs = {run["id"]: run for run in after["runs"]}
    for run in before["runs"]:
        assert runs[run["id"]]["status"] in reachable(run["status"]), "I10: illegal transition"
    members = {(m["run_id"], m["position"]): m for m in after["members"]}
    for member in before["members"]:
        now = members[member["run_id"], member["position"]]
        assert all(now[c] == member[c] for c in FROZEN), "I6: a frozen document changed"
        if member["released_at"] is not None:
            assert now == member, "I6: a released membership changed"
    assert after["lock"]["fencing_token"] >= before["lock"]["fencing_token"]
