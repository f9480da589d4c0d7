"""`python -m tests.chaos`: a campaign of this many kills, phones and claims, and its verdict."""

import argparse
import os
import secrets
import shutil
import sys
from dataclasses import replace
from itertools import cycle, islice

from rich.console import Console

from stack.errors import StackError
from stack.functions_server import CHECKOUT
from stack.postgres import reachable
from tests.chaos.campaign import Campaign
from tests.chaos.conditions import PUSHING_ORGANISATIONS, Conditions
from tests.chaos.fault_plan import PUSH_AIMS, PUSH_BLOWS
from tests.chaos.progress import CampaignProgress
from tests.chaos.report import Report

_HOME = CHECKOUT / ".local" / "chaos"
# Batches of more than a page, one for every so many claims.
_BURSTS, _CLAIMS_PER_BURST = (2_200, 5_000, 3_000), 9_000
# With push: claim by claim over a network, so all of it is smaller.
_PUSH_BURSTS, _PUSH_CLAIMS_PER_BURST, _PUSH_PAGE = (260, 400), 1_000, 250
_PUSH_SERVERS, _PUSH_GAP = 3, 1.2


def _conditions() -> Conditions:
    usual = Conditions(seed=secrets.randbelow(1_000_000))
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=usual.kills, help="signals that must land")
    parser.add_argument("--triggers", type=int, default=usual.triggers, help="phones that tap")
    parser.add_argument("--claims", type=int, default=usual.claims, help="claims that come in")
    parser.add_argument("--seed", type=int, default=usual.seed, help="replays a plan of faults")
    parser.add_argument("--push", choices=["yes", "no"], default="no", help="send vouchers, too")
    asked = parser.parse_args()
    is_pushing = asked.push == "yes"
    sizes, claims_per_burst = (
        (_PUSH_BURSTS, _PUSH_CLAIMS_PER_BURST) if is_pushing else (_BURSTS, _CLAIMS_PER_BURST)
    )
    count = max(1, asked.claims // claims_per_burst)
    conditions = Conditions(
        seed=asked.seed,
        kills=asked.kills,
        triggers=asked.triggers,
        claims=asked.claims,
        bursts=tuple(min(size, asked.claims // 2) for size in islice(cycle(sizes), count)),
    )
    if not is_pushing:
        return conditions
    return replace(
        conditions,
        servers=_PUSH_SERVERS,
        sweeps=1,
        organisations=PUSHING_ORGANISATIONS,
        blows=PUSH_BLOWS,
        seconds_between_blows=_PUSH_GAP,
        aims=PUSH_AIMS,
        page_size=_PUSH_PAGE,
    )


def _fight(conditions: Conditions, console: Console) -> Report:
    directory = _HOME / str(os.getpid())
    with (
        CampaignProgress(console) as progress,
        Campaign(conditions, directory, progress.tell) as campaign,
    ):
        report = campaign.fight()
    if report.verdict.is_healthy:
        for path in (directory, reachable(directory)):
            shutil.rmtree(path, ignore_errors=True)
    else:
        console.print(f"Database, files and logs: {directory}", highlight=False)
    return report


def main() -> int:
    """Say the seed, fight, say the verdict; 1 when it is red, 2 when there is none."""
    console = Console()
    conditions = _conditions()
    console.print(
        f"seed={conditions.seed} kills={conditions.kills} triggers={conditions.triggers}"
        f" claims={conditions.claims}",
        highlight=False,
    )
    try:
        report = _fight(conditions, console)
    except StackError as error:
        console.print(f"No verdict: {error}", markup=False, highlight=False)
        return 2
    for line in report.details():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(report.line(), highlight=False, soft_wrap=True)
    return 0 if report.verdict.is_healthy else 1


if __name__ == "__main__":
    sys.exit(main())
