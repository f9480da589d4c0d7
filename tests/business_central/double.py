"""A Business Central on a port of this machine: strict, with a memory, and unreliable on order."""

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Final, Self
from urllib.parse import unquote, urlsplit

from tests.business_central.books import Books, Row
from tests.business_central.control import PATH, fulfilled
from tests.business_central.fault import Fault
from tests.business_central.refusal import Refusal
from tests.business_central.service import Call, Service, parsed
from tests.business_central.sign_in import SignIn

_LINK: Final = "@odata.nextLink"
Answer = tuple[int, dict[str, str], bytes]


@dataclass(frozen=True)
class Recorded:
    """A request as it arrived; header names in lower case."""

    request: str
    query: str
    headers: Mapping[str, str]
    text: str
    at: float

    @property
    def body(self) -> Any:
        """Parsed, with exact numbers."""
        return parsed(self.text)

    @property
    def path(self) -> str:
        """Without the method, with the query."""
        path = self.request.split(" ", 1)[1]
        return f"{path}?{self.query}" if self.query else path

    @property
    def operations(self) -> list[dict[str, Any]]:
        """Of a batch."""
        return list(self.body["requests"])


@dataclass
class BusinessCentralDouble:
    """A context manager. Everything that a test sets up or asserts hangs on it.

    `seen` holds every request. `peak` is how many were under way at once. `late` are requests
    whose connection was cut and whose work is still to come.
    """

    environment: str = "Sandbox"
    environment_kind: int = 1
    port: int = 0
    books: Books = field(default_factory=Books)
    login: SignIn = field(default_factory=SignIn)
    seen: list[Recorded] = field(default_factory=list)
    peak: int = 0
    late: list[Callable[[], object]] = field(default_factory=list)
    _faults: list[Fault] = field(default_factory=list)
    _under_way: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"double": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        self.service = Service(self.books, f"{self.url}{self.root}")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """In place of the API, the login and the web client alike."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def root(self) -> str:
        """Path of the service."""
        return f"/v2.0/{self.login.tenant_id}/{self.environment}/api/v2.0"

    def settings(self, secret_reference: str, **others: object) -> dict[str, object]:
        """What an organisation would set up to come here."""
        return {
            "tenant_id": self.login.tenant_id,
            "client_id": self.login.client_id,
            "client_secret_ref": secret_reference,
            "environment": self.environment,
            "environment_kind": "sandbox",
            "company": self.books.company_name,
            "journal_template": "GENERELL",
            "api_url": self.url,
            "login_url": self.url,
            "web_url": self.url,
            **others,
        }

    # what a test does

    def misbehave(self, *faults: Fault) -> None:
        """From now on, in this order where several fit."""
        with self._lock:
            self._faults.extend(faults)

    def heal(self) -> None:
        """Nothing more goes wrong; what was late stays so."""
        with self._lock:
            self._faults.clear()

    def release(self) -> list[object]:
        """Carry out the late requests now; what they would have been answered."""
        with self._lock:
            answers = [work() for work in self.late]
            self.late.clear()
            return answers

    def post(self, code: str) -> int:
        """As an accountant: post the journal. How many entries that made."""
        with self._lock, self.books.undone_on_error():
            journal = self.books.journal_of(code)
            assert journal is not None
            return self.books.post(journal["id"])

    def enter(self, code: str, **line: object) -> Row:
        """As an accountant: a line in a journal."""
        with self._lock, self.books.undone_on_error():
            made = {"code": code, "displayName": f"Export {code}"}
            journal = self.books.journal_of(code) or self.books.add_journal(made)
            return self.books.add_line(journal["id"], dict(line))

    # what a test looks at

    def lines(self, code: str) -> list[Row]:
        """All lines of a journal, those too that the API does not list; none without journal."""
        with self._lock:
            journal = self.books.journal_of(code)
            return list(self.books.lines_in(journal["id"])) if journal else []

    def documents(self) -> list[str]:
        """The document number of each line in any journal."""
        with self._lock:
            return [row["documentNumber"] for row in self.books.lines.values()]

    def requests(self, part: str) -> list[Recorded]:
        """Those whose "METHOD /path" contains it."""
        return [recorded for recorded in self.seen if part in recorded.request]

    def writes(self) -> list[Recorded]:
        """Every request but reads and logins."""
        return [
            recorded
            for recorded in self.seen
            if not recorded.request.startswith("GET ") and "/oauth2/" not in recorded.request
        ]

    # what arrives

    def arrived(self, recorded: Recorded) -> Fault | None:
        """Note it; what is to go wrong."""
        with self._lock:
            self.seen.append(recorded)
            self._under_way += 1
            self.peak = max(self.peak, self._under_way)
            return next((fault for fault in self._faults if fault.hits(recorded.request)), None)

    def left(self) -> None:
        """The request is over."""
        with self._lock:
            self._under_way -= 1

    def worked(self, recorded: Recorded, fault: Fault | None) -> Answer:
        """Carry it out."""
        with self._lock:
            try:
                status, body = self._routed(recorded, fault)
            except Refusal as refusal:
                status, body = refusal.status, refusal.body
        if fault and isinstance(body, dict):
            _spoil(body, fault, f"{self.url}{recorded.path}")
        return status, {}, b"" if body is None else json.dumps(body, default=float).encode()

    def _routed(self, recorded: Recorded, fault: Fault | None) -> tuple[int, Any]:
        method, path = recorded.request.split(" ", 1)
        tenant = self.login.tenant_id
        if path.endswith("/oauth2/v2.0/token") and method == "POST":
            content_type = recorded.headers.get("content-type", "")
            return self.login.answer(path.split("/")[1], content_type, recorded.text)
        if path.endswith("/deployment/url"):
            return self._deployment(path)
        if not path.startswith(f"{self.root}/"):
            known = f"/v2.0/{tenant}/"
            raise Refusal(404, "Internal_TenantUnavailable", f"No environment here: {known}")
        self.login.check(recorded.headers.get("authorization", ""))
        below = path.removeprefix(f"{self.root}/")
        url = f"{below}?{recorded.query}" if recorded.query else below
        call = Call.of(method, url, recorded.headers, recorded.body)
        if below == "$batch" and method == "POST":
            return self.service.batch(call, fault)
        return self.service.answer(call)

    def controlled(self, recorded: Recorded) -> Answer:
        """Not a request to the service, so neither seen nor hit by faults."""
        with self._lock:
            try:
                name = recorded.request.removeprefix(f"POST {PATH}")
                status, body = 200, fulfilled(self, name, recorded.body or {})
            except Refusal as refusal:
                status, body = refusal.status, refusal.body
            return status, {}, json.dumps(body, default=str).encode()

    def _deployment(self, path: str) -> tuple[int, Any]:
        if path != f"/{self.login.tenant_id}/{self.environment}/deployment/url":
            return 200, {"status": "DoesNotExist"}
        return 200, {
            "status": "Ready",
            "data": f"{self.url}/client",
            "environmentType": self.environment_kind,
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: the second would wait for the first's receipt.
    disable_nagle_algorithm = True
    double: ClassVar[BusinessCentralDouble]

    def _serve(self) -> None:
        recorded = self._recorded()
        if recorded.request.startswith(f"POST {PATH}"):
            self._send(*self.double.controlled(recorded))
            return
        fault = self.double.arrived(recorded)
        try:
            answer = self._answered(recorded, fault)
        finally:
            self.double.left()
        if answer is None:
            self._hang_up()
        else:
            self._send(*answer, pause=fault.seconds if fault and fault.kind == "drip" else 0)

    def _recorded(self) -> Recorded:
        address = urlsplit(self.path)
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = f"{self.command} {unquote(address.path)}"
        return Recorded(request, address.query, headers, text, time.monotonic())

    def _answered(self, recorded: Recorded, fault: Fault | None) -> Answer | None:
        """None is no answer at all."""
        double = self.double
        kind = fault.kind if fault else None
        if kind == "arrive_late":
            double.late.append(lambda: double.worked(recorded, None))
        if fault and kind in {"cut_request", "arrive_late", "gateway_page", "status"}:
            return _instead(fault, recorded)
        if fault and kind == "slow":
            time.sleep(fault.seconds)
        answer = double.worked(recorded, fault)
        if fault and kind in {"cut_reply", "status_after_work"}:
            return _instead(fault, recorded)
        return answer

    def _send(
        self, status: int, headers: Mapping[str, str], content: bytes, *, pause: float = 0
    ) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            for part in [bytes([byte]) for byte in content] if pause else [content]:
                self.wfile.write(part)
                time.sleep(pause)
        except OSError:
            # The client did not wait.
            self.close_connection = True

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _serve  # noqa: N815  # http.server's names


def _spoil(body: dict[str, Any], fault: Fault, own: str) -> None:
    if _LINK in body and fault.kind == "link_elsewhere":
        body[_LINK] = body[_LINK].replace("127.0.0.1", "localhost")
    if _LINK in body and fault.kind == "link_back":
        body[_LINK] = own
    if fault.kind == "unreadable":
        body.update({"value": [7], "responses": "none"})


def _instead(fault: Fault, recorded: Recorded) -> Answer | None:
    """Of the work's own answer."""
    if fault.kind in {"cut_request", "cut_reply", "arrive_late"}:
        return None
    if fault.kind == "gateway_page":
        return fault.status, {**fault.headers, "Content-Type": "text/html"}, b"<html>Bad</html>"
    told = str(recorded.headers) if fault.repeats_headers else ""
    body = Refusal(fault.status, fault.code, f"The service is not at your service. {told}").body
    return fault.status, fault.headers, json.dumps(body).encode()
