"""Backfill: what was exported by hand becomes completed manual runs, and is never exported again."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import Bookkeeper, pages_of_two, refusal, standing_holds
from tests.database.reconciler import reconciled
from tests.organisation import Organisation, begin, call, complete

LIST = "b" * 64
DAY = "2026-10-31"
FILE = "Utlegg oktober.csv"


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@dataclass
class Recorder:
    """Somebody with the service key and one list."""

    organisation: Organisation
    list_sha256: str = LIST
    service: psycopg.Connection = field(init=False)

    def __post_init__(self) -> None:
        self.service = self.organisation.as_service()

    def check(self, rows: Sequence[Mapping[str, Any]], **wishes: object) -> list[dict[str, Any]]:
        """What each row comes to."""
        arguments = {
            "p_organization_id": self.organisation.id,
            "p_target": None,
            "p_list_sha256": self.list_sha256,
            "p_rows": list(rows),
        } | wishes
        judged: list[dict[str, Any]] = call(self.service, "check_export_backfill", **arguments)[
            "rows"
        ]
        return judged

    def verdicts(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int | None]]:
        """Verdict and run number of each row."""
        return [(row["verdict"], row["run_number"]) for row in self.check(rows)]

    def begin(self, **wishes: object) -> dict[str, Any]:
        """Begin or resume the run of the one day and file."""
        arguments = {
            "p_organization_id": self.organisation.id,
            "p_target": None,
            "p_list_sha256": self.list_sha256,
            "p_exported_on": DAY,
            "p_file_name": FILE,
            "p_part": 1,
            "p_actor": "Ingrid Vik",
            "p_invocation_id": uuid4(),
        } | wishes
        return call(self.service, "begin_export_backfill", **arguments)

    def add(
        self, begun: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], **wishes: object
    ) -> dict[str, Any]:
        """Add a page to the run that was begun."""
        arguments = {
            "p_run_id": begun["run"]["run_id"],
            "p_fencing_token": begun["fencing_token"],
            "p_rows": list(rows),
        } | wishes
        return call(self.service, "add_export_backfill_page", **arguments)

    def complete(self, begun: Mapping[str, Any], count: int, **file: object) -> dict[str, Any]:
        """Complete the run with the stored list."""
        run: dict[str, Any] = call(
            self.service,
            "complete_export_backfill",
            p_run_id=begun["run"]["run_id"],
            p_fencing_token=begun["fencing_token"],
            p_file=self.store() | file,
            p_expected_count=count,
        )["run"]
        return run

    def record(self, rows: Sequence[Mapping[str, Any]], **wishes: object) -> dict[str, Any]:
        """All of it for one page."""
        begun = self.begin(**wishes)
        assert self.add(begun, rows)["unusable"] == []
        return self.complete(begun, len(rows))

    def store(self) -> dict[str, Any]:
        """Make the database believe that the list was uploaded."""
        path = f"{self.organisation.id}/backfill/{self.list_sha256}.csv"
        self.organisation.execute(
            "insert into storage.objects (bucket_id, name) values ('exports', %s) on conflict do nothing",
            path,
        )
        return {
            "path": path,
            "name": "liste.csv",
            "sha256": self.list_sha256,
            "size": 10,
            "content_type": "text/csv",
        }


@pytest.fixture
def recorder(organisation: Organisation) -> Recorder:
    return Recorder(organisation)


def rows_of(claims: Sequence[UUID], **columns: object) -> list[dict[str, Any]]:
    """One row per claim, from line 2 on."""
    return [
        {"line": line, "claim_id": str(claim), "exported_on": DAY, "file_name": FILE} | columns
        for line, claim in enumerate(claims, start=2)
    ]


def number_of(organisation: Organisation, claim_id: UUID) -> str:
    [[number]] = organisation.execute(
        "select claim_number from public.expense_claims where id = %s", claim_id
    )
    return str(number)


# What a row comes to -------------------------------------------------------------------------------


def test_each_row_gets_its_verdict(
    organisation: Organisation, recorder: Recorder, coordinator: psycopg.Connection
) -> None:
    """Usable by id and by number; unknown, foreign, of two claims, not approved, in the future, taken."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    foreign = other.add_claim()
    exported = organisation.add_claim()
    complete(organisation, begin(coordinator, organisation))
    by_id, by_number, draft = (
        organisation.add_claim(),
        organisation.add_claim(currency="EUR"),
        organisation.add_claim(status="draft"),
    )
    ids = [by_id, uuid4(), foreign, draft, exported]
    rows = rows_of(ids)
    rows += [
        {"line": 20, "claim_number": number_of(organisation, by_number), "exported_on": DAY},
        {"line": 21, "claim_number": "no such number", "exported_on": DAY},
        {"line": 22, "claim_number": number_of(other, foreign), "exported_on": DAY},
        rows_of([by_id], line=23, claim_number=number_of(organisation, by_number))[0],
        rows_of([by_id], line=24, exported_on="2199-01-01")[0],
    ]

    judged = recorder.check(rows)

    assert [(row["line"], row["verdict"], row["run_number"]) for row in judged] == [
        (2, "usable", None),
        (3, "unknown", None),
        (4, "foreign", None),
        (5, "not_approved", None),
        (6, "exported", 1),
        (20, "usable", None),
        (21, "unknown", None),
        (22, "unknown", None),
        (23, "number_differs", None),
        (24, "date_in_future", None),
    ]
    assert [(row["amount"], row["currency"]) for row in judged if row["verdict"] == "usable"] == [
        ("406.00", "NOK"),
        ("406.00", "EUR"),
    ]
    assert judged[5]["claim_id"] == str(by_number)


