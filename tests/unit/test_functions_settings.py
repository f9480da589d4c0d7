"""What a process must know before it starts."""

import pytest
from pydantic import ValidationError

from functions.settings import load_settings

COMPLETE = {
    "SUPABASE_URL": "https://abc.supabase.co/",
    "SUPABASE_PUBLISHABLE_KEY": "sb_publishable_x",
    "SUPABASE_SECRET_KEY": "sb_secret_do_not_tell",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A complete environment."""
    for name, value in COMPLETE.items():
        monkeypatch.setenv(name, value)


def test_the_address_has_no_slash_at_its_end() -> None:
    """Paths are appended to the address, however it was written."""
    assert load_settings().supabase_url == "https://abc.supabase.co"


@pytest.mark.parametrize("name", COMPLETE)
def test_a_missing_variable_stops_the_process_and_tells_no_secret(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The error names what is missing and none of the values that were read."""
    monkeypatch.delenv(name)

    with pytest.raises(ValidationError) as refused:
        load_settings()

    assert name.lower() in str(refused.value)
    assert "do_not_tell" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SUPABASE_URL", "abc.supabase.co"),
        ("SUPABASE_SECRET_KEY", ""),
        ("EXPORT_BODY_LIMIT", "0"),
        ("EXPORT_RENEWAL_SECONDS", "60"),
        ("EXPORT_ATTEMPT_SECONDS", "10"),
    ],
)
def test_a_value_that_cannot_work_stops_the_process(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Malformed and self-contradicting settings are refused at the start."""
    monkeypatch.setenv(name, value)

    with pytest.raises(ValidationError):
        load_settings()


def test_the_secret_does_not_show() -> None:
    """Printing the settings prints no secret key."""
    assert "do_not_tell" not in repr(load_settings())
