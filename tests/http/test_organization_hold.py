"""An organisation on hold: the app says so, and why, in both languages; a run under way waits and goes on."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from functions.services import Services
from functions.settings import Settings
from stack.embedded_stack import EmbeddedStack
from stack.functions_server import CHECKOUT
from tests.http.app_user import AppUser, sha256_of
from tests.http.fault_proxy import FaultProxy
from tests.organisation import Organisation, call

NewUser = Callable[..., AppUser]
REASON = "Gjenopprettet fra sikkerhetskopi; filene avstemmes."
UPLOAD = "POST /storage/v1/object/exports/"


def hold(organisation: Organisation) -> None:
    """As the admin in the dashboard."""
    with organisation.database.connect("postgres") as owner:
        call(
            owner,
            "hold_exports",
            p_organization_id=organisation.id,
            p_reason=REASON,
            p_actor="Ingrid Vik",
        )


def lift(organisation: Organisation) -> None:
    """As the admin in the dashboard."""
    with organisation.database.connect("postgres") as owner:
        call(
            owner,
            "lift_export_hold",
            p_organization_id=organisation.id,
            p_actor="Ingrid Vik",
        )


def assert_held(answer: httpx.Response) -> dict[str, Any]:
    """Refused with the reason as the admin wrote it, and nothing to wait for by oneself."""
    told: dict[str, Any] = answer.json()
    assert (answer.status_code, told["code"], told["reason"]) == (409, "organization_held", REASON)
    assert "Retry-After" not in answer.headers
    return told


@pytest.mark.parametrize(
    ("language", "detail"),
    [
        ("nb", "En administrator har stanset organisasjonens eksporter inntil videre."),
        ("en", "An administrator has put the organisation's exports on hold."),
    ],
)
def test_trigger_is_told_why_in_her_language(
    coordinator: AppUser, organisation: Organisation, language: str, detail: str
) -> None:
    """The sentence is the catalogue's, the reason the admin's; the same key exports after the hold."""
    organisation.add_claim()
    hold(organisation)
    key = str(uuid4())

    answer = coordinator.trigger(organisation, key, language=language)

    told = assert_held(answer)
    assert (told["detail"], answer.headers["Content-Language"]) == (detail, language)
    assert "run_id" not in told
    lift(organisation)
    assert coordinator.trigger(organisation, key).status_code == 201


def test_completed_export_is_still_answered(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """A repeated key, the run and its file are there during the hold."""
    organisation.add_claim()
    run_id = coordinator.trigger(organisation, "mine").json()["run"]["run_id"]
    hold(organisation)

    again = coordinator.trigger(organisation, "mine")

    assert (again.status_code, again.json()["run"]["run_id"]) == (200, run_id)
    assert coordinator.download(run_id).status_code == 200
    assert coordinator.history(organisation).json()["runs"][0]["run_id"] == run_id
    assert_held(coordinator.trigger(organisation, "another"))


@pytest.mark.parametrize("goes_on_by", ["trigger", "sweep"])
def test_worker_that_a_hold_stops_is_finished_afterwards_with_the_same_bytes(  # noqa: PLR0913  # fixtures
    *,
    proxied_coordinator: AppUser,
    coordinator: AppUser,
    proxy: FaultProxy,
    organisation: Organisation,
    stack: EmbeddedStack,
    goes_on_by: str,
) -> None:
    """Put on hold between begin and complete: no claim is exported, the attempt does not count, the stored file is the run's in the end."""
    organisation.add_claim()
    organisation.add_claim()
    proxy.before(UPLOAD, lambda: hold(organisation))

    stopped = proxied_coordinator.trigger(organisation, "mine")

    run_id = assert_held(stopped)["run_id"]
    assert {status for [(_, status)] in organisation.live_memberships().values()} == {"processing"}
    assert state_of(organisation) == ("processing", 1, 0, None)
    [stored] = stored_files(organisation)
    assert_held(coordinator.trigger(organisation, "mine"))
    sweep(stack)
    assert state_of(organisation) == ("processing", 1, 0, None)
    lift(organisation)
    if goes_on_by == "sweep":
        assert sweep(stack)["completed"] >= 1

    finished = coordinator.trigger(organisation, "mine")

    assert (finished.status_code, finished.json()["run"]["run_id"]) == (200, run_id)
    content = coordinator.download(run_id).content
    assert stored == f"{organisation.id}/{run_id}/{sha256_of(content)}.csv"
    assert stored_files(organisation) == [stored]
    assert state_of(organisation)[:2] == ("completed", 2)


