"""The double of Business Central refuses what the service refuses, and remembers what it took."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.business_central.delivery import BusinessCentralDelivery
from functions.business_central.token import TOKENS
from functions.secret_reference import SecretStore, environment_name
from functions.voucher_delivery import DeliveryContext, Outcome
from tests.business_central.double import BusinessCentralDouble
from tests.business_central.double_process import SECRET, DoubleProcess
from tests.business_central.fault import Fault
from tests.business_central.refusal import Refusal
from tests.business_central.sending import ORGANISATION, QUICK, SECRET_REFERENCE, voucher

SCOPE = "https://api.businesscentral.dynamics.com/.default"
LINE = {
    "accountType": "G/L Account",
    "accountNumber": "7140",
    "postingDate": "2026-10-31",
    "documentNumber": "D1",
    "externalDocumentNumber": "E1",
    "amount": 450.10,
}
Ask = Callable[..., httpx.Response]


@pytest.fixture
def double() -> Iterator[BusinessCentralDouble]:
    """A Business Central of the test's own."""
    with BusinessCentralDouble() as double:
        double.books.dimensions = {"AVDELING": {"OSLO", "BERGEN"}}
        yield double


@pytest.fixture
def ask(double: BusinessCentralDouble) -> Iterator[Ask]:
    """Ask below the company, signed in; paths that begin with a slash are below the service."""
    token = sign_in(double).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    with httpx.Client(base_url=f"{double.url}{double.root}", headers=headers) as client:

        def ask(method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
            below = (
                path if path.startswith("/") else f"/companies({double.books.company_id})/{path}"
            )
            told = {name.replace("_", "-"): value for name, value in headers.items()}
            if body is None:
                return client.request(method, below, headers=told)
            return client.request(method, below, json=body, headers=told)

        yield ask


def sign_in(double: BusinessCentralDouble, **changes: str) -> httpx.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": double.login.client_id,
        "client_secret": double.login.client_secret,
        "scope": SCOPE,
        **changes,
    }
    tenant = form.pop("tenant", double.login.tenant_id)
    return httpx.post(f"{double.url}/{tenant}/oauth2/v2.0/token", data=form)


@pytest.fixture
def journal(ask: Ask) -> str:
    """The path of an empty journal."""
    made = ask("POST", "journals", {"code": "R7T1", "templateDisplayName": "GENERELL"})
    assert made.status_code == 201
    return f"journals({made.json()['id']})"


def code_of(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert "CorrelationId:" in error["message"]
    return str(error["code"])


# Signing in


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        (
            {"scope": "https://api.businesscentral.dynamics.com/Financials.ReadWrite.All"},
            400,
            "invalid_scope",
        ),
        ({"scope": f"{SCOPE} offline_access"}, 400, "invalid_scope"),
        ({"client_id": "other"}, 400, "unauthorized_client"),
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"tenant": "other.example"}, 400, "invalid_request"),
    ],
)
def test_a_wrong_login_gets_no_token(
    double: BusinessCentralDouble, change: dict[str, str], status: int, error: str
) -> None:
    """Exactly this grant, scope, application, secret and tenant."""
    response = sign_in(double, **change)

    assert (response.status_code, response.json()["error"]) == (status, error)
    assert double.login.issued == []


def test_tokens_expire_and_are_needed(double: BusinessCentralDouble, ask: Ask) -> None:
    """401 without a good one, 403 without the right behind it."""
    assert ask("GET", "/companies").status_code == 200
    double.login.permitted = False
    assert ask("GET", "/companies").status_code == 403
    double.login.revoke()
    assert code_of(ask("GET", "/companies")) == "Authentication_InvalidCredentials"
    assert httpx.get(f"{double.url}{double.root}/companies").status_code == 401


