"""What does looking at an export cost beside the export itself?"""

import time
from collections.abc import Callable
from pathlib import Path

import httpx

from stack.accounts import create_account
from stack.embedded_stack import EmbeddedStack
from tests.bench.comparison import Comparison
from tests.bench.figure import Figure
from tests.bench.scale import Scale
from tests.http.app_user import AppUser
from tests.organisation import OCTOBER, Organisation

SIZES = (2_000, 20_000)
ROUNDS = 5
GOAL = 1.0
PATIENCE_SECONDS = 290


def measure(home: Path, scale: Scale, say: Callable[[str], None]) -> list[Comparison]:
    """Preview and export the same claims, each round those of an organisation of its own."""
    del scale  # A preview looks at no history.
    rows = []
    with (
        EmbeddedStack(home, durable=False) as stack,
        httpx.Client(base_url=stack.functions.url, timeout=PATIENCE_SECONDS) as door,
    ):
        _round(stack, door, SIZES[0])
        for size in SIZES:
            rounds = [_round(stack, door, size) for _ in range(ROUNDS)]
            exported = Figure(tuple(export for export, _ in rounds))
            previewed = Figure(tuple(preview for _, preview in rounds))
            rows.append(
                Comparison(f"preview of {size:,} claims", "their export", exported, previewed, GOAL)
            )
            say(f"measured: preview of {size:,} claims")
    return rows


def _round(stack: EmbeddedStack, door: httpx.Client, size: int) -> tuple[float, float]:
    """Seconds of the export and of the preview before it."""
    organisation = Organisation.create(stack.database)
    organisation.check_configuration()
    organisation.add_claims(size)
    account = create_account(stack)
    organisation.enrol(account.user_id, "coordinator", "Coordinator")
    user = AppUser(account, door)
    body = {
        "organization_id": str(organisation.id),
        "period_from": OCTOBER[0],
        "period_to": OCTOBER[1],
    }
    started = time.perf_counter()
    seen = door.post("/preview_export", json=body, headers=user.login)
    between = time.perf_counter()
    done = user.trigger(organisation)
    ended = time.perf_counter()
    if seen.json()["totals"] != done.json()["run"]["totals"]:
        raise RuntimeError("The preview is not of what was exported.")
    return ended - between, between - started
