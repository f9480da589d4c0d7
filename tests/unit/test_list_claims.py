"""From an exported file back to the list of its claims."""

import csv
import io
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.__main__ import app
from exporters.layout import Layout
from tests.unit.claim_factory import claim, dynamics_document, render_claims, xledger_document

FILE = render_claims(xledger_document(), claim(1), claim(2)).data


def listed(path: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["list-claims", str(path), *options])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "xledger-2026-10-06-00007.csv"
    path.write_bytes(FILE)
    return path


def test_each_claim_is_listed_once_with_day_file_and_voucher(file: Path) -> None:
    told = listed(file, "--format", "xledger_gl02b")

    assert told.exit_code == 0, told.output
    assert list(csv.DictReader(io.StringIO(told.stdout), delimiter=";")) == [
        {
            "claim_number": f"2026-000{number}",
            "exported_on": "2026-10-06",
            "file_name": file.name,
            "voucher_number": f"100{number}",
        }
        for number in (1, 2)
    ]


def test_a_file_of_another_name_needs_its_day(file: Path) -> None:
    renamed = file.rename(file.with_name("oktober.csv"))

    refused = listed(renamed, "--format", "xledger_gl02b")
    assert refused.exit_code == 1
    assert "--exported-on" in refused.stderr
    assert refused.stdout == ""
    told = listed(renamed, "--format", "xledger_gl02b", "--exported-on", "2026-10-07")
    assert "2026-0001;2026-10-07;oktober.csv;1001" in told.stdout
    wrong = listed(renamed, "--format", "xledger_gl02b", "--exported-on", "7.10.2026")
    assert wrong.exit_code == 1


def test_a_file_that_cannot_be_read_gives_no_half_list(file: Path) -> None:
    file.write_bytes(FILE.replace(b";GL;1002", b";GL;;1002", 1))

    refused = listed(file, "--format", "xledger_gl02b")

    assert refused.exit_code == 1
    assert "Line 4" in refused.stderr
    assert refused.stdout == ""


def test_settings_say_how_the_file_is_written(tmp_path: Path) -> None:
    settings = {"entity_code": "12345", "voucher_type": "GL", "encoding": "windows-1252"}
    path, document = tmp_path / "xledger-2026-10-06-00007.csv", tmp_path / "settings.json"
    path.write_bytes(render_claims(xledger_document(settings=settings), claim(1)).data)
    document.write_text(json.dumps(settings))

    assert listed(path, "--format", "xledger_gl02b").exit_code == 1
    told = listed(path, "--format", "xledger_gl02b", "--settings", str(document))
    assert told.stdout.count("2026-0001") == 1


def test_a_reference_of_claim_and_line_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "dynamics-2026-10-06-00007.csv"
    path.write_bytes(render_claims(dynamics_document(), claim(1), claim(2)).data)

    told = listed(path, "--format", "dynamics_bc_csv")

    assert [line.split(";")[0] for line in told.stdout.splitlines()] == [
        "claim_number",
        "2026-0001",
        "2026-0002",
    ]


def test_a_layout_without_a_column_of_claim_numbers_is_refused(tmp_path: Path) -> None:
    path, own = tmp_path / "xledger-2026-10-06-00007.csv", tmp_path / "layout.json"
    layout = Layout.shipped("xledger_gl02b").model_dump(mode="json")
    for column in layout["columns"]:
        if column["name"] == "InvoiceNo":
            column |= {"source": {"kind": "empty"}, "required": False}
    own.write_text(json.dumps(layout))
    path.write_bytes(render_claims(xledger_document(layout=layout), claim(1)).data)

    told = listed(path, "--format", "xledger_gl02b", "--layout", str(own))

    assert told.exit_code == 1
    assert "no column for claim.claim_number" in told.stderr
    assert listed(path, "--format", "no_such").exit_code == 1
