"""confirm_export_vouchers: a list from the accounting system, each voucher with its own outcome, all or nothing."""

from typing import Any
from uuid import UUID

import psycopg
import pytest

from stack.database import Database
from tests.database.bookkeeper import Bookkeeper, pages_of_two, refusal, standing_holds
from tests.database.whole_history import whole_history
from tests.organisation import Organisation, begin, call, complete


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


@pytest.fixture
def claims(organisation: Organisation) -> list[UUID]:
    return organisation.add_claims(4)


@pytest.fixture
def run_id(organisation: Organisation, claims: list[UUID]) -> str:
    """A completed run of four claims, vouchers 1 to 4."""
    assert claims
    coordinator = organisation.as_user(organisation.add_member())
    identifier: str = complete(organisation, begin(coordinator, organisation))["run"]["run_id"]
    return identifier


@pytest.fixture
def accountant(organisation: Organisation) -> psycopg.Connection:
    return organisation.as_user(organisation.add_member("accountant", "Ingrid Vik"))


def confirm(caller: psycopg.Connection, run_id: str, vouchers: object, **more: Any) -> Any:
    return call(caller, "confirm_export_vouchers", p_run_id=run_id, p_vouchers=vouchers, **more)


def listed(*outcomes: str) -> list[dict[str, Any]]:
    """Vouchers 1, 2, ... with these outcomes."""
    return [
        {"voucher_number": number, "outcome": outcome}
        for number, outcome in enumerate(outcomes, start=1)
    ]


MIXED = [
    {"voucher_number": 1, "outcome": "booked", "external_number": "B17", "note": "Sjekket."},
    {"voucher_number": 2, "outcome": "refused", "external_number": None, "note": None},
    {"voucher_number": 3, "outcome": "imported"},
]


def test_each_voucher_gets_its_outcome(
    organisation: Organisation, run_id: str, claims: list[UUID], accountant: psycopg.Connection
) -> None:
    """Numbers and notes are kept, the refused claim is free and held, and an event tells each outcome."""
    answer = confirm(accountant, run_id, MIXED)

    assert (answer["recorded"], answer["run"]["run_id"]) == (3, run_id)
    assert organisation.execute(
        "select voucher_number, outcome, external_number, note, actor from public.export_confirmations order by voucher_number"
    ) == [
        (1, "booked", "B17", "Sjekket.", "Ingrid Vik"),
        (2, "refused", None, None, "Ingrid Vik"),
        (3, "imported", None, None, "Ingrid Vik"),
    ]
    assert organisation.execute(
        "select detail from public.export_run_events where event = 'confirmed' order by id"
    ) == [({"outcome": outcome, "vouchers": 1},) for outcome in ("booked", "imported", "refused")]
    assert standing_holds(organisation) == {claims[1]: "refused"}
    assert set(organisation.live_memberships()) == {claims[0], claims[2], claims[3]}


def test_the_same_list_again_records_nothing(
    organisation: Organisation, run_id: str, accountant: psycopg.Connection
) -> None:
    confirm(accountant, run_id, MIXED)
    before = whole_history(organisation.database.connect())

    assert confirm(accountant, run_id, MIXED)["recorded"] == 0

    assert whole_history(organisation.database.connect()) == before


def test_only_what_is_news_is_counted(run_id: str, accountant: psycopg.Connection) -> None:
    confirm(accountant, run_id, MIXED[:2])

    assert confirm(accountant, run_id, MIXED)["recorded"] == 1