def test_claims_of_an_unfinished_run_are_in_another_run(
    organisation: Organisation, recorder: Recorder, coordinator: psycopg.Connection
) -> None:
    """Reserved by an export that is under way, and in the run of another list."""
    [first] = organisation.add_claims(1)
    begin(coordinator, organisation)
    assert recorder.verdicts(rows_of([first])) == [("in_another_run", 1)]

    other = Organisation.create(organisation.database, name="HLF")
    claims = other.add_claims(1)
    earlier = Recorder(other, "c" * 64)
    earlier.add(earlier.begin(), rows_of(claims))
    assert Recorder(other).verdicts(rows_of(claims)) == [("in_another_run", 1)]
    assert earlier.verdicts(rows_of(claims)) == [("resumable", 1)]


def test_a_foreign_claim_tells_nothing_of_its_run(
    organisation: Organisation, recorder: Recorder
) -> None:
    """Whose claim it is, is said; in which run of hers it is, is not."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    claims = other.add_claims(1)
    complete(other, begin(other.as_user(other.add_member()), other))

    assert recorder.verdicts(rows_of(claims)) == [("foreign", None)]


def test_the_check_writes_nothing(organisation: Organisation, recorder: Recorder) -> None:
    """A dry run leaves no run, number, lock or event."""
    recorder.check(rows_of(organisation.add_claims(3)))

    assert organisation.execute("select count(*) from public.export_runs") == [(0,)]
    assert organisation.execute("select count(*) from public.export_counters") == [(0,)]
    assert organisation.execute("select fencing_token from public.export_locks") == [(0,)]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        {},
        [{"line": 1}],
        [{"line": 0, "claim_number": "1"}],
        [{"claim_number": "1"}],
        [{"line": 1, "claim_id": "x"}],
        [{"line": 1, "claim_number": "1" * 51}],
        [{"line": 1, "claim_number": "1", "voucher_number": " "}],
        [{"line": 1, "claim_number": "1", "file_name": "x" * 201}],
        [{"line": 1, "claim_number": "1"}, {"line": 1, "claim_number": "2"}],
        [{"line": line, "claim_number": "1"} for line in range(1, 2002)],
    ],
    ids=range(11),
)
def test_rows_that_cannot_be_read_are_refused(recorder: Recorder, rows: Any) -> None:
    """A page is 1 to 2,000 objects, each with its own line and a claim."""
    assert refusal(lambda: recorder.check([], p_rows=json.dumps(rows))) == (
        "PT400",
        "backfill_malformed",
    )


# A run from a list ---------------------------------------------------------------------------------


def test_a_list_becomes_a_completed_run(organisation: Organisation, recorder: Recorder) -> None:
    """Of origin manual, on the given day, with the list as its file; counts and totals by the database."""
    claims = [organisation.add_claim(), organisation.add_claim(currency="EUR")]

    run = recorder.record(rows_of(claims))

    assert {
        key: run[key]
        for key in ("status", "origin", "trigger", "export_date", "period_to", "triggered_by_name")
    } == {
        "status": "completed",
        "origin": "manual",
        "trigger": "cli",
        "export_date": DAY,
        "period_to": DAY,
        "triggered_by_name": "Ingrid Vik",
    }
    assert (run["claim_count"], run["voucher_count"], run["totals"]) == (
        2,
        2,
        {"NOK": "406.00", "EUR": "406.00"},
    )
    assert run["file"]["path"] == f"{organisation.id}/backfill/{LIST}.csv"
    assert organisation.execute(
        "select manual_file_name, renderer_version from public.export_runs"
    ) == [(FILE, None)]
    assert organisation.execute(
        "select claim_id, voucher_number, generation from public.export_run_claims order by position"
    ) == [(claims[0], 1, 1), (claims[1], 2, 1)]
    assert (
        organisation.execute("select export_status, run_number from public.claim_export_status")
        == [("exported", 1)] * 2
    )
    assert organisation.execute("select holder_id from public.export_locks") == [(None,)]
    assert organisation.execute(
        "select event, actor from public.export_run_events order by id"
    ) == [
        ("created", "Ingrid Vik"),
        ("started", "system"),
        ("page_reserved", "system"),
        ("sealed", "system"),
        ("completed", "Ingrid Vik"),
    ]


def test_an_export_afterwards_takes_none_of_them(
    organisation: Organisation, recorder: Recorder, coordinator: psycopg.Connection
) -> None:
    """What was exported by hand is never exported again; what is new is."""
    recorder.record(rows_of(organisation.add_claims(3)))

    assert begin(coordinator, organisation)["outcome"] == "nothing_to_export"
    [new] = organisation.add_claims(1)
    assert [claim["claim_id"] for claim in begin(coordinator, organisation)["claims"]] == [str(new)]


def test_the_same_list_again_is_done(organisation: Organisation, recorder: Recorder) -> None:
    """Each row is in the run that this list made; to another list it is exported."""
    claims = organisation.add_claims(2)
    run = recorder.record(rows_of(claims))

    assert recorder.verdicts(rows_of(claims)) == [("done", 1)] * 2
    assert Recorder(organisation, "c" * 64).verdicts(rows_of(claims)) == [("exported", 1)] * 2
    again = recorder.begin()
    assert (again["outcome"], again["run"]["run_id"]) == ("replayed", run["run_id"])
    assert organisation.execute("select count(*) from public.export_runs") == [(1,)]


def test_a_list_is_still_known_when_its_key_is_forgotten(
    organisation: Organisation, recorder: Recorder
) -> None:
    """By the list itself, which is the file of the run."""
    claims = organisation.add_claims(1)
    recorder.record(rows_of(claims))
    with organisation.database.connect(autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        owner.execute(
            "update public.export_runs set idempotency_key = null, request_fingerprint = null"
        )

    assert recorder.verdicts(rows_of(claims)) == [("done", 1)]


def test_what_the_list_left_out_becomes_a_further_run(
    organisation: Organisation, recorder: Recorder
) -> None:
    """A claim that was not approved then is recorded later by the same list, as part 2 of its group."""
    claims = organisation.add_claims(2)
    recorder.record(rows_of(claims[:1]))

    assert recorder.begin()["outcome"] == "replayed"
    second = recorder.begin(p_part=2)
    assert (second["outcome"], second["run"]["run_number"]) == ("started", 2)
    assert recorder.add(second, rows_of(claims)[1:])["unusable"] == []
    recorder.complete(second, 1)
    assert recorder.verdicts(rows_of(claims)) == [("done", 1), ("done", 2)]


def test_runs_of_one_list_share_its_object(organisation: Organisation, recorder: Recorder) -> None:
    """Two files of the past, one list, one stored object; staff of the organisation may read it."""
    claims = organisation.add_claims(2)
    first = recorder.record(rows_of(claims[:1]))
    second = recorder.record(rows_of(claims[1:]), p_file_name="November.csv")

    assert first["file"] == second["file"]
    staff = organisation.as_user(organisation.add_member("accountant"))
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    stranger = other.as_user(other.add_member("admin"))
    query = "select name from storage.objects"
    assert staff.execute(query.encode()).fetchall() == [(first["file"]["path"],)]
    assert stranger.execute(query.encode()).fetchall() == []


def test_the_bucket_takes_lists(organisation: Organisation) -> None:
    """A workbook as well as CSV, beside what it took before."""
    [[types]] = organisation.execute(
        "select allowed_mime_types from storage.buckets where id = 'exports'"
    )

    assert set(types) >= {
        "text/csv",
        "application/json",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    }


def test_the_stored_list_is_kept(organisation: Organisation, recorder: Recorder) -> None:
    """Like every file of a completed run, also against a superuser."""
    recorder.record(rows_of(organisation.add_claims(1)))
    for edit in (
        "update storage.objects set name = 'elsewhere.csv'",
        "select set_config('storage.allow_delete_query', 'true', true); delete from storage.objects",
    ):
        with organisation.database.connect("supabase_admin", autocommit=False) as superuser:
            assert refusal(lambda edit=edit, by=superuser: by.execute(edit.encode())) == (  # type: ignore[misc]
                "PT403",
                "history_is_protected",
            )


def test_two_runs_of_the_engine_never_share_a_file(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """The index that lists may share is still unique for every other run."""
    organisation.add_claims(1)
    run = complete(organisation, begin(coordinator, organisation))["run"]
    organisation.add_claims(1)
    complete(organisation, begin(coordinator, organisation))
    with organisation.database.connect(autocommit=False) as owner:
        owner.execute("alter table public.export_runs disable trigger user")
        with pytest.raises(psycopg.errors.UniqueViolation):
            owner.execute("update public.export_runs set file_path = %s", [run["file"]["path"]])


def test_the_name_of_the_file_by_hand_never_changes(
    organisation: Organisation, recorder: Recorder
) -> None:
    """What a run was recorded as is frozen, also for the owner."""
    recorder.record(rows_of(organisation.add_claims(1)))
    with organisation.database.connect(autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        assert refusal(
            lambda: owner.execute("update public.export_runs set manual_file_name = 'other.csv'")
        ) == ("PT403", "history_is_protected")


def test_voucher_numbers_of_the_books_are_confirmed_and_found(
    organisation: Organisation, recorder: Recorder, coordinator: psycopg.Connection
) -> None:
    """They are the accounting system's; ours come from the counter. Search finds both, and the file."""
    claims = organisation.add_claims(3)
    rows = rows_of(claims)
    rows[0]["voucher_number"] = rows[1]["voucher_number"] = "B-77120"
    recorder.record(rows)

    assert organisation.execute(
        "select voucher_number, outcome, external_number, actor from public.export_confirmations order by id"
    ) == [(1, "booked", "B-77120", "Ingrid Vik"), (2, "booked", "B-77120", "Ingrid Vik")]
    found = call(coordinator, "find_exports", p_organization_id=organisation.id, p_text="B-77120")
    assert sorted(
        (claim["voucher_number"], tuple(claim["found_by"])) for claim in found["claims"]
    ) == [(1, ("external_number",)), (2, ("external_number",))]
    [run] = call(coordinator, "find_exports", p_organization_id=organisation.id, p_text=FILE)[
        "runs"
    ]
    assert (run["run_number"], run["found_by"]) == (1, ["manual_file_name"])
    stranger = Organisation.create(organisation.database, "dynamics", "HLF")
    reader = stranger.as_user(stranger.add_member())
    for text in ("B-77120", FILE):
        nothing = call(reader, "find_exports", p_organization_id=stranger.id, p_text=text)
        assert (nothing["runs"], nothing["claims"]) == ([], [])


