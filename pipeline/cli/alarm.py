"""End an export that hangs in a call past its deadline."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from connectors.storage.calls.deadline import DeadlinePassed

_GRACE_SECONDS = 1.0
"""What looks at the deadline by itself comes first."""


@contextmanager
def alarm(seconds: float | None) -> Iterator[None]:
    """Raise `DeadlinePassed` in the main thread after a time, whatever it waits for.

    The export sees to its deadline itself, between calls; this is for a call that hangs, such as
    one to a network drive.

    Args:
        seconds: The time that the export has; None for no limit.
    """
    if seconds is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def _ring(number: int, frame: FrameType | None) -> None:
    raise DeadlinePassed
