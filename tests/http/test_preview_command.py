"""`python -m cli preview`: the tables, the JSON, and what is wrong with a file that is tried."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters.layout import Layout
from stack.embedded_stack import EmbeddedStack
from stack.functions_server import CHECKOUT
from tests.http.app_user import AppUser
from tests.organisation import Organisation

Preview = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def preview(stack: EmbeddedStack, organisation: Organisation) -> Preview:
    """Call the command as an accountant does."""

    def run(*more: str, to: str = "2026-10-31") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli", "preview", str(organisation.id), "--to", to]
        return subprocess.run(  # noqa: S603 - our own command
            [*command, "--from", "2026-10-01", *more],
            cwd=CHECKOUT,
            env={**os.environ, **stack.functions_environment, "LC_ALL": "en_US.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_it_shows_lines_causes_accounts_and_the_difference(
    preview: Preview, coordinator: AppUser, organisation: Organisation
) -> None:
    """What the app is answered, for a person to read; and nothing is exported."""
    organisation.add_claim([("mileage", "100.00")])
    coordinator.trigger(organisation)
    organisation.add_claim([("toll", "450.00")])
    organisation.add_claim([("helicopter", "1.00")])

    shown = preview()

    assert (shown.returncode, shown.stderr) == (0, "")
    told = " ".join(shown.stdout.split())
    for part in (
        "1 claims would be exported, and 1 left out.",
        "There is no account for the expense type.",
        "lines[].expense_type (helicopter)",
        "│ NOK │ 450.00 │ 100.00 │ 100.00 │ unusual │",
        "New account: 7140",
        "│ 7140 │ │ NOK │ 450.00 │ 0.00 │ 1 │",
    ):
        assert part in told, part
    answer = json.loads(preview("--json").stdout)
    assert answer["would_be"]["run_number"] == 2
    assert all(line in shown.stdout for line in answer["first_lines"])
    assert answer["claim_count"] == 1, "nothing was exported by looking"


def test_files_are_tried_and_compared_with_earlier_runs(
    preview: Preview, coordinator: AppUser, organisation: Organisation, tmp_path: Path
) -> None:
    """A layout, rules and settings from files, beside what was exported before."""
    organisation.add_claim([("mileage", "100.00")])
    coordinator.trigger(organisation)
    document = Layout.shipped("xledger_gl02b").model_dump(mode="json")
    document["dialect"]["delimiter"] = "|"
    rules = [
        {"side": "expense", "expense_type": "mileage", "account_code": "7188"},
        {"side": "payable", "account_code": "2990"},
    ]
    arguments = []
    for option, content in (
        ("layout", document),
        ("rules", rules),
        ("settings", {"entity_code": "20020", "voucher_type": "GL"}),
    ):
        path = tmp_path / f"{option}.json"
        path.write_text(json.dumps(content), "utf-8")
        arguments += [f"--{option}", str(path)]

    shown = preview(*arguments, "--compare", "1")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert "There is nothing to export in this period." in shown.stdout
    assert "Of all claims: 1 with other lines (2 lines), 0 would be left out." in shown.stdout
    [old, *_] = [line for line in shown.stdout.splitlines() if line.startswith("- ")]
    [new, *_] = [line for line in shown.stdout.splitlines() if line.startswith("+ ")]
    assert ";7100;" in old
    assert "|7188|" in new
    assert "|20020|" in new or new.startswith("+ 20020|")


def test_the_command_of_the_page_previews_the_layout_of_the_page(
    stack: EmbeddedStack, coordinator: AppUser, organisation: Organisation, tmp_path: Path
) -> None:
    """As an accountant copies it, with her organisation's id and the file that she wrote."""
    page = (CHECKOUT / "docs" / "fit-the-file.md").read_text("utf-8")
    [layout] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    [command] = re.findall(r"\.venv/bin/python (-m cli preview .*)", page)
    (tmp_path / "nordlys.json").write_text(layout, "utf-8")
    organisation.add_claim()
    coordinator.trigger(organisation)
    organisation.add_claim()

    shown = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, *command.replace("ORGANIZATION_ID", str(organisation.id)).split()],
        cwd=tmp_path,
        env={**os.environ, **stack.functions_environment, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (shown.returncode, shown.stderr) == (0, "")
    assert '"Bilagsdato";"Bilagsnr";"Art"' in shown.stdout
    assert "1 with other lines (3 lines)" in shown.stdout


def test_what_is_wrong_with_a_candidate_is_named(
    preview: Preview, organisation: Organisation, tmp_path: Path
) -> None:
    """Each field with its reason and exit code 1; a file that is no JSON is a wrong command line."""
    organisation.add_claim()
    path = tmp_path / "own.json"
    path.write_text('{"name": "x", "version": 1, "dialect": {}, "columns": []}', "utf-8")
    other = tmp_path / "other.json"
    other.write_text("[", "utf-8")

    refused = preview("--layout", str(path))
    unreadable = preview("--layout", str(other))
    no_list = preview("--rules", str(path))

    assert refused.returncode == 1
    assert "configuration_invalid" in refused.stderr
    assert "layout.columns" in refused.stderr
    assert (unreadable.returncode, no_list.returncode) == (2, 2)


def test_no_file_is_exit_code_1(preview: Preview, organisation: Organisation) -> None:
    """A script sees that nothing would come of it."""
    organisation.add_claim([("helicopter", "1.00")])

    assert preview().returncode == 1
