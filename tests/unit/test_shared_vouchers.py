"""Claims that share a voucher number: the file holds one document of theirs, whole and in one place."""

import json
from itertools import pairwise
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.claim import Member
from exporters.file_check import check_file
from exporters.problem import ConfigurationInvalid
from exporters.registry import configuration_problems, file_rules_of
from exporters.run_renderer import FrozenConfiguration, RunRenderer
from tests.unit.claim_factory import (
    RUN,
    Document,
    Rendered,
    claim,
    claim_line,
    dynamics_document,
    member,
    render,
    xledger_document,
)

ONE_DAY: Final = {"posting_date": "export", "reversal_posting_date": "export"}


def shared(**settings: object) -> Document:
    return {**ONE_DAY, "voucher_per": "claimant", **settings}


def configuration(name: str) -> Document:
    """Make one for each kind of file."""
    match name:
        case "dynamics_bc_csv":
            return dynamics_document(settings=shared())
        case "xledger_json":
            settings = shared(job_level_db_sub_id=1, most_voucher_lines=20)
            return xledger_document(format=name, settings=settings)
        case _:
            return xledger_document(format=name, settings=shared())


FORMATS: Final = ("xledger_gl02b", "xledger_json", "dynamics_bc_csv")


def run_of(vouchers: list[list[bool]]) -> list[Member]:
    """Make members: a list of claims for each voucher, true for one that can be exported."""
    members: list[Member] = []
    for number, claims in enumerate(vouchers, 1001):
        for is_usable in claims:
            position = len(members) + 1
            lines = [claim_line(amount="530.00" if is_usable else "0.00")]
            document = claim(position, lines=lines, total=lines[0]["amount"])
            members.append(member(document, position, voucher_number=number))
    return members


def layout_of(name: str) -> dict[str, Any]:
    return RunRenderer(FrozenConfiguration.from_document(configuration(name)), RUN).layout


def findings(rendered: Rendered, document: Document) -> list[str]:
    rules = file_rules_of(document["format"], document["layout"], document["settings"])
    return [found.rule for found in check_file(rendered.data, rules.layout, rules.fixed)]


@pytest.mark.parametrize("name", FORMATS)
@given(
    vouchers=st.lists(st.lists(st.booleans(), min_size=1, max_size=6), min_size=1, max_size=6),
    cuts=st.sets(st.integers(0, 36)),
)
def test_a_file_is_whole_wherever_pages_are_cut(
    name: str, vouchers: list[list[bool]], cuts: set[int]
) -> None:
    """Each voucher stands together, balanced, in one document; claims left out leave the others alone."""
    document = configuration(name)
    members = run_of(vouchers)
    at = [0, *sorted(cut for cut in cuts if 0 < cut < len(members)), len(members)]
    pages = [members[start:stop] for start, stop in pairwise(at)]

    rendered = render(document, pages)

    assert rendered.data == render(document, [members]).data
    summary = rendered.renderer.summary()
    assert summary.claim_count == sum(map(sum, vouchers))
    assert summary.voucher_count == sum(map(any, vouchers))
    assert len(rendered.left_out) == len(members) - summary.claim_count
    if summary.claim_count:
        assert findings(rendered, document) == []
    else:
        assert rendered.data == b""


def test_claims_of_a_voucher_have_its_number_and_a_payable_line_each() -> None:
    rendered = render(configuration("xledger_gl02b"), [run_of([[True, True], [True]])])

    rows = [line.split(";") for line in rendered.data.decode().splitlines()]
    assert [row[4] for row in rows] == ["1001"] * 4 + ["1002"] * 2
    assert [row[8] for row in rows].count("2990") == 3


def test_places_count_through_the_voucher() -> None:
    """A claim that is left out takes no place."""
    layout = layout_of("xledger_gl02b")
    layout["columns"][1] = {
        "name": "Place",
        "source": {"kind": "path", "path": "line.place"},
        "type": "integer",
    }
    document = {**configuration("xledger_gl02b"), "layout": layout}

    rendered = render(document, [run_of([[True, False, True], [True]])])

    rows = [line.split(";") for line in rendered.data.decode().splitlines()]
    assert [row[1] for row in rows] == ["1", "2", "3", "4", "1", "2"]


def test_lines_of_each_claim_are_known() -> None:
    """A line of the file still leads to its claim."""
    rendered = render(configuration("xledger_gl02b"), [run_of([[True, False, True, True]])])

    lines = rendered.renderer.page_lines()

    assert lines is not None
    assert lines.positions == (1, 3, 4)
    assert lines.first_lines == (1, 3, 5)
    assert lines.last_line == 6


def test_a_voucher_that_several_claims_share_is_one_request() -> None:
    """A request takes 500 nodes: the voucher that would cross the limit begins the next one."""
    rendered = render(configuration("xledger_json"), [run_of([[True] * 10] * 26)])

    requests = [json.loads(line) for line in rendered.data.splitlines()]
    sizes = [len(request["variables"]["inputs"]) for request in requests]
    assert sizes == [500, 20]


@pytest.mark.parametrize("policy", ["approval", "expense"])
@pytest.mark.parametrize("kind", ["posting_date", "reversal_posting_date"])
@pytest.mark.parametrize("voucher_per", ["claimant", "run"])
def test_a_shared_voucher_needs_one_posting_date(voucher_per: str, kind: str, policy: str) -> None:
    settings = {**ONE_DAY, "voucher_per": voucher_per, kind: policy}

    [problem] = configuration_problems(xledger_document(settings=settings))

    assert problem.code == "setting_invalid"
    assert voucher_per in problem.message
    assert "posting_date" in problem.message


def test_a_shared_voucher_must_fit_into_a_request() -> None:
    document = xledger_document(
        format="xledger_json",
        settings=shared(job_level_db_sub_id=1, most_voucher_lines=501),
    )

    [problem] = configuration_problems(document)

    assert (problem.code, problem.field) == ("setting_invalid", "settings.most_voucher_lines")


def test_an_unknown_word_stops_the_export() -> None:
    with pytest.raises(ConfigurationInvalid):
        render(xledger_document(settings={"voucher_per": "month"}), [])
