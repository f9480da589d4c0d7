"""How commands end when they cannot do their work."""

from pathlib import Path

import pytest

from cli import work
from cli.work import ExitCode, carry_out
from functions.errors import Refused, Unavailable
from functions.language import Language
from functions.services import Services

NAMES = ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY")


@pytest.fixture
def set_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that names a Supabase, which nothing here calls."""
    for name in NAMES:
        monkeypatch.setenv(name, "http://127.0.0.1:1" if name.endswith("URL") else "key")
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")


@pytest.mark.usefixtures("set_up")
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("run_not_found"), ExitCode.REFUSED),
        (Refused("lock_busy"), ExitCode.REFUSED),
        (Unavailable("database_unavailable"), ExitCode.UNAVAILABLE),
    ],
)
def test_an_error_ends_in_its_sentence_and_exit_code(
    capsys: pytest.CaptureFixture[str], error: Exception, code: ExitCode
) -> None:
    async def fail(_: Services) -> None:
        raise error

    with pytest.raises(SystemExit) as stopped:
        carry_out(fail)

    assert stopped.value.code == code
    said = capsys.readouterr()
    assert said.out == ""
    assert str(error) in said.err
    assert len(said.err.splitlines()) == 2, "what is wrong, and what to do"
    assert "Idempotency-Key" not in said.err, "no command has one"


@pytest.mark.usefixtures("set_up")
def test_the_result_of_the_work_is_handed_on() -> None:
    async def answer(services: Services) -> str:
        return services.settings.supabase_url

    assert carry_out(answer) == "http://127.0.0.1:1"


def test_what_is_not_set_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And no value is shown: one of them is the secret key."""
    monkeypatch.setattr(work, "_EMBEDDED", tmp_path / "environment")
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_1234")

    async def nothing(_: Services) -> None: ...

    with pytest.raises(SystemExit) as stopped:
        carry_out(nothing)

    assert stopped.value.code == ExitCode.NOT_SET_UP
    said = capsys.readouterr().err
    assert "SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY" in said
    assert "sb_secret_1234" not in said


def test_the_embedded_stack_is_found_without_an_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    found = tmp_path / "environment"
    found.write_text("".join(f"{name}=http://127.0.0.1:2\n" for name in NAMES))
    monkeypatch.setattr(work, "_EMBEDDED", found)

    async def answer(services: Services) -> str:
        return services.settings.supabase_url

    assert carry_out(answer) == "http://127.0.0.1:2"


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("nb_NO.UTF-8", Language.NORWEGIAN),
        ("nn_NO", Language.NORWEGIAN),
        ("en_GB.UTF-8", Language.ENGLISH),
        ("C.UTF-8", Language.ENGLISH),
    ],
)
def test_commands_speak_the_terminals_language(
    monkeypatch: pytest.MonkeyPatch, tag: str, language: Language
) -> None:
    monkeypatch.setenv("LC_ALL", tag)

    assert work.spoken_language() is language
