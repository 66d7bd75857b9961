"""Publish events to the clients that listen, and keep the latest for those that reconnect."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

KEPT = 1000
_WAITING = 256

EventName = Literal["job", "progress", "runs", "health", "reset"]


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        id: Its position among the events of this process.
        name: `job`: a job's state changed; `progress`: a job made progress; `runs`: the list of
            runs changed; `health`: a problem of the service came or went; `reset`: events were
            missed, so everything must be read again.
        data: JSON text.
    """

    id: str
    name: EventName
    data: str


class EventLog:
    """The latest events, and the listeners of the next ones."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(4)
        self._number = 0
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._listeners: set[asyncio.Queue[Event | None]] = set()
        self._is_over = False

    @property
    def listeners(self) -> int:
        """Number of listeners."""
        return len(self._listeners)

    def publish(self, name: EventName, data: BaseModel) -> None:
        """Send an event to all listeners; one that does not keep up is disconnected."""
        event = self._made(name, data.model_dump_json())
        self._kept.append(event)
        for queue in list(self._listeners):
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                self._listeners.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)

    def end(self) -> None:
        """Disconnect all listeners."""
        self._is_over = True
        for queue in list(self._listeners):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)

    async def listen(self, last_id: str | None = None) -> AsyncIterator[Event]:
        """Yield events from now on, first those after `last_id`.

        Args:
            last_id: The last event that the listener has received before.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue(_WAITING)
        missed = [] if last_id is None else self._after(last_id)
        self._listeners.add(queue)
        try:
            for event in missed:
                yield event
            while not self._is_over and (event_or_end := await queue.get()) is not None:
                yield event_or_end
        finally:
            self._listeners.discard(queue)

    def _after(self, last_id: str) -> list[Event]:
        ids = [event.id for event in self._kept]
        if last_id == f"{self._process}-{self._number}":
            return []
        if last_id in ids:
            return list(self._kept)[ids.index(last_id) + 1 :]
        return [Event(f"{self._process}-{self._number}", "reset", "{}")]

    def _made(self, name: EventName, data: str) -> Event:
        self._number += 1
        return Event(f"{self._process}-{self._number}", name, data)
