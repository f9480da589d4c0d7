"""The oracle of a campaign with push: every way in which an accounting system can be wrong has a name."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.books import LEDGER, Books, Lines
from tests.chaos.healthy_world import AMOUNT, ORGANISATION, healthy_world, identity
from tests.chaos.oracle import judge
from tests.chaos.verdict import Figure
from tests.chaos.world import Container, World

Spoil = Callable[[World], object]
# Where the two completed runs' last attempts wrote, and one that was outrun.
FIRST, SECOND, OUTRUN = "EX00000001", "EX00000004", "EX00000003"


def voucher() -> Lines:
    return Counter(
        {("2990", -AMOUNT): 1, ("7100", AMOUNT - 50): 1, ("7140", AMOUNT - AMOUNT + 50): 1}
    )


def pushing_world() -> World:
    """The healthy one; the first voucher is posted."""
    world = healthy_world()
    world.books[ORGANISATION] = Books(
        {"1": {LEDGER: voucher()}, "4": {SECOND: voucher()}, "5": {SECOND: voucher()}}
    )
    world.containers = [
        Container(identity("one"), 1, FIRST, is_cleared=False),
        Container(identity("two"), 3, OUTRUN, is_cleared=True),
        Container(identity("two"), 4, SECOND, is_cleared=False),
        Container(identity("failed"), 2, "EX00000002", is_cleared=True),
    ]
    return world


def found(number: str, places: dict[str, Lines]) -> Spoil:
    """The voucher lies there, and nowhere else."""

    def spoil(world: World) -> None:
        books = world.books[ORGANISATION]
        world.books[ORGANISATION] = replace(books, documents={**books.documents, number: places})

    return spoil


def nowhere(world: World) -> None:
    books = world.books[ORGANISATION]
    rest = {number: places for number, places in books.documents.items() if number != "4"}
    world.books[ORGANISATION] = replace(books, documents=rest)


def still_late(world: World) -> None:
    world.books[ORGANISATION] = replace(world.books[ORGANISATION], late=1)


def cleared(number: int, *, is_cleared: bool) -> Spoil:
    def spoil(world: World) -> None:
        containers = list(world.containers)
        containers[number] = containers[number]._replace(is_cleared=is_cleared)
        world.containers = containers

    return spoil


WRONG: dict[str, tuple[Figure, str, Spoil]] = {
    "sent twice": (
        "doubled",
        "more than once",
        found("4", {SECOND: voucher() + voucher()}),
    ),
    "posted and sent again": (
        "doubled",
        "more than once",
        found("1", {LEDGER: voucher(), FIRST: voucher()}),
    ),
    "a predecessor's left": (
        "doubled",
        "more than once",
        found("4", {SECOND: voucher(), OUTRUN: voucher()}),
    ),
    "of a free claim": ("doubled", "free or elsewhere", found("3", {LEDGER: voucher()})),
    "missing": ("lost", "nowhere", nowhere),
    "half": ("mismatched", "voucher 4", found("4", {SECOND: Counter({("2990", -AMOUNT): 1})})),
    "unbalanced": ("mismatched", "sums to", found("4", {SECOND: Counter({("2990", -AMOUNT): 1})})),
    "in another's place": ("stuck", "lies in", found("4", {OUTRUN: voucher()})),
    "on its way": ("stuck", "under way", still_late),
    "a predecessor's place": ("mismatched", "is left", cleared(1, is_cleared=False)),
    "its own place removed": ("mismatched", "is cleared", cleared(2, is_cleared=True)),
}


def test_each_voucher_once_is_healthy() -> None:
    """In the journal of the attempt that completed the run, or in the ledger."""
    assert judge(pushing_world()).sentences() == []


@pytest.mark.parametrize("name", WRONG)
def test_wrong_books_are_called_wrong(name: str) -> None:
    figure, words, spoil = WRONG[name]
    world = pushing_world()
    spoil(world)
    verdict = judge(world)

    assert any(words in sentence for sentence in verdict.findings[figure]), verdict.sentences()
    assert not verdict.is_healthy


def test_the_double_s_state_is_read_by_document_and_place() -> None:
    """Journals line by line, the ledger with its signs."""
    books = Books.of(
        {
            "journals": {
                "EX1": [{"documentNumber": "7", "accountNumber": "2990", "amount": "-8.50"}] * 2,
                "DEFAULT": [],
            },
            "entries": [
                {
                    "documentNumber": "7",
                    "accountNumber": "7100",
                    "debitAmount": "8.50",
                    "creditAmount": "0",
                },
            ],
            "late": 3,
        }
    )

    [places] = books.documents.values()
    assert [sum(lines.values()) for lines in places.values()] == [2, 1]
    assert {str(amount) for lines in places.values() for _, amount in lines} == {"-8.50", "8.50"}
    assert books.late == 3
