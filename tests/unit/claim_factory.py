"""Members, configurations and runs for the exporter tests, as JSON would bring them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from exporters.claim import Member
from exporters.configuration import FrozenConfiguration
from exporters.problem import LeftOut
from exporters.run_renderer import RunContext, RunRenderer

Document = dict[str, Any]

RUN = RunContext(
    run_id=UUID("00000000-0000-4000-8000-000000000001"),
    run_number=7,
    organization_id=UUID("00000000-0000-4000-8000-000000000002"),
    export_date=date(2026, 10, 6),
)


def claim_line(line_number: int = 1, /, **changes: object) -> Document:
    """Make a frozen claim line; its default is 100 km of mileage."""
    return {
        "line_number": line_number,
        "expense_type": "mileage",
        "description": "Tromsø-Alta",
        "expense_date": "2026-09-30",
        "amount": "530.00",
        "quantity": "100.0",
        "unit": "km",
        "dimensions": {},
        **changes,
    }


def claim(number: int = 1, /, **changes: object) -> Document:
    """Make a frozen claim of two lines over 650.00."""
    lines = [claim_line(), claim_line(2, expense_type="toll", description="Bom", amount="120.00")]
    return {
        "claim_id": str(UUID(int=number)),
        "claim_number": f"2026-{number:04}",
        "claimant": {"name": "Åse Ødegård", "number": "10023"},
        "purpose": "Tillitsvalgtmøte i Tromsø",
        "currency": "NOK",
        "approved_on": "2026-10-05",
        "dimensions": {"department": "410"},
        "total": "650.00",
        "lines": lines,
        **changes,
    }


def one_line_claim(number: int = 1, *, total: str = "530.00", **line: object) -> Document:
    """Make a frozen claim of one line."""
    return claim(number, total=total, lines=[{**claim_line(amount=total), **line}])


def member(document: Document, position: int = 1, /, **changes: object) -> Member:
    """Make a run's member of a frozen claim; its voucher number is 1000 plus the position."""
    return Member.model_validate(
        {
            "position": position,
            "claim_id": document["claim_id"],
            "kind": "entry",
            "generation": 1,
            "voucher_number": 1000 + position,
            "document": document,
            **changes,
        },
    )


def members(*documents: Document, **changes: object) -> list[Member]:
    """Make the members of a run, in order."""
    return [member(document, place, **changes) for place, document in enumerate(documents, 1)]


def posting_rules(*, subledger: str, tax_code: str | None = None) -> list[Document]:
    """Make rules for mileage, toll and receipt, and for what is owed to the claimant."""
    accounts = {"mileage": "7100", "toll": "7130", "receipt": "6860"}
    rules: list[Document] = [
        {
            "side": "expense",
            "expense_type": expense_type,
            "account_code": account,
            "tax_code": tax_code,
            "dimensions": {"department": "100"},
            "subledger": "none",
        }
        for expense_type, account in accounts.items()
    ]
    payable: Document = {
        "side": "payable",
        "expense_type": None,
        "account_code": "2990",
        "tax_code": None,
        "dimensions": {},
        "subledger": subledger,
    }
    return [*rules, payable]


def xledger_document(*, settings: Document | None = None, **changes: object) -> Document:
    """Make a frozen configuration for Xledger, as JSON."""
    return {
        "target": "xledger",
        "format": "xledger_gl02b",
        "time_zone": "Europe/Oslo",
        "layout": None,
        "settings": {"entity_code": "12345", "voucher_type": "GL", **(settings or {})},
        "on_problem": "leave_out",
        "posting_rules": posting_rules(subledger="claimant"),
        **changes,
    }


def dynamics_document(*, settings: Document | None = None, **changes: object) -> Document:
    """Make a frozen configuration for Business Central, as JSON."""
    return {
        "target": "dynamics",
        "format": "dynamics_bc_csv",
        "time_zone": "Europe/Oslo",
        "layout": None,
        "settings": {
            "document_number_prefix": "HLF26-",
            "document_number_digits": 6,
            **(settings or {}),
        },
        "on_problem": "leave_out",
        "posting_rules": posting_rules(subledger="none"),
        **changes,
    }


@dataclass(frozen=True)
class Rendered:
    """A finished file and what was left out of it."""

    data: bytes
    left_out: list[LeftOut]
    renderer: RunRenderer

    @property
    def codes(self) -> list[str]:
        """The codes of the claims left out, in order."""
        return [left_out.code for left_out in self.left_out]


def render(document: Document, pages: Sequence[Iterable[Member]]) -> Rendered:
    """Render a run page by page."""
    renderer = RunRenderer(FrozenConfiguration.from_document(document), RUN)
    data = b"".join(renderer.render(page) for page in pages) + renderer.finish()
    return Rendered(data, renderer.take_left_out(), renderer)


def render_claims(document: Document, *documents: Document, **changes: object) -> Rendered:
    """Render claims as one page."""
    return render(document, [members(*documents, **changes)])
