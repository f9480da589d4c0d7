"""confirm_export: what people say the accounting system made of a file, and what follows from it."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import (
    Bookkeeper,
    begin_by_itself,
    complete_reversal,
    pages_of_two,
    refusal,
    standing_holds,
    vouchers,
)
from tests.database.whole_history import whole_history
from tests.organisation import Organisation, begin, call, complete

SETTLED = ("PT409", "voucher_is_settled")
MALFORMED = ("PT400", "vouchers_malformed")


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def coordinator(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member())


@pytest.fixture
def accountant(organisation: Organisation) -> Bookkeeper:
    return Bookkeeper(organisation.as_user(organisation.add_member("accountant", "Ingrid Vik")))


@pytest.fixture
def claims(organisation: Organisation) -> list[UUID]:
    return organisation.add_claims(3)


@pytest.fixture
def run(
    organisation: Organisation, coordinator: psycopg.Connection, claims: list[UUID]
) -> dict[str, Any]:
    """A completed run of three claims, vouchers 1 to 3."""
    assert claims
    answer: dict[str, Any] = complete(
        organisation, begin(coordinator, organisation, key="october")
    )["run"]
    return answer


def said(organisation: Organisation) -> list[tuple[Any, ...]]:
    return organisation.execute(
        "select voucher_number, outcome, external_number from public.export_confirmations order by id"
    )


def members(organisation: Organisation, run_id: str) -> dict[int, tuple[str, bool]]:
    return {
        number: (outcome, is_live)
        for number, outcome, is_live in organisation.execute(
            "select voucher_number, outcome, released_at is null from public.export_run_claims where run_id = %s",
            run_id,
        )
    }


@pytest.mark.parametrize("role", ["accountant", "admin"])
@pytest.mark.parametrize("outcome", ["imported", "booked", "refused"])
def test_run_is_confirmed_by_whoever_keeps_the_books(
    organisation: Organisation, run: dict[str, Any], role: str, outcome: str
) -> None:
    """Accountant and admin confirm a whole run; her name and the outcome are recorded, with an event."""
    user_id = organisation.add_member(role, "Ingrid Vik")

    answer = Bookkeeper(organisation.as_user(user_id), "Somebody else").confirm(
        run["run_id"], outcome
    )

    assert (answer["recorded"], answer["run"]) == (1, run)
    assert organisation.execute(
        "select organization_id, voucher_number, outcome, actor_id, actor from public.export_confirmations"
    ) == [(organisation.id, None, outcome, user_id, "Ingrid Vik")]
    assert organisation.execute(
        "select actor_id, actor, detail from public.export_run_events where event = 'confirmed'"
    ) == [(user_id, "Ingrid Vik", {"outcome": outcome, "vouchers": None})]


def test_vouchers_are_confirmed_with_number_and_note(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper
) -> None:
    """Single vouchers get outcomes of their own; numbers of the accounting system and notes are kept."""
    answer = accountant.confirm(
        run["run_id"],
        "booked",
        [
            {"voucher_number": 1, "external_number": "B17", "note": "Sjekket mot kvittering."},
            {"voucher_number": 3, "external_number": None, "note": None},
        ],
    )

    assert answer["recorded"] == 2
    assert organisation.execute(
        "select voucher_number, outcome, external_number, note from public.export_confirmations order by id"
    ) == [(1, "booked", "B17", "Sjekket mot kvittering."), (3, "booked", None, None)]
    assert organisation.execute(
        "select detail from public.export_run_events where event = 'confirmed'"
    ) == [({"outcome": "booked", "vouchers": 2},)]
    assert organisation.execute(
        "select run_id::text, voucher_number from public.export_confirmations"
        " where organization_id = %s and external_number = 'B17'",
        organisation.id,
    ) == [(run["run_id"], 1)]


@pytest.mark.parametrize("caller", ["service", "owner"])
def test_callers_without_a_login_say_who_they_are(
    organisation: Organisation, run: dict[str, Any], caller: str
) -> None:
    """The service key and the database's owner confirm under the name that they give, and not without one."""
    connection = (
        organisation.as_service() if caller == "service" else organisation.database.connect()
    )

    for nobody in (None, "", "  ", "x" * 201):
        assert refusal(
            lambda name=nobody: Bookkeeper(connection, name).confirm(run["run_id"], "imported")  # type: ignore[misc]
        ) == ("PT400", "actor_required")
    assert said(organisation) == []
    Bookkeeper(connection, " Revisor ").confirm(run["run_id"], "imported")
    assert organisation.execute("select actor_id, actor from public.export_confirmations") == [
        (None, "Revisor")
    ]


