"""The application behind uvicorn, with its limits."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline.logs import LOGGER
from pipeline.service.errors import BadRequestError
from pipeline.service.settings import ServiceSettings
from pipeline.service.web.app import create_app

_MOST_CONNECTIONS = 1000
_KEEP_ALIVE = 15
_SHUTDOWN = 30
_MOST_HEAD_BYTES = 64 * 1024


def serve(settings: ServiceSettings) -> None:
    """Serve until SIGTERM or Ctrl+C.

    Raises:
        ConfigError: The settings do not fit together.
    """
    app = create_app(settings)
    if not settings.tokens:
        LOGGER.warning(
            "NO TOKEN IS ASKED FOR: everybody on this machine can read the runs and export them; "
            "--token-file changes that"
        )
    LOGGER.warning("serving %s on http://%s:%d", settings.runs, settings.host, settings.port)
    # uvicorn raises the signal again when all is ended; ended in order, that is no failure.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        http=patient_protocol(settings.client_timeout),
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_SHUTDOWN,
    )


def patient_protocol(seconds: float) -> type[HttpToolsProtocol]:
    """A protocol that ends a connection whose client neither sends headers nor reads.

    uvicorn has no such limits: a client that sends a byte now and then, or takes nothing of an
    answer, would hold a connection for ever, and one that sends headers without end, memory.

    Args:
        seconds: How long headers may take, and how long a full buffer may stay full.
    """

    class PatientProtocol(HttpToolsProtocol):
        _deadline: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None
        _head_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._begin()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._deadline is not None and not self.transport.is_closing():
                self._head_bytes += len(data)
                if self._head_bytes > _MOST_HEAD_BYTES:
                    self.send_400_response("The headers are too large")

        def send_400_response(self, msg: str) -> None:
            error = BadRequestError(msg.rstrip("."), "GET /docs describes the API")
            body = json.dumps(error.body())
            head = (
                "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write((head + body).encode("ascii"))
            self.transport.close()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._deadline is None:
                self._begin()

        def on_headers_complete(self) -> None:
            self._end()
            super().on_headers_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            # Not close: that would wait for the client to read what is left.
            self._unread = self.loop.call_later(seconds, self.transport.abort)

        def resume_writing(self) -> None:
            self._end_unread()
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end()
            self._end_unread()
            super().connection_lost(exc)

        def _begin(self) -> None:
            self._deadline = self.loop.call_later(seconds, self.transport.close)

        def _end(self) -> None:
            self._head_bytes = 0
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _end_unread(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

    return PatientProtocol
