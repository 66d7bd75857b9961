"""Deliver messages on threads of their own, without failing or delaying what they report."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from pipeline.webhooks.message import WebhookMessage, host_of, pauses

LONGEST_WAIT_SECONDS = 0.8
"""The end of an export waits so long for its message to arrive."""

_FIRST_PAUSE_SECONDS = 0.1
_TIMEOUT_SECONDS = 10.0


class MessageDelivery:
    """The delivery of one message to several webhooks, begun at once.

    Attempts go on in the background for as long as the process lives.

    Args:
        urls: The webhooks.
        secret: Key of the signatures.
        message: The message.
    """

    def __init__(self, urls: Sequence[str], secret: str, message: WebhookMessage) -> None:
        self._secret = secret
        self._message = message
        self._began = time.monotonic()
        self._open = {url: threading.Event() for url in dict.fromkeys(urls)}
        for url in self._open:
            # Daemons: a webhook that does not answer must not keep the process from ending.
            threading.Thread(
                target=self._deliver, args=(url,), name="flowtime-webhook", daemon=True
            ).start()

    def undelivered(self, seconds: float = LONGEST_WAIT_SECONDS) -> list[str]:
        """Wait for the message to be accepted, and return the hosts that have not accepted it.

        Args:
            seconds: How long to wait at the most, since the delivery began.
        """
        end = self._began + seconds
        return [
            host_of(url)
            for url, accepted in self._open.items()
            if not accepted.wait(max(0.0, end - time.monotonic()))
        ]

    def _deliver(self, url: str) -> None:
        for pause in (*pauses(_FIRST_PAUSE_SECONDS), 0.0):
            if _post(url, self._message, self._secret):
                self._open[url].set()
                return
            time.sleep(pause)


def _post(url: str, message: WebhookMessage, secret: str) -> bool:
    """Return whether a webhook has accepted a message; redirections are not followed."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_TIMEOUT_SECONDS)
    path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    try:
        connection.request("POST", path, message.body.encode(), message.headers(secret))
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
