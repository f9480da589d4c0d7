import tracemalloc
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.claim import Claim, Member
from exporters.configuration import FrozenConfiguration
from exporters.problem import ConfigurationInvalid
from exporters.run_renderer import MembersOutOfOrderError, RunRenderer
from tests.unit.claim_factory import (
    RUN,
    Document,
    Rendered,
    claim,
    dynamics_document,
    member,
    members,
    one_line_claim,
    render,
    render_claims,
    xledger_document,
)

CONFIGURATIONS = [xledger_document(), dynamics_document()]
BOTH = pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=["xledger", "dynamics"])

CENTS = st.integers(min_value=-10_000_000, max_value=10_000_000).filter(bool)
ANY_TEXT = st.text(max_size=150)
HOSTILE_TEXT = st.text(
    st.sampled_from("ab ;\"=+-@\t\r\n\x00\u2028éåØ🚕e\u0301{}%'|,"), max_size=150
)
DIMENSIONS = st.dictionaries(
    st.sampled_from(["department", "project", "region"]),
    st.sampled_from(["410", "P1", "", None]),
)


def _money(cents: int) -> str:
    return f"{Decimal(cents) / 100:.2f}"


@st.composite
def claims(draw: st.DrawFn, text: st.SearchStrategy[str] = ANY_TEXT) -> Document:
    """Draw a claim whose total is that of its lines; some totals are zero."""
    amounts = draw(st.lists(CENTS, min_size=1, max_size=4))
    lines = [
        {
            "line_number": number,
            "expense_type": draw(st.sampled_from(["mileage", "toll", "receipt", "per_diem"])),
            "description": draw(text),
            "expense_date": draw(st.dates().map(str)),
            "amount": _money(cents),
            "quantity": None,
            "unit": None,
            "dimensions": draw(DIMENSIONS),
        }
        for number, cents in enumerate(amounts, 1)
    ]
    return claim(
        draw(st.integers(min_value=1, max_value=9999)),
        claimant={"name": draw(text), "number": draw(st.sampled_from(["1", "10023", None]))},
        purpose=draw(text),
        dimensions=draw(DIMENSIONS),
        total=_money(sum(amounts)),
        lines=lines,
    )


@st.composite
def runs(draw: st.DrawFn, text: st.SearchStrategy[str] = ANY_TEXT) -> list[Member]:
    """Draw the members of a run, entries and reversals."""
    return [
        member(document, place, kind=draw(st.sampled_from(["entry", "reversal"])))
        for place, document in enumerate(draw(st.lists(claims(text), max_size=5)), 1)
    ]


def _amounts(configuration: Document, data: bytes) -> Iterator[tuple[str, Decimal]]:
    """Read (voucher, amount) from a file without the exporter's code."""
    xledger = configuration["target"] == "xledger"
    lines = data.decode().split("\r\n") if xledger else data.decode().split("\r\n")[1:-1]
    for line in lines if data else []:
        cells = line.split(";")
        yield (cells[4], Decimal(cells[32])) if xledger else (cells[2], Decimal(cells[5]))


@BOTH
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_run_gives_balanced_vouchers_and_keeps_every_total(
    configuration: Document,
    data: st.DataObject,
) -> None:
    """Each claim is either left out or in the file with its exact total, balanced."""
    run = data.draw(runs(data.draw(st.sampled_from([ANY_TEXT, HOSTILE_TEXT]))))

    rendered = render(configuration, [run])

    summary = rendered.renderer.summary()
    amounts = list(_amounts(configuration, rendered.data))
    assert summary.claim_count + len(rendered.left_out) == len(run)
    assert summary.line_count == len(amounts)
    sums: dict[str, Decimal] = {}
    for voucher, amount in amounts:
        sums[voucher] = sums.get(voucher, Decimal(0)) + amount
    assert len(sums) == summary.voucher_count
    assert set(sums.values()) <= {Decimal(0)}
    _check_totals(configuration, run, rendered, amounts)


