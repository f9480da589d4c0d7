"""The double in a process of its own: it outlives the workers that a campaign kills."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

import httpx

from stack.functions_server import CHECKOUT
from stack.ports import free_port
from stack.program import Program
from tests.business_central.control import PATH
from tests.business_central.fault import Fault

SECRET: Final = "s3cret~of.the-campaign"


class DoubleProcess:
    """A context manager; the wishes are those of BusinessCentralDouble."""

    def __init__(self, directory: Path) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self._program = Program(
            "Business Central's double",
            [sys.executable, "-m", "tests.business_central", str(port), SECRET],
            log=directory / "business_central.log",
            directory=CHECKOUT,
            environment={"PYTHONPATH": str(CHECKOUT), "PYTHONUNBUFFERED": "1"},
        )

    def __enter__(self) -> Self:
        self._program.start()
        self._program.wait_until_ready(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        self._program.stop()

    def settings(self, secret_reference: str, **others: object) -> dict[str, object]:
        """What an organisation would set up to come here."""
        told: dict[str, object] = self.state()["settings"]
        return {**told, "client_secret_ref": secret_reference, **others}

    def state(self) -> dict[str, Any]:
        """Journals with all their lines by code, dimensions by line, ledger entries."""
        return self._wish("state", {})

    def journals(self) -> dict[str, int]:
        """How many lines lie in each journal, by code."""
        return self._wish("journals", {})

    def set_up(self, **books: object) -> None:
        """Accounts, dimensions and switches; see control."""
        self._wish("set-up", books)

    def misbehave(self, *faults: Fault) -> None:
        """From now on."""
        self._wish("misbehave", {"faults": [asdict(fault) for fault in faults]})

    def heal(self) -> None:
        """Nothing more goes wrong; what was late stays so."""
        self._wish("heal", {})

    def release(self) -> int:
        """Carry out the late requests now; how many."""
        return int(self._wish("release", {})["released"])

    def post(self, code: str) -> int:
        """As an accountant: post the journal; how many entries that made."""
        return int(self._wish("post", {"code": code})["entries"])

    def forget(self) -> None:
        """The requests so far, which a long campaign would pile up."""
        self._wish("forget", {})

    def _wish(self, name: str, body: Mapping[str, object]) -> dict[str, Any]:
        response = httpx.post(f"{self.url}{PATH}{name}", json=body, timeout=30, trust_env=False)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    def _answers(self) -> bool:
        try:
            return bool(self.state())
        except httpx.HTTPError:
            return False
