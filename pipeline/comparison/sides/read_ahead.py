"""Advance an iterator on a thread of its own, a few items ahead."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Generic, TypeVar

_Item = TypeVar("_Item")

_MOST_AHEAD = 4


class ReadAhead(Iterator[_Item], Generic[_Item]):
    """Reads items while those before them are being used; errors are raised in their place.

    Args:
        items: What is read; only the thread advances it.
    """

    def __init__(self, items: Iterator[_Item]) -> None:
        self._items = items
        self._ready: queue.Queue[tuple[_Item] | BaseException] = queue.Queue(_MOST_AHEAD)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="flowtime-ahead", daemon=True)
        self._thread.start()

    def __next__(self) -> _Item:
        found = self._ready.get()
        if isinstance(found, BaseException):
            self._ready.put(StopIteration())  # a later call must not wait for ever
            raise found
        return found[0]

    def close(self) -> None:
        """Stop reading, and end the thread."""
        self._is_closed.set()
        with suppress(queue.Empty):
            while True:
                self._ready.get_nowait()
        # A query that is given up is closed when it is collected, by any thread.
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _read(self) -> None:
        end: BaseException = StopIteration()
        try:
            for item in self._items:
                if not self._put((item,)):
                    return
        except BaseException as error:  # raised where the item is asked for
            end = error
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
        self._put(end)

    def _put(self, found: tuple[_Item] | BaseException) -> bool:
        """Hand something over; False where it is no longer wanted."""
        while not self._is_closed.is_set():
            with suppress(queue.Full):
                self._ready.put(found, timeout=0.1)
                return True
        return False