def _check_totals(
    configuration: Document,
    run: list[Member],
    rendered: Rendered,
    amounts: list[tuple[str, Decimal]],
) -> None:
    left_out = {entry.claim_id for entry in rendered.left_out}
    # Drawn claims may share an identifier: then the file cannot tell which of them is in it.
    if len({entry.claim_id for entry in run}) < len(run):
        return
    kept = [entry for entry in run if entry.claim_id not in left_out]
    payables = {voucher: amount for voucher, amount in amounts}  # noqa: C416  # the last line wins
    expected = [
        (1 if entry.kind == "reversal" else -1) * Claim.from_document(entry.document).total
        for entry in kept
    ]
    assert list(payables.values()) == expected
    # Entries count as their claims, reversals with the opposite sign.
    assert sum(rendered.renderer.summary().totals.values()) == -sum(expected)
    assert configuration["on_problem"] == "leave_out"


@BOTH
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_pages_and_repetition_change_no_byte(configuration: Document, data: st.DataObject) -> None:
    """The same members give the same bytes again, wherever the pages are cut."""
    run = data.draw(runs(HOSTILE_TEXT))
    cuts = sorted(data.draw(st.lists(st.integers(min_value=0, max_value=len(run)), max_size=4)))
    pages = [run[start:end] for start, end in zip([0, *cuts], [*cuts, len(run)], strict=True)]

    whole, again, paged = (render(configuration, split) for split in ([run], [run], pages))

    assert whole.data == again.data == paged.data
    assert whole.left_out == again.left_out == paged.left_out
    assert whole.renderer.summary() == paged.renderer.summary()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(deadline=None, max_examples=200)
@given(field=st.sampled_from(sorted(claim())), value=JSON)
def test_any_damaged_document_is_left_out_and_no_other(field: str, value: object) -> None:
    """Whatever stands in a field of one claim, the next claim is exported."""
    damaged = claim(1, **{field: value})
    run = [member(claim(1), 1, document=damaged), member(claim(2), 2)]

    rendered = render(xledger_document(), [run])

    assert rendered.renderer.summary().claim_count + len(rendered.left_out) == 2
    assert b"2026-0002" in rendered.data


@pytest.mark.parametrize(
    ("document", "code", "field"),
    [
        ({}, "document_invalid", "claim_id"),
        (claim(total=650), "document_invalid", "total"),
        (claim(total=650.0), "document_invalid", "total"),
        (claim(total="NaN"), "document_invalid", "total"),
        (claim(total="6.5e2"), "document_invalid", "total"),
        (claim(total="650,00"), "document_invalid", "total"),
        (claim(total="٦٥٠"), "document_invalid", "total"),  # Arabic digits
        (claim(total="650.001"), "amount_not_exact", "total"),
        (claim(approved_on="2026-10-05T00:00:00"), "document_invalid", "approved_on"),
        (claim(approved_on="20261005"), "document_invalid", "approved_on"),
        (claim(approved_on="0026-10-05"), "document_invalid", "approved_on"),
        (claim(currency="nok"), "document_invalid", "currency"),
        (claim(claim_id=str(UUID(int=99))), "document_invalid", "claim_id"),
        (claim(lines=[*claim()["lines"], claim()["lines"][0]]), "document_invalid", "lines"),
        (claim(total="650.01"), "total_mismatch", "total"),
        (one_line_claim(amount="1.234"), "amount_not_exact", "lines[1].amount"),
        (one_line_claim(expense_type="hotel"), "no_account_for_expense_type", None),
    ],
)
def test_an_unusable_claim_is_left_out_by_code_and_field(
    document: Document,
    code: str,
    field: str | None,
) -> None:
    """A claim that cannot be exported is named with a stable code and the field at fault."""
    damaged = member(claim(), 1, document=document)

    left_out = render(xledger_document(), [[damaged]]).left_out

    assert [(entry.claim_id, entry.code) for entry in left_out] == [(UUID(int=1), code)]
    assert field in {None, left_out[0].field}
    assert left_out[0].claim_number == document.get("claim_number", "")
    assert left_out[0].message.endswith(".")


