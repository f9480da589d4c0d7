"""What is in an accounting system: its journals and its ledger, as it tells them itself."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

Lines = Counter[tuple[str, Decimal]]
"""Account and amount, debits positive, and how often."""

LEDGER = "the ledger"


@dataclass(frozen=True)
class Books:
    """`documents`: by number and by place, which is a journal's code or the ledger."""

    documents: Mapping[str, Mapping[str, Lines]] = field(default_factory=dict)
    # Requests that were cut off and would still arrive.
    late: int = 0

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """Read the state of Business Central's double, as its control tells it."""
        documents: dict[str, dict[str, Lines]] = {}
        for code, lines in state["journals"].items():
            for line in lines:
                places = documents.setdefault(line["documentNumber"], {})
                found = (line["accountNumber"], Decimal(line["amount"]))
                places.setdefault(code, Counter())[found] += 1
        for entry in state["entries"]:
            amount = Decimal(entry["debitAmount"]) - Decimal(entry["creditAmount"])
            places = documents.setdefault(entry["documentNumber"], {})
            places.setdefault(LEDGER, Counter())[entry["accountNumber"], amount] += 1
        return cls(documents, int(state["late"]))