# Journals and their lines


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"code": "ELEVENCHARS"}, "Application_StringExceededLength"),
        ({"code": ""}, "Application_FieldValidationException"),
        ({"code": "DEFAULT"}, "Internal_EntityWithSameKeyExists"),
        ({"templateDisplayName": "NONE"}, "Internal_InvalidTableRelation"),
        ({"balancingAccountNumber": "1920"}, "Application_DialogException"),
        ({"id": "x"}, "Application_DialogException"),
        ({"currency": "NOK"}, "BadRequest"),
    ],
)
def test_a_journal_is_made_by_the_rules(ask: Ask, change: dict[str, str], code: str) -> None:
    """Widths, keys, templates and read-only members."""
    assert code_of(ask("POST", "journals", {"code": "R8", **change})) == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"id": "x"}, "Application_DialogException"),
        ({"journalDisplayName": "R7T1"}, "Application_DialogException"),
        ({"lastModifiedDateTime": "2026-10-31T00:00:00Z"}, "Application_DialogException"),
        ({"currencyCode": "NOK"}, "BadRequest"),
        ({"documentType": "Payment"}, "BadRequest"),
        ({"dimensionSetLines": []}, "BadRequest"),
        ({"amount": "450.10"}, "BadRequest"),
        ({"amount": 1290.4999999}, "Application_FieldValidationException"),
        ({"postingDate": "2026-10-31T00:00:00Z"}, "BadRequest"),
        ({"postingDate": "2026-02-30"}, "BadRequest"),
        ({"lineNumber": "1"}, "BadRequest"),
        ({"accountType": "Cash"}, "BadRequest"),
        ({"accountNumber": 7140}, "BadRequest"),
        ({"accountNumber": "9999"}, "Internal_InvalidTableRelation"),
        ({"accountType": "Employee"}, "Internal_InvalidTableRelation"),
        ({"accountNumber": "7" * 21}, "Application_StringExceededLength"),
        ({"documentNumber": "D" * 21}, "Application_StringExceededLength"),
        ({"externalDocumentNumber": "E" * 36}, "Application_StringExceededLength"),
        ({"description": "x" * 101}, "Application_StringExceededLength"),
        ({"description": "\N{GRINNING FACE}" * 51}, "Application_StringExceededLength"),
        ({"comment": "x" * 251}, "Application_StringExceededLength"),
    ],
)
def test_a_line_is_made_by_the_rules(
    double: BusinessCentralDouble, ask: Ask, journal: str, change: dict[str, Any], code: str
) -> None:
    """And nothing of a refused one stays."""
    assert code_of(ask("POST", f"{journal}/journalLines", {**LINE, **change})) == code
    assert double.lines("R7T1") == []


def test_lines_need_their_journal(ask: Ask, journal: str) -> None:
    """By the nested address or a member; a list needs it too."""
    assert ask("POST", "journalLines", LINE).status_code == 400
    assert ask("GET", "journalLines").status_code == 400
    own = journal.removeprefix("journals(").removesuffix(")")
    assert ask("POST", "journalLines", {**LINE, "journalId": own}).status_code == 201
    assert len(ask("GET", f"journalLines?$filter=journalId eq {own}").json()["value"]) == 1
    gone = "00000000-0000-4000-8000-000000000000"
    assert ask("POST", f"journals({gone})/journalLines", LINE).status_code == 404
    assert ask("POST", f"{journal}/journalLines", {**LINE, "journalId": gone}).status_code == 400


def test_lines_inherit_what_they_do_not_say(ask: Ask, journal: str) -> None:
    """Document number and date of the line before, or else what the company proposes."""
    bare = {"accountNumber": "7140", "amount": 1}
    first = ask("POST", f"{journal}/journalLines", bare).json()
    ask("POST", f"{journal}/journalLines", {**LINE, "documentNumber": "d9"})
    third = ask("POST", f"{journal}/journalLines", bare).json()

    assert (first["documentNumber"], first["postingDate"]) == ("G00001", "2026-11-01")
    assert (third["documentNumber"], third["postingDate"]) == ("D9", "2026-10-31")
    assert third["lineNumber"] == 30_000
    assert third["description"] == "Reise"
    assert third["accountType"] == "G_x002F_L_x0020_Account"


