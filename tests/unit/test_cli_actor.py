"""Commands that tell the history who did it."""

import pwd
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner

import cli.confirm_exports
import cli.erase_claimants
import cli.hold_exports
from cli.__main__ import app

SOMETHING = str(uuid4())


@pytest.mark.parametrize(
    "command",
    [
        ["confirm", SOMETHING, "--outcome", "booked"],
        ["erase", SOMETHING, SOMETHING, "--reason", "17"],
        ["hold", SOMETHING, "--reason", "Restored."],
        ["release", SOMETHING],
    ],
    ids=lambda command: str(command[0]),
)
def test_a_container_without_a_login_has_a_name(
    monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    """Its user number may have no name, and the command is not to end in a traceback because of it."""

    def nobody(number: int) -> Any:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    def reached(_: Any) -> None:
        raise SystemExit(42)

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    for module in (cli.confirm_exports, cli.erase_claimants, cli.hold_exports):
        monkeypatch.setattr(module, "carry_out", reached)

    assert CliRunner().invoke(app, command).exit_code == 42
