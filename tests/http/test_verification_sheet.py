"""POST /verification_sheet on the real stack: what an accountant signs equals what was imported."""

import csv
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import openpyxl
import pytest
from pydantic import SecretStr

from functions.services import Services
from functions.settings import Settings
from stack.embedded_stack import EmbeddedStack
from stack.functions_server import FunctionsServer
from stack.ports import free_port
from tests.http.app_user import PATIENCE_SECONDS, AppUser, sha256_of
from tests.http.fault_proxy import FaultProxy
from tests.organisation import Organisation, begin

NewUser = Callable[..., AppUser]
RECORD = "POST /rest/v1/rpc/record_export_documents"


@pytest.fixture
def run(coordinator: AppUser, organisation: Organisation) -> dict[str, Any]:
    """A completed run of three claims, one of them hostile, with one claim left out."""
    organisation.add_claim()
    organisation.add_claim([("mileage", "1740.50"), ("toll", "0.10")])
    organisation.add_claim(claimant="=1+1")
    organisation.add_claim([("helicopter", "10.00")])
    completed: dict[str, Any] = coordinator.trigger(organisation).json()["run"]
    return completed


@pytest.fixture
def accountant(new_user: NewUser, organisation: Organisation) -> AppUser:
    """She signs."""
    return new_user("accountant", organisation, name="Øystein")


def document(answer: httpx.Response, name: str) -> bytes:
    """Follow the signed link of a document, which must be what the answer says."""
    assert answer.status_code == 200, answer.text
    told = answer.json()[name]
    content = httpx.get(told["download"]["url"], timeout=PATIENCE_SECONDS)
    assert content.status_code == 200
    assert told["name"] in content.headers["content-disposition"]
    assert (sha256_of(content.content), len(content.content)) == (told["sha256"], told["size"])
    return content.content


def pages(content: bytes) -> dict[str, list[tuple[Any, ...]]]:
    """Every page without its headings."""
    book = openpyxl.load_workbook(io.BytesIO(content))
    return {sheet.title: list(sheet.iter_rows(values_only=True))[1:] for sheet in book}


def rows_of(organisation: Organisation) -> list[tuple[Any, ...]]:
    """What the database knows of documents."""
    return organisation.execute(
        "select kind, sha256 from public.export_run_documents where organization_id = %s order by kind",
        organisation.id,
    )


def objects_of(organisation: Organisation) -> list[str]:
    """What lies in the bucket."""
    rows = organisation.execute(
        "select name from storage.objects where name like %s order by name", f"{organisation.id}/%"
    )
    return [row[0] for row in rows]


def test_the_sheet_equals_the_file(accountant: AppUser, run: dict[str, Any]) -> None:
    """Totals, hash and every line of the sheet are those of the bytes that the run's link serves."""
    file = accountant.download(run["run_id"]).content
    lines = list(csv.reader(io.StringIO(file.decode("utf-8-sig")), delimiter=";"))
    amounts = [Decimal(line[32]) for line in lines]
    debit = sum(amount for amount in amounts if amount > 0)

    answer = accountant.sheet(run["run_id"], language="en")
    sheet = pages(document(answer, "verification_sheet"))

    facts = {row[0]: row[1] for row in sheet["Summary"]}
    assert (facts["SHA-256"], facts["Bytes"]) == (sha256_of(file), len(file))
    assert facts["File"] == run["file"]["name"]
    assert (facts["Organisation"], facts["Triggered by"]) == ("Blindeforbundet", "Kåre Åsen")
    assert (facts["Claims in the file"], facts["Claims left out"]) == (3, 1)
    [control] = [row for row in sheet["Summary"] if row[0] == "NOK"]
    assert [str(Decimal(str(total))) for total in control[1:]] == ["2552.6", "2552.6", "2552.6"]
    assert debit == Decimal("2552.60")
    assert len(sheet["Vouchers"]) == len(lines) == facts["Journal lines"]
    assert {row[7] for row in sheet["Vouchers"]} == {"Åse Ødegård", "=1+1"}
    [left_out] = sheet["Left out"]
    assert left_out[1] == "There is no account for the expense type."
    assert left_out[3] == "lines[1].expense_type"


