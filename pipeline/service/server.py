"""The application behind uvicorn, with its limits."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline.logs import LOGGER
from pipeline.service.app import create_app
from pipeline.service.settings import ServiceSettings

_MOST_CONNECTIONS = 1000
_KEEP_ALIVE = 15
_SHUTDOWN = 30


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
    """A protocol that closes a connection whose next request's headers take too long.

    uvicorn has no such limit: a client that sends a byte now and then would hold a connection
    for ever.

    Args:
        seconds: How long the headers of a request may take.
    """

    class PatientProtocol(HttpToolsProtocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._begin()

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self._deadline is None:
                self._begin()

        def on_headers_complete(self) -> None:
            self._end()
            super().on_headers_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._end()
            super().connection_lost(exc)

        def _begin(self) -> None:
            self._deadline = self.loop.call_later(seconds, self.transport.close)

        def _end(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return PatientProtocol