@pytest.mark.parametrize(
    ("vouchers", "refused_as"),
    [
        ([*MIXED, {"voucher_number": 99, "outcome": "refused"}], ("PT422", "vouchers_not_in_run")),
        ([*MIXED, {"voucher_number": 4, "outcome": "refused"}], ("PT409", "voucher_is_settled")),
        ([*MIXED, {"voucher_number": 4, "outcome": "paid"}], ("PT400", "unknown_outcome")),
        ([*MIXED, {"voucher_number": 4, "outcome": 1}], ("PT400", "unknown_outcome")),
        ([*MIXED, {"voucher_number": 4, "outcome": None}], ("PT400", "unknown_outcome")),
        ([*MIXED, {"voucher_number": 4}], ("PT400", "unknown_outcome")),
        ([*MIXED, {"voucher_number": 1, "outcome": "refused"}], ("PT400", "vouchers_malformed")),
        ([*MIXED, {"outcome": "booked"}], ("PT400", "vouchers_malformed")),
        ([], ("PT400", "vouchers_malformed")),
        ({"voucher_number": 1, "outcome": "booked"}, ("PT400", "vouchers_malformed")),
    ],
    ids=["unknown", "settled", "word", "number", "null", "none", "twice", "no number", "empty", "object"],
)  # fmt: skip
@pytest.mark.parametrize("is_dry_run", [False, True])
def test_one_bad_voucher_refuses_the_whole_list(  # noqa: PLR0913, PLR0917 - fixtures
    organisation: Organisation,
    run_id: str,
    accountant: psycopg.Connection,
    vouchers: object,
    refused_as: tuple[str, str],
    is_dry_run: bool,  # noqa: FBT001
) -> None:
    """Also when its group comes last and the others were recorded already; a dry run says the same."""
    confirm(accountant, run_id, [{"voucher_number": 4, "outcome": "booked"}])
    before = whole_history(organisation.database.connect())

    assert (
        refusal(lambda: confirm(accountant, run_id, vouchers, p_dry_run=is_dry_run)) == refused_as
    )
    assert whole_history(organisation.database.connect()) == before


def test_dry_run_tells_the_news_and_writes_nothing(
    organisation: Organisation, run_id: str, accountant: psycopg.Connection
) -> None:
    confirm(accountant, run_id, MIXED[:1])
    before = whole_history(organisation.database.connect())

    assert confirm(accountant, run_id, MIXED, p_dry_run=True)["recorded"] == 2

    assert whole_history(organisation.database.connect()) == before


@pytest.mark.parametrize("is_dry_run", [False, True])
def test_refusal_in_a_reversed_run_is_refused(
    organisation: Organisation,
    run_id: str,
    accountant: psycopg.Connection,
    is_dry_run: bool,  # noqa: FBT001
) -> None:
    """A dry run knows all that stands in the way, not only the vouchers themselves."""
    Bookkeeper(organisation.as_user(organisation.add_member("admin"))).reverse(run_id)

    assert refusal(lambda: confirm(accountant, run_id, MIXED, p_dry_run=is_dry_run)) == (
        "PT409",
        "run_has_reversal",
    )
    assert confirm(accountant, run_id, listed("booked", "imported"))["recorded"] == 2


def test_a_list_is_at_most_a_page(
    organisation: Organisation, run_id: str, accountant: psycopg.Connection
) -> None:
    pages_of_two(organisation)

    assert refusal(lambda: confirm(accountant, run_id, listed("booked", "booked", "refused"))) == (
        "PT413",
        "too_many_vouchers",
    )
    assert confirm(accountant, run_id, listed("booked", "refused"))["recorded"] == 2


@pytest.mark.parametrize("is_dry_run", [False, True])
def test_only_who_keeps_the_books_may(
    organisation: Organisation,
    run_id: str,
    is_dry_run: bool,  # noqa: FBT001
) -> None:
    """Strangers and claimants hear that there is no such run, coordinators that they may not; the service says who it is."""
    other = Organisation.create(organisation.database, "dynamics", "HLF")
    for caller, refused_as in (
        (organisation.as_user(organisation.add_member("coordinator")), ("PT403", "not_allowed")),
        (organisation.as_user(organisation.add_member("member")), ("PT404", "run_not_found")),
        (other.as_user(other.add_member("admin")), ("PT404", "run_not_found")),
        (organisation.as_service(), ("PT400", "actor_required")),
    ):
        assert (
            refusal(
                lambda caller=caller: confirm(caller, run_id, MIXED, p_dry_run=is_dry_run)  # type: ignore[misc]
            )
            == refused_as
        )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        confirm(organisation.database.connect("anon"), run_id, MIXED)
    assert confirm(organisation.as_service(), run_id, MIXED, p_actor="Revisor")["recorded"] == 3


def test_a_run_without_a_file_is_not_confirmed(
    organisation: Organisation, accountant: psycopg.Connection
) -> None:
    organisation.add_claims(3)
    begun = begin(organisation.as_user(organisation.add_member()), organisation)

    assert refusal(lambda: confirm(accountant, begun["run"]["run_id"], MIXED)) == (
        "PT409",
        "illegal_transition",
    )