def test_saying_the_same_again_records_nothing(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper
) -> None:
    """A retry of each kind of confirmation changes no row, also of a refusal whose claim is in another run by now."""
    coordinator = organisation.as_user(organisation.add_member())
    said_before: list[tuple[str, Any]] = [
        ("imported", None),
        ("imported", [{"voucher_number": 1, "external_number": "B17"}]),
        ("refused", vouchers(2, 3)),
    ]
    for outcome, list_ in said_before:
        assert accountant.confirm(run["run_id"], outcome, list_)["recorded"] == (
            1 if list_ is None else len(list_)
        )
    complete(organisation, begin(coordinator, organisation))
    owner = organisation.database.connect()
    before = whole_history(owner)

    for outcome, list_ in [*said_before, ("imported", vouchers(1))]:
        assert accountant.confirm(run["run_id"], outcome, list_)["recorded"] == 0

    assert whole_history(owner) == before


def test_refusal_is_repeated_after_the_rest_was_reversed(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper
) -> None:
    """A late retry of a refusal is answered as before, whatever became of the run's other vouchers."""
    accountant.confirm(run["run_id"], "refused", vouchers(2))
    admin = Bookkeeper(organisation.as_user(organisation.add_member("admin")))
    complete_reversal(organisation, admin.reverse(run["run_id"]))

    assert accountant.confirm(run["run_id"], "refused", vouchers(2))["recorded"] == 0
    assert refusal(lambda: accountant.confirm(run["run_id"], "refused", vouchers(1))) == (
        "PT409",
        "run_has_reversal",
    )


def test_number_that_comes_later_is_added(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper
) -> None:
    """An external number told later is news, is kept when it is left out afterwards, and follows corrections."""
    for outcome, number in [
        ("imported", None),
        ("imported", "B17"),
        ("booked", None),
        ("booked", "B18"),
    ]:
        accountant.confirm(
            run["run_id"], outcome, [{"voucher_number": 1, "external_number": number}]
        )

    assert said(organisation) == [
        (1, "imported", None),
        (1, "imported", "B17"),
        (1, "booked", "B17"),
        (1, "booked", "B18"),
    ]


def test_exported_and_booked_stay_two_facts(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper
) -> None:
    """No confirmation changes the run's row, its file or its totals, not even a refused voucher."""
    rows = "select to_jsonb(r) from public.export_runs as r"
    before = organisation.execute(rows)

    accountant.confirm(run["run_id"], "imported")
    accountant.confirm(run["run_id"], "booked", vouchers(1))
    accountant.confirm(run["run_id"], "refused", vouchers(2))
    accountant.confirm(run["run_id"], "refused")

    assert organisation.execute(rows) == before
    assert call(organisation.as_service(), "get_export_run", p_run_id=run["run_id"])["run"] == run


def test_refused_voucher_frees_exactly_its_claims(
    organisation: Organisation, run: dict[str, Any], claims: list[UUID], accountant: Bookkeeper
) -> None:
    """Its member is released as refused and its claim is held; the others stay exported."""
    accountant.confirm(
        run["run_id"], "refused", [{"voucher_number": 2, "note": "Ukjent leverandør."}]
    )

    assert members(organisation, run["run_id"]) == {
        1: ("included", True),
        2: ("refused", False),
        3: ("included", True),
    }
    assert set(organisation.live_memberships()) == {claims[0], claims[2]}
    assert organisation.execute(
        "select claim_id, cause, reason, held_by, lifted_at from public.export_holds"
    ) == [(claims[1], "refused", "Voucher 2 of run 1 was refused.", "Ingrid Vik", None)]


