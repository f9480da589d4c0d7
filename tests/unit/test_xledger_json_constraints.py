"""Acceptance of request bodies for Xledger's API, constraint by constraint, read as plain JSON."""

import json
import re
from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from exporters.registry import configuration_problems
from tests.golden.case import FOLDER
from tests.unit.claim_factory import (
    Document,
    claim,
    claim_line,
    member,
    members,
    posting_rules,
    render,
    render_claims,
    xledger_document,
)

Node = dict[str, Any]

# Every field of a node that Xledger's schema has and this project may write.
KNOWN = {
    "owner",
    "transactionSource",
    "trRegNumber",
    "trItemNumber",
    "postedDate",
    "invoiceDate",
    "dueDate",
    "account",
    "amount",
    "invoiceAmount",
    "text",
    "invoiceNumber",
    "subledger",
    "taxRule",
    "jobLevel",
    *(f"glObject{number}" for number in range(1, 6)),
}
REFERENCES = {"owner", "transactionSource", "account", "subledger", "taxRule", "jobLevel"} | {
    f"glObject{number}" for number in range(1, 6)
}
HOSTILE = 'a;b\r\nc\td"e\x00f\x85g\u2028h \\ ø'


def json_document(**settings: object) -> Document:
    """Make a configuration of this format."""
    own = {"entity_code": "12345", "voucher_type": "GL", "job_level_db_sub_id": 1, **settings}
    return xledger_document(
        format="xledger_json", settings={k: v for k, v in own.items() if v is not None}
    )


def bodies(data: bytes) -> list[dict[str, Any]]:
    """Read every line as one request body."""
    return [json.loads(line) for line in data.decode().splitlines()]


def nodes(data: bytes) -> list[Node]:
    return [entry["node"] for body in bodies(data) for entry in body["variables"]["inputs"]]


def many_lines(number: int, count: int) -> Document:
    """Make a claim whose voucher has one line more than `count`."""
    lines = [claim_line(place, amount="1.00") for place in range(1, count + 1)]
    return claim(number, lines=lines, total=f"{count}.00")


def _generated() -> bytes:
    entries = members(
        claim(1),
        claim(2, purpose=HOSTILE, claimant={"name": HOSTILE, "number": "7"}),
        claim(3, dimensions={"department": "410", "project": "P12"}),
        *(many_lines(number, 140) for number in range(4, 12)),
    )
    reversal = member(claim(1), 12, kind="reversal")
    rendered = render(json_document(due_days=14), [[*entries, reversal]])
    assert rendered.left_out == []
    return rendered.data


FILES = {
    "generated": _generated(),
    "golden": (FOLDER / "xledger" / "json_requests.jsonl").read_bytes(),
}
DATA = pytest.mark.parametrize("data", FILES.values(), ids=FILES.keys())


@DATA
def test_xj01_every_line_is_a_body_with_query_and_nodes(data: bytes) -> None:
    for body in bodies(data):
        assert set(body) == {"query", "variables"}
        assert "addGLImportItems(inputs: $inputs)" in body["query"]
        assert set(body["variables"]) == {"inputs"}
        assert all(set(entry) == {"node"} for entry in body["variables"]["inputs"])


@DATA
def test_xj02_every_node_has_what_the_examples_have(data: bytes) -> None:
    for node in nodes(data):
        assert node["transactionSource"]["code"] == "GL"
        assert type(node["trRegNumber"]) is int
        assert node["postedDate"]
        assert node["account"]["code"]
        assert node["amount"]
        assert node["text"]
        assert node["invoiceNumber"]
        assert node["jobLevel"] == {"dbSubId": 1}


@DATA
def test_xj03_dates_are_calendar_dates(data: bytes) -> None:
    for node in nodes(data):
        for name in ("postedDate", "invoiceDate", "dueDate"):
            if name in node:
                assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", node[name])
                date.fromisoformat(node[name])


@DATA
def test_xj04_amounts_are_text_with_two_decimals(data: bytes) -> None:
    for node in nodes(data):
        for name in ("amount", "invoiceAmount"):
            assert isinstance(node[name], str)
            assert re.fullmatch(r"-?[0-9]{1,12}\.[0-9]{2}", node[name])
            assert Decimal(node[name])


@DATA
def test_xj05_every_voucher_sums_to_zero(data: bytes) -> None:
    sums: dict[int, Decimal] = defaultdict(Decimal)
    for node in nodes(data):
        sums[node["trRegNumber"]] += Decimal(node["amount"])

    assert sums
    assert set(sums.values()) == {Decimal(0)}


@DATA
def test_xj06_a_request_has_500_nodes_and_whole_vouchers(data: bytes) -> None:
    requests = [
        [entry["node"]["trRegNumber"] for entry in body["variables"]["inputs"]]
        for body in bodies(data)
    ]

    assert all(len(numbers) <= 500 for numbers in requests)
    in_requests = [number for numbers in requests for number in set(numbers)]
    assert len(in_requests) == len(set(in_requests)), "no voucher is in two requests"


