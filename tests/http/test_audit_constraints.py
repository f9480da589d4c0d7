"""The audit trail's constraints, one test or more for each id in docs/audit-trail.md, on the real stack.

XA07 to XA10 (mileage, receipts, rates, the yearly limit) are the app's that captures claims: the
engine sees what was approved.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from exporters.run_renderer import RENDERER_VERSION
from stack.embedded_stack import EmbeddedStack
from tests.http.app_user import PATIENCE_SECONDS, AppUser, sha256_of
from tests.organisation import APPROVED_AT, Organisation
from tests.unit.identity_numbers import SYNTHETIC

NewUser = Callable[..., AppUser]

MORE_THAN_A_PAGE = 2003
# Where the accounting system keeps the claim number, counted from 0: InvoiceNo; External Document
# No., in capitals and followed by the number of the claim's line.
KEPT_FIELD = {"xledger": 23, "dynamics": 3}
HEADER_LINES = {"xledger": 0, "dynamics": 1}


@dataclass(frozen=True)
class Exported:
    """A completed run, its file as it was downloaded, and the claims of the organisation."""

    organisation: Organisation
    coordinator: AppUser
    run: dict[str, Any]
    content: bytes
    claim_ids: list[UUID]

    @property
    def lines(self) -> list[str]:
        """As an editor shows them, the first being line 1; what follows the last line end is none."""
        return self.content.decode().removesuffix("\r\n").split("\r\n")

    def passport(self, claim_id: UUID | str) -> dict[str, Any]:
        """Where a claim stands."""
        return passports(self.coordinator, claim_id)[0]

    def at(self, line: int) -> httpx.Response:
        """The way back from a line of the file."""
        return self.coordinator.door.get(
            "/export_run",
            params={"run_id": self.run["run_id"], "line": str(line)},
            headers={**self.coordinator.login, "Accept-Language": "en"},
        )


def passports(user: AppUser, *claim_ids: UUID | str) -> list[dict[str, Any]]:
    """Where claims stand."""
    answer = user.door.get(
        "/claim_status",
        params=[("claim_id", str(claim_id)) for claim_id in claim_ids],
        headers={**user.login, "Accept-Language": "en"},
    )
    assert answer.status_code == 200, answer.text
    claims: list[dict[str, Any]] = answer.json()["claims"]
    return claims


def void(admin: AppUser, run_id: str, **more: object) -> dict[str, Any]:
    """Take a run back."""
    body = {"run_id": run_id, "reason": "Wrong period.", **more}
    answer = admin.door.post("/void_export", json=body, headers=admin.login)
    assert answer.status_code < 300, answer.text
    told: dict[str, Any] = answer.json()
    return told


def export(coordinator: AppUser, organisation: Organisation, claim_ids: list[UUID]) -> Exported:
    """Export what is approved, and open the file."""
    answer = coordinator.trigger(organisation)
    assert answer.status_code == 201, answer.text
    run = answer.json()["run"]
    content = coordinator.download(run["run_id"]).content
    return Exported(organisation, coordinator, run, content, claim_ids)


@pytest.fixture(params=["xledger", "dynamics"])
def exported(request: pytest.FixtureRequest, stack: EmbeddedStack, new_user: NewUser) -> Exported:
    """An export of claims of one to four lines, one of them left out, for either target."""
    organisation = Organisation.create(stack.database, request.param)
    claim_ids = [
        organisation.add_claim([("mileage", "350.00"), ("toll", "56.00"), ("train", "99.50")]),
        organisation.add_claim([("receipt", "12.34")]),
        organisation.add_claim([("helicopter", "9000.00")]),
        organisation.add_claim([("toll", "-20.00")]),
        organisation.add_claim([("parking", "1.00")] * 4),
    ]
    return export(new_user("coordinator", organisation, name="Kåre Åsen"), organisation, claim_ids)


def members_of(exported: Exported) -> list[tuple[Any, ...]]:
    """(claim, its number) of what the run holds, in order of position."""
    return exported.organisation.execute(
        "select claim_id, document ->> 'claim_number' from public.export_run_claims"
        " where run_id = %s and outcome = 'included' order by position",
        exported.run["run_id"],
    )


def test_xa01_every_line_carries_the_claim_number_where_the_target_keeps_it(
    exported: Exported,
) -> None:
    """Opened and split by hand, each line of a voucher names its claim in the kept field."""
    column = KEPT_FIELD[exported.run["target"]]
    numbers = {number.upper() for _, number in members_of(exported)}

    lines = exported.lines[HEADER_LINES[exported.run["target"]] :]
    kept = [line.split(";")[column].upper() for line in lines]

    assert len(kept) == exported.run["line_count"]
    assert {next(n for n in numbers if n in field) for field in kept} == numbers
    assert all(any(number in field for number in numbers) for field in kept)


def test_xa01_from_the_claim_to_run_hash_voucher_and_lines(exported: Exported) -> None:
    """The passport leads to the file, and its lines are the claim's, all of them and no others."""
    column = KEPT_FIELD[exported.run["target"]]
    for claim_id, number in members_of(exported):
        passport = exported.passport(claim_id)

        assert passport["run"]["run_id"] == exported.run["run_id"]
        assert passport["file_sha256"] == sha256_of(exported.content)
        lines = range(passport["lines"]["first"], passport["lines"]["last"] + 1)
        named = [
            n
            for n, line in enumerate(exported.lines, 1)
            if number.upper() in line.split(";")[column].upper()
        ]
        assert named == list(lines)
        voucher_column = 4 if exported.run["target"] == "xledger" else 2
        vouchers = {exported.lines[n - 1].split(";")[voucher_column] for n in lines}
        assert vouchers == {str(passport["voucher_number"])}
        assert passport["backfilled"] is False


