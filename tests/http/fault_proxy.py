"""A proxy between the functions and Supabase that counts requests and loses them on order."""

import http.client
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar, Literal, Self
from urllib.parse import urlsplit

Fault = Literal["refuse", "cut_reply", "gateway_page"]
NOT_FORWARDED = {"connection", "host", "transfer-encoding", "keep-alive"}


@dataclass
class Order:
    """What to do with requests whose "METHOD /path" contains `part`, while `times` lasts."""

    part: str
    fault: Fault
    times: int


@dataclass
class FaultProxy:
    """A context manager; `seen` holds every request that arrived, in order."""

    target: str
    seen: list[str] = field(default_factory=list)
    _orders: list[Order] = field(default_factory=list)
    _pauses: list[tuple[str, Callable[[], object]]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Address to use instead of the target's."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def lose(self, part: str, fault: Fault, times: int = 1_000_000) -> None:
        """From now on, for so many matching requests.

        refuse: closed unread by the target. cut_reply: it happens, but the reply is lost.
        gateway_page: an HTML page with status 502 instead.
        """
        self._orders.append(Order(part, fault, times))

    def before(self, part: str, work: Callable[[], object]) -> None:
        """Do something once, just before a matching request goes on."""
        self._pauses.append((part, work))

    def heal(self) -> None:
        """Lose nothing any more."""
        self._orders.clear()

    def count(self, part: str) -> int:
        """How many requests matched."""
        return sum(part in request for request in self.seen)

    def arrived(self, request: str) -> Fault | None:
        """Note a request; what is to happen to it."""
        with self._lock:
            self.seen.append(request)
            works = [work for part, work in self._pauses if part in request]
            self._pauses = [pause for pause in self._pauses if pause[0] not in request]
            fault = self._next_fault(request)
        for work in works:
            work()
        return fault

    def _next_fault(self, request: str) -> Fault | None:
        for order in self._orders:
            if order.times and order.part in request:
                order.times -= 1
                return order.fault
        return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: ClassVar[FaultProxy]

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.proxy.arrived(f"{self.command} {self.path.partition('?')[0]}")
        if fault == "refuse":
            self._hang_up()
        elif fault == "gateway_page":
            self._answer(502, [("Content-Type", "text/html")], b"<html>Bad gateway</html>")
        else:
            answer = self._forward(body)
            if fault == "cut_reply":
                self._hang_up()
            else:
                self._answer(*answer)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        address = urlsplit(self.proxy.target)
        connection = http.client.HTTPConnection(address.hostname or "", address.port)
        headers = {n: v for n, v in self.headers.items() if n.lower() not in NOT_FORWARDED}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response.status, response.getheaders(), content

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {*NOT_FORWARDED, "content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = _pass_on  # noqa: N815  # http.server's names
