"""A database that was turned back has forgotten exports; nothing of them is exported again."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from stack.accounts import create_account
from stack.embedded_stack import EmbeddedStack
from stack.functions_server import CHECKOUT
from stack.postgres import programs
from tests.http.app_user import PATIENCE_SECONDS, AppUser, sha256_of
from tests.organisation import Organisation


@dataclass(frozen=True)
class Place:
    """A stack of the test's own, for its database is dropped, and who works there."""

    stack: EmbeddedStack
    organisation: Organisation
    coordinator: AppUser

    def admin(self, *command: str) -> subprocess.CompletedProcess[str]:
        """What the admin types at the command line."""
        environment = {**os.environ, **self.stack.functions_environment, "LC_ALL": "en"}
        return subprocess.run(  # noqa: S603  # our own command line
            [sys.executable, "-m", "cli", *command],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def dump(self, path: Path) -> None:
        """A backup: the database, and no file."""
        self._run("pg_dump", "--format=custom", "--create", f"--file={path}", self.dsn)

    def restore(self, path: Path) -> None:
        """As a platform does: the database is replaced, the bytes in the bucket stay."""
        server = self.stack.postgres.database().dsn("supabase_admin")
        with psycopg.connect(server, autocommit=True) as superuser:
            superuser.execute("drop database supabase with (force)")
        self._run("pg_restore", "--create", "--exit-on-error", f"--dbname={server}", str(path))

    @property
    def dsn(self) -> str:
        """The database as its superuser enters it."""
        return f"--dbname={self.stack.database.dsn('supabase_admin')}"

    @staticmethod
    def _run(program: str, *arguments: str) -> None:
        command = [str(programs() / program), *arguments]
        subprocess.run(command, check=True, capture_output=True)  # noqa: S603  # Postgres's own

    def export(self) -> httpx.Response:
        """She taps export, again for so long as the API has not found its database again."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            answer = self.coordinator.trigger(self.organisation)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                return answer

    def logged(self, event: str) -> list[dict[str, Any]]:
        """What the functions wrote to their log, which no restore turns back."""
        lines = (self.stack.directory / "functions.log").read_text("utf-8").splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in told if entry["message"] == event]

    def highest(self, counter: str) -> int:
        """The last number given."""
        ((value,),) = self.organisation.execute(
            "select last_value from public.export_counters where organization_id = %s and name = %s",
            self.organisation.id,
            counter,
        )
        return int(value)


@pytest.fixture
def place(scratch_directory: Path) -> Iterator[Place]:
    with (
        EmbeddedStack(scratch_directory / "restored", durable=False) as stack,
        httpx.Client(base_url=stack.functions.url, timeout=PATIENCE_SECONDS) as door,
    ):
        organisation = Organisation.create(stack.database)
        account = create_account(stack)
        organisation.enrol(account.user_id, "coordinator", "Kåre Åsen")
        yield Place(stack, organisation, AppUser(account, door))


def test_what_a_restored_database_forgot_is_recorded_and_not_exported_again(
    place: Place, tmp_path: Path
) -> None:
    """The whole guide, from the older dump to the next export."""
    organisation = place.organisation
    organisation.add_claims(5)
    kept = place.export().json()["run"]
    organisation.add_claims(3)
    place.dump(tmp_path / "backup.dump")
    forgotten = place.export().json()["run"]
    file = tmp_path / forgotten["file"]["name"]
    file.write_bytes(place.coordinator.download(forgotten["run_id"]).content)
    last_run, last_voucher = place.highest("run_number"), place.highest("voucher_number")

    place.restore(tmp_path / "backup.dump")

    # Held before anybody exports: the claims of the forgotten run look free.
    held = place.admin("hold", str(organisation.id), "--reason", "Restored", "--actor", "Ola")
    assert held.returncode == 0, held.stderr
    refused = place.export()
    assert (refused.status_code, refused.json()["code"]) == (409, "organization_held")
    history = place.coordinator.history(organisation).json()["runs"]
    assert [run["run_id"] for run in history] == [kept["run_id"]]

    # The accountant's file is the one that the log names, and the history lacks.
    (entry,) = [told for told in place.logged("export_completed") if told["run_number"] == last_run]
    assert entry["sha256"] == sha256_of(file.read_bytes())
    listed = place.admin("list-claims", str(file), "--format", "xledger_gl02b")
    assert listed.returncode == 0, listed.stderr
    claims = tmp_path / "claims.csv"
    claims.write_text(listed.stdout, "utf-8")
    for counter, last in (("run_number", last_run), ("voucher_number", last_voucher)):
        organisation.execute(
            "update public.export_counters set last_value = greatest(last_value, %s)"
            " where organization_id = %s and name = %s",
            last,
            organisation.id,
            counter,
        )
    command = ["backfill", str(organisation.id), str(claims), "--actor", "Ola"]
    assert place.admin(*command).returncode == 0, "a dry run first"
    written = place.admin(*command, "--write")
    assert written.returncode == 0, written.stdout + written.stderr

    proven = place.admin("reconcile", str(organisation.id))
    assert proven.returncode == 0, proven.stdout + proven.stderr
    assert proven.stdout.rstrip().endswith("green")

    released = place.admin("release", str(organisation.id), "--actor", "Ola")
    assert released.returncode == 0, released.stderr
    nothing = place.export()
    assert nothing.json()["outcome"] == "nothing_to_export", nothing.text
    found = place.coordinator.door.get(
        "/find_export",
        params={"organization_id": str(organisation.id), "q": file.name},
        headers=place.coordinator.login,
    ).json()
    assert [run["origin"] for run in found["runs"]] == ["manual"]

    organisation.add_claims(1)
    later = place.export().json()["run"]
    assert later["claim_count"] == 1
    assert later["run_number"] > last_run
    numbers = organisation.execute(
        "select voucher_number from public.export_run_claims where run_id = %s", later["run_id"]
    )
    assert min(number for (number,) in numbers) > last_voucher


def test_without_the_guide_the_claims_would_look_free(place: Place, tmp_path: Path) -> None:
    """Why the hold comes first: a restored database alone would export them a second time."""
    place.organisation.add_claims(2)
    place.dump(tmp_path / "backup.dump")
    assert place.export().json()["run"]["claim_count"] == 2

    place.restore(tmp_path / "backup.dump")

    ((free,),) = place.organisation.execute(
        "select count(*) from public.claim_export_status where organization_id = %s"
        " and export_status = 'pending'",
        place.organisation.id,
    )
    assert free == 2
