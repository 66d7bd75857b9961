"""Deliver lineage events in the background, without failing or delaying an export."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

LONGEST_WAIT_SECONDS = 0.8
"""The end of an export waits so long for the last event to arrive."""

Emit = Callable[[Any], None]
BuildEvent = Callable[[], Any]


class EventDelivery:
    """A queue of events and the thread that sends them.

    Events are built on the thread as well: importing the client takes longer than a small export.

    Args:
        connect: Returns the function that sends one event; called once, on the thread.
    """

    def __init__(self, connect: Callable[[], Emit]) -> None:
        self._connect = connect
        self._events: SimpleQueue[BuildEvent | None] = SimpleQueue()
        self._failure: Exception | None = None
        # A daemon: an unreachable endpoint must not keep the process from ending.
        self._thread = threading.Thread(target=self._deliver, name="flowtime-lineage", daemon=True)
        self._thread.start()

    def send(self, build: BuildEvent) -> None:
        """Queue an event.

        Args:
            build: Returns the event; called on the delivery thread.
        """
        self._events.put(build)

    def close(self, seconds: float = LONGEST_WAIT_SECONDS) -> str | None:
        """Wait for the queued events and return what went wrong, if anything did.

        Args:
            seconds: How long to wait at the most.
        """
        self._events.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            return f"lineage events were not delivered within {seconds:g} s"
        if self._failure is not None:
            return (
                f"lineage events were not delivered ({type(self._failure).__name__}): check the "
                "settings of the OpenLineage client"
            )
        return None

    def _deliver(self) -> None:
        try:
            emit = self._connect()
            while (build := self._events.get()) is not None:
                emit(build())
        except Exception as failure:
            # Only the type is reported: the text may hold the endpoint's credentials.
            self._failure = failure
