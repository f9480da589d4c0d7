"""Ports of this checkout's stack, the same at every start as long as nobody else takes them."""

import json
import random
import socket
from pathlib import Path

# Below the range from which systems take ports for outgoing connections.
FIRST, LAST = 20000, 30000


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """Return a port on which nobody listens.

    Drawn at random, so that stacks that start at the same moment do not meet.
    """
    candidates = random.sample(range(FIRST, LAST), 1000)
    return next(port for port in candidates if _is_free(port))


def choose_ports(file: Path, names: list[str]) -> dict[str, int]:
    """Return a free port for each name, the one kept in `file` where it still is free."""
    kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    ports = {
        name: kept[name] if name in kept and _is_free(kept[name]) else free_port() for name in names
    }
    file.write_text(json.dumps(ports))
    return ports