def test_the_manifest_can_be_had_again_from_the_file(
    accountant: AppUser, run: dict[str, Any]
) -> None:
    """Counts, sums, hash, format and version, run and number."""
    file = accountant.download(run["run_id"]).content
    lines = list(csv.reader(io.StringIO(file.decode("utf-8-sig")), delimiter=";"))
    amounts = [Decimal(line[32]) for line in lines]

    manifest = json.loads(document(accountant.sheet(run["run_id"]), "manifest"))

    assert manifest["file_sha256"] == sha256_of(file)
    assert manifest["row_count"] == len(lines)
    assert manifest["voucher_count"] == len({line[4] for line in lines}) == 3
    assert manifest["sum_debit"]["NOK"] == str(sum(amount for amount in amounts if amount > 0))
    assert manifest["sum_credit"]["NOK"] == str(-sum(amount for amount in amounts if amount < 0))
    assert (manifest["format"], manifest["layout_version"]) == ("xledger_gl02b", 1)
    assert (manifest["run_id"], manifest["run_number"]) == (run["run_id"], run["run_number"])


def test_asking_again_finds_the_same_and_another_language_makes_one_more(
    accountant: AppUser, organisation: Organisation, run: dict[str, Any]
) -> None:
    """Norwegian unless asked otherwise; the manifest is one, and export_run names all three."""
    first, again = (accountant.sheet(run["run_id"]).json() for _ in range(2))
    english = accountant.sheet(run["run_id"], language="en").json()

    name = "verification_sheet"
    assert first[name]["kind"] == "verification_sheet_nb"
    assert first[name]["name"].endswith("-kontrollark.xlsx")
    assert first[name]["sha256"] == again[name]["sha256"] != english[name]["sha256"]
    assert first["manifest"]["sha256"] == english["manifest"]["sha256"]
    kinds = ["manifest", "verification_sheet_en", "verification_sheet_nb"]
    assert [kind for kind, _ in rows_of(organisation)] == kinds
    told = accountant.run(run["run_id"]).json()["documents"]
    assert [document["kind"] for document in told] == kinds
    assert "path" not in told[0]


def test_everybody_at_once_gets_the_same(
    accountant: AppUser, organisation: Organisation, run: dict[str, Any]
) -> None:
    """Of six requests at the same moment none fails, and one row and one object of each is left."""
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: accountant.sheet(run["run_id"]), range(6)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["verification_sheet"]["sha256"] for answer in answers}) == 1
    assert len(rows_of(organisation)) == 2
    assert len(objects_of(organisation)) == 3


def test_whoever_dies_before_the_row_is_repaired_by_the_next(
    accountant: AppUser,
    proxied_door: httpx.Client,
    proxy: FaultProxy,
    organisation: Organisation,
    run: dict[str, Any],
) -> None:
    """Objects without rows are nobody's to read and no red finding; the next request finds them again."""
    proxy.lose(RECORD, "refuse")
    died = accountant.at(proxied_door).sheet(run["run_id"])
    assert (died.status_code, rows_of(organisation)) == (503, [])
    left = objects_of(organisation)
    assert len(left) == 3
    [[red]] = organisation.execute(
        "select count(*) from public.reconcile_exports(%s) where what like 'red%%'", organisation.id
    )
    assert red == 0

    document(accountant.sheet(run["run_id"]), "verification_sheet")

    assert objects_of(organisation) == left


def test_a_lost_reply_of_the_record_changes_nothing(
    accountant: AppUser,
    proxied_door: httpx.Client,
    proxy: FaultProxy,
    organisation: Organisation,
    run: dict[str, Any],
) -> None:
    proxy.lose(RECORD, "cut_reply", times=1)

    answer = accountant.at(proxied_door).sheet(run["run_id"])

    assert (answer.status_code, len(rows_of(organisation))) == (200, 2)


def test_strangers_members_and_nobody_get_no_sheet(
    new_user: NewUser, organisation: Organisation, run: dict[str, Any], door: httpx.Client
) -> None:
    """Foreign, unknown and forbidden runs look alike, and nothing is made for them."""
    stranger, member = new_user(), new_user("member", organisation)
    admin_elsewhere = new_user("admin", Organisation.create(organisation.database, name="HLF"))

    answers = [
        stranger.sheet(run["run_id"]),
        member.sheet(run["run_id"]),
        admin_elsewhere.sheet(run["run_id"]),
        member.sheet(uuid4()),
    ]
    nobody = door.post("/verification_sheet", json={"run_id": run["run_id"]})

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (404, "run_not_found")
    ] * 4
    assert (nobody.status_code, nobody.json()["code"]) == (401, "not_authenticated")
    assert rows_of(organisation) == []


