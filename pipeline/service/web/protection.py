"""Check every request before a route handles it, and add headers to every response."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.errors import FlowtimeExportError
from pipeline.logs import LOGGER
from pipeline.service.errors import (
    PROBLEM_MEDIA_TYPE,
    ForbiddenError,
    ServiceError,
    SlowError,
    TooLargeError,
)
from pipeline.service.settings import ServiceSettings
from pipeline.service.web.access import Access

SESSION_COOKIE = "flowtime_session"

OPEN_PATHS = frozenset(
    {"/healthz", "/readyz", "/docs", "/openapi.json", "/", "/artifacts", "/v1/session"}
)
"""Paths that require no token: they show nothing of any run."""

OPEN_FOLDERS = ("/docs/", "/page/", "/compare/", "/artifacts/", "/runs/")
"""Folders of static files and redirections to them, which require no token."""

UPLOAD_PATH = "/v1/import"
"""The only path that accepts large bodies."""

_LINGER = 5.0
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src {style}; "
    "script-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Protection:
    """Check host, origin, rate, token, body size and time; add security headers.

    Args:
        app: The protected application.
        settings: Limits.
        access: Tokens and rates.
    """

    def __init__(self, app: ASGIApp, settings: ServiceSettings, access: Access) -> None:
        self._app = app
        self._settings = settings
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or respond with the reason for rejecting it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = _most_bytes(scope, self._settings)
        incoming = _Incoming(receive, most, self._settings, Headers(scope=scope))
        outgoing = _Outgoing(send, incoming, scope["path"])
        try:
            self._check(scope, most)
            await self._app(scope, incoming.receive, outgoing.send)
        except ServiceError as error:
            if not outgoing.has_begun:
                await send_error(outgoing.send, error)
        except RuntimeError as error:
            # Starlette's, where an error has an answer and another one has begun already.
            cause = error.__cause__
            if not (outgoing.has_begun and isinstance(cause, FlowtimeExportError)):
                raise
            LOGGER.warning("%s ended before its end: %s", scope["path"], cause)

    def _check(self, scope: Scope, most: int) -> None:
        headers = Headers(scope=scope)
        address = scope["client"][0] if scope.get("client") else "?"
        authorization, session = headers.get("authorization"), _session(headers)
        client = self._access.client(address, authorization, session)
        scope.setdefault("state", {})["client"] = client
        _check_host(headers, self._settings.known_hosts)
        if scope["method"] not in _SAFE_METHODS:
            _check_origin(headers, self._settings.cors_origins)
        self._access.count(client)
        path = scope["path"]
        preflight = scope["method"] == "OPTIONS" and self._settings.cors_origins
        if not (path in OPEN_PATHS or path.startswith(OPEN_FOLDERS) or preflight):
            self._access.check(client, authorization, session)
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > most:
            raise _too_large(most)


class _Incoming:
    """The body of a request, limited in size and in time.

    Attributes:
        refusal: Why the body is not read to its end.
    """

    def __init__(
        self, receive: Receive, most: int, settings: ServiceSettings, headers: Headers
    ) -> None:
        self._receive = receive
        self._has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        # A client that waits for 100 (Continue) sends nothing once it has the response.
        self._is_coming = self._has_body and "expect" not in headers
        self._most = most
        self._settings = settings
        self._began = time.monotonic()
        self._size = 0
        self._is_whole = False
        self.refusal: ServiceError | None = None

    async def receive(self) -> Message:
        if self._is_whole:
            return await self._receive()  # from now on only a disconnect arrives
        try:
            message = await asyncio.wait_for(self._receive(), self._patience())
        except TimeoutError:
            self._is_coming = False
            raise self._refused(
                SlowError("the body did not arrive in time", "send it faster")
            ) from None
        self._size += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._size > self._most:
            raise self._refused(_too_large(self._most))
        return message

    @property
    def is_left(self) -> bool:
        """Whether a part of the body has not been read."""
        return self._has_body and not self._is_whole

    async def linger(self) -> None:
        """Receive the rest of the body for a moment, and discard it.

        A connection that is closed while its client sends is reset, and the client does not see
        the response then.
        """
        until = time.monotonic() + min(_LINGER, self._settings.client_timeout)
        while self._is_coming and self.is_left and (left := until - time.monotonic()) > 0:
            try:
                message = await asyncio.wait_for(self._receive(), left)
            except TimeoutError:
                return
            self._is_whole = not message.get("more_body", False)

    def _patience(self) -> float:
        """Return the seconds until the next part must arrive; less if the body arrives slowly.

        Otherwise a client that sends single bytes could hold a connection, and room for an
        upload, for days.
        """
        timeout = self._settings.client_timeout
        earned = timeout + self._size / self._settings.slowest_body
        return max(0.0, min(timeout, self._began + earned - time.monotonic()))

    def _refused(self, error: ServiceError) -> ServiceError:
        self.refusal = error
        return error


class _Outgoing:
    """A response, to which the headers of all responses are added."""

    def __init__(self, send: Send, incoming: _Incoming, path: str) -> None:
        self._send = send
        self._path = path
        self._incoming = incoming
        self._is_answered = False
        self.has_begun = False

    async def send(self, message: Message) -> None:
        refusal, self._incoming.refusal = self._incoming.refusal, None
        if refusal is not None and not self.has_begun:
            # FastAPI reports any fault of a body as bad JSON; this is the real one.
            self._is_answered = True
            await send_error(self._pass_on, refusal)
        if not self._is_answered:
            await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            headers = MutableHeaders(scope=message)
            if self._incoming.is_left:
                headers["Connection"] = "close"
            for name, value in {**_HEADERS, **_headers_of(self._path)}.items():
                headers.setdefault(name, value)
        elif self._incoming.is_left and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._incoming.linger()
            message = {"type": "http.response.body", "body": b""}
        await self._send(message)


def _headers_of(path: str) -> dict[str, str]:
    """Return headers that depend on the path: the documentation's library writes inline styles."""
    is_documentation = path.startswith("/docs")
    style = "'self' 'unsafe-inline'" if is_documentation else "'self'"
    return {
        "Content-Security-Policy": _POLICY.format(style=style),
        "Cache-Control": "no-cache" if path.startswith("/page/") else "no-store",
    }