def test_xj06_requests_are_filled_before_the_next_begins() -> None:
    requests = bodies(_generated())

    assert len(requests) == 3
    assert [len(request["variables"]["inputs"]) for request in requests] == [432, 423, 285]


def test_xj06_exactly_500_lines_are_one_request() -> None:
    data = render_claims(json_document(), many_lines(1, 249), many_lines(2, 249), claim(3)).data

    assert [len(request["variables"]["inputs"]) for request in bodies(data)] == [500, 3]


def test_xj06_a_voucher_that_no_request_holds_is_left_out() -> None:
    rendered = render_claims(json_document(), many_lines(1, 499), many_lines(2, 500), claim(3))

    assert [(one.code, one.field) for one in rendered.left_out] == [("too_many_lines", "lines")]
    assert [len(request["variables"]["inputs"]) for request in bodies(rendered.data)] == [500, 3]


@DATA
def test_xj07_a_reference_has_exactly_one_key(data: bytes) -> None:
    for node in nodes(data):
        for name in REFERENCES & set(node):
            assert set(node[name]) <= {"code", "dbId", "dbSubId"}
            assert len(node[name]) == 1


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"job_level_db_id": 17, "job_level_db_sub_id": None}, {"dbId": 17}),
        ({"job_level_db_sub_id": 2}, {"dbSubId": 2}),
    ],
)
def test_xj07_the_job_level_is_the_tenants(settings: Document, expected: Document) -> None:
    rendered = render_claims(json_document(**settings), claim())

    assert [node["jobLevel"] for node in nodes(rendered.data)] == [expected] * 3


@pytest.mark.parametrize(
    "settings",
    [{"job_level_db_sub_id": None}, {"job_level_db_id": 1}, {"job_level_db_sub_id": "1"}],
)
def test_xj07_a_job_level_by_two_ids_or_none_is_refused(settings: Document) -> None:
    problems = configuration_problems(json_document(**settings))

    assert {problem.code for problem in problems} == {"setting_invalid"}


@DATA
def test_xj08_only_known_fields_appear(data: bytes) -> None:
    for node in nodes(data):
        assert set(node) <= KNOWN
        assert None not in node.values()
        assert "" not in node.values()


def test_xj09_file_and_request_hold_the_same_vouchers() -> None:
    claims = [claim(1), claim(2, purpose=HOSTILE), many_lines(3, 3)]
    file = render_claims(xledger_document(), *claims).data.decode()
    requests = render_claims(json_document(), *claims).data

    in_file = [
        (row[4], row[8], row[32], row[28], row[23], row[10])
        for row in (line.split(";") for line in file.split("\r\n"))
    ]
    in_requests = [
        (
            str(node["trRegNumber"]),
            node["account"]["code"],
            node["amount"],
            # What JSON can hold, a file replaces.
            re.sub(" +", " ", re.sub('[;"]', " ", node["text"])).strip(),
            node["invoiceNumber"],
            node.get("glObject1", {}).get("code", ""),
        )
        for node in nodes(requests)
    ]
    assert in_requests == in_file


@DATA
def test_xj10_no_secret_is_in_the_file(data: bytes) -> None:
    """The configuration has no place for one either: an unknown setting is refused."""
    assert b"token" not in data.lower()
    problems = configuration_problems(json_document(api_token="secret"))
    assert [problem.code for problem in problems] == ["setting_unknown"]


def test_hostile_text_comes_back_as_words() -> None:
    rendered = render_claims(
        json_document(line_text="{claim_number} {purpose}"), claim(purpose=HOSTILE)
    )

    assert nodes(rendered.data)[0]["text"] == '2026-0001 a;b c d"e f g h \\ ø'


def test_pages_change_no_byte() -> None:
    entries = members(*(many_lines(number, 140) for number in range(1, 9)))

    whole = render(json_document(), [entries])
    pages = render(json_document(), [[entry] for entry in entries])

    assert whole.data == pages.data


def test_tax_rules_are_written_where_the_rules_give_them() -> None:
    configuration = json_document(tax_policy="explicit", tax_codes=["20"])
    configuration["posting_rules"] = posting_rules(subledger="claimant", tax_code="20")
    shown = [node.get("taxRule") for node in nodes(render_claims(configuration, claim()).data)]

    assert shown == [{"code": "20"}, {"code": "20"}, None]


def test_a_layout_of_the_other_kind_is_refused() -> None:
    """The file's name and media type belong to the format."""
    layout = json_document()
    layout["layout"] = {
        "name": "own",
        "version": 1,
        "dialect": {
            "delimiter": ";",
            "quoting": "none",
            "header": {"kind": "none"},
            "encoding": "utf-8",
            "bom": False,
            "line_end": "lf",
            "final_newline": True,
            "decimal_mark": ".",
        },
        "columns": [{"name": "A"}],
    }

    assert "layout.dialect.kind" in {problem.field for problem in configuration_problems(layout)}
