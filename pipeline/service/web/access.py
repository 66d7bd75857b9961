"""Who is let in: tokens, sessions of browsers, and how often each client may ask."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass

from pipeline.service.errors import TooManyError, UnauthorizedError
from pipeline.service.settings import ServiceSettings

SESSION_SECONDS = 12 * 3600
_MOST_SESSIONS = 10_000
_MOST_CLIENTS = 10_000


class TokenBook:
    """Knows the tokens by their digests, and the sessions that were opened with one.

    Args:
        settings: The tokens.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._digests = [_digest(token.get_secret_value()) for token in settings.tokens]
        self._sessions: OrderedDict[bytes, float] = OrderedDict()

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked for a token."""
        return not self._digests

    def knows(self, token: str) -> bool:
        """Whether a token is one of them; takes the same time for every wrong one."""
        found = _digest(token)
        matches = 0
        for known in self._digests:  # all of them, whichever matches
            matches |= hmac.compare_digest(found, known)
        return bool(matches)

    def open_session(self) -> str:
        """A new session for the bearer of a token."""
        session = secrets.token_urlsafe(32)
        self._sessions[_digest(session)] = time.monotonic() + SESSION_SECONDS
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def knows_session(self, session: str) -> bool:
        """Whether a session was opened and is not over."""
        # By the digest's hash: how long it takes tells nothing of the session itself.
        until = self._sessions.get(_digest(session))
        return until is not None and until > time.monotonic()

    def end_session(self, session: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(session), None)


@dataclass
class _Bucket:
    left: float
    seen: float


class RateLimit:
    """A bucket of permissions for each client that fills up again (token bucket).

    Args:
        rate: Permissions a second.
        burst: Permissions that a full bucket has.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_for(self, client: str, *, take: bool = True) -> float:
        """Seconds until the client may ask; 0 when it may now.

        Args:
            client: Who asks.
            take: Whether this counts as asking.
        """
        now = time.monotonic()
        bucket = self._buckets.pop(client, None) or _Bucket(self._burst, now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.seen) * self._rate)
        bucket.seen = now
        self._buckets[client] = bucket
        if len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            return (1 - bucket.left) / self._rate
        if take:
            bucket.left -= 1
        return 0.0


class Access:
    """Lets requests in or turns them away.

    Args:
        settings: Tokens and limits.
        tokens: The tokens.
    """

    def __init__(self, settings: ServiceSettings, tokens: TokenBook) -> None:
        self._tokens = tokens
        self._requests = RateLimit(settings.rate, settings.burst)
        self._failures = RateLimit(settings.failed_tokens / 60, settings.failed_tokens)

    def count(self, address: str) -> None:
        """Count a request.

        Raises:
            TooManyError: The client has asked too often.
        """
        _refuse_for(self._requests.wait_for(client_of(address)), "too many requests")

    def check(self, address: str, authorization: str | None, session: str | None) -> None:
        """Ask for a token or a session.

        Raises:
            UnauthorizedError: There is none, or it is wrong.
            TooManyError: The client has given too many wrong ones; right ones do not count now.
        """
        if self._tokens.is_open:
            return
        client = client_of(address)
        _refuse_for(self._failures.wait_for(client, take=False), "too many wrong tokens")
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() == "bearer" and self._tokens.knows(token.strip()):
            return
        if session is not None and self._tokens.knows_session(session):
            return
        if authorization is not None or session is not None:
            self._failures.wait_for(client)
        raise UnauthorizedError(
            "a token is needed" if authorization is None else "the token is not known",
            "send Authorization: Bearer TOKEN",
            headers={"WWW-Authenticate": 'Bearer realm="flowtime-export"'},
        )


def client_of(address: str) -> str:
    """What counts as one client: an IPv4 address, or an IPv6 network of 64 bits.

    >>> client_of("192.0.2.1"), client_of("2001:db8::5"), client_of("?")
    ('192.0.2.1', '2001:db8::/64', '?')
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)


def _refuse_for(seconds: float, message: str) -> None:
    if seconds > 0:
        raise TooManyError(
            message, "wait, then go on more slowly", headers={"Retry-After": f"{int(seconds) + 1}"}
        )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