def test_a_balancing_account_is_on_every_line(double: BusinessCentralDouble, ask: Ask) -> None:
    """The journal's comes from the template, and vouchers would be doubled."""
    double.books.template_balancing_account = "1920"
    made = ask("POST", "journals", {"code": "R9"}).json()
    line = ask("POST", f"journals({made['id']})/journalLines", LINE).json()

    assert (made["balancingAccountNumber"], line["balancingAccountNumber"]) == ("1920", "1920")


def test_employee_lines_are_taken_and_not_shown(
    double: BusinessCentralDouble, ask: Ask, journal: str
) -> None:
    """Neither in a list nor by identifier, unless the double is told to."""
    employee = {**LINE, "accountType": "Employee", "accountNumber": "1007"}
    made = ask("POST", f"{journal}/journalLines", employee)
    line = f"journalLines({made.json()['id']})"

    assert made.status_code == 201
    assert ask("GET", f"{journal}/journalLines").json()["value"] == []
    assert ask("DELETE", line, If_Match="*").status_code == 404
    assert len(double.lines("R7T1")) == 1
    double.service.hidden_by_id = True
    assert ask("DELETE", line, If_Match="*").status_code == 204


def test_a_journal_goes_with_all_its_lines(
    double: BusinessCentralDouble, ask: Ask, journal: str
) -> None:
    """Those too that nobody sees; and it needs a version."""
    ask(
        "POST",
        f"{journal}/journalLines",
        {**LINE, "accountType": "Employee", "accountNumber": "1007"},
    )

    assert code_of(ask("DELETE", journal)) == "BadRequest_InvalidToken"
    assert code_of(ask("DELETE", journal, If_Match='W/"0"')) == "Request_EntityChanged"
    assert ask("DELETE", journal, If_Match="*").status_code == 204
    assert double.documents() == []
    assert ask("POST", f"{journal}/journalLines", LINE).status_code == 404


def test_blocked_accounts_and_open_approvals_refuse(
    double: BusinessCentralDouble, ask: Ask, journal: str
) -> None:
    """As posting would."""
    double.books.accounts["G/L Account", "7140"].is_blocked = True
    assert (
        code_of(ask("POST", f"{journal}/journalLines", LINE))
        == "Application_FieldValidationException"
    )
    double.books.accounts["G/L Account", "7140"].is_blocked = False
    double.books.closed_by_approval.add(journal.removeprefix("journals(").removesuffix(")"))
    assert code_of(ask("POST", f"{journal}/journalLines", LINE)) == "Application_DialogException"


# Dimensions


def test_dimensions_are_added_once_and_changed_under_a_version(
    double: BusinessCentralDouble, ask: Ask, journal: str
) -> None:
    """A default counts as there; the dimension itself stays what it is."""
    double.books.accounts["G/L Account", "7140"].default_dimensions = {"AVDELING": "BERGEN"}
    line = ask("POST", f"{journal}/journalLines", LINE).json()["id"]
    path = f"journalLines({line})/dimensionSetLines"
    (held,) = ask("GET", path).json()["value"]
    one = f"{path}({held['id']})"

    assert code_of(ask("POST", path, {"code": "AVDELING", "valueCode": "OSLO"})) == (
        "Internal_EntityWithSameKeyExists"
    )
    assert code_of(ask("PATCH", one, {"valueCode": "OSLO"})) == "BadRequest_InvalidToken"
    assert code_of(ask("PATCH", one, {"valueCode": "MARS"}, If_Match="*")) == (
        "Internal_InvalidTableRelation"
    )
    assert ask("PATCH", one, {"code": "PROSJEKT"}, If_Match="*").status_code == 400
    changed = ask("PATCH", one, {"valueCode": "OSLO"}, If_Match=held["@odata.etag"])
    assert (changed.status_code, changed.json()["valueCode"]) == (200, "OSLO")
    assert (
        ask("PATCH", one, {"valueCode": "BERGEN"}, If_Match=held["@odata.etag"]).status_code == 409
    )
    assert ask("POST", path, {"code": "X", "valueCode": "Y", "parentId": line}).status_code == 400