def test_xa01_from_every_line_back_to_the_claim(exported: Exported) -> None:
    """Whatever line of the file one points at, the run names the claim that stands on it."""
    column, header = KEPT_FIELD[exported.run["target"]], HEADER_LINES[exported.run["target"]]
    for number, line in enumerate(exported.lines[header:], header + 1):
        answer = exported.at(number)

        assert answer.status_code == 200, answer.text
        claim = answer.json()["claim_at_line"]
        assert claim["claim_number"].upper() in line.split(";")[column].upper()
        assert exported.passport(claim["claim_id"])["lines"] == claim["lines"]
        assert number == claim["lines"]["first"] + claim["voucher_line"] - 1


def test_xa01_a_line_without_a_claim_is_said_to_be_one(exported: Exported) -> None:
    """The header, zero and what lies behind the file: 404 naming the field, in both languages."""
    header = HEADER_LINES[exported.run["target"]]
    for line in (0, header, len(exported.lines) + 1):
        answer = exported.at(line)
        assert (answer.status_code, answer.json()["code"]) == (404, "line_not_found")
        assert answer.json()["detail"] == "No voucher stands on this line of the file."
        assert [error["field"] for error in answer.json()["errors"]] == ["line"]


@pytest.mark.parametrize("line", ["x", "-1", "1.5", ""])
def test_xa01_what_is_no_line_number_is_refused(exported: Exported, line: str) -> None:
    """Named as what it is."""
    answer = exported.at(line)  # type: ignore[arg-type]

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
    assert [error["field"] for error in answer.json()["errors"]] == ["line"]


def test_xa01_lines_are_right_over_pages(coordinator: AppUser, organisation: Organisation) -> None:
    """In a run of two pages with claims left out of each, first, last and middle claims are where they say."""
    organisation.add_claim([("helicopter", "9.00")])
    claim_ids = organisation.add_claims(MORE_THAN_A_PAGE)
    organisation.execute(
        "update public.expense_claim_lines set expense_type = 'helicopter' where claim_id = %s",
        claim_ids[-2],
    )
    exported = export(coordinator, organisation, claim_ids)
    asked = [claim_ids[n] for n in (0, 1, 1000, 1997, 1998, 1999, 2000, 2001, 2002)]

    told = passports(coordinator, *asked)

    assert [claim["lines"] is None for claim in told] == [False] * 7 + [True, False]
    for claim in told:
        if claim["lines"]:
            lines = exported.lines[claim["lines"]["first"] - 1 : claim["lines"]["last"]]
            assert len(lines) == 2
            assert {line.split(";")[23] for line in lines} == {claim["claim_number"]}
    assert told[-1]["lines"]["last"] == len(exported.lines) == exported.run["line_count"]
    middle = exported.at(told[2]["lines"]["last"]).json()["claim_at_line"]
    assert middle["claim_id"] == told[2]["claim_id"]


