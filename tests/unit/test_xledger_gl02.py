"""The format GL02: other columns than GL02b, the same vouchers."""

import csv
import io

import pytest

from exporters.registry import configuration_problems
from tests.golden.case import FOLDER
from tests.unit.claim_factory import (
    Document,
    claim,
    one_line_claim,
    render_claims,
    xledger_document,
)


def gl02_document(**settings: object) -> Document:
    """Make a configuration of this format; it names no entity, for it is for one."""
    return {
        **xledger_document(format="xledger_gl02"),
        "settings": {"voucher_type": "GL", **settings},
    }


def records(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline=""), delimiter=";"))


def test_every_record_has_49_fields_and_the_end_marker() -> None:
    lines = (FOLDER / "xledger" / "gl02.csv").read_bytes().split(b"\r\n")

    assert {line.count(b";") for line in lines} == {48}
    assert lines[0].endswith(b";EOL")
    assert all(line.endswith(b";x") for line in lines[1:])


def test_it_holds_the_vouchers_of_gl02b() -> None:
    claims = [claim(1), one_line_claim(2), claim(3, dimensions={"project": "P12"})]
    wide = render_claims(xledger_document(settings={"header": "names"}), *claims).data
    narrow = render_claims(gl02_document(), *claims).data

    shared = [
        ("VoucherNo", "VoucherNo"),
        ("VoucherDate", "VoucherDate"),
        ("Account", "Account"),
        ("Posting1", "Posting 1"),
        ("Posting2", "Posting 2"),
        ("SubledgerNo", "SubledgerNo"),
        ("InvoiceNo", "InvoiceNo"),
        ("Text", "Text"),
        ("Amount", "Amount"),
    ]
    assert [[row[name] for _, name in shared] for row in records(narrow)] == [
        [row[name] for name, _ in shared] for row in records(wide)
    ]


@pytest.mark.parametrize("code", [None, "77"])
def test_the_xgl_code_is_the_tenants(code: str | None) -> None:
    rows = records(render_claims(gl02_document(xgl_code=code), claim()).data)

    assert {row["XGL"] for row in rows} == {code or ""}


def test_an_entity_is_no_setting_of_a_format_without_one() -> None:
    problems = configuration_problems(gl02_document(entity_code="12345"))

    assert [(problem.code, problem.field) for problem in problems] == [
        ("setting_unknown", "settings.entity_code")
    ]
