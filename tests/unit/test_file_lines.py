"""Where vouchers stand in the file, and what it books, compared with the file's own bytes."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest

from exporters.breakdown import Breakdown
from exporters.configuration import FrozenConfiguration
from exporters.page_lines import PageLines
from exporters.run_renderer import RunRenderer
from tests.unit.claim_factory import (
    RUN,
    Document,
    claim,
    claim_line,
    dynamics_document,
    member,
    members,
    one_line_claim,
    render,
    xledger_document,
)

# (configuration, how a line ends)
FILES = {
    "xledger": (xledger_document(), "\r\n"),
    "xledger with a header": (xledger_document(settings={"header": "names"}), "\r\n"),
    "xledger with a text, lf": (
        xledger_document(settings={"header": "text", "header_text": "a;b", "line_end": "lf"}),
        "\n",
    ),
    "dynamics": (dynamics_document(), "\r\n"),
    "dynamics without a header": (dynamics_document(settings={"header": "none"}), "\r\n"),
}
EVERY_FILE = pytest.mark.parametrize(("configuration", "line_end"), FILES.values(), ids=FILES)

HOSTILE = "a\r\nb\rc\nd\x0be\x0cf\x1cg\x85h\u2028i\u2029j"


def _run() -> list[Any]:
    entries = members(
        claim(1),
        claim(2, purpose=HOSTILE, claimant={"name": HOSTILE, "number": "7"}),
        one_line_claim(3, expense_type="helicopter"),
        one_line_claim(4, total="-20.00"),
        claim(5, dimensions={"department": "420", "project": "P1", "event": "7"}),
        one_line_claim(6, expense_type="helicopter"),
    )
    return [*entries, member(claim(7), 7, kind="reversal")]


def _told(pages: list[PageLines | None]) -> dict[int, range]:
    found: dict[int, range] = {}
    for page in pages:
        if page:
            ends = [*page.first_lines[1:], page.last_line + 1]
            for position, first, end in zip(page.positions, page.first_lines, ends, strict=True):
                found[position] = range(first, end)
    return found


def _pages_of(configuration: Document, size: int) -> tuple[bytes, list[PageLines | None]]:
    renderer = RunRenderer(FrozenConfiguration.from_document(configuration), RUN)
    run, data, pages = _run(), b"", []
    for start in range(0, len(run), size):
        data += renderer.render(run[start : start + size])
        pages.append(renderer.page_lines())
    return data + renderer.finish(), pages


@EVERY_FILE
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_lines_told_are_those_of_the_file(
    configuration: Document, line_end: str, size: int
) -> None:
    """Each line that is told for a claim holds its number, wherever pages are cut, and no line is left over."""
    data, pages = _pages_of(configuration, size)
    lines = data.decode().split(line_end)
    has_header = line_end.join(lines).splitlines()[0].count("2026-") == 0

    told = _told(pages)

    for number, page in enumerate(pages):
        own = range(number * size + 1, (number + 1) * size + 1)
        assert page is None or set(page.positions) <= set(own)
    assert list(told) == [1, 2, 4, 5, 7], "what is left out has no lines"
    for position, numbers in told.items():
        assert all(f"2026-{position:04}" in lines[number - 1] for number in numbers), position
    everything = [number for numbers in told.values() for number in numbers]
    filled = [number for number, line in enumerate(lines, 1) if line]
    assert everything == filled[1 if has_header else 0 :]


@EVERY_FILE
def test_an_editor_numbers_the_lines_alike(configuration: Document, line_end: str) -> None:
    """No text breaks a line: whatever counts as a line break anywhere, the count is the same."""
    data, _ = _pages_of(configuration, 100)

    assert data.decode().splitlines() == data.decode().removesuffix(line_end).split(line_end)


def _books(configuration: Document, data: bytes, line_end: str) -> dict[Any, list[Any]]:
    """Debit, credit and lines per account and dimensions, from the bytes alone."""
    xledger = configuration["target"] == "xledger"
    account, first, second, amount = (8, 10, 11, 32) if xledger else (0, 6, 7, 5)
    sums: dict[Any, list[Any]] = defaultdict(lambda: [Decimal(0), Decimal(0), 0])
    for line in data.decode().split(line_end):
        cells = line.split(";")
        if len(cells) <= amount or "2026" not in line:
            continue
        dimensions = {"department": cells[first], "project": cells[second]}
        key = cells[account], tuple((n, c) for n, c in dimensions.items() if c)
        value = Decimal(cells[amount])
        sums[key][0 if value > 0 else 1] += abs(value)
        sums[key][2] += 1
    return dict(sums)


@EVERY_FILE
def test_the_breakdown_is_the_sum_of_the_files_own_lines(
    configuration: Document, line_end: str
) -> None:
    """Account by account and dimension by dimension; dimensions without a column tell nothing apart."""
    rendered = render(configuration, [_run()])
    breakdown = rendered.renderer.breakdown()

    told = {
        (group.account_code, tuple(sorted((group.dimensions or {}).items()))): [
            group.debit,
            group.credit,
            group.line_count,
        ]
        for group in breakdown.groups()
    }

    assert told == _books(configuration, rendered.data, line_end)
    assert not breakdown.is_cut
    assert {group.currency for group in breakdown.groups()} == {"NOK"}


def test_a_reversal_exchanges_the_sides() -> None:
    """What an entry debits its reversal credits."""
    entry, back = (
        render(xledger_document(), [[member(claim(1), kind=kind)]]).renderer.breakdown().groups()
        for kind in ("entry", "reversal")
    )

    assert [(g.account_code, g.debit, g.credit) for g in entry] == [
        (g.account_code, g.credit, g.debit) for g in back
    ]
    assert sum(g.debit for g in entry) == sum(g.credit for g in entry) == Decimal("650.00")


def test_beyond_the_limit_the_rest_is_one_group_and_said() -> None:
    """Memory does not follow the number of groups, no amount is lost, and the cut is told."""
    breakdown = Breakdown(("department",), most_groups=3)
    configuration = xledger_document()
    renderer = RunRenderer(FrozenConfiguration.from_document(configuration), RUN)
    renderer._breakdown = breakdown  # noqa: SLF001 - a small limit
    renderer.render(
        members(
            *(
                claim(number, total="10.00", dimensions={"department": f"{number}"},
                      lines=[claim_line(amount="10.00")])
                for number in range(1, 8)
            )
        )
    )  # fmt: skip

    *kept, rest = breakdown.groups()

    assert breakdown.is_cut
    assert len(kept) == 3
    assert (rest.account_code, rest.dimensions, rest.currency) == (None, None, "NOK")
    assert sum(g.line_count for g in (*kept, rest)) == 14
    assert sum(g.debit for g in (*kept, rest)) == sum(g.credit for g in (*kept, rest)) == 70