def test_held_claims_are_taken(
    organisation: Organisation, recorder: Recorder, coordinator: psycopg.Connection
) -> None:
    """Recording by hand is a decision of a person, and lifts the hold on a claim."""
    claims = organisation.add_claims(1)
    run = complete(organisation, begin(coordinator, organisation))["run"]
    Bookkeeper(organisation.as_service(), "Ingrid Vik").void(run["run_id"])
    assert set(standing_holds(organisation)) == set(claims)

    recorder.record(rows_of(claims))

    assert standing_holds(organisation) == {}


def test_an_organisation_on_hold_is_recorded(
    organisation: Organisation, recorder: Recorder, coordinator: psycopg.Connection
) -> None:
    """That is what the time is for; also a run that was begun before, and one whose worker died."""
    claims = organisation.add_claims(2)
    begun = recorder.begin()
    call(
        recorder.service,
        "hold_exports",
        p_organization_id=organisation.id,
        p_reason="Restored.",
        p_actor="Ingrid Vik",
    )
    recorder.add(begun, rows_of(claims[:1]))
    organisation.expire_lease()

    resumed = recorder.begin()
    recorder.add(resumed, rows_of(claims))
    assert recorder.complete(resumed, 2)["status"] == "completed"
    recorder.record(rows_of(organisation.add_claims(1)), p_file_name="November.csv")
    assert refusal(lambda: begin(coordinator, organisation)) == ("PT409", "organization_held")


