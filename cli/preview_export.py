"""`preview`: what an export would make, as things are or with a layout that nobody has saved."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from cli.json_document import json_document, json_objects
from cli.preview_report import show
from cli.work import ExitCode, carry_out, spoken_language
from functions.preview_answer import preview_json
from functions.preview_request import MOST_RUNS, Candidate, PreviewScope

_NARROWEST = 100


LastDay = Annotated[
    datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last approval date.")
]
FirstDay = Annotated[
    datetime | None,
    typer.Option("--from", formats=["%Y-%m-%d"], help="First approval date; else open."),
]
Target = Annotated[str | None, typer.Option(help="For example xledger, if there are two.")]
SettingsFile = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="Settings to try (JSON).")
]
LayoutFile = Annotated[
    Path | None, typer.Option(exists=True, dir_okay=False, help="A layout to try (JSON).")
]
RulesFile = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Posting rules to try (a JSON list)."),
]
HowManyRuns = Annotated[
    int, typer.Option(min=0, max=MOST_RUNS, help="Make so many of the latest runs again.")
]
OneRun = Annotated[UUID | None, typer.Option(help="Make this run again.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer JSON, for scripts.")]


def preview(  # noqa: PLR0913 - one parameter for each thing that may be asked
    organization_id: Annotated[UUID, typer.Argument(help="The organisation.")],
    *,
    period_to: LastDay,
    period_from: FirstDay = None,
    target: Target = None,
    settings: SettingsFile = None,
    layout: LayoutFile = None,
    rules: RulesFile = None,
    compare: HowManyRuns = 0,
    run: OneRun = None,
    as_json: AsJson = False,
) -> None:
    """Show the first lines, totals and left-out claims of an export, and change nothing.

    Leaves 1 behind when no file would come of it. A file that is tried replaces what is saved as a
    whole, for this answer only; with --compare it also says which lines of earlier runs would be
    others.
    """
    first = period_from and period_from.date()
    scope = PreviewScope(organization_id, target, first, period_to.date())
    candidate = _candidate(settings, layout, rules)
    seen = carry_out(
        lambda services: services.preview_as_service().preview(
            scope, candidate, run_ids=[run] if run else [], latest_runs=compare
        )
    )
    told = preview_json(seen, spoken_language())
    if as_json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        show(told, _console())
    makes_no_file = told["outcome"] in {"all_claims_left_out", "would_be_refused"}
    raise SystemExit(ExitCode.REFUSED if makes_no_file else ExitCode.DONE)


def _candidate(settings: Path | None, layout: Path | None, rules: Path | None) -> Candidate:
    parts: dict[str, object] = {}
    if settings is not None:
        parts["settings"] = json_document(settings)
    if layout is not None:
        parts["layout"] = json_document(layout)
    if rules is not None:
        parts["posting_rules"] = json_objects(rules)
    return Candidate(parts)


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = max(console.width, _NARROWEST)
    return console
