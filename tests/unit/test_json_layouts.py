"""What a layout of the kind json can say, seen in the documents that come out."""

import json
from typing import Any

import pytest

from exporters.file_check import check_file
from exporters.registry import configuration_problems, file_rules_of
from tests.unit.claim_factory import (
    Document,
    claim,
    claim_line,
    posting_rules,
    render_claims,
    xledger_document,
)


def path(name: str) -> Document:
    return {"kind": "path", "path": name}


def layout(*columns: Document, **dialect: object) -> Document:
    return {
        "name": "own",
        "version": 1,
        "dialect": {"kind": "json", **dialect},
        "columns": [
            *columns,
            {"name": "account", "source": path("line.account_code"), "type": "code"},
            {
                "name": "date",
                "source": path("voucher.posting_date"),
                "type": "date",
                "format": "dd.mm.yyyy",
            },
            {"name": "amount", "source": path("line.amount"), "type": "amount"},
            {"name": "voucher", "source": path("voucher.number"), "type": "integer"},
            {"name": "claim.number", "source": path("claim.claim_number"), "type": "code"},
            {"name": "who", "source": path("line.subledger_number"), "type": "code"},
        ],
    }


def document(own: Document) -> Document:
    settings = {"entity_code": "1", "voucher_type": "GL", "job_level_db_id": 1}
    return {**xledger_document(format="xledger_json", layout=own), "settings": settings}


def loaded(own: Document) -> Any:
    data = render_claims(document(own), claim()).data
    return json.loads(data, parse_float=str)


def reasons(own: Document) -> list[tuple[str, str]]:
    return [(found.field, found.message) for found in configuration_problems(document(own))]


def test_without_an_envelope_the_file_is_a_list() -> None:
    assert loaded(layout())[2] == {
        "account": "2990",
        "date": "05.10.2026",
        "amount": "-650.00",
        "voucher": 1001,
        "claim": {"number": "2026-0001"},
        "who": "10023",
    }


def test_what_is_empty_is_left_away() -> None:
    assert "who" not in loaded(layout())[0]


def test_amounts_can_be_numbers_and_stay_exact() -> None:
    data = render_claims(document(layout(amounts="number")), claim()).data.decode()

    assert '"amount":-650.00,' in data
    json.loads(data)


def test_the_envelope_stands_around_the_records() -> None:
    own = layout(envelope={"a": {"b": 1}, "c": "ø"}, records_at="a.lines.list", record_key="line")
    told = loaded(own)

    assert told["c"] == "ø"
    assert told["a"]["b"] == 1
    assert [list(record) for record in told["a"]["lines"]["list"]] == [["line"]] * 3


def test_a_final_newline_is_written_when_the_dialect_says_so() -> None:
    assert render_claims(document(layout(final_newline=True)), claim()).data.endswith(b"]\n")
    assert render_claims(document(layout()), claim()).data.endswith(b"]")


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (layout(envelope={"a": 1}), "where the records stand"),
        (layout(most_records=1), "greater than or equal to 2"),
        (layout(delimiter=";"), "Extra inputs"),
        (layout({"name": "claim", "source": path("claim.purpose")}), "cannot be a key beside"),
        (layout({"name": "claim.number.x", "source": path("claim.purpose")}), "cannot be a key"),
        (layout({"name": "voucher.a.b", "source": path("claim.purpose")}), "cannot be a key"),
        (layout({"name": "a[0].b", "source": path("claim.purpose")}), "cannot be a key beside"),
        (layout({"name": "a[1].b[1]", "source": path("claim.purpose")}), "cannot be a key beside"),
        (layout({"name": "claim[1]", "source": path("claim.purpose")}), "cannot be a key beside"),
        (layout({"name": "a[2].b", "source": path("claim.purpose")}), "do not go on from 1"),
        (layout({"name": "a..b", "source": path("claim.purpose")}), "cannot be a key beside"),
        (layout({"name": "a", "source": path("claim.purpose"), "width": 5}), "JSON has no widths"),
        (
            layout(
                {
                    "name": "sum",
                    "source": path("line.amount"),
                    "type": "amount",
                    "amount_form": {"sign": "trailing"},
                },
                amounts="number",
            ),
            "would be no number",
        ),
        (
            layout({"name": "n", "source": path("settings.voucher_type"), "type": "integer"}),
            "must be a whole number",
        ),
    ],
)
def test_a_layout_that_json_cannot_hold_is_refused(own: Document, reason: str) -> None:
    found = reasons(own)

    assert len(found) == 1, found
    assert reason in found[0][1]


def test_a_problem_of_the_dialect_names_its_place() -> None:
    assert [field for field, _ in reasons(layout(most_records="many"))] == [
        "layout.dialect.most_records"
    ]


DEPARTMENT = {"name": "tags[1].value", "source": path("dimensions.1")}
PROJECT = {"name": "tags[2].value", "source": path("dimensions.2")}
NAMES = (
    {"name": "tags[1].code", "source": path("dimension_codes.1")},
    {"name": "tags[2].code", "source": path("dimension_codes.2")},
)


def test_a_list_holds_the_entries_that_are_whole() -> None:
    """The project has a name on every line, and a value on none."""
    told = loaded(layout(*NAMES, DEPARTMENT, PROJECT))

    assert told[0]["tags"] == [{"code": "department", "value": "410"}]
    assert "tags" not in told[2], "nothing is left of it on the payable line"


def test_entries_stand_in_the_order_of_their_places() -> None:
    own = layout(*reversed(NAMES), PROJECT, DEPARTMENT)
    rendered = render_claims(
        document(own), claim(dimensions={"department": "410", "project": "P2"})
    )

    assert json.loads(rendered.data)[0]["tags"] == [
        {"code": "department", "value": "410"},
        {"code": "project", "value": "P2"},
    ]


def test_a_list_can_hold_plain_values() -> None:
    own = layout(
        {"name": "who2.all[1]", "source": path("claimant.name")},
        {"name": "who2.all[2]", "source": path("line.tax_code")},
        {"name": "who2.all[3]", "source": path("claimant.number")},
    )

    assert loaded(own)[0]["who2"] == {"all": ["Åse Ødegård", "10023"]}


def test_a_file_with_lists_is_checked_entry_by_entry() -> None:
    """Entries are told apart by what settings put there, for incomplete ones were left away."""
    own = layout(*NAMES, DEPARTMENT, PROJECT, final_newline=True)
    rules = [{**rule, "dimensions": {}} for rule in posting_rules(subledger="claimant")]
    configuration = {**document(own), "posting_rules": rules}
    lines = [claim_line(dimensions={"project": "P2"}), claim_line(2)]
    data = render_claims(
        configuration, claim(lines=lines, total="1060.00", dimensions={"project": "P1"})
    ).data
    kept = file_rules_of(
        configuration["format"], configuration["layout"], configuration["settings"]
    )

    def findings(content: bytes) -> list[tuple[int, str, str]]:
        found = check_file(content, kept.layout, kept.fixed)
        return [(one.line, one.column, one.rule) for one in found]

    assert b'"tags":[{"code":"project","value":"P2"}]' in data
    assert findings(data) == []
    assert findings(data.replace(b'"value":"P2"', b'"value":""')) == [
        (1, "tags[2].value", "required")
    ]
    assert findings(data.replace(b'"code":"project"', b'"code":"other"', 1))[0] == (
        1,
        "tags[1].code",
        "constant",
    )
    extra = data.replace(b'"value":"P2"}', b'"value":"P2"},{"code":"third","value":"x"}')
    assert (1, "tags[3].code", "unknown_key") in findings(extra)