@pytest.mark.parametrize("trigger", ["webhook", "schedule", "sweep"])
def test_refused_claim_waits_for_a_person(  # noqa: PLR0913, PLR0917 - fixtures
    organisation: Organisation,
    coordinator: psycopg.Connection,
    run: dict[str, Any],
    claims: list[UUID],
    accountant: Bookkeeper,
    trigger: str,
) -> None:
    """No automatic trigger takes a refused claim; the next export by hand does, under a new voucher number."""
    accountant.confirm(run["run_id"], "refused", vouchers(2))

    by_itself = begin_by_itself(organisation, trigger)
    by_hand = begin(coordinator, organisation)

    assert (by_itself["outcome"], by_itself["skipped_count"]) == ("nothing_to_export", 0)
    assert [
        (m["claim_id"], m["kind"], m["generation"], m["voucher_number"]) for m in by_hand["claims"]
    ] == [(str(claims[1]), "entry", 1, 4)]
    assert standing_holds(organisation) == {}


def test_booked_voucher_is_not_refused(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper
) -> None:
    """What is posted, by itself or with its whole run, is not freed by a refusal: 409, and nothing of the list is recorded."""
    accountant.confirm(run["run_id"], "booked", vouchers(2))
    assert refusal(lambda: accountant.confirm(run["run_id"], "refused", vouchers(1, 2))) == SETTLED
    accountant.confirm(run["run_id"], "booked")
    assert refusal(lambda: accountant.confirm(run["run_id"], "refused", vouchers(1))) == SETTLED

    assert said(organisation) == [(2, "booked", None), (None, "booked", None)]
    assert set(members(organisation, run["run_id"]).values()) == {("included", True)}
    assert standing_holds(organisation) == {}


@pytest.mark.parametrize("outcome", ["imported", "booked"])
def test_refused_voucher_is_not_booked(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper, outcome: str
) -> None:
    """What was set free may be in another run by now: 409, and nothing of the list is recorded."""
    accountant.confirm(run["run_id"], "refused", vouchers(2))

    assert refusal(lambda: accountant.confirm(run["run_id"], outcome, vouchers(1, 2))) == SETTLED
    assert said(organisation) == [(2, "refused", None)]


def test_latest_word_counts(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper
) -> None:
    """A booking that was a mistake is taken back by saying imported, and then the voucher may be refused."""
    accountant.confirm(run["run_id"], "booked", vouchers(2))
    accountant.confirm(run["run_id"], "imported", vouchers(2))

    accountant.confirm(run["run_id"], "refused", vouchers(2))

    assert [outcome for _, outcome, _ in said(organisation)] == ["booked", "imported", "refused"]
    assert members(organisation, run["run_id"])[2] == ("refused", False)


def test_word_is_news_again_when_another_came_between(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper
) -> None:
    """Refused as a whole, booked, refused as a whole: each overrules what was said before, so each is recorded."""
    for outcome, list_ in [
        ("booked", vouchers(1)),
        ("refused", None),
        ("booked", vouchers(1)),
        ("refused", None),
    ]:
        assert accountant.confirm(run["run_id"], outcome, list_)["recorded"] == 1
        assert accountant.confirm(run["run_id"], outcome, list_)["recorded"] == 0

    assert len(said(organisation)) == 4


@pytest.mark.parametrize(
    "malformed",
    [
        [],
        {},
        "1",
        1,
        False,
        {"voucher_number": 1},
        [1],
        ["1"],
        [None],
        [[]],
        [[{"voucher_number": 1}]],
        [{}],
        [{"voucher_number": None}],
        [{"voucher_number": "1"}],
        [{"voucher_number": True}],
        [{"voucher_number": 1.5}],
        [{"voucher_number": 1.0}],
        [{"voucher_number": 0}],
        [{"voucher_number": -1}],
        [{"voucher_number": 100000000}],
        [{"voucher_number": 10**30}],
        [{"voucher_number": [1]}],
        [{"voucher_number": {"voucher_number": 1}}],
        [{"voucher_number": 1}, {"voucher_number": 1}],
        [{"voucher_number": 1}, {"voucher_number": 1, "external_number": "B"}],
        [{"voucher_number": 1, "external_number": 17}],
        [{"voucher_number": 1, "external_number": ""}],
        [{"voucher_number": 1, "external_number": "  "}],
        [{"voucher_number": 1, "external_number": "x" * 101}],
        [{"voucher_number": 1, "external_number": ["B17"]}],
        [{"voucher_number": 1, "external_number": {}}],
        [{"voucher_number": 1, "note": 1}],
        [{"voucher_number": 1, "note": ""}],
        [{"voucher_number": 1, "note": "x" * 501}],
        [{"voucher_number": 1, "note": {}}],
        [{"voucher_number": 1}, {"voucher_number": "2"}],
    ],
    ids=repr,
)
def test_malformed_list_is_refused(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper, malformed: object
) -> None:
    """A list that is none, or names a voucher wrongly or twice, is 400 and records nothing of it."""
    assert refusal(lambda: accountant.confirm(run["run_id"], "booked", malformed)) == MALFORMED
    assert said(organisation) == []


