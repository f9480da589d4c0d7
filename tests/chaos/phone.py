"""A coordinator's phone: she taps export, loses her patience, her key or her connection, and taps again."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from http import HTTPStatus
from random import Random
from uuid import UUID, uuid4

import httpx

from stack.accounts import Account
from tests.chaos.world import Acknowledgement
from tests.organisation import Organisation

Period = tuple[str | None, str]

USUAL_PATIENCE = 20.0
_SHORTEST_PATIENCE, _LONGEST_IMPATIENCE = 0.08, 0.8
_CHANCE_OF_IMPATIENCE = 0.15
_CHANCE_OF_KILLED_APP = 0.2
_LONGEST_WAIT = 1.0
_FINAL = frozenset({HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.UNPROCESSABLE_ENTITY})
_DAYS_BACK = 60


@dataclass(frozen=True)
class Person:
    """Somebody who may export for an organisation."""

    organisation: Organisation
    account: Account


def until_today() -> Period:
    """Everything that was ever approved."""
    return None, str(datetime.now(UTC).date() + timedelta(days=1))


def any_period(draw: Random) -> Period:
    """Mostly everything until today; sometimes a month or a few days of the last two months."""
    if draw.random() < 0.6:
        return until_today()
    today = date.fromisoformat(until_today()[1])
    first = today - timedelta(days=draw.randrange(_DAYS_BACK))
    return str(first), str(min(today, first + timedelta(days=draw.choice((0, 7, 30)))))


class Phone:
    """One phone; `living` gives the addresses of processes that serve at this moment.

    `said` counts answers by status and code. `pending` describes the tap that has no answer yet.
    """

    def __init__(
        self, draw: Random, people: Sequence[Person], living: Callable[[], Sequence[str]]
    ) -> None:
        self._draw = draw
        self._people = people
        self._living = living
        self._client = httpx.Client(timeout=USUAL_PATIENCE)
        self.said: Counter[str] = Counter()
        self.acknowledgements: list[Acknowledgement] = []
        self.pending: str | None = None

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def use(self, stop: threading.Event, give_up: threading.Event) -> None:
        """Tap again and again until told to stop; the last tap still wants its answer."""
        while not stop.is_set():
            self.tap(self._draw.choice(self._people), any_period(self._draw), give_up)
            stop.wait(self._draw.random() * 0.1)

    def tap(self, person: Person, period: Period, give_up: threading.Event) -> str | None:
        """Ask under one key, or a new one when the app was killed, until there is an answer.

        Returns:
            The answer's outcome or code; None when it was told to give up.
        """
        key = uuid4()
        self.pending = f"{person.organisation.name} {period} {key}"
        while not give_up.is_set():
            response = self._ask(person, period, key)
            if response is not None and response.status_code in _FINAL:
                self.pending = None
                return self._read(response)
            if self._is_killed(response):
                key = uuid4()
            give_up.wait(_pause(response) * self._draw.uniform(0.5, 1.0))
        return None

    def _ask(self, person: Person, period: Period, key: UUID) -> httpx.Response | None:
        doors = self._living()
        if not doors:
            return None
        is_impatient = self._draw.random() < _CHANCE_OF_IMPATIENCE
        patience = self._draw.uniform(_SHORTEST_PATIENCE, _LONGEST_IMPATIENCE)
        body = {
            "organization_id": str(person.organisation.id),
            "period_from": period[0],
            "period_to": period[1],
        }
        login = {"Authorization": f"Bearer {person.account.access_token}"}
        try:
            response = self._client.post(
                f"{self._draw.choice(doors)}/trigger_export",
                json=body,
                headers={**login, "Idempotency-Key": str(key)},
                timeout=patience if is_impatient else USUAL_PATIENCE,
            )
        except httpx.TransportError as fault:
            self.said[type(fault).__name__] += 1
            return None
        told = _json(response)
        self.said[f"{response.status_code} {told.get('outcome') or told.get('code')}"] += 1
        return response

    def _is_killed(self, response: httpx.Response | None) -> bool:
        """Whether the app, in her pocket while nothing happened, was killed with its key."""
        is_waiting = (
            response is not None and response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
        )
        return not is_waiting and self._draw.random() < _CHANCE_OF_KILLED_APP

    def _read(self, response: httpx.Response) -> str:
        told = _json(response)
        run = told.get("run")
        if isinstance(run, dict) and run["status"] == "completed":
            self.acknowledgements.append(
                Acknowledgement(UUID(run["run_id"]), run["file"]["sha256"])
            )
        return str(told.get("outcome") or told.get("code"))


def _json(response: httpx.Response) -> dict[str, object]:
    try:
        told = response.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _pause(response: httpx.Response | None) -> float:
    """Less than she is asked to wait: phones hurry, and a campaign is short."""
    asked = response.headers.get("retry-after", "1") if response is not None else "1"
    return min(float(asked), _LONGEST_WAIT)
