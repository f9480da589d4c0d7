"""The accounting system of one organisation: outside of everything that is killed, behind a network of its own."""

import json
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from functions.secret_reference import environment_name
from tests.business_central.double_process import SECRET, DoubleProcess
from tests.chaos.accountant import Accountant
from tests.chaos.books import Books
from tests.chaos.dice import dice
from tests.chaos.network import Network
from tests.chaos.temper import Mood, Temper
from tests.chaos.weather import Weather
from tests.organisation import ACCOUNTS, Organisation

# Nobody opened it there: what is posted on it is refused, until somebody does.
MISSING_ACCOUNT: Final = "9999"
PAYABLE: Final = "2990"
# Impatient, and in small requests, so that much happens in a campaign.
_CONNECTION: Final = {
    "connect_seconds": 2,
    "read_seconds": 1,
    "request_seconds": 2,
    "patience_seconds": 1,
    "first_pause_seconds": 0.02,
    "longest_pause_seconds": 0.3,
    "operations_per_batch": 30,
}
_MEAN_PAUSE: Final = 0.5
_SHARE_OF_POSTING: Final = 0.3


class Counterparty:
    """A context manager. `did` counts what went wrong there by itself, and what was posted."""

    def __init__(
        self,
        organisation: Organisation,
        directory: Path,
        weather: Weather,
        moods: Mapping[Mood, int],
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.organisation = organisation
        self.did: Counter[str] = Counter()
        self._double = DoubleProcess(directory)
        self._moods = moods
        self._seed = f"{weather.seed} {organisation.name}"
        self._weather = replace(weather, seed=weather.seed + 1)
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as cleanup:
            cleanup.enter_context(self._double)
            self.network = cleanup.enter_context(Network(self._double.url, self._weather))
            numbers = {*ACCOUNTS.values(), PAYABLE}
            self._double.set_up(accounts=[["G/L Account", one, "Konto"] for one in numbers])
            self._connect(self.network.door(self.organisation.name))
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._cleanup.close()

    @property
    def secret(self) -> tuple[str, str]:
        """Name and value of the variable that lets functions in."""
        return environment_name(self.organisation.id), SECRET

    def live_until(self, stop: threading.Event) -> None:
        """Be moody, and post now and then."""
        draw = dice(self._seed, "life")
        temper = Temper(self._double, self._moods, draw)
        accountant = Accountant(self._double, draw)
        if self._moods:
            self.did[temper.change()] += 1
        while not stop.wait(draw.expovariate(1 / _MEAN_PAUSE)):
            if draw.random() < _SHARE_OF_POSTING:
                self.did[accountant.post()] += 1
            elif self._moods:
                self.did[temper.change()] += 1
            self._double.forget()

    def heal(self) -> None:
        """Nothing goes wrong any more, and the account is opened; what was late may still come."""
        self.network.calm()
        self._double.heal()
        self._double.set_up(
            undoes_batches=True, accounts=[["G/L Account", MISSING_ACCOUNT, "Helikopter"]]
        )

    def books(self) -> Books:
        """What is there in the end, when everything has arrived that was late."""
        self.did["late to the last"] += self._double.release()
        return Books.of(self._double.state())

    def _connect(self, door: str) -> None:
        address = dict.fromkeys(("api_url", "login_url", "web_url"), door)
        reference = f"env:{self.secret[0]}"
        connection = self._double.settings(reference, **_CONNECTION, **address)
        self.organisation.execute(
            "update public.export_targets set format = 'dynamics_bc_json',"
            " delivery = 'business_central', connection = %s where organization_id = %s",
            json.dumps(connection),
            self.organisation.id,
        )
        self.organisation.execute(
            "insert into public.export_posting_rules"
            " (organization_id, target, side, expense_type, account_code)"
            " values (%s, 'dynamics', 'expense', 'helicopter', %s)",
            self.organisation.id,
            MISSING_ACCOUNT,
        )