def test_a_run_that_waits_for_the_hold_is_ended_first(
    organisation: Organisation, recorder: Recorder, coordinator: psycopg.Connection
) -> None:
    """Nobody finishes it before the hold is lifted, so that waiting for it is in vain."""
    claims = organisation.add_claims(1)
    run_id = begin(coordinator, organisation)["run"]["run_id"]
    organisation.expire_lease()
    who = {"p_reason": "Restored.", "p_actor": "Ingrid Vik"}
    call(recorder.service, "hold_exports", p_organization_id=organisation.id, **who)

    assert refusal(recorder.begin) == ("PT409", "run_waits_for_hold")
    call(recorder.service, "fail_export_run_by_admin", p_run_id=run_id, **who)
    assert recorder.record(rows_of(claims))["status"] == "completed"


def test_a_switched_off_target_can_be_recorded(
    organisation: Organisation, recorder: Recorder
) -> None:
    """And needs no name while it is the only one."""
    organisation.execute("update public.export_targets set is_enabled = false")

    assert recorder.record(rows_of(organisation.add_claims(1)))["target"] == "xledger"


def test_a_target_is_named_when_there_are_several(
    organisation: Organisation, recorder: Recorder
) -> None:
    """The only enabled one is meant without a name; of two enabled ones, or none, neither."""
    organisation.add_target("dynamics")
    rows = rows_of(organisation.add_claims(1))
    unclear = ("PT422", "target_required")
    assert refusal(lambda: recorder.check(rows)) == unclear
    assert recorder.check(rows, p_target="dynamics")[0]["verdict"] == "usable"
    organisation.execute(
        "update public.export_targets set is_enabled = false where target = 'xledger'"
    )
    assert recorder.begin()["run"]["target"] == "dynamics"
    organisation.execute("update public.export_targets set is_enabled = false")
    assert refusal(lambda: recorder.check(rows)) == unclear
    assert refusal(lambda: recorder.check(rows, p_target="visma")) == ("PT422", "unknown_target")
    assert refusal(lambda: recorder.check(rows, p_organization_id=uuid4())) == (
        "PT422",
        "unknown_target",
    )


