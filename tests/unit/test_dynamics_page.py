"""The page for Dynamics keeps its word: its settings exist, its columns and commands work."""

import json
import re
from pathlib import Path

from typer.testing import CliRunner

from cli.__main__ import app
from exporters.dynamics import DynamicsFinanceSettings, DynamicsJsonSettings, DynamicsSettings
from exporters.layout import Layout
from exporters.registry import configuration_problems, exchange_definition_of
from tests.unit.claim_factory import claim, dynamics_document, posting_rules, render_claims

PAGE = (Path(__file__).parents[2] / "docs" / "dynamics.md").read_text("utf-8")
KINDS = (DynamicsSettings, DynamicsJsonSettings, DynamicsFinanceSettings)
CAPTIONS = {"ledger_account_type": "Finanskonto", "claimant_account_type": "Leverandør"}


def test_every_setting_that_the_page_names_exists() -> None:
    known = set[str]().union(*(kind.model_fields for kind in KINDS))
    named = set(re.findall(r"`settings\.([a-z0-9_]+)`", PAGE))

    assert len(named) > 20
    assert named <= known


def test_every_setting_of_dynamics_alone_has_its_question() -> None:
    common = set.intersection(*(set(kind.model_fields) for kind in KINDS))
    own = set[str]().union(*(kind.model_fields for kind in KINDS)) - common
    questions = PAGE.partition("## Questions for HLF")[2]

    assert {name for name in own if f"`settings.{name}`" not in questions} == set()


def test_the_columns_of_the_page_make_a_file_and_a_definition() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    layout = Layout.shipped("dynamics_bc_csv").model_dump(mode="json")
    columns = {column["name"]: column for column in [*layout["columns"], *json.loads(block)]}
    layout["columns"] = list(columns.values())
    configuration = dynamics_document(
        layout=layout, settings=CAPTIONS, posting_rules=posting_rules(subledger="claimant")
    )

    assert configuration_problems(configuration) == ()
    last = render_claims(configuration, claim()).data.decode().splitlines()[-1]
    assert last.startswith("10023;")
    assert last.endswith(";Leverandør")
    definition = exchange_definition_of("dynamics_bc_csv", layout, CAPTIONS)
    assert 'FieldID="3" Priority="120"' in definition


def test_the_commands_of_the_page_run(tmp_path: Path) -> None:
    layout = Layout.shipped("dynamics_bc_csv").model_dump(mode="json")
    files = {"layout.json": layout, "settings.json": {"exchange_definition_code": "HLF"}}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content), "utf-8")
    commands = [
        line.partition(" > ")[0].split()[3:]
        for line in PAGE.splitlines()
        if "-m cli exchange-definition" in line
    ]

    assert len(commands) == 2
    for command in commands:
        arguments = [str(tmp_path / word) if word in files else word for word in command]
        told = CliRunner().invoke(app, arguments)
        assert told.exit_code == 0, told.output
        assert "<DataExchDef" in told.output
