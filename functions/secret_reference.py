"""Where a connection's secret lies: settings name the place, never the secret.

A place belongs to one organisation by its name, so that a row that somebody edits can neither read
other variables and files of the process nor another organisation's secret:

    env:DELIVERY_SECRET_<organisation's id, 32 hex digits in capitals>[_NAME]
    file:<organisation's id>/<name>      below the directory of mounted secrets
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import UUID

from pydantic import SecretStr

from functions.errors import DeliveryRefused

MOUNTED_SECRETS: Final = Path("/run/secrets/deliveries")
_PREFIX: Final = "DELIVERY_SECRET_"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_LONGEST_SECRET: Final = 10_000


@dataclass(frozen=True)
class SecretStore:
    """Reads a secret at the moment of use and keeps none."""

    directory: Path = MOUNTED_SECRETS
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)

    def secret(self, reference: str, organization_id: UUID, setting: str) -> SecretStr:
        """The secret that `setting` refers to.

        Raises:
            DeliveryRefused: naming the setting, when the place is not the organisation's or is
                empty. Which of the two is not told: an outsider could ask what exists.
        """
        kind, _, place = reference.partition(":")
        if kind == "env":
            value = self._of_environment(place, organization_id)
        elif kind == "file":
            value = self._of_file(place, organization_id)
        else:
            value = None
        if not value:
            raise DeliveryRefused("delivery_secret_missing", field=setting)
        return SecretStr(value)

    def _of_environment(self, name: str, organization_id: UUID) -> str | None:
        own = re.escape(environment_name(organization_id))
        return self.environment.get(name) if re.fullmatch(rf"{own}(_[A-Z0-9_]+)?", name) else None

    def _of_file(self, place: str, organization_id: UUID) -> str | None:
        owner, _, name = place.partition("/")
        if owner != str(organization_id) or not _NAME.fullmatch(name):
            return None
        path = self.directory / owner / name
        try:
            # Secret managers mount links, but only to places beside them.
            if not path.resolve().is_relative_to(self.directory.resolve()):
                return None
            with path.open(encoding="utf-8") as file:
                return file.read(_LONGEST_SECRET).rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            return None


def environment_name(organization_id: UUID) -> str:
    """The name of the variable that holds the organisation's secret."""
    return f"{_PREFIX}{organization_id.hex.upper()}"
