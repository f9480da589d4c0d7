"""Claims that are changed after their export: listed with the difference, and never exported a second time."""

from typing import Any
from uuid import UUID

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import (
    Bookkeeper,
    complete_reversal,
    effective_entries,
    refusal,
    vouchers,
)
from tests.organisation import Organisation, begin, call, complete


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def claim_id(organisation: Organisation) -> UUID:
    """A claim with two lines, beside one that nobody touches; no note of how they came into being points at them."""
    organisation.add_claim()
    claim_id = organisation.add_claim()
    forget_notes(organisation)
    return claim_id


def forget_notes(organisation: Organisation) -> None:
    """As after the sweep has looked at them for an hour."""
    organisation.execute(
        "do $$ begin perform export_engine.open_for_writing(); delete from public.export_claim_changes where true; end $$"
    )


def listed(reader: psycopg.Connection, organisation: Organisation, **page: Any) -> dict[str, Any]:
    """The list of changed claims, or a page of it."""
    return call(
        reader,
        "list_changed_claims",
        p_organization_id=organisation.id,
        **{f"p_{name}": value for name, value in page.items()},
    )


def changed(
    reader: psycopg.Connection, organisation: Organisation
) -> list[tuple[str, list[tuple[str, int | None]]]]:
    """Claim and what differs, by field and line."""
    return [
        (claim["claim_id"], [(c["field"], c["line_number"]) for c in claim["changes"]])
        for claim in listed(reader, organisation)["claims"]
    ]


def nothing_is_taken_again(organisation: Organisation, coordinator: psycopg.Connection) -> None:
    """A new export finds nothing, and every claim counts once at most."""
    assert begin(coordinator, organisation)["outcome"] == "nothing_to_export"
    assert set(effective_entries(organisation).values()) <= {1}


UNAPPROVE = (
    "update public.expense_claims set status = 'submitted', approved_at = null where id = %s"
)
APPROVE = "update public.expense_claims set status = 'approved', approved_at = now() where id = %s"
EDIT_AMOUNT = "update public.expense_claim_lines set amount = amount + 1 where line_number = 2 and claim_id = %s"
PUT_BACK = "update public.expense_claim_lines set amount = amount - 1 where line_number = 2 and claim_id = %s"
ADD_LINE = (
    "insert into public.expense_claim_lines (claim_id, line_number, expense_type, description, expense_date, amount)"
    " values (%s, 3, 'toll', 'Bom', '2026-09-30', {})"
)


@pytest.mark.parametrize(
    ("change", "differences"),
    [
        (UNAPPROVE, []),
        (EDIT_AMOUNT, [("total", None), ("lines", 2)]),
        ("delete from public.expense_claim_lines where line_number = 1 and claim_id = %s", [("total", None), ("lines", 1)]),
        (ADD_LINE.format("10"), [("total", None), ("lines", 3)]),
        (ADD_LINE.format("-56"), [("total", None), ("lines", 3)]),
        ("update public.expense_claims set dimensions = '{\"project\": \"P1\"}' where id = %s", [("dimensions", None)]),
        ("update public.expense_claim_lines set dimensions = '{\"project\": \"P1\"}' where line_number = 1 and claim_id = %s", [("lines", 1)]),
        ("update public.expense_claims set claimant_number = null where id = %s", [("claimant", None)]),
        ("update public.expense_claims set claim_number = 'X-1' where id = %s", [("claim_number", None)]),
        ("update public.expense_claims set currency = 'SEK' where id = %s", [("currency", None)]),
        ("update public.expense_claims set purpose = 'Rettet' where id = %s", [("purpose", None)]),
        ("update public.expense_claim_lines set line_number = 4 where line_number = 2 and claim_id = %s", [("lines", 2), ("lines", 4)]),
    ],
)  # fmt: skip
def test_a_change_is_listed_with_the_difference(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    claim_id: UUID,
    change: str,
    differences: list[tuple[str, int | None]],
) -> None:
    """Whatever claim_documents reads, and the approval: the claim is listed, beside nothing else, and is not exported again."""
    complete(organisation, begin(coordinator, organisation))
    assert changed(coordinator, organisation) == []

    organisation.execute(change, claim_id)

    assert changed(coordinator, organisation) == [(str(claim_id), differences)]
    nothing_is_taken_again(organisation, coordinator)


