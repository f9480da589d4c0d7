"""The manifest of a file: what a program compares before it takes the file."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from exporters.run_facts import RunFacts
from exporters.run_renderer import RenderSummary
from exporters.side_totals import SideTotals

CONTENT_TYPE: Final = "application/json"
_VERSION: Final = 1


def manifest(facts: RunFacts, summary: RenderSummary, sides: Mapping[str, SideTotals]) -> bytes:
    """Give the JSON, with amounts as texts; counts and sums can be had again from the file.

    `row_count` counts journal lines: a header is none.
    """
    document = {
        "manifest_version": _VERSION,
        "organization_id": str(facts.organization_id),
        "run_id": str(facts.run_id),
        "run_number": facts.run_number,
        "reverses_run_number": facts.reverses_run_number,
        "target": facts.target,
        "format": facts.format,
        "layout": facts.layout_name,
        "layout_version": facts.layout_version,
        "renderer_version": facts.renderer_version,
        "export_date": str(facts.export_date),
        "completed_at": facts.completed_at_utc,
        "file_name": facts.file_name,
        "file_size": facts.file_size,
        "file_sha256": facts.file_sha256,
        "claim_count": summary.claim_count,
        "voucher_count": summary.voucher_count,
        "row_count": summary.line_count,
        "totals": _texts(summary.totals),
        "sum_debit": _texts({currency: side.debit for currency, side in sides.items()}),
        "sum_credit": _texts({currency: side.credit for currency, side in sides.items()}),
    }
    return (json.dumps(document, ensure_ascii=False, indent=2) + "\n").encode()


def _texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {currency: str(amount) for currency, amount in amounts.items()}