def test_what_a_later_version_added_to_a_document_is_ignored() -> None:
    """A frozen document with unknown fields stays readable."""
    newer = claim(approval={"by": "x"}, claimant={**claim()["claimant"], "e_mail": None})

    assert render_claims(xledger_document(), newer).data == (
        render_claims(xledger_document(), claim()).data
    )


def test_left_out_claims_are_handed_over_once() -> None:
    """Taking the left-out claims empties the list, so memory does not grow with them."""
    renderer = RunRenderer(FrozenConfiguration.from_document(xledger_document()), RUN)
    renderer.render(members(claim(currency="EUR")))

    assert len(renderer.take_left_out()) == 1
    assert renderer.take_left_out() == renderer.left_out == []


@pytest.mark.parametrize("positions", [(1, 1), (2, 1)])
def test_a_page_that_comes_twice_is_refused(positions: tuple[int, int]) -> None:
    """Members must come in order, or a repeated page would double its vouchers."""
    renderer = RunRenderer(FrozenConfiguration.from_document(xledger_document()), RUN)
    renderer.render([member(claim(1), positions[0])])

    with pytest.raises(MembersOutOfOrderError):
        renderer.render([member(claim(2), positions[1])])


def test_a_missing_payable_rule_leaves_every_claim_out() -> None:
    """Without a rule for the payable side each claim says so."""
    rules = xledger_document()["posting_rules"][:-1]

    assert render_claims(xledger_document(posting_rules=rules), claim(1), claim(2)).codes == [
        "no_payable_account",
        "no_payable_account",
    ]


def test_the_summary_counts_what_is_in_the_file() -> None:
    """Claims, vouchers, lines and totals count the file and not what was left out."""
    summary = render_claims(
        xledger_document(), claim(1), claim(2, currency="EUR"), one_line_claim(3)
    ).renderer.summary()

    assert (summary.claim_count, summary.voucher_count, summary.line_count) == (2, 2, 5)
    assert summary.totals == {"NOK": Decimal("1180.00")}


def test_totals_have_two_decimals() -> None:
    """A total is told as the database tells it, however the amounts were written."""
    summary = render_claims(xledger_document(), one_line_claim(total="5")).renderer.summary()

    assert str(summary.totals["NOK"]) == "5.00"


@BOTH
def test_memory_does_not_grow_with_the_run(configuration: Document) -> None:
    """Twenty thousand claims need no more memory than two thousand, left-out ones included."""
    peaks = [_peak_memory(configuration, claim_count) for claim_count in (2_000, 20_000)]

    assert peaks[1] < peaks[0] * 1.2


def _peak_memory(configuration: Document, claim_count: int) -> int:
    renderer = RunRenderer(FrozenConfiguration.from_document(configuration), RUN)
    tracemalloc.start()
    for start in range(1, claim_count, 100):
        renderer.render(_page(start, 100))
        assert len(renderer.take_left_out()) == 10
    renderer.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _page(start: int, size: int) -> Iterator[Member]:
    for place in range(start, start + size):
        changes: dict[str, Any] = {"currency": "EUR"} if place % 10 == 0 else {}
        yield member(claim(place, purpose="x" * 300, **changes), place)


@BOTH
def test_the_layout_and_settings_used_are_told_in_full(configuration: Document) -> None:
    """Rendering with the layout that a run reports gives that run's bytes."""
    first = render_claims(configuration, claim())

    again = render_claims(
        {
            **configuration,
            "layout": first.renderer.layout,
            "settings": first.renderer.settings,
        },
        claim(),
    )

    assert again.data == first.data
    assert first.renderer.settings["posting_date"] == "approval"


@BOTH
def test_the_file_says_what_it_is(configuration: Document) -> None:
    """Both formats are CSV files."""
    renderer = render(configuration, []).renderer

    assert (renderer.content_type, renderer.file_extension) == ("text/csv", "csv")


def test_an_unusable_configuration_makes_no_renderer() -> None:
    """A configuration of another target's format is refused with its problems."""
    with pytest.raises(ConfigurationInvalid) as invalid:
        render(xledger_document(target="dynamics"), [])

    assert [problem.code for problem in invalid.value.problems] == ["target_mismatch"]
