"""The page for accountants keeps its word: its layout makes its file, and its settings exist."""

import json
import re
from pathlib import Path

from typer.testing import CliRunner

from cli.__main__ import app
from exporters.registry import configuration_problems
from exporters.xledger import XledgerGl02Settings, XledgerJsonSettings, XledgerSettings
from tests.unit.claim_factory import claim, render_claims, xledger_document

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "fit-the-file.md").read_text("utf-8")


def block(language: str, holding: str = "") -> str:
    """Give the page's one code block in a language, or the one of several that holds a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (found,) = (text for text in blocks if holding in text)
    return str(found)


def test_the_layout_of_the_page_makes_the_file_of_the_page(tmp_path: Path) -> None:
    layout = json.loads(block("json"))
    configuration = xledger_document(layout=layout)
    assert configuration_problems(configuration) == ()

    rendered = render_claims(configuration, claim())

    assert rendered.left_out == []
    assert rendered.data.decode("cp1252").replace("\r\n", "\n") == block("text")

    sample, own = tmp_path / "sample.csv", tmp_path / "nordlys.json"
    sample.write_bytes(rendered.data)
    own.write_text(block("json"))
    command = block("sh", "check-file").split()
    assert command[:3] == [".venv/bin/python", "-m", "cli"]
    names = {"sample.csv": str(sample), "nordlys.json": str(own)}
    told = CliRunner().invoke(app, [names.get(word, word) for word in command[3:]])
    assert told.exit_code == 0, told.output
    assert "every rule is kept" in " ".join(told.output.split())


def test_every_setting_that_the_page_names_exists() -> None:
    known = set[str]().union(
        *(kind.model_fields for kind in (XledgerSettings, XledgerGl02Settings, XledgerJsonSettings))
    )
    named = set(re.findall(r"`settings\.([a-z0-9_]+)`", PAGE))

    assert len(named) > 15
    assert named <= known


def test_the_published_schema_is_the_one_that_layouts_are_read_by() -> None:
    """`python -m cli layout-schema > docs/layout.schema.json` after a change of the language."""
    told = CliRunner().invoke(app, ["layout-schema"])

    assert told.exit_code == 0
    assert told.output == (DOCS / "layout.schema.json").read_text("utf-8")