@pytest.mark.parametrize(
    "wish",
    [
        {"p_list_sha256": "x"},
        {"p_exported_on": "2199-01-01"},
        {"p_exported_on": "1999-12-31"},
        {"p_exported_on": None},
        {"p_file_name": " "},
        {"p_file_name": "x" * 201},
        {"p_part": 0},
        {"p_invocation_id": None},
    ],
    ids=range(8),
)
def test_a_run_needs_its_list_day_and_file(recorder: Recorder, wish: dict[str, Any]) -> None:
    """Nothing is begun without them."""
    assert refusal(lambda: recorder.begin(**wish)) == ("PT400", "backfill_malformed")


def test_a_run_needs_somebody_who_records_it(recorder: Recorder) -> None:
    """The history names who did it."""
    assert refusal(lambda: recorder.begin(p_actor=" ")) == ("PT400", "actor_required")


# Pages ---------------------------------------------------------------------------------------------


def test_pages_add_up(organisation: Organisation, recorder: Recorder) -> None:
    """The same page again adds nothing; another one goes on; sums are those of all."""
    claims = organisation.add_claims(5)
    rows = rows_of(claims)
    begun = recorder.begin()

    assert recorder.add(begun, rows[:2])["run"]["reserved_count"] == 2
    assert recorder.add(begun, rows[:3])["run"]["reserved_count"] == 3
    assert recorder.add(begun, rows[:3])["run"]["reserved_count"] == 3
    assert recorder.add(begun, rows[3:])["unusable"] == []
    run = recorder.complete(begun, 5)

    assert (run["claim_count"], run["totals"]) == (5, {"NOK": "500.00"})
    assert organisation.execute(
        "select array_agg(position order by position), array_agg(voucher_number order by position)"
        " from public.export_run_claims"
    ) == [([1, 2, 3, 4, 5], [1, 2, 3, 4, 5])]


def test_claims_that_became_unusable_are_named_by_line(
    organisation: Organisation, recorder: Recorder
) -> None:
    """Un-approved since the check, recorded by others, or being edited right now; the rest is taken."""
    claims = organisation.add_claims(3)
    edited, taken = organisation.add_claims(2)
    earlier = Recorder(organisation, "c" * 64)
    earlier.record(rows_of([taken]))
    organisation.execute(
        "update public.expense_claims set status = 'rejected', approved_at = null where id = %s",
        claims[1],
    )
    begun = recorder.begin()
    with organisation.database.connect(autocommit=False) as editor:
        editor.execute("update public.expense_claims set purpose = 'x' where id = %s", [edited])
        answer = recorder.add(begun, rows_of([*claims, edited, taken, uuid4()]))

    assert [(row["line"], row["verdict"], row["run_number"]) for row in answer["unusable"]] == [
        (3, "not_approved", None),
        (5, "being_edited", None),
        (6, "exported", 1),
        (7, "unknown", None),
    ]
    assert answer["run"]["reserved_count"] == 2
    assert recorder.add(begun, rows_of([edited]))["unusable"] == [], "it was saved meanwhile"


