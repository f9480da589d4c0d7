"""Runs the double until it is stopped: python -m tests.business_central PORT SECRET."""

import signal
import sys
import threading

from tests.business_central.double import BusinessCentralDouble
from tests.business_central.sign_in import SignIn


def main() -> None:
    """The port must be free, and the secret is the application's."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    port, secret = int(sys.argv[1]), sys.argv[2]
    with BusinessCentralDouble(port=port, login=SignIn(client_secret=secret)):
        stopped.wait()


main()
