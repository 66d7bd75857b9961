"""Run the application behind uvicorn, with limits on slow and large requests."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline.errors import ConfigError, FlowtimeExportError
from pipeline.logs import LOGGER
from pipeline.service.errors import PROBLEM_MEDIA_TYPE, BadRequestError
from pipeline.service.settings import ServiceSettings
from pipeline.service.web.app import create_app

_MOST_CONNECTIONS = 1000
_BACKLOG = 2048
_KEEP_ALIVE = 15
_SHUTDOWN = 30
_MOST_HEAD_BYTES = 64 * 1024
_SWITCH_SECONDS = 0.001
"""Time slice of Python's threads: requests wait less for threads that list or search runs."""


def serve(settings: ServiceSettings, announce: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl+C.

    Args:
        settings: The settings.
        announce: Called with the address of the page once the service listens.

    Raises:
        ConfigError: The settings do not fit together, or the port or the state cannot be used.
        FlowtimeExportError: The application could not start.
    """
    # uvicorn has its own handler while it runs, and raises the signal again at its end.
    signal.signal(signal.SIGTERM, _end)
    listener = _listener(settings.host, settings.port)
    try:
        app = create_app(settings)
    except BaseException:
        listener.close()
        raise
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=patient_protocol(settings.client_timeout),
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.forwarded_allow_ips),
            forwarded_allow_ips=settings.forwarded_allow_ips,
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_SHUTDOWN,
        )
    )
    if not settings.tokens:
        LOGGER.warning(
            "no token is required: every user of this machine can read and export the runs; "
            "use --token-file to require one"
        )
    LOGGER.info("serving %s", settings.runs)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    announce(f"http://{host}:{listener.getsockname()[1]}/")
    sys.setswitchinterval(_SWITCH_SECONDS)
    server.run(sockets=[listener])
    if not server.started:
        raise FlowtimeExportError("the service could not start: the log above says why")


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End the process without failure: SIGTERM is an orderly request."""
    raise SystemExit(0)


def _listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: The address cannot be used.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(
            f"--host {host} cannot be used ({error.strerror}): choose another"
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"port {port} of {host} cannot be used ({error.strerror}): stop the program that "
            "listens there, or choose another --port"
        ) from error
    return listener


def patient_protocol(seconds: float) -> type[HttpToolsProtocol]:
    """Return a protocol that closes connections of clients that neither send headers nor read.

    uvicorn has no such limits: a client that sends single bytes, or reads nothing of a response,
    would hold a connection for ever, and one that sends endless headers would fill the memory.

    Args:
        seconds: Time that headers may take, and that a full buffer may stay full.
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
                f"HTTP/1.1 400 Bad Request\r\ncontent-type: {PROBLEM_MEDIA_TYPE}\r\n"
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
            # Not close(), which would wait for the client to read the rest.
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
