"""An organisation with a coordinator who taps."""

import time
from dataclasses import dataclass
from uuid import uuid4

import httpx

from stack.accounts import Account, create_account
from stack.embedded_stack import EmbeddedStack
from tests.load.measurement import Measurement
from tests.organisation import OCTOBER, Organisation

PATIENCE_SECONDS = 60
CONNECTION_LOST = 599


@dataclass(frozen=True)
class Party:
    """Who exports."""

    organisation: Organisation
    coordinator: Account

    @classmethod
    def invite(cls, stack: EmbeddedStack, name: str) -> "Party":
        """Create an organisation and its coordinator."""
        organisation = Organisation.create(stack.database, name=name)
        coordinator = create_account(stack)
        organisation.enrol(coordinator.user_id, "coordinator", "Kåre Åsen")
        return cls(organisation, coordinator)

    async def tap(
        self,
        client: httpx.AsyncClient,
        address: str,
        measurement: Measurement,
        key: str | None = None,
    ) -> httpx.Response | None:
        """Trigger the export of October; None when there was no answer at all."""
        body = {"organization_id": str(self.organisation.id), "period_to": OCTOBER[1]}
        login = {"Authorization": f"Bearer {self.coordinator.access_token}"}
        headers = {**login, "Idempotency-Key": key or str(uuid4())}
        started = time.monotonic()
        try:
            answer = await client.post(f"{address}/trigger_export", json=body, headers=headers)
        except httpx.TransportError:
            measurement.add(time.monotonic() - started, CONNECTION_LOST)
            return None
        measurement.add(time.monotonic() - started, answer.status_code)
        return answer


def many_connections() -> httpx.AsyncClient:
    """A client for everybody at once."""
    # The server closes what is idle for five seconds; who uses it in that very moment hears nothing.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200, keepalive_expiry=2)
    return httpx.AsyncClient(timeout=PATIENCE_SECONDS, limits=limits, trust_env=False)