@pytest.mark.parametrize("role", ["coordinator", "accountant", "admin"])
def test_staff_gets_the_sheet(
    new_user: NewUser, organisation: Organisation, run: dict[str, Any], role: str
) -> None:
    document(new_user(role, organisation).sheet(run["run_id"]), "verification_sheet")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "run_id"),
        ({"run_id": "x"}, "run_id"),
        ({"run_id": str(uuid4()), "language": "sv"}, "language"),
        ({"run_id": str(uuid4()), "more": 1}, "more"),
    ],
)
def test_a_wrong_question_is_refused_by_field(
    coordinator: AppUser, body: dict[str, Any], field: str
) -> None:
    answer = coordinator.door.post("/verification_sheet", json=body, headers=coordinator.login)

    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_what_has_no_file_has_no_sheet(
    coordinator: AppUser, accountant: AppUser, organisation: Organisation
) -> None:
    """A run under way, a failed one, and one that was exported by hand: each says why not."""
    organisation.add_claim()
    with organisation.as_user(coordinator.account.user_id) as connection:
        run_id = begin(connection, organisation)["run"]["run_id"]
    under_way = accountant.sheet(run_id)
    organisation.execute("select public.fail_export_run_by_admin(%s, 'Stuck', 'Kari')", run_id)
    failed = accountant.sheet(run_id)
    [[manual_id]] = organisation.execute(
        "select public.create_export_run(%s, null, 'xledger_gl02b', 'manual') ->> 'run_id'",
        organisation.id,
    )
    manual = accountant.sheet(manual_id)

    assert [(answer.status_code, answer.json()["code"]) for answer in (under_way, failed)] == [
        (409, "run_has_no_file")
    ] * 2
    assert (manual.status_code, manual.json()["code"]) == (409, "run_is_manual")


def test_what_became_of_the_run_since_does_not_change_the_sheet(
    accountant: AppUser, new_user: NewUser, organisation: Organisation, run: dict[str, Any]
) -> None:
    """A refused voucher and a voided run were in the file, and the file is what the sheet is of."""
    admin = new_user("admin", organisation)
    [[number]] = organisation.execute(
        "select min(voucher_number) from public.export_run_claims where run_id = %s and outcome = 'included'",
        run["run_id"],
    )
    refused = accountant.door.post(
        "/confirm_export",
        json={
            "run_id": run["run_id"],
            "outcome": "refused",
            "vouchers": [{"voucher_number": number}],
        },
        headers=accountant.login,
    )
    assert refused.status_code == 200, refused.text
    organisation.execute(
        "update public.expense_claims set purpose = 'Other', claimant_name = 'Other' where organization_id = %s",
        organisation.id,
    )
    sheet = pages(document(accountant.sheet(run["run_id"], language="en"), "verification_sheet"))
    assert len({row[0] for row in sheet["Vouchers"]}) == 3
    assert "Other" not in {row[7] for row in sheet["Vouchers"]}

    voided = admin.door.post(
        "/void_export", json={"run_id": run["run_id"], "reason": "Wrong"}, headers=admin.login
    )
    assert voided.status_code == 200, voided.text
    after = pages(document(accountant.sheet(run["run_id"], language="nb"), "verification_sheet"))
    assert len(after["Bilag"]) == len(sheet["Vouchers"])


def test_a_reversing_run_has_a_sheet_that_names_what_it_takes_back(
    new_user: NewUser, organisation: Organisation, run: dict[str, Any]
) -> None:
    admin = new_user("admin", organisation)
    reversal = admin.door.post(
        "/void_export",
        json={"run_id": run["run_id"], "reason": "Wrong", "imported": True},
        headers=admin.login,
    ).json()["run"]

    sheet = pages(document(admin.sheet(reversal["run_id"], language="en"), "verification_sheet"))

    facts = {row[0]: row[1] for row in sheet["Summary"]}
    assert facts["Takes back run"] == run["run_number"]
    assert {row[2] for row in sheet["Vouchers"]} == {"Reversal"}
    assert {Decimal(str(row[4])) for row in sheet["Claimants"]} == {
        Decimal(-406),
        Decimal("-2146.6"),
    }


def forge(organisation: Organisation, run_id: str) -> None:
    """Let the frozen configuration be another than the file was made with: above all triggers."""
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute(
            "update public.export_runs set configuration = jsonb_set(configuration, '{settings,voucher_type}', '\"XX\"')"
            " where id = %s",
            [run_id],
        )


def test_a_sheet_of_other_bytes_is_never_made(
    accountant: AppUser, organisation: Organisation, run: dict[str, Any]
) -> None:
    """When rendering again does not give the file, the answer says so and nothing is stored."""
    forge(organisation, run["run_id"])

    answer = accountant.sheet(run["run_id"])

    assert (answer.status_code, answer.json()["code"]) == (409, "sheet_not_reproducible")
    assert (rows_of(organisation), len(objects_of(organisation))) == ([], 1)