def test_null_in_json_is_no_list(run: dict[str, Any], accountant: Bookkeeper) -> None:
    """JSON's own null is malformed: only no list at all means the whole run."""
    assert (
        refusal(
            lambda: call(
                accountant.connection,
                "confirm_export",
                p_run_id=run["run_id"],
                p_outcome="booked",
                p_vouchers="null",
            )
        )
        == MALFORMED
    )


def test_longest_texts_are_kept(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper
) -> None:
    """100 characters of number and 500 of note are accepted, in letters of any alphabet."""
    accountant.confirm(
        run["run_id"],
        "booked",
        [{"voucher_number": 1, "external_number": "Å" * 100, "note": "ø" * 500}],
    )

    assert organisation.execute(
        "select char_length(external_number), char_length(note) from public.export_confirmations"
    ) == [(100, 500)]


def test_more_than_a_page_of_vouchers_is_refused(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper
) -> None:
    """A list longer than a page is 413; one of a page is taken."""
    pages_of_two(organisation)

    assert refusal(lambda: accountant.confirm(run["run_id"], "booked", vouchers(1, 2, 3))) == (
        "PT413",
        "too_many_vouchers",
    )
    assert accountant.confirm(run["run_id"], "booked", vouchers(1, 2))["recorded"] == 2


def test_voucher_of_another_run_is_refused(
    organisation: Organisation,
    coordinator: psycopg.Connection,
    run: dict[str, Any],
    accountant: Bookkeeper,
) -> None:
    """A number of another run, one that was left out, and one that nobody was given are 422, and nothing is recorded."""
    organisation.add_claims(2)
    begun = begin(coordinator, organisation)
    with organisation.as_service() as service:
        call(
            service,
            "leave_out_export_claims",
            p_run_id=begun["run"]["run_id"],
            p_fencing_token=begun["fencing_token"],
            p_left_out=[
                {"claim_id": begun["claims"][0]["claim_id"], "code": "x", "message": "No account."}
            ],
        )
    later = complete(organisation, {**begun, "claims": begun["claims"][1:]})["run"]

    for run_id, number in [(run["run_id"], 5), (run["run_id"], 99999999), (later["run_id"], 4)]:
        for outcome in ("booked", "refused"):
            assert refusal(
                lambda r=run_id, o=outcome, n=number: accountant.confirm(r, o, vouchers(n))  # type: ignore[misc]
            ) == ("PT422", "vouchers_not_in_run")
    assert said(organisation) == []


def test_only_a_completed_run_is_confirmed(
    organisation: Organisation, coordinator: psycopg.Connection, accountant: Bookkeeper
) -> None:
    """A run that is under way, failed or voided has no file to confirm: 409."""
    organisation.add_claims(1)
    admin = Bookkeeper(organisation.as_user(organisation.add_member("admin")))
    begun = begin(coordinator, organisation)
    run_id = begun["run"]["run_id"]
    refused = ("PT409", "illegal_transition")

    assert refusal(lambda: accountant.confirm(run_id, "imported")) == refused
    complete(organisation, begun)
    admin.void(run_id)
    assert refusal(lambda: accountant.confirm(run_id, "imported")) == refused
    failed = begin(coordinator, organisation)["run"]["run_id"]
    with organisation.as_service() as service:
        call(
            service,
            "fail_export_run_by_admin",
            p_run_id=failed,
            p_reason="Test.",
            p_actor="Test",
        )
    assert refusal(lambda: accountant.confirm(failed, "booked", vouchers(2))) == refused
    assert said(organisation) == []


