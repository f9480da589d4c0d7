"""A row of settings names where a secret lies; it can name no place that is not its own."""

from pathlib import Path
from uuid import UUID

import pytest

from functions.errors import DeliveryRefused
from functions.secret_reference import SecretStore, environment_name

OWN = UUID("6f2f2a52-7d55-4ac1-9f6b-0f1f7a0b6c11")
OTHER = UUID("11111111-2222-4333-8444-555555555555")


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    """Two organisations' secrets, and things that are nobody's business."""
    environment = {
        environment_name(OWN): "own",
        f"{environment_name(OWN)}_BC2": "own second",
        f"{environment_name(OWN)}EXTRA": "not ours to name",
        environment_name(OTHER): "other",
        f"DELIVERY_SECRET_{OTHER.hex.upper()}_EMPTY": "",
        "SUPABASE_SECRET_KEY": "service",
    }
    for owner in (OWN, OTHER):
        (tmp_path / "mounted" / str(owner)).mkdir(parents=True)
        (tmp_path / "mounted" / str(owner) / "bc").write_text(f"file of {owner}\n")
    (tmp_path / "mounted" / str(OWN) / "out").symlink_to(tmp_path / "passwd")
    (tmp_path / "mounted" / str(OWN) / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "passwd").write_text("root")
    return SecretStore(tmp_path / "mounted", environment)


@pytest.mark.parametrize(
    ("reference", "secret"),
    [
        (f"env:{environment_name(OWN)}", "own"),
        (f"env:{environment_name(OWN)}_BC2", "own second"),
        (f"file:{OWN}/bc", f"file of {OWN}"),
    ],
)
def test_an_organisation_s_own_secrets_are_read(
    store: SecretStore, reference: str, secret: str
) -> None:
    """From a variable or a mounted file, without the line end that editors add."""
    assert store.secret(reference, OWN, "client_secret_ref").get_secret_value() == secret


@pytest.mark.parametrize(
    "reference",
    [
        "",
        "own",
        "env:",
        "env:SUPABASE_SECRET_KEY",
        "env:DELIVERY_SECRET_",
        f"env:{environment_name(OWN)}EXTRA",
        f"env:{environment_name(OWN)}_MISSING",
        f"env:{environment_name(OWN)}\n",
        f"env:{environment_name(OTHER)}",
        f"env:DELIVERY_SECRET_{OTHER.hex.upper()}_EMPTY",
        f"file:{OTHER}/bc",
        f"file:{OWN}/../{OTHER}/bc",
        f"file:{OWN}/..",
        f"file:{OWN}/.",
        f"file:{OWN}/out",
        f"file:{OWN}/binary",
        f"file:{OWN}/missing",
        f"file:{OWN}/sub/bc",
        f"file:{OWN}/",
        f"file:{OWN}",
        "file:/etc/passwd",
        "file:../passwd",
        f"FILE:{OWN}/bc",
    ],
)
def test_every_other_place_is_a_missing_secret(store: SecretStore, reference: str) -> None:
    """Alike, so that nobody learns what there is; the setting is named and the place is not."""
    with pytest.raises(DeliveryRefused, match="delivery_secret_missing") as refused:
        store.secret(reference, OWN, "client_secret_ref")

    assert refused.value.field == "client_secret_ref"
    assert vars(refused.value)["cause"] is None


def test_what_was_read_is_hidden(store: SecretStore) -> None:
    """Printing the secret or the store shows nothing."""
    secret = store.secret(f"env:{environment_name(OWN)}", OWN, "client_secret_ref")

    assert "own" not in f"{secret} {secret!r} {store}"


def test_the_process_s_environment_is_read_at_the_moment_of_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A secret that is renewed is seen by the next attempt."""
    store = SecretStore()
    monkeypatch.setenv(environment_name(OWN), "first")
    monkeypatch.setenv(environment_name(OWN), "second")

    reference = f"env:{environment_name(OWN)}"
    assert store.secret(reference, OWN, "client_secret_ref").get_secret_value() == "second"
