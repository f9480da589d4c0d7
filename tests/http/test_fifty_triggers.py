"""Fifty triggers at once over HTTP: what counts is the files that come out."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

from tests.http.app_user import AppUser, sha256_of
from tests.organisation import Organisation

PERIODS = [
    ("2026-10-01", "2026-10-31"),
    ("2026-10-10", "2026-11-15"),
    (None, "2026-10-20"),
    ("2026-09-01", "2026-11-30"),
]
CLAIM_NUMBER_FIELD = 23  # Xledger GL02b, InvoiceNo, counted from 0


def tap_until_done(
    user: AppUser, organisation: Organisation, period: tuple[str | None, str]
) -> None:
    """Trigger as a phone does: the same key until the answer is final."""
    key, deadline = str(uuid4()), time.monotonic() + 120
    while time.monotonic() < deadline:
        answer = user.trigger(organisation, key, period)
        assert answer.status_code in {200, 201, 202, 409}, answer.text
        if answer.status_code in {200, 201}:
            return
        time.sleep(0.1)
    raise AssertionError("a trigger did not come to an end")


def test_every_claim_is_in_exactly_one_file(
    new_user: Callable[..., AppUser], organisation: Organisation
) -> None:
    """50 triggers of two coordinators with overlapping periods: each claim number is one voucher of one file."""
    organisation.add_claims(200, spacing=timedelta(hours=4))
    coordinators = [new_user("coordinator", organisation) for _ in range(2)]

    with ThreadPoolExecutor(50) as pool:
        list(
            pool.map(
                lambda n: tap_until_done(coordinators[n % 2], organisation, PERIODS[n % 4]),
                range(50),
            )
        )

    runs = coordinators[0].history(organisation, limit=200).json()["runs"]
    assert {run["status"] for run in runs} == {"completed"}
    exported: Counter[str] = Counter()
    for run in runs:
        content = coordinators[0].download(run["run_id"]).content
        assert sha256_of(content) == run["file"]["sha256"]
        fields = (
            line.split(";")[CLAIM_NUMBER_FIELD] for line in content.decode("utf-8").split("\n")
        )
        exported.update(set(fields))
    wanted = organisation.execute(
        "select claim_number from public.expense_claims where organization_id = %s", organisation.id
    )
    assert exported == Counter({number: 1 for (number,) in wanted})