def test_xa02_a_voided_claim_is_exported_again_by_a_run_that_says_so(
    exported: Exported, new_user: NewUser
) -> None:
    """Never in two runs that count; the passport lists both, and each membership says what became of it."""
    organisation, claim_id = exported.organisation, exported.claim_ids[0]
    void(new_user("admin", organisation), exported.run["run_id"])

    again = export(exported.coordinator, organisation, exported.claim_ids)

    passport = again.passport(claim_id)
    assert [m["run"]["status"] for m in passport["memberships"]] == ["completed", "voided"]
    assert [m["run"]["run_id"] for m in passport["memberships"]] == [
        again.run["run_id"],
        exported.run["run_id"],
    ]
    assert len({m["voucher_number"] for m in passport["memberships"]}) == 2
    live = organisation.live_memberships()
    assert {len(runs) for runs in live.values()} == {1}
    assert again.run["run_number"] == exported.run["run_number"] + 1


def test_xa02_a_reversed_claim_is_exported_again_by_a_run_that_references_the_old_one(
    exported: Exported, new_user: NewUser
) -> None:
    """Entry, reversal and new entry: three logged runs, each with its own lines, and the claim counts once."""
    organisation, claim_id = exported.organisation, exported.claim_ids[0]
    back = void(new_user("admin", organisation), exported.run["run_id"], imported=True)["run"]
    again = export(exported.coordinator, organisation, exported.claim_ids)

    assert back["reverses_run_id"] == exported.run["run_id"]
    runs = exported.coordinator.door.get(
        "/claim_runs", params={"claim_id": str(claim_id)}, headers=exported.coordinator.login
    ).json()["runs"]
    assert [(r["membership"]["kind"], r["membership"]["generation"]) for r in runs] == [
        ("entry", 1),
        ("reversal", 1),
        ("entry", 2),
    ]
    number = exported.passport(claim_id)["claim_number"]
    for run in runs:
        lines = exported.coordinator.download(run["run_id"]).content.decode().split("\r\n")
        own = run["membership"]["lines"]
        assert all(number in line for line in lines[own["first"] - 1 : own["last"]])
        assert sum(number in line for line in lines) == own["last"] - own["first"] + 1
    [effective] = organisation.execute(
        "select count(*) filter (where m.kind = 'entry') - count(*) filter (where m.kind = 'reversal')"
        " from public.export_run_claims m join public.export_runs r on r.id = m.run_id"
        " where m.claim_id = %s and m.released_at is null and r.status = 'completed'",
        claim_id,
    )
    assert effective == (1,)
    assert again.passport(claim_id)["run"]["run_id"] == again.run["run_id"]


def test_xa03_the_delivered_bytes_are_kept_with_all_that_made_them(
    exported: Exported, new_user: NewUser
) -> None:
    """Hash, author, time, version of the rules and the settings as they were, whatever is changed since."""
    organisation = exported.organisation
    for change in (
        "update public.export_targets set settings = settings || '{\"due_days\": 3}' where organization_id = %s",
        "update public.export_posting_rules set account_code = '1000' where organization_id = %s",
        "update public.expense_claims set purpose = 'x', claimant_name = 'x' where organization_id = %s",
    ):
        organisation.execute(change, organisation.id)
    accountant = new_user("accountant", organisation)

    told = accountant.run(exported.run["run_id"]).json()

    run = told["run"]
    again = accountant.download(run["run_id"]).content
    assert again == exported.content
    assert run["file"]["sha256"] == sha256_of(again) == exported.run["file"]["sha256"]
    assert (run["triggered_by_name"], run["renderer_version"]) == ("Kåre Åsen", RENDERER_VERSION)
    assert run["completed_at"] == exported.run["completed_at"]
    assert "due_days" not in told["configuration"]["settings"]
    assert {rule["account_code"] for rule in told["configuration"]["posting_rules"]} >= {"7100"}
    assert told["configuration"]["used_layout"]["columns"]
    completed = [event for event in told["events"] if event["event"] == "completed"]
    assert completed[0]["detail"]["sha256"] == run["file"]["sha256"]


HISTORY = {
    "export_runs": "id = %s",
    "export_run_claims": "run_id = %s",
    "export_run_events": "run_id = %s",
    "export_run_pages": "run_id = %s",
    "expense_claims": "id in (select claim_id from public.export_run_claims where run_id = %s)",
}


