"""How much load: everything that `make load` and the short form in the suite do differently."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """`rounds` of `organisations` exporting at once; `clients` that retry for `seconds`."""

    processes: int = 10
    organisations: int = 10
    rounds: int = 5
    clients: int = 100
    seconds: float = 30


FULL = Scale()
SHORT = Scale(processes=4, organisations=6, rounds=1, clients=100, seconds=3)