async def send_error(send: Send, error: ServiceError) -> None:
    """Send a problem document."""
    body = json.dumps(error.body(), ensure_ascii=False).encode()
    headers = {"Content-Type": PROBLEM_MEDIA_TYPE, "Content-Length": str(len(body))}
    pairs = [(k.lower().encode(), v.encode()) for k, v in {**headers, **error.headers}.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


def _check_host(headers: Headers, known: Iterable[str]) -> None:
    """Reject host names that others have pointed at this machine (DNS rebinding)."""
    names = {name.lower() for name in known}
    if not names:
        return
    given = headers.getlist("host")
    host = given[0].lower() if len(given) == 1 else ""
    name = host[: host.rindex("]") + 1] if host.startswith("[") else host.partition(":")[0]
    if name not in names:
        raise ForbiddenError(
            "the Host header names a host that is not allowed", "add it by --allowed-host"
        )


def _check_origin(headers: Headers, allowed: Iterable[str]) -> None:
    """Reject requests that a page of another site makes its visitor's browser send."""
    origin = headers.get("origin")
    if origin is not None:
        same = urlsplit(origin).netloc.lower() == headers.get("host", "").lower()
        is_other = not same and origin not in allowed
    else:
        is_other = headers.get("sec-fetch-site", "none") in ("cross-site", "same-site")
    if is_other:
        raise ForbiddenError(
            "pages of other origins may not send this request", "add the origin by --cors-origin"
        )


def _session(headers: Headers) -> str | None:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(SESSION_COOKIE)
    except CookieError:
        return None
    return None if cookie is None else cookie.value


def _most_bytes(scope: Scope, settings: ServiceSettings) -> int:
    """Return the bytes that the body of a request may have."""
    if scope["method"] == "POST" and scope["path"] == UPLOAD_PATH:
        return settings.max_body + settings.max_upload
    return settings.max_body


def _too_large(most: int) -> TooLargeError:
    return TooLargeError(f"the body is larger than {most:,} bytes", "send less")
