"""A newcomer finds every page and every command from README, in a form that works as it is copied."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from cli.__main__ import app

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text("utf-8")
PAGES = sorted((CHECKOUT / "docs").glob("*.md"))


def test_readme_links_every_page() -> None:
    table = README.partition("## Which page")[2].partition("\n## ")[0]

    assert set(re.findall(r"\]\(docs/([\w-]+\.md)\)", table)) == {page.name for page in PAGES}


def test_readme_lists_every_command() -> None:
    table = README.partition("## At a terminal")[2].partition("\n## ")[0]
    commands = get_command(app)

    assert set(re.findall(r"[|,] `([a-z-]+)", table)) == set(getattr(commands, "commands", ()))


@pytest.mark.parametrize("page", [CHECKOUT / "README.md", *PAGES], ids=lambda page: page.name)
def test_commands_and_links_work_from_where_they_are_read(page: Path) -> None:
    """Nothing is installed by hand: a plain `python` lacks the packages, or is not there."""
    text = page.read_text("utf-8")

    assert re.findall(r".{0,20}(?<!\.venv/bin/)python -m cli.*", text) == []
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