def test_a_page_names_each_claim_once(organisation: Organisation, recorder: Recorder) -> None:
    """Twice the same claim is a mistake of the caller, not two vouchers."""
    [claim] = organisation.add_claims(1)
    begun = recorder.begin()

    assert refusal(lambda: recorder.add(begun, rows_of([claim, claim]))) == (
        "PT400",
        "backfill_malformed",
    )


def test_pages_belong_to_runs_of_a_list(
    organisation: Organisation, recorder: Recorder, coordinator: psycopg.Connection
) -> None:
    """Nobody adds chosen claims to an export of the engine."""
    claims = organisation.add_claims(1)
    begun = begin(coordinator, organisation)

    for act in (
        lambda: recorder.add(begun, rows_of(claims)),
        lambda: recorder.complete(begun, 1),
    ):
        assert refusal(act) == ("PT409", "run_not_backfilled")


def test_an_old_token_changes_nothing(organisation: Organisation, recorder: Recorder) -> None:
    """A worker that was taken over is refused at every door."""
    claims = organisation.add_claims(2)
    old = recorder.begin()
    recorder.add(old, rows_of(claims[:1]))
    organisation.expire_lease()
    recorder.begin()

    for act in (
        lambda: recorder.add(old, rows_of(claims[1:])),
        lambda: recorder.complete(old, 1),
    ):
        assert refusal(act) == ("PT409", "stale_token")


def test_a_run_is_completed_with_its_own_stored_list(
    organisation: Organisation, recorder: Recorder
) -> None:
    """Under the path of its content, in the bucket, of the list that it was begun from, with every row."""
    claims = organisation.add_claims(2)
    begun = recorder.begin()
    recorder.add(begun, rows_of(claims))

    assert refusal(lambda: recorder.complete(begun, 3)) == ("PT409", "backfill_count_mismatch")
    other = Recorder(organisation, "c" * 64)
    assert refusal(lambda: other.complete(begun, 2)) == ("PT409", "file_path_mismatch")
    assert refusal(lambda: recorder.complete(begun, 2, path="elsewhere.csv")) == (
        "PT409",
        "file_path_mismatch",
    )
    xlsx = f"{organisation.id}/backfill/{LIST}.xlsx"
    assert refusal(lambda: recorder.complete(begun, 2, path=xlsx)) == ("PT409", "file_not_stored")
    run = recorder.complete(begun, 2)
    assert recorder.complete(begun, 2) == run, "a lost reply"


def test_an_empty_run_is_not_completed(recorder: Recorder) -> None:
    """It would say that something was exported."""
    assert refusal(lambda: recorder.complete(recorder.begin(), 0)) == (
        "PT409",
        "backfill_count_mismatch",
    )


# Locks and dead workers ----------------------------------------------------------------------------


def test_a_busy_organisation_is_told(
    organisation: Organisation, recorder: Recorder, coordinator: psycopg.Connection
) -> None:
    """While an export is under way, and when its worker died: this one could not finish it."""
    organisation.add_claims(1)
    run_id = begin(coordinator, organisation)["run"]["run_id"]

    busy = recorder.begin()
    assert (busy["outcome"], busy["run"]["run_id"]) == ("busy", run_id)
    assert 0 < busy["retry_after"] <= 60
    organisation.expire_lease()
    assert recorder.begin()["outcome"] == "busy"
    assert begin(coordinator, organisation)["outcome"] == "resumed"


def test_an_export_meets_a_backfill_as_busy(
    organisation: Organisation, recorder: Recorder, coordinator: psycopg.Connection
) -> None:
    """And when the backfill died, it is set aside with its claims, and the others are exported."""
    claims = organisation.add_claims(3)
    recorder.add(recorder.begin(), rows_of(claims[:2]))
    assert begin(coordinator, organisation)["outcome"] == "busy"
    same_period = begin(coordinator, organisation, (None, DAY))
    assert same_period["outcome"] == "busy", "a manual run is nobody's export to join"

    organisation.expire_lease()
    begun = begin(coordinator, organisation)

    assert [claim["claim_id"] for claim in begun["claims"]] == [str(claims[2])]
    assert recorder.begin()["outcome"] == "busy"
    complete(organisation, begun)
    resumed = recorder.begin()
    assert resumed["outcome"] == "resumed"
    assert recorder.complete(resumed, 2)["claim_count"] == 2


