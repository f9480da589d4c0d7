"""`python -m stack up|down`: the embedded stack in the background, until it is stopped."""

import argparse
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stack.accounts import PASSWORD
from stack.embedded_stack import EmbeddedStack
from stack.errors import StackError
from stack.example_organisations import EXAMPLES, add_example_organisations
from stack.functions_server import CHECKOUT

HOME = CHECKOUT / ".local" / "stack"
LOG = HOME / "stack.log"
LOCK = HOME / "lock"
ADDRESSES = HOME / "addresses"
# For the command line: what functions are told when they are deployed.
ENVIRONMENT = HOME / "environment"
START_SECONDS = 120
# Deployed, once a minute is enough; here somebody may be watching.
SWEEP_SECONDS = 15


def _is_running() -> bool:
    """Whether a supervisor of this checkout holds the lock, which ends with its process."""
    if not LOCK.exists():
        return False
    with LOCK.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@contextmanager
def _only_one() -> Iterator[None]:
    HOME.mkdir(parents=True, exist_ok=True)
    with LOCK.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _describe(stack: EmbeddedStack) -> str:
    organization_ids = add_example_organisations(stack)
    logins = [
        f"  {person.email:32} {person.role}" for example in EXAMPLES for person in example.people
    ]
    return "\n".join(
        [
            f"Dashboard        {stack.supabase.dashboard_url} (works as the database's owner)",
            f"Supabase         {stack.url}",
            f"Functions        {stack.functions.url}",
            f"Postgres         {stack.database.dsn()}",
            f"Publishable key  {stack.credentials.publishable_key}",
            f"Secret key       {stack.credentials.secret_key}",
            f"Sweep            every {SWEEP_SECONDS} s",
            f"Logs             {stack.directory}/*.log, sweep/functions.log",
            *(
                f"Organisation     {name} {identifier}"
                for name, identifier in organization_ids.items()
            ),
            f"Logins, all with the password: {PASSWORD}",
            *logins,
        ]
    )


def supervise() -> None:
    """Run the stack in this process until it is told to stop."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    ADDRESSES.unlink(missing_ok=True)
    with _only_one(), EmbeddedStack(HOME, sweep_seconds=SWEEP_SECONDS) as stack:
        ENVIRONMENT.touch(mode=0o600)
        ENVIRONMENT.write_text(
            "".join(f"{name}={value}\n" for name, value in stack.functions_environment.items())
        )
        draft = ADDRESSES.with_suffix(".draft")
        draft.write_text(_describe(stack) + "\n")
        draft.replace(ADDRESSES)
        stopping.wait()
        ADDRESSES.unlink()
        ENVIRONMENT.unlink()


def up() -> None:
    """Start the stack in the background, or find it running, and say where it is."""
    HOME.mkdir(parents=True, exist_ok=True)
    if not _is_running():
        with LOG.open("w") as log:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "stack", "supervise"],
                cwd=CHECKOUT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not ADDRESSES.exists():
            if supervisor.poll() is not None or time.monotonic() > deadline:
                raise StackError(f"The stack did not start:\n{LOG.read_text()}")
            time.sleep(0.1)
        supervisor.returncode = 0  # it lives on; Popen must not complain
    print(ADDRESSES.read_text(), end="")
    print("Stop it with `make down`.")


def down() -> None:
    """Stop the stack that `up` started."""
    if not _is_running():
        print("Nothing is running.")
        return
    os.kill(int(LOCK.read_text()), signal.SIGTERM)
    while _is_running():
        time.sleep(0.1)
    print("Stopped. The data stays in .local/stack/.")


def main() -> int:
    """Do what the command line says."""
    commands = {"up": up, "down": down, "supervise": supervise}
    parser = argparse.ArgumentParser(prog="python -m stack", description=__doc__)
    parser.add_argument("command", choices=commands)
    arguments = parser.parse_args()
    try:
        commands[arguments.command]()
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
