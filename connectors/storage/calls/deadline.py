"""Bound the calls to storages by a deadline of the caller, without signals or globals.

The deadline is part of the caller's context, as `contextvars` has it: other threads and other
exports of the same process are not concerned. Threads that work for the caller take it over when
they come from a `ContextPool`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class DeadlinePassed(BaseException):
    """Raised instead of a call that would begin, or end, after the deadline.

    Not an `Exception`: code that goes on after a failed call must not go on after this.
    """


class Deadline:
    """An instant after which no call to a storage is begun or waited for.

    Args:
        seconds: From now to that instant.
    """

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def seconds_left(self) -> float:
        """Seconds to that instant; 0 once it has passed."""
        return max(self._until - time.monotonic(), 0.0)

    def check(self) -> None:
        """Raise `DeadlinePassed` once it has passed."""
        if not self.seconds_left:
            raise DeadlinePassed


_current: ContextVar[Deadline | None] = ContextVar("flowtime_export_deadline", default=None)


@contextmanager
def within(deadline: Deadline | None) -> Iterator[None]:
    """Bound what is done in the context by a deadline; None lifts the one outside."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)


def current_deadline() -> Deadline | None:
    """Return the deadline of the present context, if there is one."""
    return _current.get()


def check_deadline() -> None:
    """Raise `DeadlinePassed` once the present deadline has passed."""
    deadline = _current.get()
    if deadline is not None:
        deadline.check()


def seconds_left(most: float = math.inf) -> float:
    """Return how many seconds a call may take: those to the deadline, and `most` at the longest."""
    deadline = _current.get()
    return most if deadline is None else min(deadline.seconds_left, most)


def each_within(deadline: Deadline | None, items: Iterable[_T]) -> Iterator[_T]:
    """Yield items that are made under a deadline, whichever thread asks for them."""
    iterator = iter(items)
    while True:
        with within(deadline):
            check_deadline()
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


class ContextPool(ThreadPoolExecutor):
    """A pool of threads that work in the context of the caller of `submit`, deadline included."""

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        """Submit a call that runs in a copy of the present context."""
        call: Callable[..., Any] = copy_context().run
        return super().submit(call, fn, *args, **kwargs)