def test_a_lost_reply_gives_the_token_again(recorder: Recorder) -> None:
    """The same invocation is not locked out by itself."""
    invocation = uuid4()
    first = recorder.begin(p_invocation_id=invocation)
    again = recorder.begin(p_invocation_id=invocation)

    assert (again["fencing_token"], again["run"]["run_id"]) == (
        first["fencing_token"],
        first["run"]["run_id"],
    )
    assert recorder.begin()["outcome"] == "busy", "another invocation waits"


@pytest.mark.parametrize("is_swept", [False, True], ids=["expired", "parked"])
def test_a_run_whose_worker_died_is_resumed(
    organisation: Organisation, recorder: Recorder, *, is_swept: bool
) -> None:
    """Also when the sweep set it aside meanwhile: the same run, with what it holds, under a new token."""
    claims = organisation.add_claims(3)
    dead = recorder.begin()
    recorder.add(dead, rows_of(claims[:2]))
    organisation.expire_lease()
    if is_swept:
        call(
            recorder.service,
            "take_over_export_run",
            p_organization_id=organisation.id,
            p_invocation_id=uuid4(),
        )
        assert organisation.execute("select status from public.export_runs") == [("parked",)]

    assert recorder.verdicts(rows_of(claims)) == [("resumable", 1)] * 2 + [("usable", None)]
    [[advice]] = organisation.execute("select what_to_do from public.export_needs_attention")
    assert advice.startswith("Recorded from a list and not finished. Run the same backfill command")
    resumed = recorder.begin()
    assert (resumed["outcome"], resumed["run"]["run_id"]) == ("resumed", dead["run"]["run_id"])
    assert resumed["fencing_token"] > dead["fencing_token"]
    assert recorder.add(resumed, rows_of(claims))["unusable"] == []
    assert recorder.complete(resumed, 3)["claim_count"] == 3


def test_a_corrected_list_sets_the_dead_run_of_the_first_aside(
    organisation: Organisation, recorder: Recorder
) -> None:
    """Its claims stay reserved until an admin ends it; the others can be recorded."""
    claims = organisation.add_claims(2)
    dead = recorder.begin()
    recorder.add(dead, rows_of(claims[:1]))
    organisation.expire_lease()
    corrected = Recorder(organisation, "c" * 64)

    corrected.record(rows_of(claims)[1:])

    assert corrected.verdicts(rows_of(claims)) == [("in_another_run", 1), ("done", 2)]
    call(
        recorder.service,
        "fail_export_run_by_admin",
        p_run_id=dead["run"]["run_id"],
        p_reason="Wrong list.",
        p_actor="Ingrid Vik",
    )
    assert corrected.verdicts(rows_of(claims)[:1]) == [("usable", None)]


def test_a_failed_run_frees_claims_and_key(organisation: Organisation, recorder: Recorder) -> None:
    """Nothing half done: the claims are free, and the same list begins anew."""
    claims = organisation.add_claims(2)
    begun = recorder.begin()
    recorder.add(begun, rows_of(claims))
    call(
        recorder.service,
        "fail_export_run",
        p_run_id=begun["run"]["run_id"],
        p_fencing_token=begun["fencing_token"],
        p_error_code="backfill_stopped",
        p_error_detail={},
        p_left_out=[],
    )

    assert organisation.live_memberships() == {}
    assert recorder.record(rows_of(claims))["run_number"] == 2


def test_two_workers_with_one_list_record_each_claim_once(organisation: Organisation) -> None:
    """Both begin at the same moment: one works, the other is told busy, or later that it is done."""
    claims = organisation.add_claims(20)
    rows = rows_of(claims)
    start = Barrier(4)

    def work(_: int) -> str:
        recorder = Recorder(organisation)
        start.wait()
        begun = recorder.begin()
        if begun["outcome"] in {"started", "resumed"}:
            recorder.add(begun, rows)
            recorder.complete(begun, 20)
        return str(begun["outcome"])

    Recorder(organisation).store()
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(work, range(4)))

    assert outcomes.count("started") == 1
    assert set(outcomes) <= {"started", "busy", "replayed"}
    assert {len(runs) for runs in organisation.live_memberships().values()} == {1}
    assert organisation.execute("select count(*) from public.export_run_claims") == [(20,)]


