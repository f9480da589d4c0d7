"""Secrets of one stack: drawn once, kept beside its data."""

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path


def _key(kind: str) -> str:
    return f"sb_{kind}_{secrets.token_urlsafe(16)}"


@dataclass(frozen=True)
class Credentials:
    """Secrets of one stack; new ones when made without arguments."""

    jwt_secret: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    publishable_key: str = field(default_factory=lambda: _key("publishable"))
    secret_key: str = field(default_factory=lambda: _key("secret"))
    dashboard_token: str = field(default_factory=lambda: secrets.token_urlsafe(16))


def load_credentials(file: Path) -> Credentials:
    """Return the secrets kept in `file`, which is written when there is none."""
    if file.exists():
        return Credentials(**json.loads(file.read_text()))
    credentials = Credentials()
    file.touch(mode=0o600)
    file.write_text(json.dumps(asdict(credentials)))
    return credentials
