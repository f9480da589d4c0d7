"""A reconciler: whoever walks an organisation page by page through the data API, as sweep and command line do."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.organisation import Organisation, call


@dataclass(frozen=True)
class Reconciler:
    """One connection with the service key. Bytes are not read here, unless `hashes` says what they are."""

    organisation: Organisation
    service: psycopg.Connection

    @classmethod
    def of(cls, organisation: Organisation) -> "Reconciler":
        """With a connection of its own."""
        return cls(organisation, organisation.as_service())

    def begin(self, **arguments: object) -> dict[str, Any]:
        """Begin one; without bytes unless told otherwise."""
        return call(
            self.service,
            "begin_reconciliation",
            p_organization_id=self.organisation.id,
            **{"p_with_files": False, **arguments},
        )

    def step(self, begun: Mapping[str, Any]) -> dict[str, Any]:
        """Do one page."""
        return call(
            self.service, "continue_reconciliation", p_reconciliation_id=begun["reconciliation_id"]
        )

    def finish(self, begun: Mapping[str, Any]) -> dict[str, Any]:
        """All pages that are left."""
        for _ in range(10_000):
            answer = self.step(begun)
            if answer["finished_at"] is not None:
                return answer
        raise AssertionError("it never ends")

    def reconcile(self, **arguments: object) -> dict[str, Any]:
        """From the beginning to the end."""
        return self.finish(self.begin(**arguments))

    def tell(self, begun: Mapping[str, Any], run_id: object, **told: object) -> dict[str, Any]:
        """Say what the bytes of a file are."""
        return call(
            self.service,
            "record_file_check",
            p_reconciliation_id=begun["reconciliation_id"],
            p_run_id=run_id,
            **told,
        )


def codes(answer: Mapping[str, Any]) -> Counter[str]:
    """How often each code was found, in the list that is kept."""
    return Counter(finding["code"] for finding in answer["findings"])


def reconciled(organisation: Organisation, **arguments: object) -> dict[str, Any]:
    """One reconciliation, from beginning to end."""
    reconciler = Reconciler.of(organisation)
    with reconciler.service:
        return reconciler.reconcile(**arguments)
