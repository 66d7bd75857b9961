"""Decide which requests are let in: tokens, sessions of browsers, and rates per client."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pipeline.service.errors import BusyError, TooManyError, UnauthorizedError
from pipeline.service.settings import ServiceSettings

SESSION_SECONDS = 12 * 3600
_MOST_SESSIONS = 10_000
_MOST_CLIENTS = 10_000


class TokenBook:
    """Holds the digests of the tokens, and the sessions that were opened with them.

    Args:
        settings: The tokens.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._digests = [_digest(token.get_secret_value()) for token in settings.tokens]
        self._sessions: OrderedDict[bytes, tuple[float, int]] = OrderedDict()

    @property
    def is_open(self) -> bool:
        """Whether no token is required."""
        return not self._digests

    def holder(self, token: str) -> int | None:
        """Return the number of a valid token, else None; wrong ones all take the same time."""
        found = _digest(token)
        number = None
        for place, known in enumerate(self._digests):  # all of them, whichever matches
            if hmac.compare_digest(found, known):
                number = place
        return number

    def open_session(self, holder: int) -> str:
        """Return a new session for the holder of a token."""
        session = secrets.token_urlsafe(32)
        self._sessions[_digest(session)] = (time.monotonic() + SESSION_SECONDS, holder)
        while len(self._sessions) > _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return session

    def session_holder(self, session: str) -> int | None:
        """Return the number of the token that opened a session, unless it has ended."""
        # The lookup is by digest: its duration says nothing about the session itself.
        until, holder = self._sessions.get(_digest(session), (0.0, 0))
        return holder if until > time.monotonic() else None

    def end_session(self, session: str) -> None:
        """End a session."""
        self._sessions.pop(_digest(session), None)


@dataclass
class _Bucket:
    left: float
    seen: float


class RateLimit:
    """A token bucket for each client.

    Args:
        rate: Permissions per second.
        burst: Permissions in a full bucket.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait_for(self, client: str, *, take: bool = True) -> float:
        """Return the seconds until the client has a permission; 0 if it has one now.

        Args:
            client: The client.
            take: Whether to take the permission.
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


class ClientSlots:
    """Limits what clients hold open at a time, in total and each.

    Args:
        what: Name of what is held, for messages.
        most: Number in total.
        most_of_a_client: Number of one client.
        hint: What a client that gets none can do.
    """

    def __init__(self, what: str, most: int, most_of_a_client: int, hint: str) -> None:
        self._what = what
        self._most = most
        self._most_of_a_client = most_of_a_client
        self._hint = hint
        self._held: Counter[str] = Counter()

    def check(self, client: str) -> None:
        """Raise an error if a client can hold no more.

        Raises:
            BusyError: The limit is reached.
        """
        own = self._held[client]
        if own >= self._most_of_a_client:
            self._refuse(f"this client has {own} {self._what} open")
        if self._held.total() >= self._most:
            self._refuse(f"{self._held.total()} {self._what} are open")

    def _refuse(self, message: str) -> None:
        raise BusyError(message, self._hint, headers={"Retry-After": "15"})

    @contextmanager
    def held(self, client: str) -> Iterator[None]:
        """Count one for a client during the block."""
        self._held[client] += 1
        try:
            yield
        finally:
            self._held[client] -= 1
            if self._held[client] == 0:
                del self._held[client]


@dataclass(frozen=True)
class Client:
    """Whom a request counts for.

    Attributes:
        key: The address, together with the token where there is a valid one: what others do at
            the same address does not count for the holder of a token.
        holder: Number of the token; None without a valid one.
    """

    key: str
    holder: int | None


class Access:
    """Lets requests in or rejects them.

    Args:
        settings: Tokens and limits.
        tokens: The tokens.
    """

    def __init__(self, settings: ServiceSettings, tokens: TokenBook) -> None:
        self._tokens = tokens
        self._requests = RateLimit(settings.rate, settings.burst)
        self._failures = RateLimit(settings.failed_tokens / 60, settings.failed_tokens)

    def client(self, address: str, authorization: str | None, session: str | None) -> Client:
        """Return whom a request counts for.

        Args:
            address: Address of the client.
            authorization: The header, if any.
            session: The session's cookie, if any.
        """
        network = network_of(address)
        if self._tokens.is_open:
            return Client(network, None)
        scheme, _, token = (authorization or "").partition(" ")
        holder = self._tokens.holder(token.strip()) if scheme.lower() == "bearer" else None
        if holder is None and session is not None:
            holder = self._tokens.session_holder(session)
        return Client(network if holder is None else f"{network} token {holder}", holder)

    def count(self, client: Client) -> None:
        """Count a request.

        Raises:
            TooManyError: The client has sent too many.
        """
        _refuse_for(self._requests.wait_for(client.key), "too many requests")

    def check(self, client: Client, authorization: str | None, session: str | None) -> None:
        """Require a valid token or session.

        Raises:
            UnauthorizedError: There is none.
            TooManyError: There is none, and the address has sent too many wrong ones.
        """
        if self._tokens.is_open or client.holder is not None:
            return
        _refuse_for(self._failures.wait_for(client.key, take=False), "too many wrong tokens")
        if authorization is not None or session is not None:
            self._failures.wait_for(client.key)
        raise UnauthorizedError(
            "a token is required" if authorization is None else "the token is not valid",
            "send Authorization: Bearer TOKEN",
            headers={"WWW-Authenticate": 'Bearer realm="flowtime-export"'},
        )


def network_of(address: str) -> str:
    """Return what counts as one address: an IPv4 address, or an IPv6 network of 64 bits.

    >>> network_of("192.0.2.1"), network_of("2001:db8::5"), network_of("?")
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
            message,
            "wait as long as Retry-After says",
            headers={"Retry-After": f"{int(seconds) + 1}"},
        )


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
