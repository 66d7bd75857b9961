"""A receiver of webhooks for tests."""

from __future__ import annotations

import http.server
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.servers import serve_requests


@contextmanager
def receiving(failures: int = 0) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A receiver that fails at first; its URL and what it got."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(500 if len(got) <= failures else 204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            return

    with serve_requests(Receiver) as url:
        yield f"{url}/hook", got


def wait_for(got: list[Any], count: int) -> None:
    end = time.monotonic() + 20
    while len(got) < count:
        assert time.monotonic() < end, got
        time.sleep(0.05)
