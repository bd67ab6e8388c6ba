"""A server between a program and another server, which fails when a test wants it to."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

Fault = Callable[[str, str], int | str | None]
"""Method and path -> None to pass a request on, a status to answer, ``cut`` for half an answer, ``hang`` for none."""


class UnreliableServer(ThreadingHTTPServer):
    """Passes requests on to ``port`` of this machine, unless ``fault`` says otherwise."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = port
        self.fault: Fault = lambda method, path: None
        self.hanging, self.closed = Event(), Event()
        self.checked: list[bool] = []  # of all that was sent, whether with a checksum
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.closed.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: a client that is killed leaves in the middle."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: UnreliableServer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.command == "PUT":
            self.server.checked.append(any(name.lower().startswith("x-amz-checksum-") for name in self.headers))
        fault = self.server.fault(self.command, self.path)
        if fault == "hang":
            self.server.hanging.set()
            self.server.closed.wait()
        if isinstance(fault, int):
            self._send(fault, {}, b"")
            return
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind)
        behind.request(self.command, self.path, body, dict(self.headers))
        response = behind.getresponse()
        self._send(response.status, dict(response.headers), response.read(), cut=fault == "cut")
        behind.close()

    def _send(self, status: int, headers: dict[str, str], body: bytes, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = headers.get("Content-Length", len(body)) if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""
