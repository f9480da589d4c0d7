"""What the log says, and what it never says."""

import json
import subprocess
import sys

import pytest

from functions.log import traceback_of

PROGRAM = """
from functions.log import configure_log, logger
configure_log()
logger.info("export_completed", run_id="r")
logger.debug("unheard")
logger.error("defect")
"""


def test_lines_are_json_as_cloud_logging_reads_it() -> None:
    """One JSON object per line with severity and message; debug lines are left away."""
    finished = subprocess.run(  # noqa: S603  # our own program, with this Python
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True
    )

    lines = [json.loads(line) for line in finished.stdout.splitlines()]
    assert [(line["severity"], line["message"]) for line in lines] == [
        ("INFO", "export_completed"),
        ("ERROR", "defect"),
    ]
    assert lines[0]["run_id"] == "r"


def fail_with_names_and_amounts() -> None:
    """Raise what must not be logged as it is."""
    accounts: dict[str, str] = {}
    try:
        accounts["Åse Ødegård"]
    except KeyError as cause:
        raise ValueError("1234.50") from cause


def test_a_traceback_has_places_and_no_words() -> None:
    """Of an exception and its cause only types and places are logged, never the message."""
    with pytest.raises(ValueError, match=r"1234\.50") as failed:
        fail_with_names_and_amounts()

    lines = traceback_of(failed.value)

    assert lines[0] == "ValueError"
    assert "KeyError" in lines
    assert not any("Åse" in line or "1234.50" in line for line in lines)
