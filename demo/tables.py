"""What happened, as tables in a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from demo.phone import Answer

Turn = tuple[str, str, Answer]
"""Who, did what, and what the function answered."""


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        right = column in {"amount", "claims", "left out", "HTTP", "voucher", "run"}
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    return table


def _amounts(totals: Mapping[str, str] | None) -> str:
    return ", ".join(f"{amount} {currency}" for currency, amount in (totals or {}).items())


def show_conversation(console: Console, turns: Iterable[Turn]) -> None:
    """Who tapped what, and what the function answered."""
    table = _table("What the coordinators did", "who", "did", "HTTP", "outcome", "run", "answer")
    for who, did, answer in turns:
        run = answer.body.get("run") or {}
        outcome = answer.body.get("outcome") or answer.body.get("code")
        sentence = answer.body.get("message") or answer.body.get("detail")
        table.add_row(
            who,
            did,
            str(answer.status),
            str(outcome),
            str(run.get("run_number", "")),
            str(sentence),
        )
    console.print(table)


def show_preview(console: Console, preview: Mapping[str, Any]) -> None:
    """What the export would make, before anybody starts it."""
    console.print(Text("Preview, before anything is exported", style="bold"))
    console.print(Text(f"{preview['message']} Total: {_amounts(preview['totals'])}."))
    for cause in preview["left_out_causes"]:
        numbers = ", ".join(cause["claim_numbers"])
        console.print(Text(f"{cause['count']} left out ({numbers}): {cause['message']}"))
    console.print()


def show_claims(
    console: Console, claims: Sequence[Mapping[str, Any]], left_out: Sequence[Mapping[str, Any]]
) -> None:
    """Each approved claim: in which run and voucher, or why not."""
    table = _table(
        "Approved claims", "claim", "status", "run", "voucher", "why not", "who must act"
    )
    reasons = {reason["claim_number"]: reason for reason in left_out}
    for claim in claims:
        reason = reasons.get(claim["claim_number"], {})
        why = f"{reason['code']} ({reason['field']}): {reason['message']}" if reason else ""
        table.add_row(
            claim["claim_number"],
            claim["export_status"],
            str(claim["run_number"]),
            str(claim["voucher_number"] or ""),
            why,
            str(reason.get("action", "")),
        )
    console.print(table)


def show_run(console: Console, run: Mapping[str, Any], local_path: str, beside: str) -> None:
    """The run, its totals, its file and what lies beside it."""
    table = _table(f"Run {run['run_number']} for the accountant", "what", "value")
    facts = {
        "period (approved)": f"{run['period_from']} to {run['period_to']}",
        "target, format": f"{run['target']}, {run['format']}",
        "claims in the file": run["claim_count"],
        "claims left out": run["left_out_count"],
        "vouchers, lines": f"{run['voucher_count']}, {run['line_count']}",
        "total": _amounts(run["totals"]),
        "file": run["file"]["name"],
        "bytes": run["file"]["size"],
        "SHA-256": run["file"]["sha256"],
        "downloaded to": local_path,
        "sheet and manifest beside it": beside,
    }
    for what, value in facts.items():
        table.add_row(what, str(value))
    console.print(table)


def show_history(console: Console, runs: Iterable[Mapping[str, Any]]) -> None:
    """All runs of the organisation."""
    table = _table(
        "History", "run", "status", "triggered by", "claims", "left out", "amount", "file"
    )
    for run in runs:
        table.add_row(
            str(run["run_number"]),
            run["status"],
            str(run["triggered_by_name"]),
            str(run["claim_count"] or ""),
            str(run["left_out_count"]),
            _amounts(run["totals"]),
            (run["file"] or {}).get("name", ""),
        )
    console.print(table)


def show_first_lines(console: Console, content: bytes, lines: int = 4) -> None:
    """The beginning of the file, as it is."""
    console.print(Text("First lines of the file", style="bold"))
    for line in content.decode("utf-8").splitlines()[:lines]:
        console.print(Text(line), soft_wrap=True)
    console.print()
