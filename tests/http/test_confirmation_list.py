"""A list from the accounting system, sent as CSV or typed at the command line."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from stack.embedded_stack import EmbeddedStack
from stack.functions_server import CHECKOUT
from tests.http.app_user import AppUser
from tests.organisation import Organisation, begin, call, complete

NewUser = Callable[..., AppUser]


@pytest.fixture
def accountant(new_user: NewUser, organisation: Organisation) -> AppUser:
    """She gets the list."""
    return new_user("accountant", organisation, name="Øystein")


@pytest.fixture
def run_id(coordinator: AppUser, organisation: Organisation) -> str:
    """A completed run of three claims, vouchers 1 to 3."""
    for _ in range(3):
        organisation.add_claim()
    identifier: str = coordinator.trigger(organisation).json()["run"]["run_id"]
    return identifier


def send(
    user: AppUser, run_id: str, content: str | bytes, content_type: str = "text/csv"
) -> httpx.Response:
    """Send a list as the user."""
    headers = {**user.login, "Accept-Language": "en", "Content-Type": content_type}
    return user.door.post(
        "/confirm_export", params={"run_id": run_id}, content=content, headers=headers
    )


def said(organisation: Organisation) -> list[tuple[int | None, str, str | None, str]]:
    """What was recorded, by voucher."""
    return organisation.execute(
        "select voucher_number, outcome, external_number, actor from public.export_confirmations"
        " where organization_id = %s order by voucher_number, id",
        organisation.id,
    )


LIST = "voucher_number;outcome;external_number;note\r\n1;booked;B17;Sjekket\r\n2;refused;;\r\n3;imported;;\r\n"
RECORDED = [
    (1, "booked", "B17", "Øystein"),
    (2, "refused", None, "Øystein"),
    (3, "imported", None, "Øystein"),
]


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (LIST, "text/csv"),
        ("\ufeff" + LIST.replace(";", ","), "text/csv; charset=utf-8"),
        (LIST.replace("outcome", "Utfall").replace("booked", "bokført"), 'Text/CSV;charset="UTF-8"'),
    ],
)  # fmt: skip
def test_a_list_is_recorded(
    accountant: AppUser, organisation: Organisation, run_id: str, content: str, content_type: str
) -> None:
    """Each voucher its outcome, in one request; the same list again records nothing."""
    first = send(accountant, run_id, content.encode(), content_type)
    again = send(accountant, run_id, content.encode(), content_type)

    assert first.status_code == 200, first.text
    assert (first.json()["recorded"], first.json()["vouchers"]) == (3, 3)
    assert (again.status_code, again.json()["recorded"]) == (200, 0)
    assert first.json()["run"]["run_id"] == run_id
    assert said(organisation) == RECORDED
    [[freed]] = organisation.execute(
        "select count(*) from public.export_run_claims where run_id = %s and outcome = 'refused'",
        run_id,
    )
    assert freed == 1


def test_columns_of_the_accounting_system_are_ignored(
    accountant: AppUser, organisation: Organisation, run_id: str
) -> None:
    """Dates and amounts do no harm, and the answer names what was not used."""
    answer = send(accountant, run_id, b"Dato;Bilagsnummer;Utfall\n2026-11-02;1;importert\n")

    assert (answer.status_code, answer.json()["ignored_columns"]) == (200, ["Dato"])
    assert said(organisation) == [(1, "imported", None, "Øystein")]


def test_every_bad_line_is_named_at_once(
    accountant: AppUser, organisation: Organisation, run_id: str
) -> None:
    """400 with line and column of each fault; nothing is recorded."""
    answer = send(accountant, run_id, "voucher_number;outcome\n1;booked\n\nx;paid\n1;refused\n3\n")

    assert (answer.status_code, answer.json()["code"]) == (400, "confirmation_list_malformed")
    assert [(error["field"], error["message"]) for error in answer.json()["errors"]] == [
        ("lines[4].voucher_number", "Must be one of our voucher numbers."),
        ("lines[4].outcome", "Must be imported, booked or refused."),
        ("lines[5].voucher_number", "The voucher is in the list already."),
        ("lines[6]", "The line has not as many cells as the header."),
    ]
    assert said(organisation) == []


def test_another_encoding_is_400_with_its_line(accountant: AppUser, run_id: str) -> None:
    content = "voucher_number;outcome\n1;booked\n2;bokført\n".encode("cp1252")

    answer = send(accountant, run_id, content)

    assert (answer.status_code, answer.json()["code"]) == (400, "confirmation_list_malformed")
    assert [error["field"] for error in answer.json()["errors"]] == ["lines[3]"]


def test_a_list_with_a_voucher_that_is_not_in_the_run_records_nothing(
    accountant: AppUser, organisation: Organisation, run_id: str
) -> None:
    answer = send(accountant, run_id, LIST + "99;booked;;\r\n")

    assert (answer.status_code, answer.json()["code"]) == (422, "vouchers_not_in_run")
    assert answer.json()["errors"][0]["note"] == "Not in the file of this run: 99."
    assert said(organisation) == []


@pytest.mark.parametrize(
    ("content_type", "status", "code"),
    [
        ("text/csv; charset=iso-8859-1", 415, "unsupported_media_type"),
        ("text/plain", 415, "unsupported_media_type"),
        ("application/json", 400, "malformed_json"),
    ],
)
def test_other_content_types_are_refused(
    accountant: AppUser, run_id: str, content_type: str, status: int, code: str
) -> None:
    answer = send(accountant, run_id, LIST, content_type)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("query", "field"),
    [("", "run_id"), ("run_id=7", "run_id"), ("run_id={run}&outcome=booked", "outcome")],
)
def test_the_run_is_named_in_the_query(
    accountant: AppUser, organisation: Organisation, run_id: str, query: str, field: str
) -> None:
    answer = accountant.door.post(
        f"/confirm_export?{query.format(run=run_id)}",
        content=LIST,
        headers={**accountant.login, "Content-Type": "text/csv"},
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert said(organisation) == []


def test_a_list_that_is_too_large_is_413(accountant: AppUser, run_id: str) -> None:
    answer = send(accountant, run_id, LIST + "\r\n" * 1_000_000)

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("role", "status", "code"),
    [("coordinator", 403, "not_allowed"), ("member", 404, "run_not_found")],
)
def test_only_who_keeps_the_books_sends_a_list(  # noqa: PLR0913, PLR0917 - fixtures
    new_user: NewUser, organisation: Organisation, run_id: str, role: str, status: int, code: str
) -> None:
    answer = send(new_user(role, organisation), run_id, LIST)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert said(organisation) == []


def command(
    stack: EmbeddedStack, *arguments: object, language: str = "en_US.UTF-8"
) -> subprocess.CompletedProcess[str]:
    """`python -m cli confirm ...` with the stack's addresses."""
    environment = {**os.environ, **stack.functions_environment, "LC_ALL": language}
    return subprocess.run(  # noqa: S603  # our own command line
        [sys.executable, "-m", "cli", "confirm", *map(str, arguments)],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def list_file(tmp_path: Path) -> Path:
    """The list, as the accountant saved it."""
    path = tmp_path / "liste.csv"
    path.write_text(LIST, encoding="utf-8-sig")
    return path


def test_command_checks_then_records(
    stack: EmbeddedStack, organisation: Organisation, run_id: str, list_file: Path
) -> None:
    """A dry run records nothing, the command records the list under the name given, and again nothing."""
    checked = command(stack, run_id, list_file, "--dry-run", "--actor", "Øystein")
    assert said(organisation) == []
    recorded = command(stack, run_id, list_file, "--actor", "Øystein")
    again = command(stack, run_id, list_file, "--actor", "Øystein", "--json")

    assert [done.returncode for done in (checked, recorded, again)] == [0, 0, 0], checked.stderr
    assert checked.stdout.endswith("3 of 3 vouchers would be news; nothing was recorded.\n")
    assert recorded.stdout.endswith("3 of 3 vouchers were news.\n")
    assert json.loads(again.stdout) == {
        "run_id": run_id,
        "run_number": 1,
        "recorded": 0,
        "vouchers": 3,
        "outcomes": {"imported": 1, "booked": 1, "refused": 1},
        "ignored_columns": [],
        "dry_run": False,
    }
    assert said(organisation) == RECORDED


def test_command_confirms_a_whole_run(
    stack: EmbeddedStack, organisation: Organisation, run_id: str
) -> None:
    first = command(stack, run_id, "--outcome", "booked", "--actor", "Øystein")
    again = command(stack, run_id, "--outcome", "booked", "--actor", "Øystein", "--json")

    assert (first.returncode, first.stdout) == (0, "Run 1: booked, recorded.\n")
    assert json.loads(again.stdout)["recorded"] == 0
    assert said(organisation) == [(None, "booked", None, "Øystein")]


def test_command_names_every_bad_line(
    stack: EmbeddedStack, organisation: Organisation, run_id: str, tmp_path: Path
) -> None:
    """Exit code 1, a table for a person and JSON for a script; nothing is recorded."""
    bad = tmp_path / "bad.csv"
    bad.write_text("bilagsnummer;utfall\n1;betalt\nx;bokført\n", encoding="utf-8")

    told = command(stack, run_id, bad, language="nb_NO.UTF-8")
    as_json = command(stack, run_id, bad, "--json")

    assert (told.returncode, told.stdout, as_json.returncode) == (1, "", 1)
    assert "Må være et av våre bilagsnumre." in told.stderr
    assert "(confirmation_list_malformed)" in told.stderr
    assert [
        (p["line"], p["column"], p["code"]) for p in json.loads(as_json.stdout)["problems"]
    ] == [(2, "outcome", "not_an_outcome"), (3, "voucher_number", "not_a_voucher_number")]
    assert said(organisation) == []


def test_command_tells_what_the_database_refuses(
    stack: EmbeddedStack, run_id: str, tmp_path: Path
) -> None:
    """A voucher of another run ends with exit code 1, the sentence, and which voucher it is."""
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("voucher_number;outcome\n99;booked\n", encoding="utf-8")

    refused = command(stack, run_id, wrong)

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "(vouchers_not_in_run)" in refused.stderr
    assert "Not in the file of this run: 99." in refused.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("{run}",),
        ("{run}", "{list}", "--outcome", "booked"),
        ("{run}", "--outcome", "paid"),
        ("{run}", "--outcome", "booked", "--dry-run"),
        ("{run}", "missing.csv"),
        ("7", "{list}"),
    ],
)
def test_command_line_that_cannot_be_read_ends_with_two(
    stack: EmbeddedStack,
    organisation: Organisation,
    run_id: str,
    list_file: Path,
    arguments: tuple[str, ...],
) -> None:
    done = command(stack, *(a.format(run=run_id, list=list_file) for a in arguments))

    assert (done.returncode, done.stdout) == (2, "")
    assert said(organisation) == []


