"""A preview as tables in a terminal, from the same answer that the app gets."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Told = Mapping[str, Any]


def show(told: Told, console: Console) -> None:
    """What would be made, what would be left out, what is new, and what a candidate changes."""
    console.print(Text(told["message"], style="bold"))
    _show_what_stands_in_the_way(told, console)
    console.print(_facts(told))
    if told["first_lines"]:
        console.print(Text("First lines", style="bold"))
        for line in told["first_lines"]:
            console.print(Text(line), soft_wrap=True)
    if told["left_out_causes"]:
        _show_causes(told, console)
    if told["breakdown"]["groups"]:
        console.print(_accounts(told["breakdown"]))
    if told["difference"]:
        _show_difference(told["difference"], console)
    for compared in told["compared_runs"]:
        _show_compared(compared, console)


def _table(title: str, *columns: str, right: tuple[str, ...] = ()) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return table


def _row(table: Table, *cells: object) -> None:
    table.add_row(*(Text("" if cell is None else str(cell)) for cell in cells))


def _show_what_stands_in_the_way(told: Told, console: Console) -> None:
    if hold := told["hold"]:
        console.print(Text(f"{hold['message']} {hold['reason']}"))
    if run := told["run_under_way"]:
        console.print(Text(f"Run {run['run_number']} is under way; its claims are not in here."))


def _facts(told: Told) -> Table:
    run = told["would_be"]
    table = _table("What would be exported (the numbers are provisional)", "what", "value")
    facts = {
        "period (approved)": f"{run['period_from'] or 'the beginning'} to {run['period_to']}",
        "target, format": f"{run['target']}, {run['format']}",
        "run number": run["run_number"],
        "first voucher number": run["first_voucher_number"],
        "claims, left out": f"{told['claim_count']}, {told['left_out_count']}",
        "vouchers, lines": f"{told['voucher_count']}, {told['line_count']}",
        "total": ", ".join(f"{amount} {code}" for code, amount in told["totals"].items()),
    }
    for what, value in facts.items():
        _row(table, what, value)
    for notice in told["notices"]:
        where = f"{notice['code']} ({notice['field']})" if notice["field"] else notice["code"]
        _row(table, where, f"{notice['count']}, first in {notice['first_claim_number']}")
    return table


def _show_causes(told: Told, console: Console) -> None:
    console.print(Text("Left out", style="bold"))
    for cause in told["left_out_causes"]:
        named = ", ".join(cause["claim_numbers"])
        more = ", ..." if cause["count"] > len(cause["claim_numbers"]) else ""
        of = f" ({cause['expense_type']})" if cause["expense_type"] else ""
        for line in (
            f"{cause['count']} claims, {cause['field']}{of}: {cause['message']} {cause['note']}",
            f"  {cause['action']}",
            f"  {named}{more}",
        ):
            console.print(Text(line), soft_wrap=True)
    if told["other_causes_count"]:
        console.print(Text(f"{told['other_causes_count']} claims for other causes."))


def _accounts(breakdown: Told) -> Table:
    amounts = ("debit", "credit", "lines")
    table = _table("What it books", "account", "dimensions", "", *amounts, right=amounts)
    for group in breakdown["groups"]:
        dimensions = ", ".join(f"{k} {v}" for k, v in (group["dimensions"] or {}).items())
        amounts = (group["debit"], group["credit"], group["line_count"])
        _row(table, group["account_code"] or "others", dimensions, group["currency"], *amounts)
    return table


def _show_difference(told: Told, console: Console) -> None:
    numbers = ("now", "last", "median")
    table = _table(
        f"Beside run {told['last_run']['run_number']} and the last {told['run_count']}",
        "what",
        *numbers,
        "",
        right=numbers,
    )
    for what, one in {"claims": told["claim_count"], **told["totals"]}.items():
        unusual = "unusual" if one["is_unusual"] else ""
        _row(table, what, one["now"], one["last"], one["median"], unusual)
    console.print(table)
    for account in told["new_accounts"] or ():
        console.print(Text(f"New account: {account}"))
    for name, codes in (told["new_dimension_values"] or {}).items():
        console.print(Text(f"New {name}: {', '.join(codes)}"))


def _show_compared(told: Told, console: Console) -> None:
    console.print(Text(f"Run {told['run']['run_number']}, made again", style="bold"))
    for problem in told["errors"]:
        console.print(Text(f"{problem['field']}: {problem['note']}"))
    if told["errors"]:
        return
    if told["message"]:
        console.print(Text(told["message"]))
    far = f"the first {told['seen_count']} claims" if told["is_cut"] else "all claims"
    console.print(
        Text(
            f"Of {far}: {told['changed_count']} with other lines ({told['changed_line_count']}"
            f" lines), {told['left_out_count']} would be left out."
        )
    )
    if header := told["header"]:
        _show_pair("header", " / ".join(header["before"]), " / ".join(header["after"]), console)
    for change in told["changes"]:
        for pair in change["lines"]:
            _show_pair(change["claim_number"], pair["before"], pair["after"], console)
    for claim in told["left_out"]:
        console.print(Text(f"{claim['claim_number']} left out: {claim['note']}"))
    if told["accounts"]:
        console.print(_shifts(told))


def _show_pair(whose: str, before: str | None, after: str | None, console: Console) -> None:
    console.print(Text(whose))
    console.print(Text(f"- {before or ''}"), soft_wrap=True)
    console.print(Text(f"+ {after or ''}"), soft_wrap=True)


def _shifts(told: Told) -> Table:
    amounts = ("debit was", "debit", "credit was", "credit")
    table = _table("What moves between accounts", "account", "", *amounts, right=amounts)
    for one in told["accounts"]:
        shifted = (
            one["debit_before"],
            one["debit_after"],
            one["credit_before"],
            one["credit_after"],
        )
        _row(table, one["account_code"] or "others", one["currency"], *shifted)
    return table