# Asking


@pytest.mark.parametrize(
    "query",
    [
        "$filter=documentNumber eq D1",
        "$filter=documentNumber eq 'D'1'",
        "$filter=nonsense eq 'D1'",
        "$filter=documentNumber eq 'D1' or externalDocumentNumber eq 'E1'",
        "$filter=startswith(documentNumber, 'D')",
        "$filter=",
        "$orderby=documentNumber",
        "$expand=dimensionSetLines",
        "$select=id",
    ],
)
def test_what_the_double_does_not_know_is_refused(ask: Ask, journal: str, query: str) -> None:
    """So that nobody relies on it by accident."""
    assert ask("GET", f"{journal}/journalLines?{query}").status_code == 400


def test_conditions_are_met_exactly(ask: Ask, journal: str) -> None:
    """Quotes are doubled, codes compare in either case, `or` over one member works."""
    for number in ("O'B", "D2", "D3"):
        ask("POST", f"{journal}/journalLines", {**LINE, "documentNumber": number})

    def found(condition: str) -> list[str]:
        rows = ask("GET", f"{journal}/journalLines?$filter={condition}").json()["value"]
        return [row["documentNumber"] for row in rows]

    assert found("documentNumber eq 'o''b'") == ["O'B"]
    assert found("documentNumber eq 'D2' or documentNumber eq 'D3'") == ["D2", "D3"]
    assert found("documentNumber eq 'D2' and externalDocumentNumber eq 'E2'") == []


def test_lists_come_in_pages(double: BusinessCentralDouble, ask: Ask, journal: str) -> None:
    """The link keeps the condition and ends with the last page."""
    double.service.page_size = 2
    for _ in range(5):
        ask("POST", f"{journal}/journalLines", LINE)

    page = ask("GET", f"{journal}/journalLines?$filter=documentNumber eq 'D1'").json()
    sizes = [len(page["value"])]
    while link := page.get("@odata.nextLink"):
        assert "filter" in link
        page = ask("GET", link.removeprefix(f"{double.url}{double.root}")).json()
        sizes.append(len(page["value"]))

    assert sizes == [2, 2, 1]


def test_only_known_addresses_and_methods_answer(ask: Ask, journal: str) -> None:
    """404 and 405."""
    assert ask("GET", "vendors").status_code == 404
    assert ask("PATCH", journal, {}, If_Match="*").status_code == 405
    assert (
        ask("GET", "/companies(00000000-0000-4000-8000-000000000000)/journals").status_code == 404
    )


# $batch


def operations(
    double: BusinessCentralDouble, journal: str, *changes: dict[str, Any]
) -> dict[str, Any]:
    """Inserts, each of the line with changes."""
    url = f"companies({double.books.company_id})/{journal}/journalLines"
    headers = {"Content-Type": "application/json"}
    return {
        "requests": [
            {
                "id": str(n),
                "method": "POST",
                "url": url,
                "headers": headers,
                "body": {**LINE, **change},
            }
            for n, change in enumerate(changes)
        ]
    }


BAD: dict[str, Any] = {"accountNumber": "9999"}


