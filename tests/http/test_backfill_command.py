"""`python -m cli backfill` as an admin runs it: a program of its own, against the whole stack."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from openpyxl import Workbook

from stack.embedded_stack import EmbeddedStack
from stack.functions_server import CHECKOUT
from tests.http.app_user import AppUser
from tests.http.fault_proxy import FaultProxy
from tests.organisation import Organisation, begin, call, complete

ADD = "POST /rest/v1/rpc/add_export_backfill_page"
COMPLETE = "POST /rest/v1/rpc/complete_export_backfill"


@dataclass(frozen=True)
class Terminal:
    """Where the admin types; `address` is another way to the same Supabase."""

    stack: EmbeddedStack
    organisation: Organisation
    address: str | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What the program is told; a narrow terminal wraps, a wide one does not."""
        told = {**os.environ, **self.stack.functions_environment, "LC_ALL": "en", "COLUMNS": "160"}
        return told | ({"SUPABASE_URL": self.address} if self.address else {})

    def start(self, path: Path, *options: str) -> subprocess.Popen[str]:
        """The program, running."""
        return subprocess.Popen(  # noqa: S603  # our own command line
            [
                sys.executable,
                "-m",
                "cli",
                "backfill",
                str(self.organisation.id),
                str(path),
                *options,
            ],
            cwd=CHECKOUT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def backfill(self, path: Path, *options: str) -> tuple[int, str, str]:
        """Exit code, output and complaints."""
        with self.start(path, "--actor", "Ingrid Vik", *options) as program:
            output, complaints = program.communicate()
        return program.returncode, output, complaints

    def told(self, path: Path, *options: str) -> tuple[int, dict[str, Any]]:
        """Exit code and the answer for scripts."""
        code, output, complaints = self.backfill(path, "--json", *options)
        assert output, complaints
        return code, json.loads(output)


@pytest.fixture
def terminal(stack: EmbeddedStack, organisation: Organisation) -> Terminal:
    return Terminal(stack, organisation)


def numbers_of(organisation: Organisation, claims: Sequence[UUID]) -> list[str]:
    """The claims' numbers, in their order."""
    found = dict(
        organisation.execute(
            "select id, claim_number from public.expense_claims where id = any (%s)", list(claims)
        )
    )
    return [found[claim] for claim in claims]


def write_list(path: Path, numbers: Sequence[str], file_name: str = "Utlegg på nå.csv") -> Path:
    """A list as an admin of a Norwegian Excel saves it."""
    rows = [f"{n};31.10.2026;{file_name};B-{n}" for n in numbers]
    path.write_text(
        "\r\n".join(["Kravnummer;Eksportdato;Filnavn;Bilagsnummer", *rows]), encoding="utf-8-sig"
    )
    return path


def find(user: AppUser, organisation: Organisation, text: str) -> dict[str, Any]:
    """What a search in the app finds."""
    parameters = {"organization_id": str(organisation.id), "q": text}
    found: dict[str, Any] = user.door.get(
        "/find_export", params=parameters, headers=user.login
    ).json()
    return found


def statuses(organisation: Organisation) -> list[tuple[str, str, int | None]]:
    """Origin, state and claims of each run."""
    return [
        (origin, status, count)
        for origin, status, count in organisation.execute(
            "select origin, status, claim_count from public.export_runs where organization_id = %s order by run_number",
            organisation.id,
        )
    ]


def test_a_list_is_looked_at_written_and_done(
    terminal: Terminal, organisation: Organisation, coordinator: AppUser, tmp_path: Path
) -> None:
    """Dry run, write, again: afterwards no export takes the claims, and everything leads back to the list."""
    claims = organisation.add_claims(3)
    path = write_list(tmp_path / "Liste på nå.csv", numbers_of(organisation, claims))

    code, dry = terminal.told(path)
    assert (code, dry["written"], dry["target"]) == (0, False, "xledger")
    assert dry["counts"] == {"usable": 3, "done": 0, "bad": 0}
    assert dry["totals"] == {"NOK": "300.00"}
    [planned] = dry["runs"]
    assert (planned["exported_on"], planned["file_name"], planned["claims"], planned["run"]) == (
        "2026-10-31",
        "Utlegg på nå.csv",
        3,
        None,
    )
    assert statuses(organisation) == []

    code, written = terminal.told(path, "--write")
    assert (code, written["written"], written["runs"][0]["run"]["claims"]) == (0, True, 3)
    assert statuses(organisation) == [("manual", "completed", 3)]

    code, again = terminal.told(path, "--write")
    assert (code, again["counts"]) == (0, {"usable": 0, "done": 3, "bad": 0})
    assert again["runs"][0]["done_in_runs"] == [1]
    assert statuses(organisation) == [("manual", "completed", 3)]

    trigger = coordinator.trigger(organisation)
    assert trigger.status_code == 200, "nothing to export"
    run_id = written["runs"][0]["run"]["run_id"]
    shown = coordinator.run(run_id).json()
    assert shown["events"][0]["actor"] == "Ingrid Vik"
    stored = httpx.get(shown["download"]["url"])
    assert stored.content == path.read_bytes()
    assert hashlib.sha256(stored.content).hexdigest() == written["list"]["sha256"]


def test_a_person_reads_tables_and_what_to_do(
    terminal: Terminal, organisation: Organisation, tmp_path: Path
) -> None:
    """Runs to be with amounts; bad rows by line; the next step in words."""
    numbers = numbers_of(organisation, organisation.add_claims(2))
    good = write_list(tmp_path / "good.csv", numbers)
    bad = write_list(tmp_path / "bad.csv", [*numbers, "2026-[/]-none"])

    code, output, complaints = terminal.backfill(good)
    assert (code, complaints) == (0, "")
    assert "200.00 NOK" in output
    assert "Utlegg på nå.csv" in output
    assert "Dry run: nothing was written. Write it with --write." in output
    code, output, _ = terminal.backfill(bad)
    assert code == 1
    assert (
        "3 rows for xledger: 2 to record, 0 already done by this list, 1 bad, 1 unknown." in output
    )
    assert "there is no such claim (unknown)" in output, "the word that docs/moving-in.md explains"
    assert "2026-[/]-none" in output, "nothing of a list is read as markup"
    assert "--write --skip-bad-rows" in output
    code, output, _ = terminal.backfill(good, "--write")
    assert (code, "Recorded 2 claims in 1 runs." in output) == (0, True)
    code, output, _ = terminal.backfill(good, "--write")
    assert (code, "2 already done by this list" in output, "Nothing to write." in output) == (
        0,
        True,
        True,
    )


def test_one_bad_row_stops_the_write(
    terminal: Terminal, organisation: Organisation, tmp_path: Path
) -> None:
    """Nothing is written, unless the bad rows are skipped on purpose; each is named by its line."""
    foreign = Organisation.create(organisation.database, "dynamics", "HLF")
    approved, twice = organisation.add_claims(2)
    draft = organisation.add_claim(status="draft")
    rows = [
        "claim_id,claim_number,exported_on,file_name",
        f"{approved},,2026-10-31,a.csv",
        f"{draft},,2026-10-31,a.csv",
        f"{foreign.add_claim()},,2026-10-31,a.csv",
        f"{twice},,2026-10-31,a.csv",
        f",{numbers_of(organisation, [twice])[0]},2026-11-01,b.csv",
        f"{approved},,31/10/2026,a.csv",
    ]
    path = tmp_path / "list.csv"
    path.write_text("\n".join(rows), encoding="utf-8")

    code, refused = terminal.told(path, "--write")
    assert (code, refused["written"]) == (1, False)
    assert [(row["line"], row["verdict"], row["detail"]) for row in refused["bad_rows"]] == [
        (3, "not_approved", None),
        (4, "foreign", None),
        (6, "duplicate", "line 5"),
        (7, "malformed", "exported_on is no date: write 2026-10-31 or 31.10.2026"),
    ]
    assert statuses(organisation) == []

    code, written = terminal.told(path, "--write", "--skip-bad-rows")
    assert (code, written["written"], len(written["bad_rows"])) == (1, True, 4)
    assert statuses(organisation) == [("manual", "completed", 2)]

    organisation.execute(
        "update public.expense_claims set status = 'approved', approved_at = now() where id = %s",
        draft,
    )
    code, later = terminal.told(path, "--write", "--skip-bad-rows")
    assert later["counts"] == {"usable": 1, "done": 2, "bad": 3}
    assert statuses(organisation) == [("manual", "completed", 2), ("manual", "completed", 1)]


def test_a_corrected_list_names_what_the_first_one_did(
    terminal: Terminal, organisation: Organisation, tmp_path: Path
) -> None:
    """Exported already, and by which run."""
    claims = numbers_of(organisation, organisation.add_claims(2))
    terminal.backfill(write_list(tmp_path / "first.csv", claims[:1]), "--write")

    code, told = terminal.told(write_list(tmp_path / "second.csv", claims))

    assert code == 1
    assert [(row["line"], row["verdict"], row["run_number"]) for row in told["bad_rows"]] == [
        (2, "exported", 1)
    ]
    assert told["counts"]["usable"] == 1


def test_a_workbook_with_several_files_becomes_several_runs(
    terminal: Terminal, organisation: Organisation, coordinator: AppUser, tmp_path: Path
) -> None:
    """One run per day and file, each with the workbook as its file; found again by either name."""
    claims = organisation.add_claims(3)
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["claim_id", "exported_on", "file_name", "voucher_number"])
    for claim, name, voucher in zip(
        claims, ("okt.csv", "nov.csv", "okt.csv"), (7001, 7002, 7003), strict=True
    ):
        sheet.append([str(claim), f"2026-{10 if name == 'okt.csv' else 11}-05", name, voucher])
    content = io.BytesIO()
    book.save(content)
    path = tmp_path / "liste.xlsx"
    path.write_bytes(content.getvalue())

    code, written = terminal.told(path, "--write")

    assert code == 0
    assert [(run["file_name"], run["run"]["claims"]) for run in written["runs"]] == [
        ("okt.csv", 2),
        ("nov.csv", 1),
    ]
    for query, runs in (("okt.csv", [1]), ("liste.xlsx", [2, 1])):
        found = find(coordinator, organisation, query)
        assert [run["run_number"] for run in found["runs"]] == runs
    [claim] = find(coordinator, organisation, "7003")["claims"]
    assert claim["claim_id"] == str(claims[2])
    assert claim["found_by"] == ["external_number"]


