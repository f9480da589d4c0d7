"""A file of ours keeps every rule of its layout, and each thing that a person may break is named."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.__main__ import app
from exporters.file_check import check_file
from exporters.registry import file_rules_of
from tests.golden.case import Case, cases
from tests.unit.claim_factory import (
    Document,
    claim,
    dynamics_document,
    one_line_claim,
    render_claims,
    xledger_document,
)

Where = tuple[int, str, str]


def findings(content: bytes, configuration: Document) -> list[Where]:
    """Check a file under a whole configuration: where, and by which rule."""
    rules = file_rules_of(
        configuration["format"], configuration["layout"], configuration["settings"]
    )
    return [
        (found.line, found.column, found.rule)
        for found in check_file(content, rules.layout, rules.fixed)
    ]


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_every_golden_file_keeps_its_rules(case: Case) -> None:
    assert findings(case.expected_file.read_bytes(), case.content["configuration"]) == []


OWN: Document = {
    "name": "own",
    "version": 1,
    "dialect": {
        "delimiter": ",",
        "quoting": "minimal",
        "header": {"kind": "names"},
        "encoding": "utf-8",
        "bom": True,
        "line_end": "lf",
        "final_newline": True,
        "decimal_mark": ",",
        "replaced_characters": "",
        "invisible_characters": "remove",
        "defuse_formulas": True,
    },
    "columns": [
        {"name": "Bilag", "source": {"kind": "path", "path": "voucher.document_number"}},
        {
            "name": "Dato",
            "source": {"kind": "path", "path": "voucher.posting_date"},
            "type": "date",
            "format": "dd.mm.yyyy",
        },
        {"name": "Konto", "source": {"kind": "path", "path": "line.account_code"}, "type": "code"},
        {"name": "Side", "source": {"kind": "sign", "debit": "D", "credit": "K"}, "type": "code"},
        {
            "name": "Beløp",
            "source": {"kind": "path", "path": "line.amount"},
            "type": "amount",
            "amount_form": {"sign": "omitted"},
            "width": 20,
            "padding": {"side": "left", "character": "0"},
        },
        {"name": "Krav", "source": {"kind": "path", "path": "claim.claim_number"}, "type": "code"},
        {"name": "Formål", "source": {"kind": "path", "path": "claim.purpose"}},
    ],
}
HOSTILE = st.text(min_size=1, max_size=40).filter(lambda text: text.strip() != "")


@settings(max_examples=150, deadline=None)
@given(purpose=HOSTILE, name=HOSTILE, own=st.booleans())
def test_whatever_text_comes_the_file_keeps_its_rules(purpose: str, name: str, own: bool) -> None:  # noqa: FBT001 - drawn
    """Or the claim is left out: a file of ours is never one that the check refuses."""
    configuration = dynamics_document(layout=OWN) if own else xledger_document()
    hostile = claim(2, purpose=purpose, claimant={"name": name, "number": "7"})
    rendered = render_claims(configuration, claim(1), hostile, one_line_claim(3, total="-0.01"))

    assert findings(rendered.data, configuration) == []


FILE = render_claims(xledger_document(), claim(1), claim(2)).data
LAST = FILE.rindex(b"\r\n") + 2


def replaced(old: bytes, new: bytes, count: int = 1) -> bytes:
    assert old in FILE
    return FILE.replace(old, new, count)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (FILE + b"\r\n", [(0, "", "final_newline")]),
        (b"\xef\xbb\xbf" + FILE, [(0, "", "byte_order_mark")]),
        (FILE.replace(b"\r\n", b"\n"), [(1, "", "line_end"), (0, "", "no_records")]),
        (replaced(b"\r\n", b"\r\n\r\n"), [(2, "", "empty_line")]),
        (replaced("ø".encode(), b"\xf8"), [(1, "", "encoding"), (3, "Amount", "voucher_unbalanced")]),
        (replaced(b";GL;", b";GL;;"), [(1, "", "column_count"), (3, "Amount", "voucher_unbalanced")]),
        (replaced(b";12345;", b";12346;"), [(1, "Entity", "constant")]),
        (replaced(b";x", b";y"), [(1, "EOL", "constant")]),
        (replaced(b";7100;", b";;"), [(1, "Account", "required")]),
        (replaced(b"20261005", b"20261305"), [(1, "VoucherDate", "date"), (3, "VoucherDate", "voucher_of_two_dates")]),
        (replaced(b"20261005", b"20261004"), [(3, "VoucherDate", "voucher_of_two_dates")]),
        (replaced(b"530.00", b"530,00"), [(1, "Amount", "amount")]),
        (replaced(b"530.00", b"530.0"), [(1, "Amount", "amount")]),
        (replaced(b"530.00", b"0.00"), [(1, "Amount", "zero_amount")]),
        (replaced(b"530.00", b"530.01"), [(3, "Amount", "voucher_unbalanced")]),
        (replaced(b";1001;", b";A1;", 3), [(line, "VoucherNo", "integer") for line in (1, 2, 3)]),
        (replaced(b";1002;", b";1003;"), [(4, "VoucherNo", "voucher_of_one_line"), (4, "Amount", "voucher_unbalanced"), (6, "Amount", "voucher_unbalanced")]),
        (replaced(b"2026-0001 Bom", b"2026-0001  Bom\t"), [(2, "Text", "altered")]),
        (replaced(b"2026-0001 Bom", b"2026-0001 " + b"B" * 100), [(2, "Text", "value_too_long")]),
        (replaced(b"2026-0001 Bom", "2026-0001 \u4e2d".encode()), [(2, "Text", "text_not_encodable")]),
        (b"", [(0, "", "no_records")]),
        (FILE[LAST:] + b"\r\n" + FILE[: LAST - 2], [(1, "VoucherNo", "voucher_of_one_line"), (1, "Amount", "voucher_unbalanced"), (5, "VoucherNo", "voucher_not_together"), (6, "Amount", "voucher_unbalanced")]),
    ],
)  # fmt: skip
def test_what_is_broken_is_named_by_line_column_and_rule(
    content: bytes, expected: list[Where]
) -> None:
    assert findings(content, xledger_document()) == expected


def test_a_header_that_is_another_is_named() -> None:
    configuration = dynamics_document(layout=OWN)
    data = render_claims(configuration, claim()).data

    assert findings(data.replace(b"Konto", b"Account"), configuration) == [(1, "", "header")]
    assert findings(data.replace(b"2990,K", b"2990,D"), configuration) == [
        (4, "Beløp", "voucher_unbalanced")
    ]
    assert findings(data.replace(b"2990,K", b'2990,"K'), configuration)[0] == (4, "", "quoting")


def test_json_is_checked_by_the_same_columns() -> None:
    configuration = xledger_document(
        format="xledger_json",
        settings={"entity_code": "1", "voucher_type": "GL", "job_level_db_id": 1},
    )
    data = render_claims(configuration, claim(1), claim(2)).data

    def changed(change: Any) -> list[Where]:
        body = json.loads(data)
        change([entry["node"] for entry in body["variables"]["inputs"]])
        return findings(json.dumps(body).encode(), configuration)

    assert changed(lambda _: None) == []
    assert changed(lambda nodes: nodes[0].pop("account")) == [(1, "account.code", "required")]
    assert changed(lambda nodes: nodes[1].update(extra=1)) == [(2, "extra", "unknown_key")]
    assert changed(lambda nodes: nodes[1].update(amount="1.00")) == [
        (3, "amount", "voucher_unbalanced")
    ]
    assert findings(b"{}\n", configuration) == [(1, "", "envelope"), (0, "", "no_records")]
    whole, half = data.split(b',{"node"', 1)
    tail = b"]}}\n"
    split = whole + tail + data[: data.index(b'{"node"')]
    two = split + b'{"node"' + half
    assert (3, "trRegNumber", "voucher_split") in findings(two, configuration)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b"530.00,0.00", b"0.00,0.00", "one_side"),
        (b"530.00,0.00", b"530.00,1.00", "one_side"),
        (b"530.00,0.00", b"530.00,", "required"),
        (b"530.00,0.00", b"-530.00,0.00", "amount"),
        (b"530.00,0.00", b"0.00,530.00", "voucher_unbalanced"),
        (b"Utlegg,Utlegg", b"Annet,Utlegg", "constant"),
        (b"U7-1,1,", b"U7-1,x,", "integer"),
    ],
)
def test_a_line_is_a_debit_or_a_credit(old: bytes, new: bytes, expected: str) -> None:
    configuration = dynamics_document(format="dynamics_fo_csv", settings={"journal_name": "Utlegg"})
    data = render_claims(configuration, claim(1), claim(2)).data

    assert findings(data, configuration) == []
    assert expected in {rule for _, _, rule in findings(data.replace(old, new, 1), configuration)}


def test_dimensions_in_a_list_are_checked() -> None:
    configuration = dynamics_document(
        format="dynamics_bc_json", settings={"dimension_codes": {"department": "AVDELING"}}
    )
    data = render_claims(configuration, claim(1), claim(2)).data

    assert findings(data, configuration) == []
    assert findings(data.replace(b'"AVDELING"', b'"avdeling"', 1), configuration) == [
        (1, "dimensions[1].code", "constant")
    ]
    assert findings(data.replace(b',"valueCode":"410"', b"", 1), configuration) == [
        (1, "dimensions[1].valueCode", "required")
    ]


def test_the_command_says_line_column_and_rule(tmp_path: Path) -> None:
    broken = tmp_path / "broken.csv"
    broken.write_bytes(replaced(b"530.00", b"530,00"))
    arguments = ["check-file", str(broken), "--format", "xledger_gl02b"]

    told = CliRunner().invoke(app, [*arguments, "--json"])
    assert told.exit_code == 1
    assert json.loads(told.output) == {
        "findings": [
            {
                "line": 1,
                "column": "Amount",
                "rule": "amount",
                "message": "The column Amount is no amount in the form of the layout.",
            }
        ],
        "has_more": False,
    }
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 1
    assert "no amount in the form" in shown.output


def test_the_command_takes_own_layouts_and_settings(tmp_path: Path) -> None:
    layout, target_settings, file = (tmp_path / name for name in ("l.json", "s.json", "f.csv"))
    layout.write_text(json.dumps(OWN))
    target_settings.write_text(json.dumps({"document_number_prefix": "HLF26-"}))
    file.write_bytes(render_claims(dynamics_document(layout=OWN), claim()).data)
    arguments = ["check-file", str(file), "--format", "dynamics_bc_csv", "--layout", str(layout)]

    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert CliRunner().invoke(app, [*arguments, "--settings", str(target_settings)]).exit_code == 0
    target_settings.write_text(json.dumps({"no_such": 1}))
    refused = CliRunner().invoke(app, [*arguments, "--settings", str(target_settings)])
    assert refused.exit_code == 2
    assert "settings.no_such" in refused.output
    layout.write_text("{")
    assert CliRunner().invoke(app, arguments).exit_code == 2
