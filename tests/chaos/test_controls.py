"""The campaign must go red on engines that are broken on purpose, each for its own reason."""

from dataclasses import replace
from pathlib import Path

from tests.chaos.broken_engines import (
    clearing_nothing,
    object_name_per_attempt,
    select_then_mark,
    without_index,
    without_token_check,
)
from tests.chaos.campaign import Campaign
from tests.chaos.conditions import Conditions
from tests.chaos.report import Report

# Nothing goes wrong by itself: each control adds the one adversity that its engine cannot bear.
QUIET = Conditions(
    seed=1,
    kills=0,
    seconds=3,
    triggers=5,
    claims=300,
    servers=2,
    sweeps=1,
    organisations=("xledger",),
    mishaps=0,
    late_packets=0,
    seconds_between_rogues=3600,
    settle_seconds=10,
)
# Requests get lost on their way, and arrive in the end.
PUSHING = replace(QUIET, seconds=6, triggers=3, organisations=("dynamics push",), moods={"late": 1})


def fought(conditions: Conditions, directory: Path) -> Report:
    with Campaign(conditions, directory, lambda _share, _line: None) as campaign:
        report = campaign.fight()
    # Shown when a control does not go red.
    print(*report.details(), report.line(), sep="\n")  # noqa: T201
    return report


def test_without_the_unique_index_a_second_entry_is_seen(scratch_directory: Path) -> None:
    """The index alone stops somebody who writes past the engine; the oracle sees it missing."""
    conditions = replace(QUIET, break_engine=without_index, seconds_between_rogues=0.3)
    report = fought(conditions, scratch_directory / "index")

    assert report.verdict.count("doubled") > 0
    assert report.verdict.count("stuck") == 0


def test_without_the_token_check_a_late_packet_is_seen(scratch_directory: Path) -> None:
    """Workers are killed between pages; what they sent before arrives when others have their runs."""
    conditions = replace(
        QUIET,
        break_engine=without_token_check,
        organisations=("xledger", "dynamics"),
        servers=3,
        # Of these some fall between two pages, and of those some are taken over before the packet comes.
        kills=12,
        blows={"kill_worker": 1},
        aims={"reserve_export_page": 1},
        late_packets=1,
        page_size=4,
        bursts=(120,) * 10,
        claims=1300,
    )
    report = fought(conditions, scratch_directory / "token")

    old = [s for s in report.verdict.findings["mismatched"] if "with the old token" in s]
    assert old
    assert report.verdict.count("stuck") == 0


def test_an_object_name_per_attempt_is_seen(scratch_directory: Path) -> None:
    """Completions are lost: the next attempt stores the same bytes under another name."""
    checkout = object_name_per_attempt(scratch_directory / "renamed")
    conditions = replace(
        QUIET, checkout=checkout, mishaps=0.5, only_steps=frozenset({"complete_export_run"})
    )
    report = fought(conditions, scratch_directory / "name")

    mismatched = report.verdict.findings["mismatched"]
    assert any("its path is" in sentence for sentence in mismatched)
    assert report.verdict.count("doubled") == 0
    assert report.verdict.count("lost") == 0


def test_select_then_mark_without_a_lock_is_seen(scratch_directory: Path) -> None:
    """The naive export enters claims twice, in files that accountants import, as soon as two tap."""
    conditions = replace(QUIET, break_engine=select_then_mark, settle_seconds=3)
    report = fought(conditions, scratch_directory / "naive")

    doubled = report.verdict.findings["doubled"]
    assert any("lies in the files of" in sentence for sentence in doubled)


def test_leaving_what_a_predecessor_sent_is_seen(scratch_directory: Path) -> None:
    """Whoever asks about a run in doubt sends it into a journal of its own; the old one stays."""
    checkout = clearing_nothing(scratch_directory / "untidy")
    report = fought(replace(PUSHING, checkout=checkout), scratch_directory / "left")

    doubled = report.verdict.findings["doubled"]
    assert any("more than once" in sentence for sentence in doubled)
