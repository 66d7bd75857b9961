"""Sign the messages of webhooks (https://www.standardwebhooks.com), and schedule their retries."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

MOST_ATTEMPTS = 6
_LONGER = 5


def check_webhook_url(url: str) -> None:
    """Refuse a URL that no message may be sent to.

    Raises:
        ValueError: It is no http or https URL with a host, or it holds a user; the URL itself,
            which is often as good as a secret, is not in the message.
    """
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or parts.username is not None or not url.isascii() or not url.isprintable():
        raise ValueError("should be an http or https URL, without a user")


def host_of(url: str) -> str:
    """Return what messages and logs call a webhook: its path is often as good as a secret."""
    return urlsplit(url).hostname or "?"


def pauses(first: float) -> Iterator[float]:
    """Yield the seconds to wait after each failed attempt but the last one.

    >>> list(pauses(1.0))
    [1.0, 5.0, 25.0, 125.0, 625.0]
    """
    pause = first
    for _ in range(MOST_ATTEMPTS - 1):
        yield pause
        pause *= _LONGER


def signature(secret: str, message_id: str, timestamp: int, body: str) -> str:
    """Return a signature of version 1.

    >>> signature("key", "msg_1", 1, "{}")
    'v1,jKGHVBDuJf5ZbCMVrrutoMHDN1OlFFCE9iogVIO9MLQ='
    """
    signed = f"{message_id}.{timestamp}.{body}".encode()
    return "v1," + base64.b64encode(hmac.digest(secret.encode(), signed, hashlib.sha256)).decode()


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """A message, the same in every attempt to deliver it.

    Attributes:
        id: Distinguishes it from all others; receivers that have seen it may pass over it.
        body: JSON text.
    """

    id: str
    body: str

    @classmethod
    def of(cls, body: str) -> WebhookMessage:
        """Return a new message."""
        return cls(f"msg_{secrets.token_hex(12)}", body)

    def headers(self, secret: str) -> dict[str, str]:
        """Return the headers of an attempt that is made now.

        Args:
            secret: Key of the signature.
        """
        now = int(time.time())
        return {
            "Content-Type": "application/json",
            "webhook-id": self.id,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(secret, self.id, now, self.body),
        }