@pytest.mark.parametrize(
    ("headers", "outcome"),
    [
        ({}, ([201, 400], 1)),
        ({"Prefer": "odata.continue-on-error"}, ([201, 400, 201], 2)),
        ({"Isolation": "snapshot"}, ([201, 400], 0)),
        ({"Isolation": "snapshot", "Prefer": "odata.continue-on-error"}, ([201, 400, 201], 0)),
    ],
)
def test_a_batch_stops_goes_on_or_is_undone(
    double: BusinessCentralDouble,
    ask: Ask,
    journal: str,
    headers: dict[str, str],
    outcome: tuple[list[int], int],
) -> None:
    """The outer status is 200 each time; how many lines are left is not."""
    response = ask("POST", "/$batch", operations(double, journal, {}, BAD, {}), **headers)

    assert response.status_code == 200
    answers = response.json()["responses"]
    assert ([answer["status"] for answer in answers], len(double.lines("R7T1"))) == outcome
    assert [answer["id"] for answer in answers] == [str(n) for n in range(len(outcome[0]))]


def test_a_rollback_can_be_broken(double: BusinessCentralDouble, ask: Ask, journal: str) -> None:
    """Always, or only after a value of the wrong type."""
    double.service.undoes_after_malformed = False
    ask("POST", "/$batch", operations(double, journal, {}, BAD), Isolation="snapshot")
    assert double.lines("R7T1") == []
    ask("POST", "/$batch", operations(double, journal, {}, {"amount": "1"}), Isolation="snapshot")
    assert len(double.lines("R7T1")) == 1
    double.service.undoes_batches = False
    ask("POST", "/$batch", operations(double, journal, {}, BAD), Isolation="snapshot")
    assert len(double.lines("R7T1")) == 2


def test_a_batch_has_its_own_rules(double: BusinessCentralDouble, ask: Ask, journal: str) -> None:
    """At most a hundred operations, JSON in and out, and each operation says its type."""
    many = operations(double, journal, *[{}] * 101)
    assert (ask("POST", "/$batch", many).status_code, double.lines("R7T1")) == (400, [])
    one = operations(double, journal, {})
    assert ask("POST", "/$batch", one, Accept="*/*").status_code == 406
    one["requests"][0]["headers"] = {}
    assert ask("POST", "/$batch", one).json()["responses"][0]["status"] == 415
    one = operations(double, journal, {})
    del one["requests"][0]["id"]
    assert ask("POST", "/$batch", one).json()["responses"][0]["id"] is None
    assert ask("POST", "/$batch", {"requests": {}}).status_code == 400


def test_duplicates_are_accepted_in_silence(
    double: BusinessCentralDouble, ask: Ask, journal: str
) -> None:
    """No number is unique in a journal: whoever sends twice has it twice."""
    for _ in range(2):
        ask("POST", "/$batch", operations(double, journal, {}), Isolation="snapshot")

    assert double.documents() == ["D1", "D1"]


# Posting


def enter(double: BusinessCentralDouble, amount: str, **changes: object) -> None:
    told = {**LINE, "amount": Decimal(amount), **changes}
    double.enter("R7T1", **told)


def test_posting_moves_lines_to_the_ledger(double: BusinessCentralDouble, ask: Ask) -> None:
    """With VAT split off and persons on the payable account; sums per document stay."""
    double.books.accounts["G/L Account", "7140"].vat_share = Decimal("0.2")
    enter(double, "100.00")
    enter(double, "-100.00", accountType="Employee", accountNumber="1007")

    assert double.post("R7T1") == 3
    entries = ask("GET", "generalLedgerEntries?$filter=documentNumber eq 'D1'").json()["value"]
    assert [(e["accountNumber"], e["debitAmount"], e["creditAmount"]) for e in entries] == [
        ("7140", 80.0, 0.0),
        ("2710", 20.0, 0.0),
        ("2930", 0.0, 100.0),
    ]
    assert "externalDocumentNumber" not in entries[0]
    assert double.lines("R7T1") == []


