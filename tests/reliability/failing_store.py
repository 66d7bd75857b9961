"""A proxy before an S3 server that fails as stores and networks do, as often as configured."""

from __future__ import annotations

import http.client
import re
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from tests.servers import AzureServer, GoogleServer, S3Server

_NEVER_FORWARDED = frozenset({"connection", "transfer-encoding", "expect", "keep-alive"})
_DRIP_SECONDS = 0.05
_AZURE_WHOLE = f"bytes=0-{32 * 1024 * 1024 - 1}"
"""The range that Azure's SDK asks for when it reads a whole blob."""


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """What is asked for, in the words of S3, whichever client it comes from."""
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        if {"x-amz-copy-source", "x-ms-copy-source"} & set(self.headers):
            return "copy"
        if "x-ms-version" in self.headers:
            return self._of_azure(query)
        if "/storage/v1/b/" in self.path or "uploadType" in query:
            return self._of_google(query)
        if self.method == "GET":
            if "uploads" in query:
                return "list uploads"
            return "list" if "list-type" in query else self._get
        if self.method == "PUT":
            return "upload part" if "partNumber" in query else "put"
        if self.method == "POST":
            return "create upload" if "uploads" in query else "complete upload"
        if self.method == "DELETE":
            return "abort upload" if "uploadId" in query else "delete"
        return "head"

    @property
    def _get(self) -> str:
        return "get range" if "range" in self.headers else "get"

    def _of_azure(self, query: dict[str, list[str]]) -> str:
        kind = query.get("comp", [""])[0]
        if self.method == "GET" and kind != "list":
            return "get" if self.headers.get("x-ms-range") == _AZURE_WHOLE else "get range"
        if self.method == "GET":
            return "list"
        if self.method == "PUT":
            return {"block": "upload part", "blocklist": "complete upload"}.get(kind, "put")
        return self.method.lower()

    def _of_google(self, query: dict[str, list[str]]) -> str:
        if self.method == "GET":
            if urlsplit(self.path).path.endswith("/o"):
                return "list"
            return self._get if "alt" in query else "head"
        if "/rewriteTo/" in self.path:
            return "copy"
        if self.method == "POST":
            return "put" if query["uploadType"] == ["multipart"] else "create upload"
        return "upload part" if self.method == "PUT" else "delete"


@dataclass(frozen=True)
class Answer:
    """One answer of the server behind."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def head(self) -> bytes:
        kept = [
            (name, value)
            for name, value in self.headers
            if name.lower() not in {*_NEVER_FORWARDED, "content-length"}
        ]
        length = next((v for n, v in self.headers if n.lower() == "content-length"), None)
        kept.append(("Content-Length", length or str(len(self.body))))
        lines = [f"{name}: {value}\r\n" for name, value in (*kept, ("Connection", "close"))]
        return f"HTTP/1.1 {self.status} {self.reason}\r\n{''.join(lines)}\r\n".encode()


class Uploads:
    """When uploads were begun, as moto says of each that it was in 2010."""

    def __init__(self) -> None:
        self._begun: dict[str, datetime] = {}

    def dated(self, request: Request, answer: Answer) -> Answer:
        """The answer, with the true times where it lists uploads."""
        if request.operation == "create upload":
            for upload in re.findall("<UploadId>([^<]+)<", answer.body.decode()):
                self._begun[upload] = datetime.now(UTC)
        if request.operation != "list uploads":
            return answer
        pieces = re.split("(?=<Upload>)", answer.body.decode())
        body = "".join(self._dated(piece) for piece in pieces).encode()
        headers = [(n, v) for n, v in answer.headers if n.lower() != "content-length"]
        return replace(answer, body=body, headers=headers)

    def _dated(self, piece: str) -> str:
        found = re.search("<UploadId>([^<]+)<", piece)
        begun = self._begun.get(found[1]) if found else None
        if begun is None:
            return piece
        instant = begun.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        return re.sub("(?<=<Initiated>)[^<]+", instant, piece)


AnyServer = TypeVar("AnyServer", S3Server, AzureServer, GoogleServer)
Fault = Callable[["_Connection", Request], None]


@dataclass
class Faults:
    """What the proxy does to which operations, and what has come through it.

    Attributes:
        requests: How often each operation came.
        hook: Called with each request before it is forwarded; where it raises an OSError, the
            request is not.
        answered: Called with each request that the store has answered, before the answer is sent.
    """

    requests: Counter[str] = field(default_factory=Counter)
    hook: Callable[[Request], None] | None = None
    answered: Callable[[Request], None] | None = None
    chance: Callable[[], str | None] = lambda: None
    _planned: dict[str, tuple[str, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _under_way: int = 0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request for as long as the context lasts."""
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def wait_until_idle(self) -> None:
        """Wait until no request of a killed client is on its way to the store any more."""
        until = time.monotonic() + 30
        while self._under_way:
            assert time.monotonic() < until
            time.sleep(0.01)

    def plan(self, operation: str, fault: str, times: int) -> None:
        """Let the next requests of an operation fail."""
        self._planned[operation] = (fault, times)

    def clear(self) -> None:
        """From now on all is well."""
        self._planned.clear()
        self.requests.clear()
        self.hook = self.answered = None
        self.chance = lambda: None

    def next(self, request: Request) -> str | None:
        with self._lock:
            self.requests[request.operation] += 1
            fault, left = self._planned.get(request.operation, ("", 0))
            if left:
                self._planned[request.operation] = (fault, left - 1)
                return fault
            return self.chance()


