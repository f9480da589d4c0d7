"""Many workers at once on a real database: every claim in exactly one completed run, whatever the interleaving."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from stack.database import Database
from tests.organisation import Organisation, begin, complete

PERIODS = [
    ("2026-10-01", "2026-10-31"),
    ("2026-10-10", "2026-11-30"),
    (None, "2026-10-20"),
    ("2026-09-01", "2026-12-31"),
]


@pytest.fixture
def organisation(database: Database) -> Organisation:
    return Organisation.create(database)


def export_like_a_phone(
    organisation: Organisation, user_id: UUID, period: tuple[str | None, str]
) -> list[str]:
    """Trigger until the period is exported or replayed, and return the claims this caller completed."""
    key, done = str(uuid4()), []
    deadline = time.monotonic() + 60
    with organisation.as_user(user_id) as connection:
        while time.monotonic() < deadline:
            answer: dict[str, Any] = begin(connection, organisation, period, key=key)
            if answer["outcome"] in {"started", "resumed"}:
                complete(organisation, answer)
                done += [claim["claim_id"] for claim in answer["claims"]]
            elif (
                answer["outcome"] in {"nothing_to_export", "replayed"}
                and "retry_after" not in answer
            ):
                return done
            time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - jitter, not a secret
    pytest.fail("a trigger did not come to an end within a minute")


def test_fifty_triggers_with_overlapping_periods_export_every_claim_once(
    organisation: Organisation,
) -> None:
    """50 triggers of two coordinators at once: no claim twice, none forgotten, runs and numbers without a gap."""
    claims = organisation.add_claims(300, spacing=timedelta(hours=3))
    coordinators = [organisation.add_member(), organisation.add_member()]

    with ThreadPoolExecutor(50) as pool:
        done = list(
            pool.map(
                lambda n: export_like_a_phone(organisation, coordinators[n % 2], PERIODS[n % 4]),
                range(50),
            )
        )

    completed = [claim_id for part in done for claim_id in part]
    live = organisation.live_memberships()
    assert sorted(completed) == sorted(str(claim_id) for claim_id in live)
    assert all(len(runs) == 1 and runs[0][1] == "completed" for runs in live.values())
    assert set(live) == set(claims)
    numbers = [
        row[0]
        for row in organisation.execute(
            "select voucher_number from public.export_run_claims order by 1"
        )
    ]
    assert numbers == list(range(1, len(numbers) + 1))
    runs = [
        row[0]
        for row in organisation.execute("select run_number from public.export_runs order by 1")
    ]
    assert runs == list(range(1, len(runs) + 1))


def test_one_of_forty_begins_gets_the_lock(organisation: Organisation) -> None:
    """40 begins at the same moment: one starts, everybody else joins or is busy, and one token was given."""
    organisation.add_claims(5)
    user_id = organisation.add_member()
    connections = [organisation.as_user(user_id) for _ in range(40)]

    with ThreadPoolExecutor(40) as pool:
        outcomes = [
            answer["outcome"]
            for answer in pool.map(lambda connection: begin(connection, organisation), connections)
        ]

    assert outcomes.count("started") == 1
    assert set(outcomes) <= {"started", "joined", "busy"}
    assert organisation.execute("select fencing_token from public.export_locks") == [(1,)]


def test_one_of_forty_takes_over_an_expired_run(organisation: Organisation) -> None:
    """When a lease is over, one of 40 callers resumes the run and the others wait."""
    organisation.add_claims(5)
    user_id = organisation.add_member()
    begin(organisation.as_user(user_id), organisation)
    organisation.expire_lease()
    connections = [organisation.as_user(user_id) for _ in range(40)]

    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda connection: begin(connection, organisation), connections))

    assert [answer["outcome"] for answer in answers].count("resumed") == 1
    assert organisation.execute("select fencing_token from public.export_locks") == [(2,)]


def test_same_key_from_ten_phones_makes_one_run(organisation: Organisation) -> None:
    """Ten simultaneous requests with one key: one run."""
    organisation.add_claims(5)
    user_id = organisation.add_member()
    connections = [organisation.as_user(user_id) for _ in range(10)]

    with ThreadPoolExecutor(10) as pool:
        list(
            pool.map(lambda connection: begin(connection, organisation, key="one-key"), connections)
        )

    assert organisation.execute("select count(*) from public.export_runs") == [(1,)]