def test_posting_refuses_what_does_not_balance(double: BusinessCentralDouble) -> None:
    """Per document and date, and nothing of the journal is posted."""
    enter(double, "100.00")
    enter(double, "-99.99", accountNumber="2930")
    with pytest.raises(Refusal, match="out of balance"):
        double.post("R7T1")
    enter(double, "-0.01", accountNumber="2930", postingDate="2026-10-30")
    with pytest.raises(Refusal, match="out of balance"):
        double.post("R7T1")
    assert (len(double.lines("R7T1")), double.books.entries) == (3, [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"postingDate": "1999-12-31"}, "Posting Date"), ({"amount": Decimal(0)}, "Amount")],
)
def test_posting_refuses_bad_lines(
    double: BusinessCentralDouble, changes: dict[str, object], message: str
) -> None:
    """Dates outside the allowed range, and amounts of zero."""
    told = {"amount": Decimal(1), **{k: v for k, v in LINE.items() if k != "amount"}, **changes}
    double.enter("R7T1", **told)

    with pytest.raises(Refusal, match=message):
        double.post("R7T1")


def test_posting_an_empty_journal_is_refused(double: BusinessCentralDouble) -> None:
    """Nothing to post is no success."""
    with pytest.raises(Refusal, match="nothing to post"):
        double.post("DEFAULT")


# Faults


def test_faults_come_in_their_turn(double: BusinessCentralDouble, ask: Ask) -> None:
    """After so many, so many times, at matching requests only."""
    double.misbehave(
        Fault("status", "GET", times=2, after=1, status=429, headers={"Retry-After": "7"})
    )

    answers = [ask("GET", "/companies") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 429, 429, 200]
    assert answers[1].headers["retry-after"] == "7"


def test_late_requests_are_done_on_release(
    double: BusinessCentralDouble, ask: Ask, journal: str
) -> None:
    """The connection is cut at once, and the work waits."""
    double.misbehave(Fault("arrive_late", "journalLines"))
    with pytest.raises(httpx.RemoteProtocolError):
        ask("POST", f"{journal}/journalLines", LINE)
    assert double.lines("R7T1") == []

    double.release()
    assert len(double.lines("R7T1")) == 1


@pytest.mark.parametrize(("kind", "left"), [("cut_request", 0), ("cut_reply", 1)])
def test_connections_are_cut_before_or_after_the_work(
    double: BusinessCentralDouble, ask: Ask, journal: str, kind: Any, left: int
) -> None:
    """The client cannot tell which."""
    double.misbehave(Fault(kind, "journalLines"))
    with pytest.raises(httpx.RemoteProtocolError):
        ask("POST", f"{journal}/journalLines", LINE)

    assert len(double.lines("R7T1")) == left


# In a process of its own


async def test_the_double_runs_in_a_process_of_its_own(scratch_directory: Path) -> None:
    """Set up, made to misbehave, posted and looked at from outside."""
    TOKENS.clear()
    secrets = SecretStore(environment={environment_name(ORGANISATION): SECRET})
    with DoubleProcess(scratch_directory / "double") as double:
        double.set_up(accounts=[["Employee", "5", "Ola"]], dimensions={"AVDELING": ["OSLO"]})
        settings = double.settings(SECRET_REFERENCE, **QUICK)
        one = voucher(payable=("Employee", "5"), dimensions={"AVDELING": "OSLO"})
        async with BusinessCentralDelivery(
            settings, DeliveryContext(ORGANISATION, secrets)
        ) as delivery:
            await delivery.check()
            await delivery.open("R7T1")
            double.misbehave(Fault("cut_reply", "/$batch"))
            (result,) = await delivery.send([one])
        double.heal()
        before = double.state()
        posted = double.post("R7T1")
        after = double.state()

    assert result.outcome is Outcome.ACCEPTED
    assert [row["amount"] for row in before["journals"]["R7T1"]] == [
        "450.00",
        "-1740.50",
        "1290.50",
    ]
    assert [held for held in before["dimensions"].values() if held] == [{"AVDELING": "OSLO"}] * 2
    assert (posted, len(after["entries"]), after["journals"]["R7T1"]) == (3, 3, [])