class _Connection(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server: Any = self.server
        with suppress(OSError, ValueError), server.faults.counted():
            while (request := self._request()) is not None:
                if server.faults.hook is not None:
                    server.faults.hook(request)
                fault = server.faults.next(request)
                if fault is not None:
                    FAULTS[fault](self, request)
                    return
                answer = self.forward(request)
                if server.faults.answered is not None:
                    server.faults.answered(request)
                self.send(answer)
                return

    def _request(self) -> Request | None:
        line = self.rfile.readline().decode("latin-1").split()
        if len(line) < 2:
            return None
        headers: dict[str, str] = {}
        while text := self.rfile.readline().decode("latin-1").strip():
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("expect") == "100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = self.rfile.read(int(headers.get("content-length", 0)))
        return Request(line[0], line[1], headers, body)

    def forward(self, request: Request) -> Answer:
        server: Any = self.server
        backend = http.client.HTTPConnection(server.backend, timeout=60)
        kept = {n: v for n, v in request.headers.items() if n not in _NEVER_FORWARDED}
        try:
            backend.request(request.method, request.path, request.body, kept)
            response = backend.getresponse()
            answer = Answer(
                response.status, response.reason, response.getheaders(), response.read()
            )
            return server.uploads.dated(request, answer)  # type: ignore[no-any-return]
        finally:
            backend.close()

    def send(self, answer: Answer) -> None:
        self.wfile.write(answer.head() + answer.body)

    def fail(self, status: int, code: str) -> None:
        body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>x</Message></Error>'
        headers = [("Content-Type", "application/xml")]
        self.send(Answer(status, "Failed", headers, body.encode()))

    def reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def _truncated(connection: _Connection, request: Request) -> None:
    answer = connection.forward(request)
    whole = answer.head() + answer.body
    connection.wfile.write(whole[: max(len(whole) - max(len(answer.body) // 2, 1), 1)])


def _flipped(connection: _Connection, request: Request) -> None:
    if request.body:
        connection.fail(400, "BadDigest")  # what a store says to a body that is not its MD5's
        return
    answer = connection.forward(request)
    place = len(answer.body) // 2
    flipped = bytearray(answer.body)
    if flipped:
        flipped[place] ^= 1
    connection.send(Answer(answer.status, answer.reason, answer.headers, bytes(flipped)))


def _error_in_200(connection: _Connection, request: Request) -> None:
    connection.fail(200, "InternalError")


def _lost(connection: _Connection, request: Request) -> None:
    connection.forward(request)
    connection.reset()


def _silence(connection: _Connection, request: Request) -> None:
    server: Any = connection.server
    connection.connection.settimeout(0.1)
    while not server.over.is_set():
        try:
            if not connection.connection.recv(1):
                return
        except TimeoutError:
            continue


def _drip(connection: _Connection, request: Request) -> None:
    server: Any = connection.server
    answer = connection.forward(request)
    for byte in answer.head() + answer.body:
        if server.over.is_set():
            return
        connection.wfile.write(bytes([byte]))
        time.sleep(_DRIP_SECONDS)


FAULTS: dict[str, Fault] = {
    "500": lambda connection, _: connection.fail(500, "InternalError"),
    "503 SlowDown": lambda connection, _: connection.fail(503, "SlowDown"),
    "503": lambda connection, _: connection.fail(503, "ServiceUnavailable"),
    "429": lambda connection, _: connection.fail(429, "TooManyRequests"),
    "reset": lambda connection, _: connection.reset(),
    "closed": lambda connection, _: None,
    "garbage": lambda connection, _: connection.wfile.write(b"\x00\xff garbage\r\n\r\n") and None,
    "truncated": _truncated,
    "error in 200": _error_in_200,
    "lost answer": _lost,
    "silence": _silence,
    "drip": _drip,
    "bit flip": _flipped,
}


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


@contextmanager
def before(server: AnyServer) -> Iterator[tuple[AnyServer, Faults]]:
    """The server as it is reached through a proxy, and what the proxy does."""
    faults = Faults()
    with _Server(("127.0.0.1", 0), _Connection) as proxy:
        state: Any = proxy
        state.faults = faults
        state.over = threading.Event()
        state.uploads = Uploads()
        state.backend = re.sub("^http://", "", server.endpoint_url)
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{proxy.server_address[1]}"
        try:
            yield replace(server, endpoint_url=url), faults
        finally:
            state.over.set()
            proxy.shutdown()
            thread.join()
