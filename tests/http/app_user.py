"""A person with the app: what she can ask the functions, and what she reads in the answer."""

import hashlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx

from stack.accounts import Account
from tests.organisation import OCTOBER, Organisation

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class AppUser:
    """`door` is a client whose base address is the functions'."""

    account: Account
    door: httpx.Client

    def at(self, door: httpx.Client) -> "AppUser":
        """The same person at another door."""
        return AppUser(self.account, door)

    def trigger(
        self,
        organisation: Organisation | UUID,
        key: str | None = None,
        period: tuple[str | None, str] = OCTOBER,
        *,
        language: str = "en",
        target: str | None = None,
    ) -> httpx.Response:
        """Export a period, under a key of its own if none is given."""
        identifier = organisation.id if isinstance(organisation, Organisation) else organisation
        body: dict[str, Any] = {
            "organization_id": str(identifier),
            "period_from": period[0],
            "period_to": period[1],
        }
        if target is not None:
            body["target"] = target
        headers = {"Idempotency-Key": key or str(uuid4()), "Accept-Language": language}
        return self.door.post("/trigger_export", json=body, headers={**self.login, **headers})

    def run(self, run_id: UUID | str, language: str = "en") -> httpx.Response:
        """Look at one run."""
        headers = {**self.login, "Accept-Language": language}
        return self.door.get("/export_run", params={"run_id": str(run_id)}, headers=headers)

    def sheet(self, run_id: UUID | str, **options: str) -> httpx.Response:
        """Ask for the verification sheet of a run."""
        body = {"run_id": str(run_id), **options}
        return self.door.post("/verification_sheet", json=body, headers=self.login)

    def history(self, organisation: Organisation, **page: object) -> httpx.Response:
        """Look at the runs of an organisation."""
        parameters = {"organization_id": str(organisation.id), **page}
        return self.door.get(
            "/export_history",
            params={name: str(value) for name, value in parameters.items()},
            headers=self.login,
        )

    def download(self, run_id: UUID | str) -> httpx.Response:
        """Follow the signed link of a run."""
        url = self.run(run_id).json()["download"]["url"]
        return httpx.get(url, timeout=PATIENCE_SECONDS)

    @property
    def login(self) -> dict[str, str]:
        """Headers that say who she is."""
        return {"Authorization": f"Bearer {self.account.access_token}"}


def sha256_of(content: bytes) -> str:
    """As the runs write it."""
    return hashlib.sha256(content).hexdigest()
