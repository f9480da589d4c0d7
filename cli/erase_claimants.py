"""`erase`: a claimant's name, number and texts leave the app's claims."""

from typing import Annotated
from uuid import UUID

import typer

from cli.actor import Actor
from cli.work import carry_out
from functions.claimant_erasure import ClaimantErasure, Erased
from functions.services import Services


def erase(
    organization_id: Annotated[UUID, typer.Argument(help="The organisation.")],
    claim_ids: Annotated[list[UUID], typer.Argument(help="The claims, at most 2,000.")],
    *,
    reason: Annotated[str, typer.Option(help="Why, for example a case number. Never a name.")],
    actor: Actor,
    as_json: Annotated[bool, typer.Option("--json", help="Answer JSON, for scripts.")] = False,
) -> None:
    """Erase a claimant's personal data from claims that are exported, drafts or rejected."""

    async def work(services: Services) -> Erased:
        erasure = ClaimantErasure(services.connection.as_service())
        return await erasure.erase(organization_id, claim_ids, reason, actor=actor)

    done = carry_out(work)
    if as_json:
        print(done.model_dump_json(indent=2))
        return
    print(f"Erased: {done.erased}. Erased before: {done.already_erased}.")
    print("What was exported is kept until its retention ends: docs/retention.md.")