@pytest.fixture
def hands(exported: Exported, new_user: NewUser) -> Iterator[dict[str, psycopg.Connection]]:
    """Everybody who can reach the tables: an admin, the service key and the database's owner."""
    organisation = exported.organisation
    admin = new_user("admin", organisation)
    found = {
        "an admin": organisation.as_user(admin.account.user_id),
        "the service key": organisation.as_service(),
        "the owner": organisation.database.connect("postgres"),
    }
    yield found
    for connection in found.values():
        connection.close()


def kept(exported: Exported) -> dict[str, Any]:
    """How many rows of the run there are, and the bytes."""
    counts = {
        table: exported.organisation.execute(
            f"select count(*) from public.{table} where {where}", exported.run["run_id"]
        )
        for table, where in HISTORY.items()
    }
    return {**counts, "file": exported.coordinator.download(exported.run["run_id"]).content}


def test_xa04_nothing_that_was_exported_is_deleted(
    exported: Exported, hands: dict[str, psycopg.Connection]
) -> None:
    """No claim, run, membership, event or page, by whoever asks in plain SQL; the bytes are there."""
    before = kept(exported)
    for table, where in HISTORY.items():
        for who, connection in hands.items():
            with pytest.raises(psycopg.Error) as error:
                connection.execute(
                    f"delete from public.{table} where {where}".encode(), [exported.run["run_id"]]
                )
            assert error.value.sqlstate in {"42501", "PT403"}, (table, who)
    assert kept(exported) == before
    assert all(before[table] != [(0,)] for table in HISTORY)


@pytest.mark.parametrize("verb", ["DELETE", "PUT", "POST"])
def test_xa04_the_stored_file_is_not_deleted_or_replaced(
    exported: Exported, stack: EmbeddedStack, new_user: NewUser, verb: str
) -> None:
    """Not through the storage API, by an admin or by the service key, nor in plain SQL by the owner."""
    admin = new_user("admin", exported.organisation)
    path = exported.run["file"]["path"]
    keys = stack.credentials
    for headers in (
        {"apikey": keys.publishable_key, **admin.login},
        {"apikey": keys.secret_key, "Authorization": f"Bearer {keys.secret_key}"},
    ):
        answer = httpx.request(
            verb,
            f"{stack.url}/storage/v1/object/exports/{path}",
            headers={**headers, "x-upsert": "true", "content-type": "text/csv"},
            content=None if verb == "DELETE" else b"other bytes",
            timeout=PATIENCE_SECONDS,
        )
        assert answer.status_code >= 400, answer.text
    if verb == "DELETE":
        # The platform's own protection is taken off first: whoever writes SQL can.
        with pytest.raises(psycopg.Error) as error:
            exported.organisation.execute(
                "select set_config('storage.allow_delete_query', 'true', true);"
                f" delete from storage.objects where name = '{path}'"
            )
        assert error.value.diag.message_detail == "history_is_protected"
    assert exported.coordinator.download(exported.run["run_id"]).content == exported.content


CHANGES = {
    "export_runs": "file_sha256 = repeat('0', 64)",
    "export_run_claims": "document = '{}', amount = 0",
    "export_run_events": "detail = '{}'",
    "export_run_pages": "last_line = 1",
}


def test_xa05_nothing_that_was_exported_is_changed(
    exported: Exported, hands: dict[str, psycopg.Connection]
) -> None:
    """Run, frozen claims, events and lines stay as they are; only a voiding or reversing run corrects."""
    run_id = exported.run["run_id"]
    before = exported.organisation.execute(
        "select to_jsonb(m) from public.export_run_claims m where run_id = %s order by position",
        run_id,
    )
    for table, change in CHANGES.items():
        for who, connection in hands.items():
            with pytest.raises(psycopg.Error) as error:
                connection.execute(
                    f"update public.{table} set {change} where {HISTORY[table]}".encode(), [run_id]
                )
            assert error.value.sqlstate in {"42501", "PT403"}, (table, who)
    after = exported.organisation.execute(
        "select to_jsonb(m) from public.export_run_claims m where run_id = %s order by position",
        run_id,
    )
    assert after == before


def test_xa05_a_claim_changed_in_the_app_stays_exported_as_it_was(exported: Exported) -> None:
    """The frozen claim, its lines and its file do not follow; the passport tells the difference."""
    claim_id = exported.claim_ids[0]
    before = exported.passport(claim_id)
    exported.organisation.execute(
        "update public.expense_claim_lines set amount = 1 where claim_id = %s", claim_id
    )

    after = exported.passport(claim_id)

    assert (after["lines"], after["file_sha256"]) == (before["lines"], before["file_sha256"])
    assert after["changed_since_export"]
    answer = exported.coordinator.trigger(exported.organisation).json()
    assert answer["run"]["run_id"] == exported.run["run_id"], "nothing to export"


