"""Start worker processes: as copies of this process where that is safe, else as new ones."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context
from multiprocessing.popen_fork import Popen
from multiprocessing.process import BaseProcess
from typing import Any

from loky.backend.context import LokyContext
from loky.backend.process import LokyProcess

from pipeline.execution.engine import can_be_copied

_HANDLED = {signal.SIGINT, signal.SIGTERM}


class CopiedProcess(LokyProcess):  # type: ignore[misc]
    """The process of a worker: a copy of this one where that is safe, else a new one."""

    @staticmethod
    def _Popen(process: BaseProcess) -> Any:  # noqa: N802  # as multiprocessing calls it
        return Popen(process) if can_be_copied() else LokyProcess._Popen(process)

    def run(self) -> None:
        """Work in a context of its own: deadlines and the like are this process' alone."""
        Context().run(super().run)


class WorkerContext(LokyContext):  # type: ignore[misc]
    """What makes the processes, queues and locks of a pool."""

    Process = CopiedProcess


@contextmanager
def signals_held_back() -> Iterator[None]:
    """Hold back the signals that end an export; each worker takes them once it is set up.

    Until then a copy of this process would handle them as this process does.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def take_signals() -> None:
    """Set up the signals of a worker: the exporting process decides what a Ctrl-C does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches the whole group
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
