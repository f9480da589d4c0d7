"""The data API as an app uses it: one kept-alive connection, a member's own token."""

import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import httpx

from stack.accounts import create_account
from stack.embedded_stack import EmbeddedStack
from tests.organisation import Organisation

Call = Callable[[], float]


class DataApi:
    """Calls functions as a coordinator of the organisation, and times them; a context manager."""

    def __init__(self, stack: EmbeddedStack, organisation: Organisation) -> None:
        account = create_account(stack)
        organisation.enrol(account.user_id, "coordinator", "Coordinator")
        self._client = httpx.Client(
            base_url=f"{stack.url}/rest/v1/rpc/",
            headers={
                "apikey": stack.credentials.publishable_key,
                "Authorization": f"Bearer {account.access_token}",
            },
            timeout=30,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def call(self, function: str, **arguments: Any) -> tuple[dict[str, Any], float]:
        """The answer and how many seconds it took."""
        started = time.perf_counter()
        response = self._client.post(function, json=arguments)
        seconds = time.perf_counter() - started
        response.raise_for_status()
        return response.json(), seconds


def alternate(rounds: int, calls: int, sides: Sequence[Call]) -> list[list[list[float]]]:
    """Call the sides in turns, so that whatever else the machine does disturbs them alike.

    Answers for each side the seconds of each round. The first calls are not counted.
    """
    for side in sides:
        for _ in range(calls // 10):
            side()
    taken: list[list[list[float]]] = [[] for _ in sides]
    for _ in range(rounds):
        times: list[list[float]] = [[] for _ in sides]
        for _ in range(calls):
            for seconds, side in zip(times, sides, strict=True):
                seconds.append(side())
        for all_rounds, this_round in zip(taken, times, strict=True):
            all_rounds.append(this_round)
    return taken