def sweep(stack: EmbeddedStack) -> Mapping[str, int]:
    """What became of the runs that nobody worked on, by outcome."""
    names = ("SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY")
    services = Services.of(
        Settings.model_validate({name.lower(): stack.functions_environment[name] for name in names})
    )

    async def once() -> Mapping[str, int]:
        try:
            return (await services.sweep.run()).outcomes
        finally:
            await services.connection.aclose()

    return asyncio.run(once())


def state_of(organisation: Organisation) -> tuple[Any, ...]:
    """The organisation's one run: status, attempts, those without progress, hash."""
    [row] = organisation.execute(
        "select status, attempt, attempts_without_progress, file_sha256 from public.export_runs"
        " where organization_id = %s",
        organisation.id,
    )
    return row


def stored_files(organisation: Organisation) -> list[str]:
    """Paths in the bucket."""
    rows = organisation.execute(
        "select name from storage.objects where bucket_id = 'exports' and name like %s",
        f"{organisation.id}/%",
    )
    return [row[0] for row in rows]


def test_reversal_is_refused_and_void_is_not(
    new_user: NewUser, coordinator: AppUser, organisation: Organisation
) -> None:
    """Taking back with a file is an export; taking back without one only frees claims."""
    admin = new_user("admin", organisation, name="Gunhild")
    organisation.add_claim()
    run_id = coordinator.trigger(organisation).json()["run"]["run_id"]
    hold(organisation)
    headers = {**admin.login, "Accept-Language": "nb"}
    body: dict[str, Any] = {"run_id": run_id, "reason": "Feil periode"}

    reversal = admin.door.post("/void_export", json={**body, "imported": True}, headers=headers)
    void = admin.door.post("/void_export", json=body, headers=headers)

    assert "stanset" in assert_held(reversal)["detail"]
    assert (void.status_code, void.json()["run"]["status"]) == (200, "voided")


def command(
    stack: EmbeddedStack, *arguments: object, language: str = "en_US.UTF-8"
) -> subprocess.CompletedProcess[str]:
    """`python -m cli ...` with the stack's addresses."""
    environment = {**os.environ, **stack.functions_environment, "LC_ALL": language}
    return subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "-m", "cli", *map(str, arguments)],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_command_line_holds_and_releases(
    stack: EmbeddedStack, coordinator: AppUser, organisation: Organisation
) -> None:
    """Readable, repeatable, and the app is told what was typed."""
    organisation.add_claim()

    held = command(stack, "hold", organisation.id, "--reason", REASON, "--actor", "Ola, drift")
    again = command(stack, "hold", organisation.id, "--reason", "Other.", "--actor", "Kari")
    assert_held(coordinator.trigger(organisation))
    released = [command(stack, "release", organisation.id, "--actor", "Kari") for _ in range(2)]

    assert [done.returncode for done in (held, again, *released)] == [0, 0, 0, 0]
    assert held.stdout.startswith("On hold: since 20")
    assert "by Ola, drift." in held.stdout
    assert again.stdout.startswith("On hold already")
    assert REASON in held.stdout
    assert REASON in again.stdout
    assert released[0].stdout.startswith("Lifted. On hold since")
    assert released[1].stdout == "No hold stood. The organisation may export.\n"
    assert coordinator.trigger(organisation).status_code == 201


def test_command_line_answers_json_and_refusals(
    stack: EmbeddedStack, organisation: Organisation
) -> None:
    """For scripts: JSON with the hold, and an exit code other than 0 when it was refused."""
    held = command(stack, "hold", organisation.id, "--reason", REASON, "--actor", "Ola", "--json")
    lifted = command(stack, "release", organisation.id, "--actor", "Kari", "--json")
    unknown = command(
        stack, "hold", UUID(int=0), "--reason", "x", "--actor", "Ola", language="nb_NO.UTF-8"
    )

    assert json.loads(held.stdout)["hold"]["reason"] == REASON
    assert json.loads(lifted.stdout)["hold"]["lifted_by"] == "Kari"
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "Organisasjonen finnes ikke. (organization_not_found)" in unknown.stderr
    assert command(stack, "hold", organisation.id).returncode == 2
