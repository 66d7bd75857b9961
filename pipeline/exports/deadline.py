"""Wall time by phase, under a deadline."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from pipeline.errors import SinkError


class _TimeIsUp(BaseException):
    """Raised wherever the main thread is."""


@dataclass
class Clock:
    """Wall time by phase, and a deadline for all of them."""

    timeout: float | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)
    _phase: str = ""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase."""
        began = time.monotonic()
        self._phase = name
        try:
            yield
        finally:
            spent = time.monotonic() - began
            self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)
            self.seconds["total"] = round(time.monotonic() - self._began, 3)

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Interrupt whatever is waited for when the time is up.

        Only the main thread can be interrupted: elsewhere each call to a store is bounded, and
        `check` does the rest.

        Raises:
            SinkError: `execution.timeout` has passed.
        """
        if self.timeout is None or not _timer_is_free():
            yield
            return
        signal.signal(signal.SIGALRM, _interrupt)
        try:
            signal.setitimer(signal.ITIMER_REAL, max(self._left, 0.001))
            try:
                yield
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
        except _TimeIsUp:
            raise self._error() from None
        finally:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def check(self) -> None:
        """Stop when the time is up.

        Raises:
            SinkError: `execution.timeout` has passed.
        """
        if self.timeout is not None and self._left <= 0:
            raise self._error()

    @property
    def _left(self) -> float:
        assert self.timeout is not None
        return self._began + self.timeout - time.monotonic()

    def _error(self) -> SinkError:
        stands = "what was published before stands"
        return SinkError(
            f"execution.timeout of {self.timeout:g} s has passed; "
            f"{stands if self._phase == 'publish' else 'nothing was published'}: "
            "allow more time or select fewer runs"
        )


def _timer_is_free() -> bool:
    if threading.current_thread() is not threading.main_thread():
        return False
    return signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise _TimeIsUp
