"""The mobile app: signs a coordinator in and talks to the functions."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Self
from uuid import UUID

import httpx
from supabase import Client, create_client
from supabase.lib.client_options import SyncClientOptions

from demo.failure import DemoFailure
from stack.accounts import PASSWORD
from stack.embedded_stack import EmbeddedStack
from stack.example_organisations import Person

PATIENCE_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """What a function said."""

    status: int
    body: dict[str, Any]

    def expect(self, *statuses: int) -> dict[str, Any]:
        """Return the body, or fail the demo when the function said something else."""
        if self.status not in statuses:
            raise DemoFailure(f"expected HTTP {statuses}, got {self.status}: {self.body}")
        return self.body


class Phone:
    """One signed-in person, until the block ends."""

    def __init__(self, stack: EmbeddedStack, person: Person) -> None:
        self.person = person
        self._transport = httpx.Client(timeout=PATIENCE_SECONDS)
        self._client: Client = create_client(
            stack.url,
            stack.credentials.publishable_key,
            SyncClientOptions(httpx_client=self._transport, auto_refresh_token=False),
        )
        session = self._client.auth.sign_in_with_password(
            {"email": person.email, "password": PASSWORD}
        ).session
        if session is None:
            raise DemoFailure(f"{person.email} could not sign in")
        self._functions = httpx.Client(
            base_url=stack.functions.url,
            headers={"Authorization": f"Bearer {session.access_token}", "Accept-Language": "en"},
            timeout=PATIENCE_SECONDS,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.close()
        self._functions.close()

    def preview(self, organization_id: UUID, period: tuple[date, date]) -> Answer:
        """Look at what an export would make."""
        return _answer(
            self._functions.post("/preview_export", json=_scope(organization_id, period))
        )

    def trigger(self, organization_id: UUID, period: tuple[date, date], key: str) -> Answer:
        """Tap "export"."""
        body, headers = _scope(organization_id, period), {"Idempotency-Key": key}
        return _answer(self._functions.post("/trigger_export", json=body, headers=headers))

    def run(self, run_id: str) -> Answer:
        """Open one run."""
        return _answer(self._functions.get("/export_run", params={"run_id": run_id}))

    def sheet(self, run_id: str) -> Answer:
        """Ask for the accountant's sheet and the manifest of a run."""
        body = {"run_id": run_id, "language": "en"}
        return _answer(self._functions.post("/verification_sheet", json=body))

    def history(self, organization_id: UUID) -> Answer:
        """Open the list of runs."""
        return _answer(
            self._functions.get(
                "/export_history", params={"organization_id": str(organization_id), "limit": 10}
            )
        )

    def claims(self, organization_id: UUID) -> list[dict[str, Any]]:
        """Where each claim stands, read through row-level security with this person's own token."""
        table = self._client.table("claim_export_status")
        found = (
            table.select("*")
            .eq("organization_id", str(organization_id))
            .order("claim_number")
            .execute()
        )
        return [dict(row) for row in found.data if isinstance(row, dict)]


def _scope(organization_id: UUID, period: tuple[date, date]) -> dict[str, str]:
    return {
        "organization_id": str(organization_id),
        "period_from": period[0].isoformat(),
        "period_to": period[1].isoformat(),
    }


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, response.json())


def download(url: str) -> bytes:
    """Follow a signed link, without any login."""
    response = httpx.get(url, timeout=PATIENCE_SECONDS)
    if response.is_error:
        raise DemoFailure(f"the signed link answered {response.status_code}: {response.text[:200]}")
    return response.content
