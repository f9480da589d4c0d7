"""Runs one program for as long as the process that ordered it lives.

Started with one JSON argument: `command`, `log` (file), `stop_signal` (name), `directory` and
`account` ([uid, gid] or null). Prints the program's process id, then waits. When its standard input
ends, because the parent closed it or died in whatever way, the program is told to stop; what is
still there ten seconds later is killed. Nothing but the standard library, to start in no time.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

GRACE_SECONDS = 10


def _stop_when_input_ends(program: "subprocess.Popen[bytes]", stop_signal: signal.Signals) -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    program.send_signal(stop_signal)
    try:
        program.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(program.pid, signal.SIGKILL)


def main(order_text: str) -> int:
    """Run the ordered program to its end; its exit code is ours."""
    order = json.loads(order_text)
    uid, gid = order["account"] or (None, None)
    with Path(order["log"]).open("ab") as log:
        program = subprocess.Popen(
            order["command"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=order["directory"],
            start_new_session=True,
            user=uid,
            group=gid,
            extra_groups=None if uid is None else [],
        )
    print(program.pid, flush=True)
    threading.Thread(
        target=_stop_when_input_ends,
        args=(program, signal.Signals[order["stop_signal"]]),
        daemon=True,
    ).start()
    exit_code = program.wait()
    # Workers that the program left behind.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(program.pid, signal.SIGKILL)
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
