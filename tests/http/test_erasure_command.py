"""`python -m cli erase`: the sentence, the JSON, and the refusal that names a claim's trouble."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from uuid import UUID

import pytest

from stack.embedded_stack import EmbeddedStack
from stack.functions_server import CHECKOUT
from tests.http.app_user import AppUser
from tests.organisation import Organisation

Erase = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def erase(stack: EmbeddedStack, organisation: Organisation) -> Erase:
    """Call the command as an operator does."""

    def run(*claim_ids: UUID, more: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli", "erase", str(organisation.id), *map(str, claim_ids)]
        return subprocess.run(  # noqa: S603 - our own command
            [*command, "--reason", "Request 17", "--actor", "Operator", *more],
            cwd=CHECKOUT,
            env={**os.environ, **stack.functions_environment, "LC_ALL": "en_US.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_erase_takes_the_name_out_and_says_how_often(
    erase: Erase, coordinator: AppUser, organisation: Organisation
) -> None:
    """A claim that is exported and a draft; again: nothing is left to erase. The run says how long it is kept."""
    exported = organisation.add_claim()
    run = coordinator.trigger(organisation).json()["run"]
    draft = organisation.add_claim(status="draft")

    first = erase(exported, draft)
    again = erase(exported, draft, more=("--json",))

    assert (first.returncode, first.stdout.splitlines()[0]) == (0, "Erased: 2. Erased before: 0.")
    assert json.loads(again.stdout) == {"erased": 0, "already_erased": 2}
    assert organisation.execute(
        "select distinct claimant_name from public.expense_claims where organization_id = %s",
        organisation.id,
    ) == [("erased",)]
    assert run["kept_until"] == f"{int(run['export_date'][:4]) + 5}-12-31"


def test_a_claim_that_is_still_needed_is_refused(erase: Erase, organisation: Organisation) -> None:
    """Exit code 1, a sentence, which claim it is, and what to do; nothing is erased."""
    approved = organisation.add_claim()
    [(number,)] = organisation.execute(
        "select claim_number from public.expense_claims where id = %s", approved
    )

    refused = erase(approved)

    assert refused.returncode == 1
    assert "claims_not_erasable" in refused.stderr
    assert f"{number} (not exported)" in refused.stderr
    assert organisation.execute(
        "select count(*) from public.export_erasures where organization_id = %s", organisation.id
    ) == [(0,)]