def test_a_layout_that_is_shipped_no_more_is_no_obstacle(
    accountant: AppUser, organisation: Organisation, run: dict[str, Any]
) -> None:
    """The layout that was used stands on the run; what the configuration says of it is not asked."""
    with organisation.database.connect("supabase_admin") as superuser:
        superuser.execute("set session_replication_role = replica")
        superuser.execute(
            'update public.export_runs set configuration = configuration || \'{"layout": {"name": "x"}}\' where id = %s',
            [run["run_id"]],
        )

    document(accountant.sheet(run["run_id"]), "verification_sheet")


@pytest.fixture(scope="module")
def sweeper(stack: EmbeddedStack, scratch_directory: Path) -> Iterator[FunctionsServer]:
    """The entry point `sweep` in a process of its own."""
    environment = {**stack.functions_environment, "EXPORT_SHEET_LANGUAGE": "en"}
    server = FunctionsServer(
        scratch_directory / "sheet-sweep", free_port(), environment, target="sweep"
    )
    try:
        server.start()
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def sweep_until(sweeper: FunctionsServer, holds: Callable[[], bool]) -> None:
    """Other tests leave runs behind that want their sheets too; some sweeps reach ours."""
    for _ in range(20):
        answer = httpx.post(sweeper.url, timeout=PATIENCE_SECONDS)
        assert answer.status_code == 200, answer.text
        if holds():
            return
    raise AssertionError("no sweep did it")


def test_a_sweep_makes_what_nobody_asked_for(
    sweeper: FunctionsServer, accountant: AppUser, organisation: Organisation, run: dict[str, Any]
) -> None:
    """Beside each file lie its sheet, in the language that is set, and its manifest."""
    sweep_until(sweeper, lambda: len(rows_of(organisation)) == 2)

    kinds = [told["kind"] for told in accountant.run(run["run_id"]).json()["documents"]]
    assert kinds == ["manifest", "verification_sheet_en"]
    assert (
        organisation.execute(
            "select run_id from public.export_documents_due where organization_id = %s",
            organisation.id,
        )
        == []
    )


def test_a_sweep_gives_up_what_cannot_be_made_and_goes_on(
    sweeper: FunctionsServer, coordinator: AppUser, organisation: Organisation, run: dict[str, Any]
) -> None:
    """The reason stays, and the next run gets its sheet."""
    forge(organisation, run["run_id"])
    organisation.add_claim()
    other = coordinator.trigger(organisation).json()["run"]

    sweep_until(sweeper, lambda: len(rows_of(organisation)) == 2)

    due = "select run_id::text, problem_code from public.export_documents_due where organization_id = %s"
    assert organisation.execute(due, organisation.id) == [(run["run_id"], "sheet_not_reproducible")]
    [[made]] = organisation.execute(
        "select distinct run_id::text from public.export_run_documents where organization_id = %s",
        organisation.id,
    )
    assert made == other["run_id"]


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever makes a sheet in this process leaves no temporary file behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("nothing_left")
async def test_storage_that_is_away_costs_a_try_and_not_the_sheet(
    stack: EmbeddedStack, proxy: FaultProxy, organisation: Organisation, run: dict[str, Any]
) -> None:
    """What passes is tried again by a later sweep: no problem is written down."""
    told = stack.functions_environment
    services = Services.of(
        Settings(
            supabase_url=proxy.url,
            supabase_publishable_key=told["SUPABASE_PUBLISHABLE_KEY"],
            supabase_secret_key=SecretStr(told["SUPABASE_SECRET_KEY"]),
            export_retry_seconds=0.2,
        )
    )
    proxy.lose("POST /storage/v1/object/exports/", "gateway_page")
    # Ours first, whatever other tests left.
    organisation.execute(
        "update public.export_documents_due set due_at = '-infinity' where run_id = %s",
        run["run_id"],
    )

    outcomes = await services.documents.work_until(time.monotonic() + 1)

    assert set(outcomes) == {"stopped"}
    assert organisation.execute(
        "select tries, problem_code from public.export_documents_due where run_id = %s",
        run["run_id"],
    ) == [(1, None)]
    await services.connection.aclose()


def test_a_sheet_of_several_pages_of_members(
    coordinator: AppUser, accountant: AppUser, organisation: Organisation
) -> None:
    """Claims beyond one page are all there."""
    organisation.add_claims(2_300)
    run = coordinator.trigger(organisation).json()["run"]

    sheet = pages(document(accountant.sheet(run["run_id"], language="en"), "verification_sheet"))

    assert len(sheet["Vouchers"]) == 4_600
    assert sum(row[2] for row in sheet["Claimants"]) == 2_300
