"""Reconciliation against the whole stack: the bytes in the bucket, the sweep, and the command as an admin types it."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from functions.services import Services
from functions.settings import Settings
from stack.embedded_stack import EmbeddedStack
from stack.functions_server import CHECKOUT
from tests.http.app_user import AppUser
from tests.organisation import Organisation


@pytest.fixture
def exported(organisation: Organisation, coordinator: AppUser) -> dict[str, Any]:
    """A completed run with a real file; its claims are in its own organisation."""
    organisation.add_claims(3)
    answer = coordinator.trigger(organisation)
    assert answer.status_code == 201, answer.text
    run: dict[str, Any] = answer.json()["run"]
    return run


def command(
    stack: EmbeddedStack, organisation: Organisation, *options: str
) -> subprocess.CompletedProcess[str]:
    """`python -m cli reconcile`, as a program of its own."""
    environment = {**os.environ, **stack.functions_environment, "LC_ALL": "en", "COLUMNS": "160"}
    return subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "-m", "cli", "reconcile", str(organisation.id), *options],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def services_of(stack: EmbeddedStack, **settings: Any) -> Services:
    told = stack.functions_environment
    return Services.of(
        Settings(
            supabase_url=told["SUPABASE_URL"],
            supabase_publishable_key=told["SUPABASE_PUBLISHABLE_KEY"],
            supabase_secret_key=SecretStr(told["SUPABASE_SECRET_KEY"]),
            **settings,
        )
    )


def stored(stack: EmbeddedStack, run: dict[str, Any]) -> Path:
    """Where the stack's storage keeps the bytes of the run's file."""
    with stack.database.connect("supabase_admin") as superuser:
        row = superuser.execute(
            "select version from storage.objects where name = %s", [run["file"]["path"]]
        ).fetchone()
    assert row is not None
    [file] = stack.directory.rglob(row[0])
    return file


def test_the_command_says_green_last(
    stack: EmbeddedStack, organisation: Organisation, exported: dict[str, Any]
) -> None:
    """Classes with counts and amounts, the file read, the verdict on the last line, exit code 0."""
    done = command(stack, organisation)

    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "green"), (
        done.stdout + done.stderr
    )
    assert "exported" in done.stdout
    assert "300.00 NOK" in done.stdout
    assert "files 1" in done.stdout
    assert exported["run_id"] not in done.stdout


def test_other_bytes_of_the_same_size_are_red(
    stack: EmbeddedStack, organisation: Organisation, exported: dict[str, Any]
) -> None:
    """Size and stored hash are as they were; only whoever reads the bytes sees it."""
    file = stored(stack, exported)
    content = file.read_bytes()
    file.write_bytes(content.replace(b"100", b"900"))

    done = command(stack, organisation, "--json")

    told = json.loads(done.stdout)
    assert (done.returncode, told["is_green"]) == (1, False)
    assert [(f["code"], f["run_id"]) for f in told["findings"]] == [
        ("file_altered", exported["run_id"])
    ]
    assert command(stack, organisation).stdout.splitlines()[-1] == "red"
    file.write_bytes(content)
    assert command(stack, organisation).returncode == 0


def test_bytes_that_are_gone_are_red(
    stack: EmbeddedStack, organisation: Organisation, exported: dict[str, Any]
) -> None:
    """The row of the object is there, and nothing behind it."""
    stored(stack, exported).unlink()

    told = json.loads(command(stack, organisation, "--json").stdout)

    assert [f["code"] for f in told["findings"]] == ["file_missing"]


def test_a_period_without_claims_reads_no_file(
    stack: EmbeddedStack, organisation: Organisation, exported: dict[str, Any]
) -> None:
    assert exported["claim_count"] == 3

    done = command(stack, organisation, "--from", "2199-01-01", "--json")

    told = json.loads(done.stdout)
    assert (done.returncode, told["whole"]["count"]) == (0, 0)
    assert "files" not in told["checked"]


def test_an_unknown_organisation_is_said(stack: EmbeddedStack) -> None:
    done = command(stack, Organisation(stack.database))

    assert (done.returncode, done.stdout) == (1, "")
    assert "organization_not_found" in done.stderr


@pytest.fixture
def nobody_else_is_due(stack: EmbeddedStack) -> None:
    """Organisations of other tests were all reconciled just now."""
    with stack.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute(
            "insert into public.export_reconciliations (organization_id, time_zone, asked_by, files_since, last_run_number,"
            " last_voucher_number, phase, finished_at, is_green)"
            " select organization_id, 'UTC', 'cli', '-infinity', 0, 0, 'done', now(), true from public.export_locks"
        )
        superuser.execute(
            "update public.export_reconciliations set asked_by = 'cli' where asked_by = 'sweep'"
        )


def results_of(organisation: Organisation) -> list[tuple[Any, ...]]:
    return organisation.execute(
        "select is_green, (checked ->> 'files')::integer from public.export_reconciliations"
        " where organization_id = %s and asked_by = 'sweep' order by started_at",
        organisation.id,
    )


@pytest.mark.usefixtures("nobody_else_is_due")
async def test_the_sweep_reconciles_once_a_day(
    stack: EmbeddedStack, organisation: Organisation, coordinator: AppUser
) -> None:
    """What is due is done in the time that is left, bytes included, and the result is kept."""
    organisation.execute(
        "insert into public.export_counters values (%s, 'run_number', 0)", organisation.id
    )
    organisation.add_claims(2)
    services = services_of(stack)
    with stack.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute(
            "delete from public.export_reconciliations where organization_id = %s",
            [organisation.id],
        )
    assert coordinator.trigger(organisation).status_code == 201

    first, second = await services.sweep.run(), await services.sweep.run()

    assert first.reconciliations == {"green": 1}
    assert second.reconciliations == {}
    assert results_of(organisation) == [(True, 1)]
    await services.connection.aclose()


@pytest.mark.usefixtures("nobody_else_is_due")
async def test_a_sweep_without_time_leaves_the_rest_to_the_next(
    stack: EmbeddedStack, organisation: Organisation, coordinator: AppUser
) -> None:
    """A reconciliation that is cut off anywhere goes on where it was, and its sweep ends in time."""
    organisation.add_claims(2)
    assert coordinator.trigger(organisation).status_code == 201
    with stack.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute(
            "delete from public.export_reconciliations where organization_id = %s",
            [organisation.id],
        )
    hurried, services = services_of(stack, export_sweep_seconds=0.03), services_of(stack)
    for _ in range(3):
        began = time.monotonic()
        report = await hurried.sweep.run()
        assert time.monotonic() - began < 5
        assert set(report.reconciliations) <= {"unfinished"}

    assert (await services.sweep.run()).reconciliations == {"green": 1}

    assert results_of(organisation) == [(True, 1)]
    for each in (hurried, services):
        await each.connection.aclose()
