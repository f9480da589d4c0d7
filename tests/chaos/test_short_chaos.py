"""A short campaign with every kind of fault, each at least once: nothing doubled, lost, stuck or mismatched."""

from dataclasses import replace
from pathlib import Path

from tests.chaos.campaign import Campaign
from tests.chaos.conditions import Conditions
from tests.chaos.fault_plan import BLOWS, PUSH_AIMS, plan_strikes
from tests.chaos.weather import Weather

SHORT = Conditions(
    seed=20261121,
    kills=len(BLOWS),
    blows=dict.fromkeys(BLOWS, 1),
    triggers=6,
    claims=400,
    servers=2,
    sweeps=1,
    organisations=("xledger", "dynamics", "xledger strict"),
    mishaps=0.1,
    # Small pages, so that small runs have several.
    page_size=10,
    bursts=(60,),
)

PUSHING = replace(
    SHORT,
    kills=6,
    blows={"kill_worker": 3, "stop_worker": 1, "kill_server": 1, "kill_api": 1},
    aims=PUSH_AIMS,
    triggers=4,
    claims=240,
    organisations=("dynamics push", "xledger", "dynamics push strict"),
    # The book of deliveries takes a page at a time, and a batch of them is 200.
    page_size=250,
)


def test_a_short_campaign_ends_healthy(scratch_directory: Path) -> None:
    """Everything is killed once while claims come in, change and are exported."""
    directory = scratch_directory / "chaos"
    with Campaign(SHORT, directory, lambda _share, _line: None) as campaign:
        report = campaign.fight()
        second_judge = campaign.reconciled()
    print(*report.details(), report.line(), sep="\n")  # noqa: T201 - shown when it is red

    assert report.verdict.is_healthy
    assert second_judge == []
    assert report.landed == dict.fromkeys(BLOWS, 1)
    assert report.claims >= SHORT.claims
    assert report.runs > 0


def test_a_short_campaign_with_push_ends_healthy(scratch_directory: Path) -> None:
    """Vouchers go to systems that lose, delay and half do what they are sent: each is there once."""
    directory = scratch_directory / "push"
    with Campaign(PUSHING, directory, lambda _share, _line: None) as campaign:
        report = campaign.fight()
        second_judge = campaign.reconciled()
    print(*report.details(), report.line(), sep="\n")  # noqa: T201 - shown when it is red

    assert report.verdict.is_healthy
    assert second_judge == []
    assert report.landed.total() == PUSHING.kills
    assert report.told["vouchers there"] != 0


def test_a_seed_replays_its_faults() -> None:
    """The same strikes and the same mishaps, and others with another seed."""
    plans = [plan_strikes(seed, 50) for seed in (1, 1, 2)]
    weathers = [Weather(seed, mishaps=0.5) for seed in (1, 1, 2)]
    mishaps = [[weather.over("upload", number) for number in range(50)] for weather in weathers]

    assert plans[0] == plans[1] != plans[2]
    assert mishaps[0] == mishaps[1] != mishaps[2]


def test_every_kind_of_blow_is_dealt() -> None:
    """Also in a plan that is only as long as there are kinds."""
    strikes = plan_strikes(1, len(BLOWS), SHORT.blows)

    assert {strike.blow for strike in strikes} == set(BLOWS)
