"""The day a voucher is posted on, and what a closed period does."""

from datetime import date

import pytest

from exporters.registry import configuration_problems
from tests.unit.claim_factory import (
    Document,
    claim,
    claim_line,
    member,
    render,
    render_claims,
    xledger_document,
)

# The factory's claim: expense on 30 September, approved on 5 October, exported on 6 October.
LATE = claim(2, lines=[claim_line(), claim_line(2, expense_date="2026-09-12")], total="1060.00")


def days(settings: Document, *claims: Document) -> list[str]:
    rendered = render_claims(xledger_document(settings=settings), *(claims or (claim(),)))
    assert rendered.left_out == []
    return [line.split(";")[7] for line in rendered.data.decode().splitlines()]


@pytest.mark.parametrize(
    ("settings", "day"),
    [
        ({}, "20261005"),
        ({"posting_date": "approval"}, "20261005"),
        ({"posting_date": "export"}, "20261006"),
        ({"posting_date": "expense"}, "20260930"),
        ({"posting_date": "fixed", "fixed_posting_date": "2026-12-31"}, "20261231"),
        ({"closed_until": "2026-10-04"}, "20261005"),
        ({"closed_until": "2026-10-05", "closed_period": "move"}, "20261006"),
        ({"closed_until": "2026-12-31", "closed_period": "move"}, "20270101"),
    ],
)
def test_the_policy_decides_the_day(settings: Document, day: str) -> None:
    assert set(days(settings)) == {day}


def test_the_last_expense_of_a_claim_counts() -> None:
    assert set(days({"posting_date": "expense"}, LATE)) == {"20260930"}


def test_a_reversal_has_a_policy_of_its_own() -> None:
    configuration = xledger_document(
        settings={"reversal_posting_date": "fixed", "fixed_posting_date": "2026-11-01"}
    )
    entries = [member(claim(), 1), member(claim(2), 2, kind="reversal")]
    lines = render(configuration, [entries]).data.decode().splitlines()

    assert [line.split(";")[7] for line in lines] == ["20261005"] * 3 + ["20261101"] * 3


def test_a_closed_period_refuses_unless_it_may_move() -> None:
    """Claims that come after their period was closed are named, with the day and the period."""
    settings: Document = {"posting_date": "expense", "closed_until": "2026-09-30"}
    fresh = claim(2, lines=[claim_line(expense_date="2026-10-01")], total="530.00")
    rendered = render_claims(xledger_document(settings=settings), claim(1), fresh)

    (left_out,) = rendered.left_out
    assert (left_out.code, left_out.field) == ("period_closed", "posting_date")
    assert "2026-09-30" in left_out.message
    assert rendered.data.decode().count(";2026-0002;") == 2


def test_every_move_is_counted() -> None:
    settings: Document = {"closed_until": "2026-10-05", "closed_period": "move"}
    rendered = render_claims(xledger_document(settings=settings), claim(1), claim(2))

    assert [
        (one.code, one.count, one.first_claim_number) for one in rendered.renderer.notices()
    ] == [("posting_date_moved", 2, "2026-0001")]


def test_a_payable_falls_due_after_the_day_that_it_was_moved_to() -> None:
    settings: Document = {"closed_until": "2026-10-31", "closed_period": "move", "due_days": 14}
    rendered = render_claims(xledger_document(settings=settings), claim())

    due = [line.split(";")[25] for line in rendered.data.decode().splitlines()]
    assert due == ["", "", "20261115"]


@pytest.mark.parametrize(
    "settings",
    [
        {"posting_date": "fixed"},
        {"fixed_posting_date": "2026-12-31"},
        {"closed_until": "31.12.2026"},
        {"closed_until": "1026-12-31"},
        {"closed_period": "ignore"},
        {"posting_date": "tomorrow"},
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(settings: Document) -> None:
    problems = configuration_problems(xledger_document(settings=settings))

    assert {problem.code for problem in problems} == {"setting_invalid"}


def test_a_day_may_come_as_a_date() -> None:
    """Settings are read from JSON and from Python alike."""
    assert (
        configuration_problems(xledger_document(settings={"closed_until": date(2026, 1, 31)})) == ()
    )