@pytest.mark.parametrize("is_swept", [False, True], ids=["expired", "parked"])
def test_a_killed_backfill_is_finished_by_the_next(  # noqa: PLR0913  # the scene of a crash
    stack: EmbeddedStack,
    terminal: Terminal,
    organisation: Organisation,
    proxy: FaultProxy,
    tmp_path: Path,
    *,
    is_swept: bool,
) -> None:
    """Kill -9 between the last page and the end: the same command goes on with the run that was left."""
    path = write_list(tmp_path / "list.csv", numbers_of(organisation, organisation.add_claims(3)))
    victim = Terminal(stack, organisation, proxy.url).start(path, "--write")
    proxy.before(COMPLETE, lambda: victim.send_signal(signal.SIGKILL))
    proxy.lose(COMPLETE, "refuse")
    victim.communicate()
    assert victim.returncode == -signal.SIGKILL
    assert statuses(organisation) == [("manual", "processing", None)]
    organisation.expire_lease()
    if is_swept:
        with organisation.as_service() as service:
            call(
                service,
                "take_over_export_run",
                p_organization_id=organisation.id,
                p_invocation_id=uuid4(),
            )
        assert statuses(organisation) == [("manual", "parked", None)]

    code, dry = terminal.told(path)
    assert (code, dry["counts"]["usable"]) == (0, 3)
    code, written = terminal.told(path, "--write")

    assert (code, written["runs"][0]["run"]["claims"]) == (0, 3)
    assert statuses(organisation) == [("manual", "completed", 3)]
    assert {len(runs) for runs in organisation.live_memberships().values()} == {1}


