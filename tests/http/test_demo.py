"""The demo keeps its promises: it is the main job, so it runs with the tests."""

import csv
import io
from pathlib import Path

from rich.console import Console

from demo.__main__ import run


def test_the_demo_exports_for_both_organisations(scratch_directory: Path) -> None:
    """Every promise that the demo checks holds, and the downloaded files are where it says, in the target's form."""
    said = io.StringIO()
    output = scratch_directory / "demo-output"

    run(Console(file=said, width=200), scratch_directory / "demo", output)

    [xledger] = (output / "blindeforbundet").glob("*.csv")
    [dynamics] = (output / "hlf").glob("*.csv")
    for folder in (xledger.parent, dynamics.parent):
        assert {path.suffix for path in folder.iterdir()} == {".csv", ".xlsx", ".json"}
    assert {len(line.split(";")) for line in xledger.read_text("utf-8").split("\n")} == {61}
    rows = list(csv.DictReader(dynamics.read_text("utf-8").splitlines(), delimiter=";"))
    assert {row["ExternalDocumentNo"].rsplit("-", 1)[0] for row in rows} == {
        "H-501",
        "H-502",
        "H-503",
        "H-504",
    }
    for word in ("nothing_to_export", "no_account_for_expense_type", "Kåre Åsen", "SHA-256"):
        assert word in said.getvalue()
