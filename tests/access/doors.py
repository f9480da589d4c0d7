"""The doors that people come through over HTTP: stored files, and the functions of the app."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from stack.accounts import create_account
from stack.embedded_stack import EmbeddedStack
from tests.access.matrix import PEOPLE, Cell, Outcome, Role, cells
from tests.http.app_user import PATIENCE_SECONDS, AppUser
from tests.organisation import OCTOBER, Organisation, begin

CSV = {"content-type": "text/csv"}


@dataclass(frozen=True)
class Office:
    """An organisation on the stack, with two exported runs, a run that is not finished, and claims."""

    organisation: Organisation
    run_id: str
    spare_run_id: str
    unfinished_run_id: str
    claim_id: str
    paths: Mapping[str, str]

    def marks(self) -> list[str]:
        """What an answer that tells something of it names."""
        ids = [str(self.organisation.id), self.run_id, self.spare_run_id, self.unfinished_run_id]
        return [*ids, self.claim_id, *self.paths.values()]


@dataclass(frozen=True)
class Town:
    """`own` is where the people are members, each in the role of her name; `other` is where nobody is."""

    stack: EmbeddedStack
    door: httpx.Client
    own: Office
    other: Office
    headers: Mapping[Role, Mapping[str, str]]

    @classmethod
    def settle(cls, stack: EmbeddedStack, door: httpx.Client) -> "Town":
        """Sign the people up, and furnish both organisations."""
        own, other = (furnish(stack, door, name) for name in ("Blindeforbundet", "HLF"))
        keys = stack.credentials
        headers: dict[Role, dict[str, str]] = {
            "anon": {"apikey": keys.publishable_key},
            "service": {"apikey": keys.secret_key, "Authorization": f"Bearer {keys.secret_key}"},
        }
        for role in PEOPLE:
            account = create_account(stack)
            own.organisation.enrol(account.user_id, role, "Kari")
            token = {"Authorization": f"Bearer {account.access_token}"}
            headers[role] = {"apikey": keys.publishable_key, **token}
        return cls(stack, door, own, other, headers)

    def offices(self) -> list[tuple[Office, bool]]:
        """Both organisations, and whether each is her own."""
        return [(self.own, True), (self.other, False)]


def furnish(stack: EmbeddedStack, door: httpx.Client, name: str) -> Office:
    """Export twice through the app, begin a third run, and store what belongs to it and to none."""
    organisation = Organisation.create(stack.database, name=name)
    organisation.check_configuration()
    account = create_account(stack)
    organisation.enrol(account.user_id, "admin", "Gunhild")
    admin = AppUser(account, door)
    claim_id = organisation.add_claim()
    run = admin.trigger(organisation).json()["run"]
    admin.sheet(run["run_id"]).raise_for_status()
    organisation.add_claim()
    spare = admin.trigger(organisation).json()["run"]
    organisation.add_claim()
    with organisation.as_user(organisation.add_member()) as coordinator:
        unfinished = begin(coordinator, organisation)["run"]
    [(file_path, document)] = organisation.execute(
        "select r.file_path, min(d.path) from public.export_runs as r"
        " join public.export_run_documents as d on d.run_id = r.id where r.id = %s group by r.file_path",
        run["run_id"],
    )
    paths = {
        "the file of a completed run": file_path,
        "a document of a run": document,
        "the file of an unfinished run": f"{organisation.id}/{unfinished['run_id']}/{'e' * 64}.csv",
        # Beside a file of a completed run, as an upload that nobody recorded.
        "what belongs to no run": f"{organisation.id}/{run['run_id']}/{'f' * 64}.csv",
    }
    for path in list(paths.values())[2:]:
        _storage(stack, _service(stack), "upload", path).raise_for_status()
    organisation.execute(
        "update public.expense_claims set purpose = 'Rettet' where id = %s", claim_id
    )
    ids = (run["run_id"], spare["run_id"], unfinished["run_id"], str(claim_id))
    return Office(organisation, *ids, paths)


def _service(stack: EmbeddedStack) -> dict[str, str]:
    key = stack.credentials.secret_key
    return {"apikey": key, "Authorization": f"Bearer {key}"}


def _storage(
    stack: EmbeddedStack, headers: Mapping[str, str], verb: str, path: str
) -> httpx.Response:
    method, address, more = {
        "read": ("GET", f"authenticated/exports/{path}", {}),
        "sign": ("POST", f"sign/exports/{path}", {"json": {"expiresIn": 60}}),
        "list": ("POST", "list/exports", {"json": {"prefix": path.rpartition("/")[0]}}),
        "upload": ("POST", f"exports/{path}", {"content": b"1", "headers": CSV}),
        "overwrite": ("PUT", f"exports/{path}", {"content": b"2", "headers": CSV}),
        "delete": ("DELETE", "exports", {"json": {"prefixes": [path]}}),
    }[verb]
    extra: dict[str, Any] = dict(more)  # type: ignore[call-overload]
    sent = {**headers, **extra.pop("headers", {})}
    url = f"{stack.url}/storage/v1/object/{address}"
    return httpx.request(method, url, headers=sent, timeout=PATIENCE_SECONDS, **extra)


def wrong_files(town: Town, rows: Mapping[str, str]) -> Iterator[str]:
    """The cells of `storage` that are not so."""
    for cell in cells(rows):
        verb, _, what = cell.thing.partition(" ")
        for office, is_own in town.offices():
            path = office.paths.get(what, f"{office.organisation.id}/{uuid4()}.csv")
            answer = _storage(town.stack, town.headers[cell.role], verb, path)
            outcome = _of_storage(answer)
            if not cell.allows(outcome, is_own=is_own):
                yield f"{cell.says(outcome, is_own=is_own)}: {answer.status_code} {answer.text[:200]}"


def _of_storage(answer: httpx.Response) -> Outcome:
    if answer.is_success:
        return "nothing" if answer.text == "[]" else "done"
    # The storage API answers most errors with 400 and the real status in the body.
    return "nothing" if answer.json().get("statusCode") == "404" else "refused"


def requests_for(office: Office) -> dict[str, tuple[str, dict[str, Any]]]:
    """What the app would send about this organisation, by endpoint."""
    organisation = {"organization_id": str(office.organisation.id)}
    run = {"run_id": office.run_id}
    scope = {**organisation, "period_from": OCTOBER[0], "period_to": OCTOBER[1]}
    return {
        "trigger_export": ("POST", scope),
        "preview_export": ("POST", scope),
        "confirm_export": ("POST", {**run, "outcome": "imported"}),
        "void_export": ("POST", {"run_id": office.spare_run_id, "reason": "Wrong period."}),
        "verification_sheet": ("POST", run),
        "export_run": ("GET", run),
        "export_history": ("GET", organisation),
        "claim_status": ("GET", {"claim_id": office.claim_id}),
        "claim_runs": ("GET", {"claim_id": office.claim_id}),
        "find_export": ("GET", {**organisation, "q": "1"}),
        "changed_claims": ("GET", organisation),
        "sweep": ("POST", {}),
    }


def wrong_answers(town: Town, rows: Mapping[str, str]) -> Iterator[str]:
    """The cells of `endpoints` that are not so."""
    for cell in cells(rows):
        for office, is_own in town.offices():
            answer = _ask(town, cell, office)
            outcome = _of_function(answer, office, cell)
            if not cell.allows(outcome, is_own=is_own):
                yield f"{cell.says(outcome, is_own=is_own)}: {answer.status_code} {answer.text[:200]}"


def _ask(town: Town, cell: Cell, office: Office) -> httpx.Response:
    method, given = requests_for(office)[cell.thing]
    headers = {**town.headers[cell.role], "Idempotency-Key": str(uuid4())}
    sent: dict[str, Any] = {"params": given} if method == "GET" else {"json": given}
    return town.door.request(method, f"/{cell.thing}", headers=headers, **sent)


def _of_function(answer: httpx.Response, office: Office, cell: Cell) -> Outcome:
    if answer.status_code == 401 or answer.json().get("code") == "endpoint_not_found":
        return "."
    if answer.status_code in {403, 404}:
        return "refused"
    assert answer.is_success, f"{cell}: {answer.status_code} {answer.text}"
    repeated = json.dumps(requests_for(office)[cell.thing][1])
    told = [mark for mark in office.marks() if mark in answer.text and mark not in repeated]
    return "done" if told else "nothing"