def test_lost_replies_do_no_harm(
    stack: EmbeddedStack, organisation: Organisation, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Every step may be asked for again."""
    path = write_list(tmp_path / "list.csv", numbers_of(organisation, organisation.add_claims(3)))
    for part in ("begin_export_backfill", ADD, COMPLETE, "/storage/v1/object"):
        proxy.lose(part, "cut_reply", times=1)

    code, written = Terminal(stack, organisation, proxy.url).told(path, "--write")

    assert (code, written["runs"][0]["run"]["claims"]) == (0, 3)
    assert statuses(organisation) == [("manual", "completed", 3)]


@pytest.mark.parametrize("skips", [False, True], ids=["stops", "skips"])
def test_a_claim_that_becomes_bad_meanwhile(  # noqa: PLR0913  # the scene of a race
    stack: EmbeddedStack,
    organisation: Organisation,
    terminal: Terminal,
    proxy: FaultProxy,
    tmp_path: Path,
    *,
    skips: bool,
) -> None:
    """Un-approved between check and write: its run is not made at all, or made without it."""
    claims = organisation.add_claims(3)
    path = write_list(tmp_path / "list.csv", numbers_of(organisation, claims))
    proxy.before(
        ADD,
        lambda: organisation.execute(
            "update public.expense_claims set status = 'rejected', approved_at = null where id = %s",
            claims[1],
        ),
    )
    options = ("--write", "--skip-bad-rows") if skips else ("--write",)

    code, told = Terminal(stack, organisation, proxy.url).told(path, *options)

    assert code == 1
    assert [(row["line"], row["verdict"]) for row in told["bad_rows"]] == [(3, "not_approved")]
    if skips:
        assert statuses(organisation) == [("manual", "completed", 2)]
        assert told["stopped"] is None
    else:
        assert statuses(organisation) == [("manual", "failed", None)]
        assert "Stopped" in told["stopped"]
        assert organisation.live_memberships() == {}
        assert terminal.told(path, "--write", "--skip-bad-rows")[1]["runs"][0]["run"]["claims"] == 2


def test_a_busy_organisation_is_waited_for_and_then_refused(
    terminal: Terminal, organisation: Organisation, tmp_path: Path
) -> None:
    """The sentence of the catalogue, exit code 1; once the export is done, the same command writes."""
    organisation.add_claims(1)
    with organisation.as_user(organisation.add_member()) as coordinator:
        export = begin(coordinator, organisation)
    claims = organisation.add_claims(1)
    path = write_list(tmp_path / "list.csv", numbers_of(organisation, claims))

    code, output, complaints = terminal.backfill(path, "--write", "--wait", "0", "--json")

    assert (code, output, "(lock_busy)" in complaints) == (1, "", True)
    with terminal.start(path, "--write", "--json") as patient:
        complete(organisation, export)
        output, _ = patient.communicate()
    assert (patient.returncode, json.loads(output)["runs"][0]["run"]["claims"]) == (0, 1)


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"claim_number;file_name\n1;a", "list_header"), (b"\xff\xfe1", "list_encoding")],
    ids=["header", "encoding"],
)
def test_a_list_that_cannot_be_read_is_refused(
    terminal: Terminal, tmp_path: Path, content: bytes, code: str
) -> None:
    """Two lines of complaint, no answer."""
    path = tmp_path / "list.csv"
    path.write_bytes(content)

    told = terminal.backfill(path, "--json")

    assert (told[0], told[1]) == (1, "")
    assert f"({code})" in told[2]
    assert len(told[2].splitlines()) == 2