def test_xa06_voucher_numbers_are_unique_and_every_gap_has_a_row(
    exported: Exported, new_user: NewUser
) -> None:
    """Through a left-out claim, a void and a failed run, each number up to the highest has one row that explains it."""
    organisation = exported.organisation
    void(new_user("admin", organisation), exported.run["run_id"])
    export(exported.coordinator, organisation, exported.claim_ids)
    organisation.execute(
        "update public.export_targets set on_problem = 'refuse_run' where organization_id = %s",
        organisation.id,
    )
    organisation.add_claim([("helicopter", "1.00")], approved_at=APPROVED_AT)
    assert exported.coordinator.trigger(organisation).status_code == 422
    organisation.execute(
        "update public.export_targets set on_problem = 'leave_out' where organization_id = %s",
        organisation.id,
    )
    organisation.add_claim()
    export(exported.coordinator, organisation, [])

    rows = organisation.execute(
        "select m.voucher_number, m.outcome, r.status from public.export_run_claims m"
        " join public.export_runs r on r.id = m.run_id where m.organization_id = %s order by 1",
        organisation.id,
    )
    [[last]] = organisation.execute(
        "select last_value from public.export_counters where organization_id = %s and name = 'voucher_number'",
        organisation.id,
    )
    assert [row[0] for row in rows] == list(range(1, last + 1))
    assert {(outcome, status) for _, outcome, status in rows} >= {
        ("included", "completed"),
        ("left_out", "completed"),
        ("released", "voided"),
    }
    assert {status for *_, status in rows} >= {"failed"}
    run_numbers = organisation.execute(
        "select run_number from public.export_runs where organization_id = %s order by 1",
        organisation.id,
    )
    assert [row[0] for row in run_numbers] == list(range(1, len(run_numbers) + 1))


@pytest.mark.parametrize("field", ["purpose", "claimant_name", "description"])
def test_xa11_no_national_identity_number_reaches_a_file(
    coordinator: AppUser, organisation: Organisation, field: str
) -> None:
    """The claim is left out, the claimant told in which field, and no answer or row of ours repeats the number."""
    organisation.add_claim()
    claim_id = organisation.add_claim()
    written = f"Følge for {SYNTHETIC[:6]} {SYNTHETIC[6:]}"
    table, key = (
        ("expense_claim_lines", "line_number = 2 and claim_id")
        if field == "description"
        else ("expense_claims", "id")
    )
    organisation.execute(
        f"update public.{table} set {field} = %s where {key} = %s", written, claim_id
    )

    answer = coordinator.trigger(organisation)
    run_id = answer.json()["run"]["run_id"]

    named = {"claimant_name": "claimant.name", "description": "lines[2].description"}
    [left_out] = answer.json()["left_out"]
    assert (left_out["code"], left_out["field"]) == (
        "national_identity_number",
        named.get(field, field),
    )
    assert "must remove" in left_out["action"]
    [reason] = organisation.execute(
        "select reason_code, reason_field, reason_message from public.export_run_claims"
        " where run_id = %s and outcome = 'left_out'",
        run_id,
    )
    [passport] = passports(coordinator, claim_id)
    said = [answer.text, str(reason), coordinator.run(run_id).text, str(passport["reason"])]
    for number in (SYNTHETIC, written[-12:], SYNTHETIC[6:]):
        assert not any(number in text for text in said)
    assert SYNTHETIC[6:].encode() not in coordinator.download(run_id).content
    assert reason[0] == "national_identity_number"


def test_xa11_when_the_number_is_gone_the_claim_is_exported(
    coordinator: AppUser, organisation: Organisation
) -> None:
    """Once the claimant has removed it, the next export takes the claim."""
    claim_id = organisation.add_claim()
    text = "update public.expense_claims set purpose = %s where id = %s"
    organisation.execute(text, f"Ledsaget {SYNTHETIC}", claim_id)
    assert coordinator.trigger(organisation, str(uuid4())).json()["code"] == "all_claims_left_out"
    organisation.execute(text, "Ledsaget et medlem", claim_id)

    assert coordinator.trigger(organisation).status_code == 201

    assert passports(coordinator, claim_id)[0]["state"] == "exported"
