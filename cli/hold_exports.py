"""`hold`, `release`: nothing of an organisation is exported, and then it is again."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from cli.actor import Actor
from cli.work import carry_out
from functions.export_holds import ExportHolds, Held, Lifted
from functions.services import Services

Whose = Annotated[UUID, typer.Argument(help="The organisation.")]
AsJson = Annotated[bool, typer.Option("--json", help="Answer JSON, for scripts.")]


def hold(
    organization_id: Whose,
    *,
    reason: Annotated[str, typer.Option(help="Why; whoever wants to export reads it.")],
    actor: Actor,
    as_json: AsJson = False,
) -> None:
    """Put an organisation on hold: until `release` nothing of it is exported."""

    async def work(services: Services) -> Held:
        return await _holds(services).hold(organization_id, reason, actor=actor)

    held = carry_out(work)
    print(held.model_dump_json(indent=2)) if as_json else _say_held(held)


def release(organization_id: Whose, *, actor: Actor, as_json: AsJson = False) -> None:
    """Lift the hold on an organisation: its exports go on."""

    async def work(services: Services) -> Lifted:
        return await _holds(services).lift(organization_id, actor=actor)

    lifted = carry_out(work)
    print(lifted.model_dump_json(indent=2)) if as_json else _say_lifted(lifted)


def _holds(services: Services) -> ExportHolds:
    return ExportHolds(services.connection.as_service())


def _say_held(held: Held) -> None:
    start = "On hold" if held.recorded else "On hold already, and as before"
    print(f"{start}: since {_moment(held.hold.held_at)}, by {held.hold.held_by}.")
    print(f"Reason: {held.hold.reason}")
    if held.unfinished_run:
        print(f"Run {held.unfinished_run.run_number} is not finished; it waits and goes on later.")
    print(f"Nothing is exported until: release {held.hold.organization_id}")


def _say_lifted(lifted: Lifted) -> None:
    if lifted.hold is None:
        print("No hold stood. The organisation may export.")
        return
    print(f"Lifted. On hold since {_moment(lifted.hold.held_at)}, by {lifted.hold.held_by}.")
    print(f"Reason: {lifted.hold.reason}")
    print("A run that waited goes on with the next sweep or trigger.")


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
