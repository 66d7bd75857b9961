"""Turn SIGINT and SIGTERM into exceptions of the main thread, with a bounded exit."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

from pipeline.exit_codes import INTERRUPTED, TERMINATED

LEAVE_SECONDS = 8.0
"""After this time the process ends, whatever it still waits for."""
_AGAIN_SECONDS = 0.05


class Terminated(BaseException):
    """SIGTERM arrived: what is staged is thrown away on the way out."""


_CODES = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise `KeyboardInterrupt` or `Terminated` at the first signal.

    A second signal ends the process at once. Where Python drops the exception, as it does in
    finalizers, it is raised again. Afterwards signals are ignored: what was to be done is done,
    and the process ends by itself.
    """
    signals = _Signals()
    for number in _CODES:
        signal.signal(number, signals.handle)
    hook, sys.unraisablehook = sys.unraisablehook, signals.on_unraisable
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number in _CODES:
            signal.signal(number, signal.SIG_IGN)


def keep_interruptible() -> None:
    """Let signals interrupt system calls again, after libraries have been imported.

    Polars registers a handler of its own for SIGINT when it is imported, one by which the system
    restarts calls: the main thread would go on waiting for a lock until its holder is done.
    """
    if threading.current_thread() is threading.main_thread():
        for number in _CODES:
            signal.siginterrupt(number, True)


def leave_within(seconds: float, code: int) -> None:
    """End the process with `code` after a time, should it still be there.

    A thread that waits for a store would otherwise hold it up for a minute.
    """
    timer = threading.Timer(seconds, leave, [code])
    timer.daemon = True
    timer.start()


def leave(code: int) -> NoReturn:
    """End the process now, without taking down the interpreter.

    After an interruption or an error an engine's threads may still be at work; where one of them
    calls into an interpreter that is being taken down, the process aborts with another code.
    """
    # What cannot be removed is a leftover by its name.
    with suppress(Exception):
        discard_staged()
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def discard_staged() -> None:
    """Throw away whatever this process has staged; nothing where no storage was ever loaded."""
    storages = sys.modules.get("connectors.storage")
    if storages is not None:
        storages.discard_all()


class _Signals:
    """The signals of this process that arrived."""

    def __init__(self) -> None:
        self.arrived = False
        self._raised = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Raise, once."""
        code = _CODES[signal.Signals(number)]
        if self._raised:
            leave(code)
        if not self.arrived:
            leave_within(LEAVE_SECONDS, code)
        self.arrived = self._raised = True
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated

    def on_unraisable(self, dropped: Any) -> None:
        """Bring back what was dropped; anything else is shown as ever."""
        if not issubclass(dropped.exc_type, KeyboardInterrupt | Terminated):
            sys.__unraisablehook__(dropped)
            return
        number = signal.SIGINT if dropped.exc_type is KeyboardInterrupt else signal.SIGTERM
        self._raised = False
        again = threading.Timer(_AGAIN_SECONDS, os.kill, [os.getpid(), number])
        again.daemon = True
        again.start()