@pytest.fixture
def large_run(organisation: Organisation) -> str:
    """A completed run of 2,500 vouchers: more than the database takes at once."""
    organisation.add_claims(2500)
    with organisation.as_user(organisation.add_member()) as coordinator:
        begun = begin(coordinator, organisation)
    with organisation.as_service() as service:
        begun["claims"] += call(
            service,
            "reserve_export_page",
            p_run_id=begun["run"]["run_id"],
            p_fencing_token=begun["fencing_token"],
            p_after_position=2000,
        )["claims"]
    identifier: str = complete(organisation, begun)["run"]["run_id"]
    return identifier


def test_a_long_list_is_checked_as_a_whole_first(
    accountant: AppUser, organisation: Organisation, large_run: str
) -> None:
    """A fault on its last page records nothing of the first; without it all pages are recorded."""
    good = "voucher_number;outcome\n" + "".join(f"{n};booked\n" for n in range(1, 2501))

    bad = send(accountant, large_run, good + "9999;booked\n")
    assert (bad.status_code, bad.json()["code"]) == (422, "vouchers_not_in_run")
    assert said(organisation) == []
    answer = send(accountant, large_run, good)

    assert (answer.status_code, answer.json()["recorded"]) == (200, 2500)
    assert len(said(organisation)) == 2500
    assert send(accountant, large_run, good).json()["recorded"] == 0
