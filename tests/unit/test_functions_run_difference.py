"""What is new against earlier runs, and what is called unusual."""

from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from exporters.breakdown import Breakdown
from exporters.run_renderer import RenderSummary
from functions.export_run import Breakdown as StoredBreakdown
from functions.export_run import ExportRun
from functions.run_difference import Compared, RunDifference, difference

NOTHING = StoredBreakdown(groups=(), cut=False)


def run(**changes: object) -> ExportRun:
    told: dict[str, Any] = dict.fromkeys(ExportRun.model_fields)
    told |= {"run_id": uuid4(), "claim_count": 10, "totals": {"NOK": Decimal(100)}}
    return ExportRun.model_construct(**{**told, **changes})


def judged(
    now: str, before: list[str], *, is_cut: bool = False, currency: str = "NOK"
) -> RunDifference:
    summary = RenderSummary(10, 10, 20, {currency: Decimal(now)})
    runs = [(run(totals={"NOK": Decimal(one)}), NOTHING) for one in before]
    found = difference(summary, Breakdown(()), runs, is_cut=is_cut)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("now", "before", "is_unusual"),
    [
        ("300.00", ["100.00"], False),
        ("300.01", ["100.00"], True),
        ("33.34", ["100.00"], False),
        ("33.33", ["100.00"], True),
        ("250.00", ["100.00", "100.00", "9000.00"], False),
        ("-100.00", ["100.00"], True),
        ("-100.00", ["-100.00"], False),
        ("-301.00", ["-100.00"], True),
        ("0.00", ["0.00"], False),
        ("1.00", ["0.00"], True),
        ("0.00", ["100.00"], True),
    ],
)
def test_unusual_is_beyond_three_times_or_a_third_of_the_median(
    now: str,
    before: list[str],
    is_unusual: bool,  # noqa: FBT001 - a case of the table
) -> None:
    assert judged(now, before).totals["NOK"].is_unusual is is_unusual


def test_what_is_cut_is_never_too_small() -> None:
    assert judged("1.00", ["100.00"], is_cut=True).totals["NOK"].is_unusual is False
    assert judged("301.00", ["100.00"], is_cut=True).totals["NOK"].is_unusual is True


def test_a_currency_that_no_run_had_is_unusual_and_a_missing_one_is_shown() -> None:
    told = judged("5.00", ["100.00"], currency="EUR").totals

    assert told["EUR"] == Compared(Decimal("5.00"), None, None, is_unusual=True)
    assert told["NOK"] == Compared(Decimal("0.00"), Decimal(100), Decimal(100), is_unusual=True)


def test_without_a_run_there_is_nothing_to_compare() -> None:
    assert difference(RenderSummary(0, 0, 0, {}), Breakdown(()), [], is_cut=False) is None


@pytest.mark.parametrize("last", [None, StoredBreakdown(groups=(), cut=True)])
def test_accounts_are_new_only_where_the_old_ones_are_known(last: StoredBreakdown | None) -> None:
    summary = RenderSummary(1, 1, 2, {})

    told = difference(summary, Breakdown(()), [(run(), last)], is_cut=False)

    assert told is not None
    assert (told.new_accounts, told.new_dimension_values) == (None, None)
