"""Files that are cut into parts: vouchers stay whole, places count from 1 without a gap."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.registry import configuration_problems
from tests.unit.claim_factory import (
    Document,
    claim,
    claim_line,
    dynamics_document,
    member,
    members,
    render,
)
from tests.unit.test_layout_language import layout, path

PART: Document = {"name": "Del", "source": path("file.part"), "type": "integer"}
PLACE: Document = {"name": "Plass", "source": path("file.place"), "type": "integer"}


def configuration(lines_per_part: int | None) -> Document:
    return dynamics_document(layout=layout(PART, PLACE, lines_per_part=lines_per_part))


def many_lines(number: int, count: int) -> Document:
    """Make a claim whose voucher has so many lines."""
    lines = [claim_line(place, amount="1.00") for place in range(1, count)]
    return claim(number, lines=lines, total=f"{count - 1}.00")


def places(data: bytes) -> list[tuple[int, int, str]]:
    """Read part, place and voucher of each line."""
    rows = [line.split(";") for line in data.decode().splitlines()]
    return [(int(row[0]), int(row[1]), row[5]) for row in rows]


def test_without_a_limit_the_file_is_one_part() -> None:
    rendered = render(configuration(None), [members(claim(1), claim(2))])

    assert [place[:2] for place in places(rendered.data)] == [(1, n) for n in range(1, 7)]


def test_a_part_begins_where_the_next_voucher_would_not_fit() -> None:
    rendered = render(configuration(5), [members(claim(1), many_lines(2, 2), claim(3))])

    assert [place[:2] for place in places(rendered.data)] == [
        *((1, n) for n in range(1, 6)),
        *((2, n) for n in range(1, 4)),
    ]


def test_a_claim_that_is_left_out_takes_no_place() -> None:
    damaged = claim(2, purpose="x", claimant={"name": "\ufffd", "number": "7"})
    own = layout(PART, PLACE, {"name": "Navn", "source": path("claimant.name")}, lines_per_part=5)
    rendered = render(dynamics_document(layout=own), [members(claim(1), damaged, claim(3))])

    assert rendered.codes == ["forbidden_character"]
    rows = [line.split(";")[:2] for line in rendered.data.decode().splitlines()]
    assert rows == [["1", "1"], ["1", "2"], ["1", "3"], ["2", "1"], ["2", "2"], ["2", "3"]]


def test_claims_that_share_a_voucher_stay_in_one_part() -> None:
    shared = [member(claim(n), n, voucher_number=7) for n in range(1, 4)]
    rendered = render(configuration(4), [[*shared, member(claim(4), 4, voucher_number=8)]])

    assert [part for part, _, _ in places(rendered.data)] == [1] * 9 + [2] * 3


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(2, 9), min_size=1, max_size=12),
    limit=st.integers(9, 20),
    cut=st.integers(1, 5),
)
def test_parts_hold_whole_vouchers_and_no_more_than_they_take(
    counts: list[int], limit: int, cut: int
) -> None:
    """However the pages are cut."""
    entries = members(*(many_lines(number, count) for number, count in enumerate(counts, 1)))
    pages = [entries[start : start + cut] for start in range(0, len(entries), cut)]
    found = places(render(configuration(limit), pages).data)

    by_part: dict[int, list[tuple[int, str]]] = {}
    for part, place, voucher in found:
        by_part.setdefault(part, []).append((place, voucher))
    assert list(by_part) == list(range(1, len(by_part) + 1))
    for lines in by_part.values():
        assert [place for place, _ in lines] == list(range(1, len(lines) + 1))
        assert len(lines) <= limit
    vouchers = [voucher for lines in by_part.values() for voucher in {v for _, v in lines}]
    assert len(vouchers) == len(set(vouchers)), "no voucher is in two parts"


@settings(deadline=None)
@given(
    groups=st.lists(st.lists(st.integers(2, 4), min_size=1, max_size=3), min_size=1, max_size=8),
    limit=st.integers(12, 30),
)
def test_shared_vouchers_stay_whole_and_within_their_part(
    groups: list[list[int]], limit: int
) -> None:
    """A voucher's first claim leaves room for those that follow."""
    shared = {"voucher_per": "claimant", "posting_date": "export", "most_voucher_lines": 12}
    entries = [
        (voucher, many_lines(10 * voucher + place, count))
        for voucher, counts in enumerate(groups, 1)
        for place, count in enumerate(counts)
    ]
    run = [
        member(document, position, voucher_number=voucher)
        for position, (voucher, document) in enumerate(entries, 1)
    ]
    own = layout(PART, PLACE, lines_per_part=limit)
    found = places(render(dynamics_document(layout=own, settings=shared), [run]).data)

    parts: dict[int, list[int]] = {}
    of_voucher: dict[str, set[int]] = {}
    for part, place, voucher in found:
        parts.setdefault(part, []).append(place)
        of_voucher.setdefault(voucher, set()).add(part)
    assert all(lines == list(range(1, len(lines) + 1)) for lines in parts.values())
    assert max(map(len, parts.values())) <= limit
    assert {len(parts) for parts in of_voucher.values()} == {1}


def test_a_part_that_a_shared_voucher_would_not_fit_into_is_refused() -> None:
    shared = {"voucher_per": "run", "posting_date": "export", "most_voucher_lines": 13}
    problems = configuration_problems(
        dynamics_document(layout=layout(PART, lines_per_part=12), settings=shared)
    )

    assert [problem.field for problem in problems] == ["settings.most_voucher_lines"]


@pytest.mark.parametrize("limit", [0, 1, "many"])
def test_a_part_of_less_than_a_voucher_is_refused(limit: object) -> None:
    with pytest.raises(ValueError, match="lines_per_part"):
        render(dynamics_document(layout=layout(lines_per_part=limit)), [])