def test_the_entry_says_where_the_claim_is_in_the_books(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> None:
    """Run, voucher, file, day, since when and what: all that an accountant needs to correct it."""
    run = complete(organisation, begin(coordinator, organisation))["run"]
    organisation.execute(EDIT_AMOUNT, claim_id)
    organisation.execute(UNAPPROVE, claim_id)
    organisation.execute(EDIT_AMOUNT, claim_id)

    [claim] = listed(coordinator, organisation)["claims"]

    [[number, voucher, first]] = organisation.execute(
        "select c.claim_number, m.voucher_number, min(n.changed_at) from public.expense_claims c"
        " join public.export_run_claims m on m.claim_id = c.id join public.export_claim_changes n on n.claim_id = c.id"
        " where c.id = %s and n.changed_at > m.reserved_at group by 1, 2",
        claim_id,
    )
    changes, since = claim.pop("changes"), claim.pop("changed_since")
    assert claim == {
        "claim_id": str(claim_id),
        "claim_number": number,
        "run_id": run["run_id"],
        "run_number": 1,
        "voucher_number": voucher,
        "file_name": "export.csv",
        "exported_at": run["completed_at"],
        "no_longer_approved": True,
    }
    assert [(c["field"], c["was"], c["is"]) for c in changes if c["field"] == "total"] == [
        ("total", "406.00", "408.00")
    ]
    assert organisation.execute("select %s::timestamptz", since) == [(first,)]


def test_approval_that_is_given_again_exports_nothing(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> None:
    """Un-approved and approved again, another day: the claim leaves the list and stays exported."""
    complete(organisation, begin(coordinator, organisation))
    organisation.execute(UNAPPROVE, claim_id)
    assert changed(coordinator, organisation) == [(str(claim_id), [])]

    organisation.execute(APPROVE, claim_id)

    assert changed(coordinator, organisation) == []
    nothing_is_taken_again(organisation, coordinator)


def test_change_that_is_undone_is_no_change(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> None:
    """Edited, also while it was not approved, then put back: nothing to see, nothing to export."""
    complete(organisation, begin(coordinator, organisation))
    for step in (EDIT_AMOUNT, UNAPPROVE, EDIT_AMOUNT, PUT_BACK, APPROVE):
        organisation.execute(step, claim_id)
        assert [claim for claim, _ in changed(coordinator, organisation)] == [str(claim_id)]
    organisation.execute(PUT_BACK, claim_id)

    assert changed(coordinator, organisation) == []
    nothing_is_taken_again(organisation, coordinator)


@pytest.mark.parametrize("change", [EDIT_AMOUNT, UNAPPROVE])
def test_change_while_it_is_exported_counts(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID, change: str
) -> None:
    """Between reservation and completion the frozen copy differs already; it is listed once the file is there."""
    begun = begin(coordinator, organisation)
    organisation.execute(change, claim_id)
    assert changed(coordinator, organisation) == [], "there is no file yet"

    complete(organisation, begun)

    assert [claim for claim, _ in changed(coordinator, organisation)] == [str(claim_id)]
    nothing_is_taken_again(organisation, coordinator)


def test_line_that_is_edited_while_its_claim_is_frozen_is_seen(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> None:
    """The edit is not committed when the claim is frozen, and the run is not committed when the edit is noted."""
    with organisation.database.connect("postgres", autocommit=False) as editor:
        editor.execute(EDIT_AMOUNT.encode(), (claim_id,))
        begun = begin(coordinator, organisation)
        editor.commit()

    complete(organisation, begun)

    assert [(c["document"]["total"]) for c in begun["claims"]] == ["406.00", "406.00"]
    assert changed(coordinator, organisation) == [(str(claim_id), [("total", None), ("lines", 2)])]


def test_line_that_is_edited_beside_its_head_is_seen(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> None:
    """An app that touches the claim's row first, without changing what is exported, is noted by the line."""
    complete(organisation, begin(coordinator, organisation))
    with organisation.database.connect("postgres", autocommit=False) as editor:
        editor.execute(
            "update public.expense_claims set updated_at = now() where id = %s", (claim_id,)
        )
        editor.execute(EDIT_AMOUNT.encode(), (claim_id,))
        editor.commit()

    assert [claim for claim, _ in changed(coordinator, organisation)] == [str(claim_id)]


def test_older_snapshot_notes_what_it_cannot_see(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> None:
    """A transaction that began before the run was, and would find no membership, notes its edit all the same."""
    with organisation.database.connect("postgres", autocommit=False) as editor:
        editor.execute("set transaction isolation level repeatable read")
        editor.execute("select 1 from public.expense_claims")
        complete(organisation, begin(coordinator, organisation))
        editor.execute(
            "update public.expense_claims set purpose = 'Rettet' where id = %s", (claim_id,)
        )
        editor.commit()

    assert changed(coordinator, organisation) == [(str(claim_id), [("purpose", None)])]


def test_earlier_edit_is_not_the_beginning(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> None:
    """What was edited before the export is in the file; changed since then means since the export."""
    organisation.execute(EDIT_AMOUNT, claim_id)
    complete(organisation, begin(coordinator, organisation))
    assert changed(coordinator, organisation) == []

    organisation.execute(EDIT_AMOUNT, claim_id)

    [claim] = listed(coordinator, organisation)["claims"]
    assert organisation.execute(
        "select %s::timestamptz > reserved_at from public.export_run_claims where claim_id = %s",
        claim["changed_since"],
        claim_id,
    ) == [(True,)]


def test_reversed_claim_leaves_the_list_and_is_entered_as_it_is_now(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> None:
    """Listed until the reversing run is completed; entered again it is as it is, and nothing to see."""
    run = complete(organisation, begin(coordinator, organisation))["run"]
    organisation.execute(EDIT_AMOUNT, claim_id)
    admin = Bookkeeper(organisation.as_user(organisation.add_member("admin")))
    reversal = admin.reverse(run["run_id"])
    assert [claim for claim, _ in changed(coordinator, organisation)] == [str(claim_id)]
    complete_reversal(organisation, reversal)
    assert changed(coordinator, organisation) == []

    complete(organisation, begin(coordinator, organisation), content_hash="b" * 64)

    assert changed(coordinator, organisation) == []
    nothing_is_taken_again(organisation, coordinator)
    organisation.execute(EDIT_AMOUNT, claim_id)
    [again] = listed(coordinator, organisation)["claims"]
    assert (again["claim_id"], again["run_number"]) == (str(claim_id), 3)


@pytest.mark.parametrize("way", ["void", "refuse"])
def test_claim_whose_entry_was_taken_back_leaves_the_list(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID, way: str
) -> None:
    """A voided run, and a refused voucher, leave nothing in the books that could differ."""
    run = complete(organisation, begin(coordinator, organisation))["run"]
    organisation.execute(EDIT_AMOUNT, claim_id)
    admin = Bookkeeper(organisation.as_user(organisation.add_member("admin")))
    if way == "void":
        admin.void(run["run_id"])
    else:
        [[number]] = organisation.execute(
            "select voucher_number from public.export_run_claims where claim_id = %s", claim_id
        )
        admin.confirm(run["run_id"], "refused", vouchers(number))

    assert changed(coordinator, organisation) == []


def test_change_that_exports_do_not_read_is_not_noted(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> None:
    """Payment dates, timestamps and the like leave no note; nor does an approval, or the life of a claim before it."""
    draft = organisation.add_claim(status="draft")
    complete(organisation, begin(coordinator, organisation))
    notes = "select claim_id from public.export_claim_changes where claim_id in (%s, %s)"
    forget_notes(organisation)

    organisation.execute(
        "update public.expense_claims set updated_at = now(), approved_by = gen_random_uuid()"
    )
    organisation.execute("update public.expense_claim_lines set amount = amount")
    organisation.execute(EDIT_AMOUNT, draft)
    for status in ("submitted", "rejected", "submitted"):
        organisation.execute(
            "update public.expense_claims set status = %s where id = %s", status, draft
        )
    organisation.execute(APPROVE, draft)

    assert organisation.execute(notes, claim_id, draft) == []


def test_pages_lead_from_one_to_the_next(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """Who was touched first is first; each claim once, while others are changed; the last page says so."""
    claims = organisation.add_claims(7)
    complete(organisation, begin(coordinator, organisation))
    order = [claims[place] for place in (3, 0, 6, 1, 5)]
    for claim_id in order:
        organisation.execute(UNAPPROVE, claim_id)
    organisation.execute(APPROVE, claims[0])

    first = listed(coordinator, organisation, limit=2)
    organisation.execute(
        "update public.expense_claims set purpose = 'Rettet' where id = %s", claims[2]
    )
    organisation.execute(
        "update public.expense_claims set purpose = 'Rettet' where id = %s", claims[3]
    )
    second = listed(coordinator, organisation, limit=3, cursor=first["next_cursor"])

    assert [claim["claim_id"] for claim in first["claims"]] == [str(claims[3]), str(claims[6])]
    assert [claim["claim_id"] for claim in second["claims"]] == [
        str(claims[1]),
        str(claims[5]),
        str(claims[2]),
    ]
    last = second["next_cursor"]
    assert last is None or listed(coordinator, organisation, cursor=last) == {
        "claims": [],
        "next_cursor": None,
    }


@pytest.mark.parametrize(
    "bad", ["", "x", "A" * 24, "A" * 1000, "//////////////////////==", "ø" * 24]
)
def test_cursor_that_was_not_given_is_refused(
    organisation: Organisation, coordinator: psycopg.Connection, bad: str
) -> None:
    assert refusal(lambda: listed(coordinator, organisation, cursor=bad)) == (
        "PT400",
        "invalid_cursor",
    )


def test_cursor_belongs_to_its_organisation(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    organisation.add_claims(2)
    complete(organisation, begin(coordinator, organisation))
    organisation.execute("update public.expense_claims set purpose = 'Rettet'")
    cursor = listed(coordinator, organisation, limit=1)["next_cursor"]
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    stranger = other.as_user(other.add_member("admin"))

    assert len(listed(coordinator, organisation, cursor=cursor)["claims"]) == 1
    assert refusal(lambda: listed(stranger, other, cursor=cursor)) == ("PT400", "invalid_cursor")


@pytest.mark.parametrize("limit", [0, -1, 201, None])
def test_page_has_one_to_two_hundred_claims(
    organisation: Organisation, coordinator: psycopg.Connection, limit: int | None
) -> None:
    assert refusal(lambda: listed(coordinator, organisation, limit=limit)) == (
        "PT400",
        "limit_out_of_range",
    )


def test_only_staff_reads_the_list(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> None:
    """Coordinator, accountant, admin and the service key; nobody else, neither by function nor by view."""
    complete(organisation, begin(coordinator, organisation))
    organisation.execute(EDIT_AMOUNT, claim_id)
    claimant = organisation.add_member("member")
    organisation.execute("update public.expense_claims set claimant_id = %s", claimant)
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    rows = "select claim_id from public.export_changed_claims"

    for role in ("coordinator", "accountant", "admin"):
        reader = organisation.as_user(organisation.add_member(role))
        assert len(listed(reader, organisation)["claims"]) == 1
        assert reader.execute(rows.encode()).fetchall() == [(claim_id,)]
    assert len(listed(organisation.as_service(), organisation)["claims"]) == 1
    for stranger in (other.as_user(other.add_member("admin")), organisation.as_user(claimant)):
        with pytest.raises(psycopg.Error) as error:
            listed(stranger, organisation)
        assert (error.value.sqlstate, error.value.diag.message_detail) == ("PT403", "not_allowed")
        assert stranger.execute(rows.encode()).fetchall() == []
    assert refusal(
        lambda: listed(organisation.database.connect("authenticated"), organisation)
    ) == (
        "PT401",
        "not_authenticated",
    )


def test_what_needs_attention_names_it(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> None:
    """One row per organisation, with the number of claims and since when."""
    query = b"select kind, how_many, since is not null from public.export_needs_attention where kind = 'changed_after_export'"
    complete(organisation, begin(coordinator, organisation))
    assert coordinator.execute(query).fetchall() == []

    organisation.execute(EDIT_AMOUNT, claim_id)
    organisation.execute("update public.expense_claims set purpose = 'Rettet'")

    assert coordinator.execute(query).fetchall() == [("changed_after_export", 2, True)]


def an_hour_later(organisation: Organisation) -> None:
    """Shift what was seen into the past."""
    organisation.execute(
        "do $$ begin perform export_engine.open_for_writing();"
        " update public.export_claim_changes set looked_at = looked_at - interval '61 minutes' where looked_at > '-infinity'; end $$"
    )


def test_settling_removes_only_what_needs_no_attention(
    organisation: Organisation, coordinator: psycopg.Connection
) -> None:
    """An hour after they were seen: notes of claims that are as they were, or in no run; a reserved one is kept."""
    kept, put_back, unexported = organisation.add_claims(3)
    organisation.execute(
        "update public.expense_claim_lines set amount = 101 where claim_id = %s", put_back
    )
    organisation.execute(
        "update public.expense_claim_lines set amount = 100 where claim_id = %s", put_back
    )
    organisation.execute(
        "update public.expense_claims set status = 'draft', approved_at = null where id = %s",
        unexported,
    )
    begun = begin(coordinator, organisation)
    organisation.execute(APPROVE, unexported)
    organisation.execute(
        "update public.expense_claim_lines set amount = 101 where claim_id = %s", unexported
    )
    organisation.execute(
        "update public.expense_claim_lines set amount = 101 where claim_id = %s", kept
    )
    noted = "select distinct claim_id from public.export_claim_changes order by 1"
    service = organisation.as_service()

    first = call(service, "settle_claim_changes", p_limit=2000)
    at_once = call(service, "settle_claim_changes", p_limit=2000)
    an_hour_later(organisation)
    while_reserved = call(service, "settle_claim_changes", p_limit=2000)

    notes = first["looked_at"]
    assert (first["settled"], at_once) == (0, {"looked_at": 0, "settled": 0})
    assert while_reserved["looked_at"] == notes
    assert {row[0] for row in organisation.execute(noted)} == {kept, put_back}
    complete(organisation, begun)
    an_hour_later(organisation)
    call(service, "settle_claim_changes", p_limit=2000)
    assert organisation.execute(noted) == [(kept,)]
    assert [claim for claim, _ in changed(coordinator, organisation)] == [str(kept)]


@pytest.mark.parametrize("way", ["void", "refuse"])
def test_claim_whose_entry_counts_again_is_compared_again(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID, way: str
) -> None:
    """Its notes were settled while another run had taken the entry back, and that run is taken back itself."""
    run = complete(organisation, begin(coordinator, organisation))["run"]
    admin = Bookkeeper(organisation.as_user(organisation.add_member("admin")))
    reversal = complete_reversal(organisation, admin.reverse(run["run_id"]))["run"]
    organisation.execute(UNAPPROVE, claim_id)
    organisation.execute(EDIT_AMOUNT, claim_id)
    for _ in range(2):
        call(organisation.as_service(), "settle_claim_changes", p_limit=2000)
        an_hour_later(organisation)
    assert organisation.execute("select claim_id from public.export_claim_changes") == []

    if way == "void":
        admin.void(reversal["run_id"])
    else:
        [[number]] = organisation.execute(
            "select voucher_number from public.export_run_claims where kind = 'reversal' and claim_id = %s",
            claim_id,
        )
        admin.confirm(reversal["run_id"], "refused", vouchers(number))

    assert changed(coordinator, organisation) == [(str(claim_id), [("total", None), ("lines", 2)])]


def test_notes_are_the_engines(organisation: Organisation, claim_id: UUID) -> None:
    """Not even the owner in the table editor makes, changes or removes a note."""
    organisation.execute(EDIT_AMOUNT, claim_id)
    for statement in (
        "insert into public.export_claim_changes (organization_id, claim_id) values (gen_random_uuid(), gen_random_uuid())",
        "update public.export_claim_changes set changed_at = now()",
        "delete from public.export_claim_changes",
        "truncate public.export_claim_changes",
    ):
        assert refusal(lambda statement=statement: organisation.execute(statement)) == (  # type: ignore[misc]
            "PT403",
            "history_is_protected",
        )


def test_note_leaves_the_engines_mark_as_it_was(organisation: Organisation) -> None:
    """A change inside the engine's own transaction does not close it for writing, and one outside opens nothing."""
    organisation.add_claim()
    with organisation.database.connect("postgres") as owner:
        for mark in ("on", "off"):
            owner.execute("select set_config('export_engine.writing', %s, false)", (mark,))
            owner.execute("update public.expense_claim_lines set amount = amount + 1")
            assert owner.execute("select current_setting('export_engine.writing')").fetchone() == (
                mark,
            )


def test_people_who_edit_one_claim_do_not_wait_for_each_other(
    organisation: Organisation, coordinator: psycopg.Connection, claim_id: UUID
) -> None:
    """Two transactions that edit two lines of an exported claim, crosswise with another claim: none waits, none is a victim."""
    [other] = organisation.add_claims(1)
    complete(organisation, begin(coordinator, organisation))
    edit = b"update public.expense_claim_lines set description = 'Rettet' where claim_id = %s and line_number = %s"
    add = (
        b"insert into public.expense_claim_lines (claim_id, line_number, expense_type, description, expense_date, amount)"
        b" values (%s, %s, 'toll', 'Bom', '2026-09-30', 10)"
    )
    with (
        organisation.database.connect("postgres", autocommit=False) as one,
        organisation.database.connect("postgres", autocommit=False) as two,
    ):
        for editor in (one, two):
            editor.execute("set lock_timeout = '2s'")
        one.execute(edit, (claim_id, 1))
        two.execute(edit, (other, 1))
        one.execute(add, (other, 8))
        two.execute(edit, (claim_id, 2))
        one.commit()
        two.commit()

    assert {claim for claim, _ in changed(coordinator, organisation)} == {str(claim_id), str(other)}


@pytest.mark.parametrize("lines_or_heads", ["lines", "heads"])
def test_bulk_edit_is_listed_whole(
    organisation: Organisation, coordinator: psycopg.Connection, lines_or_heads: str
) -> None:
    """One statement over 5,000 exported claims: all are listed, page by page, and nothing is exported again."""
    organisation.add_claims(5000)
    begun = begin(coordinator, organisation)
    run_id, token = begun["run"]["run_id"], begun["fencing_token"]
    with organisation.as_service() as service:
        for page in (2000, 4000):
            more = call(
                service,
                "reserve_export_page",
                p_run_id=run_id,
                p_fencing_token=token,
                p_after_position=page,
            )
            begun["claims"] += more["claims"]
    complete(organisation, begun)
    organisation.execute(
        "update public.expense_claim_lines set amount = amount + 1"
        if lines_or_heads == "lines"
        else "update public.expense_claims set purpose = 'Rettet'"
    )

    found: set[str] = set()
    cursor = None
    while not found or cursor is not None:
        page_of = listed(coordinator, organisation, limit=200, cursor=cursor)
        assert not found & {claim["claim_id"] for claim in page_of["claims"]}
        found |= {claim["claim_id"] for claim in page_of["claims"]}
        cursor = page_of["next_cursor"]

    assert len(found) == 5000
    nothing_is_taken_again(organisation, coordinator)