def test_a_backfill_and_an_export_take_each_claim_once(organisation: Organisation) -> None:
    """Whoever comes first has the lock; no claim is in both."""
    claims = organisation.add_claims(30)
    rows = rows_of(claims[:15])
    user = organisation.add_member()
    start = Barrier(2)

    def record() -> str:
        recorder = Recorder(organisation)
        start.wait()
        begun = recorder.begin()
        if begun["outcome"] == "started":
            recorder.complete(begun, 15 - len(recorder.add(begun, rows)["unusable"]))
        return str(begun["outcome"])

    def export() -> str:
        with organisation.as_user(user) as coordinator:
            start.wait()
            begun = begin(coordinator, organisation)
            if begun["outcome"] == "started":
                complete(organisation, begun)
            return str(begun["outcome"])

    with ThreadPoolExecutor(2) as pool:
        outcomes = {pool.submit(record).result, pool.submit(export).result}
        told = sorted(result() for result in outcomes)

    assert "started" in told
    assert {len(runs) for runs in organisation.live_memberships().values()} == {1}


def test_a_reconciliation_finds_nothing_amiss(
    organisation: Organisation, recorder: Recorder
) -> None:
    """Two runs that share a list, one that was given up, one that was voided: every claim has its one class."""
    claims = organisation.add_claims(6)
    recorder.record(rows_of(claims[:2], voucher_number="B-1"))
    voided = recorder.record(rows_of(claims[2:4]), p_file_name="November.csv")
    given_up = recorder.begin(p_file_name="Desember.csv")
    recorder.add(given_up, rows_of(claims[4:], voucher_number="B-2"))
    call(
        recorder.service,
        "fail_export_run",
        p_run_id=given_up["run"]["run_id"],
        p_fencing_token=given_up["fencing_token"],
        p_error_code="backfill_stopped",
        p_error_detail={},
        p_left_out=[],
    )
    Bookkeeper(organisation.as_service(), "Ingrid Vik").void(voided["run_id"])

    told = reconciled(organisation)

    assert (told["is_green"], told["findings"]) == (True, [])
    assert {name: of["count"] for name, of in told["classes"].items()} == {
        "exported": 2,
        "held": 2,
        "pending": 2,
    }


# Taking it back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("voucher_number", [None, "B-1"], ids=["unbooked", "booked"])
def test_a_wrong_backfill_is_voided(
    organisation: Organisation,
    recorder: Recorder,
    coordinator: psycopg.Connection,
    voucher_number: str | None,
) -> None:
    """Its claims are free and held, whether or not the list said that they were booked."""
    claims = organisation.add_claims(2)
    run = recorder.record(rows_of(claims, voucher_number=voucher_number))
    admin = Bookkeeper(organisation.as_user(organisation.add_member("admin", "Ingrid Vik")))

    answer = admin.void(run["run_id"], "Wrong list.")

    assert (answer["run"]["status"], answer["released"]) == ("voided", True)
    assert standing_holds(organisation) == dict.fromkeys(claims, "voided")
    assert recorder.verdicts(rows_of(claims)) == [("usable", None)] * 2
    assert len(begin(coordinator, organisation)["claims"]) == 2


def test_a_voided_list_can_be_recorded_again(
    organisation: Organisation, recorder: Recorder
) -> None:
    """The same bytes again: its key names the voided run, so a further part of the group is begun."""
    claims = organisation.add_claims(2)
    run = recorder.record(rows_of(claims, voucher_number="B-1"))
    Bookkeeper(organisation.as_service(), "Ingrid Vik").void(run["run_id"])

    assert recorder.begin()["run"]["status"] == "voided"
    assert recorder.record(rows_of(claims, voucher_number="B-2"), p_part=2)["claim_count"] == 2
    assert recorder.verdicts(rows_of(claims)) == [("done", 2)] * 2


def test_a_large_backfill_is_voided_page_by_page(
    organisation: Organisation, recorder: Recorder
) -> None:
    """Like every run."""
    claims = organisation.add_claims(5)
    run = recorder.record(rows_of(claims))
    pages_of_two(organisation)
    admin = Bookkeeper(organisation.as_service(), "Ingrid Vik")

    assert admin.void(run["run_id"])["released"] is False
    rows = rows_of(claims)
    assert recorder.verdicts(rows[:2]) == [("usable", None)] * 2
    assert recorder.verdicts(rows[2:4]) == [("in_another_run", 1)] * 2, "until its page was let go"
