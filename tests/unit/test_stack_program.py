import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stack.errors import ProgramEnded
from stack.program import Program

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_for_end(process_id: int) -> bool:
    deadline = time.monotonic() + 15
    while _is_alive(process_id) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not _is_alive(process_id)


def test_a_program_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """Stopping returns when the program is gone."""
    program = Program("Sleep", SLEEP, log=tmp_path / "log", directory=tmp_path)
    program.start()
    assert _is_alive(program.pid)
    program.stop()
    assert not _is_alive(program.pid)


def test_a_program_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Killing the starter without warning ends the program too."""
    script = (
        "import sys, time; from pathlib import Path; from stack.program import Program\n"
        f"program = Program('Sleep', {SLEEP!r}, log=Path('log'), directory=Path('.'))\n"
        "program.start(); print(program.pid, flush=True); time.sleep(60)"
    )
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}  # noqa: PTH109 - as pytest was started
    with subprocess.Popen(  # noqa: S603 - our own script, with this Python
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        cwd=tmp_path,
        env=environment,
    ) as starter:
        assert starter.stdout is not None
        process_id = int(starter.stdout.readline())
        starter.send_signal(signal.SIGKILL)
    assert _wait_for_end(process_id)


def test_a_program_that_ends_by_itself_is_reported_with_its_last_words(tmp_path: Path) -> None:
    """Waiting for a program that fails names it and shows what it wrote."""
    command = [sys.executable, "-c", "raise SystemExit('no room')"]
    program = Program("Fails", command, log=tmp_path / "log", directory=tmp_path)
    program.start()
    with pytest.raises(ProgramEnded, match=r"Fails ended unexpectedly(.|\n)*no room"):
        program.wait_until_ready(lambda: False)
    program.stop()


def test_a_program_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    """A missing program file is told as such, not as a time-out."""
    program = Program("Absent", ["/nonexistent"], log=tmp_path / "log", directory=tmp_path)
    with pytest.raises(ProgramEnded, match=r"Absent(.|\n)*FileNotFoundError"):
        program.start()
    program.stop()
