"""`confirm`: what the accounting system made of a file, for a whole run or from a list."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from cli.actor import Actor
from cli.work import ExitCode, carry_out, spoken_language, stop
from functions.confirmation import Confirmation, Outcome
from functions.confirmation_list import (
    MOST_BYTES,
    ConfirmationList,
    MalformedList,
    read_confirmation_list,
)
from functions.error_catalogue import FIELD_SENTENCES, entry_of
from functions.errors import InvalidRequest
from functions.export_confirmations import ExportConfirmations
from functions.services import Services


@dataclass(frozen=True)
class Wishes:
    """What was asked for on the command line."""

    run_id: UUID
    actor: str
    is_dry_run: bool
    answers_json: bool


def confirm(  # noqa: PLR0913  # the command line
    run_id: Annotated[UUID, typer.Argument(help="The run, as history and file name it.")],
    voucher_list: Annotated[
        Path | None, typer.Argument(metavar="LIST", help="The list, CSV in UTF-8.")
    ] = None,
    *,
    outcome: Annotated[
        Outcome | None, typer.Option(help="For the whole run, instead of a list.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the list and record nothing.")
    ] = False,
    actor: Actor,
    json_: Annotated[bool, typer.Option("--json", help="Answer JSON, for scripts.")] = False,
) -> None:
    """Record what the accounting system made of a run, or of each voucher in LIST.

    LIST has the columns voucher_number, outcome (imported, booked, refused) and, if known,
    external_number and note. It is recorded as a whole or, when a line is bad, not at all.
    """
    if (voucher_list is None) == (outcome is None):
        raise typer.BadParameter("Give either a LIST, or --outcome for the whole run.")
    if dry_run and voucher_list is None:
        raise typer.BadParameter("--dry-run checks a LIST; --outcome has nothing to check.")
    wishes = Wishes(run_id, actor, dry_run, json_)
    if outcome is not None:
        _confirm_run(wishes, outcome)
    elif voucher_list is not None:
        _confirm_list(wishes, _read(voucher_list, wishes))


def _confirm_run(wishes: Wishes, outcome: Outcome) -> None:
    told = carry_out(
        lambda services: _confirmations(services).confirm_run(
            wishes.run_id, outcome, actor=wishes.actor
        )
    )
    if wishes.answers_json:
        print(json.dumps({**_run_json(told), "outcome": outcome}))
    else:
        was_news = "recorded" if told.recorded else "recorded before"
        print(f"Run {told.run.run_number}: {outcome}, {was_news}.")
        if outcome is Outcome.REFUSED:
            print("Its claims are not free: void the run, and they are.")


def _confirm_list(wishes: Wishes, given: ConfirmationList) -> None:
    told = carry_out(lambda services: _list_confirmed(services, wishes, given))
    outcomes = Counter(voucher.outcome for voucher in given.vouchers)
    if wishes.answers_json:
        answer = {
            **_run_json(told),
            "vouchers": len(given.vouchers),
            "outcomes": {outcome.value: outcomes[outcome] for outcome in Outcome},
            "ignored_columns": list(given.ignored_columns),
            "dry_run": wishes.is_dry_run,
        }
        print(json.dumps(answer, ensure_ascii=False))
        return
    table = Table("Outcome", "Vouchers", title=f"Run {told.run.run_number}")
    for outcome in Outcome:
        table.add_row(outcome, str(outcomes[outcome]))
    console = Console()
    console.print(table)
    if given.ignored_columns:
        console.print(f"Columns that were not used: {escape(', '.join(given.ignored_columns))}.")
    news = "would be news; nothing was recorded" if wishes.is_dry_run else "were news"
    if outcomes[Outcome.REFUSED] and not wishes.is_dry_run:
        console.print("Claims of refused vouchers are free again, and held: export them by hand.")
    console.print(f"{told.recorded} of {len(given.vouchers)} vouchers {news}.")


async def _list_confirmed(
    services: Services, wishes: Wishes, given: ConfirmationList
) -> Confirmation:
    with _progress(len(given.vouchers), wishes) as advance:
        return await _confirmations(services).confirm_list(
            wishes.run_id,
            given.vouchers,
            actor=wishes.actor,
            is_dry_run=wishes.is_dry_run,
            advance=advance,
        )


def _confirmations(services: Services) -> ExportConfirmations:
    return ExportConfirmations(services.connection.as_service())


def _run_json(told: Confirmation) -> dict[str, object]:
    return {
        "run_id": str(told.run.run_id),
        "run_number": told.run.run_number,
        "recorded": told.recorded,
    }


def _read(path: Path, wishes: Wishes) -> ConfirmationList:
    try:
        with path.open("rb") as file:
            return read_confirmation_list(file.read(MOST_BYTES + 1))
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}.") from error
    except MalformedList as error:
        _complain(error, wishes)
        raise SystemExit(ExitCode.REFUSED) from None
    except InvalidRequest as error:
        stop(error)


def _complain(error: MalformedList, wishes: Wishes) -> None:
    """Every line that is bad, and why."""
    language = spoken_language()
    lines = [
        {
            "line": problem.line,
            "column": problem.column,
            "code": problem.code,
            "message": FIELD_SENTENCES[problem.code].said(language),
        }
        for problem in error.problems
    ]
    if wishes.answers_json:
        print(json.dumps({"code": error.code, "problems": lines}, ensure_ascii=False))
        return
    table = Table("Line", "Column", "What is wrong")
    for line in lines:
        table.add_row(str(line["line"]), str(line["column"] or ""), str(line["message"]))
    Console(stderr=True).print(table)
    entry = entry_of(error.code)
    print(f"{entry.detail.said(language)} ({error.code})", file=sys.stderr)
    print(entry.action.said(language), file=sys.stderr)


@contextmanager
def _progress(vouchers: int, wishes: Wishes) -> Iterator[Callable[[int], None]]:
    is_shown = sys.stderr.isatty() and not wishes.answers_json
    with Progress(console=Console(stderr=True), disable=not is_shown, transient=True) as bar:
        task = bar.add_task("Recording", total=vouchers)
        yield lambda count: bar.advance(task, count)