@pytest.mark.parametrize("outcome", [None, "", "exported", "Booked", "voided"])
def test_outcome_is_one_of_three(
    run: dict[str, Any], accountant: Bookkeeper, outcome: str | None
) -> None:
    """Anything else is 400, also beside a list."""
    for list_ in (None, vouchers(1)):
        assert refusal(
            lambda these=list_: accountant.confirm(run["run_id"], outcome, these)  # type: ignore[misc]
        ) == ("PT400", "unknown_outcome")


def test_unknown_and_foreign_runs_are_the_same(
    organisation: Organisation, run: dict[str, Any]
) -> None:
    """Whoever may not see a run hears word for word what she hears about a run that is not there; claimants too."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    callers = [
        other.as_user(other.add_member("admin")),
        organisation.as_user(organisation.add_member("member")),
    ]
    for caller in callers:
        told = []
        for run_id in (run["run_id"], uuid4(), None):
            with pytest.raises(psycopg.Error) as error:
                Bookkeeper(caller).confirm(run_id, "imported")
            told.append(
                (
                    error.value.sqlstate,
                    error.value.diag.message_detail,
                    error.value.diag.message_primary,
                )
            )
        assert told == [("PT404", "run_not_found", "There is no such run.")] * 3


def test_coordinators_do_not_confirm(
    coordinator: psycopg.Connection, run: dict[str, Any], organisation: Organisation
) -> None:
    """She sees the run and may not confirm it: 403."""
    assert refusal(lambda: Bookkeeper(coordinator).confirm(run["run_id"], "imported")) == (
        "PT403",
        "not_allowed",
    )
    assert said(organisation) == []


def test_nobody_confirms_without_a_token(organisation: Organisation, run: dict[str, Any]) -> None:
    """Without a token the function is out of reach, and a token without a user is 401."""
    nobody = organisation.database.connect("anon")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        Bookkeeper(nobody, "Nobody").confirm(run["run_id"], "imported")
    stranger = organisation.database.connect("authenticated", claims={})
    assert refusal(lambda: Bookkeeper(stranger, "Nobody").confirm(run["run_id"], "imported")) == (
        "PT401",
        "not_authenticated",
    )


@pytest.mark.parametrize(
    "edit",
    [
        (
            "insert into public.export_confirmations (run_id, organization_id, outcome, actor)"
            " select id, organization_id, 'booked', 'x' from public.export_runs"
        ),
        "update public.export_confirmations set outcome = 'booked'",
        "delete from public.export_confirmations",
        "truncate public.export_confirmations",
    ],
)
def test_confirmations_are_append_only(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper, edit: str
) -> None:
    """Nobody changes what was said: the owner is refused in words, API roles by their rights."""
    accountant.confirm(run["run_id"], "imported")
    before = said(organisation)

    assert refusal(lambda: organisation.execute(edit)) == ("PT403", "history_is_protected")
    for connection in (organisation.as_service(), accountant.connection):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(edit.encode())
    assert said(organisation) == before


@pytest.mark.parametrize(
    "edit",
    [
        "update public.export_confirmations set outcome = 'booked'",
        "delete from public.export_confirmations",
    ],
)
def test_not_even_the_engine_changes_a_confirmation(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper, edit: str
) -> None:
    """Under the engine's own mark, too, a confirmation is only ever added."""
    accountant.confirm(run["run_id"], "imported")
    with organisation.database.connect(autocommit=False) as owner:
        owner.execute("select export_engine.open_for_writing()")
        assert refusal(lambda: owner.execute(edit.encode())) == ("PT403", "history_is_protected")


def test_staff_of_the_organisation_reads_confirmations(
    organisation: Organisation, run: dict[str, Any], accountant: Bookkeeper
) -> None:
    """Coordinator, accountant and admin see them; claimants and strangers see none."""
    accountant.confirm(run["run_id"], "imported")
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    seen = {
        role: organisation.as_user(organisation.add_member(role))
        .execute("select count(*) from public.export_confirmations")
        .fetchone()
        for role in ("coordinator", "accountant", "admin", "member")
    }

    assert seen == {"coordinator": (1,), "accountant": (1,), "admin": (1,), "member": (0,)}
    assert other.as_user(other.add_member("admin")).execute(
        "select count(*) from public.export_confirmations"
    ).fetchone() == (0,)
