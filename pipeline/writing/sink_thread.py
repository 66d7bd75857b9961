"""Run a sink on a thread of its own, at most a few batches behind the reading."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import polars as pl

from connectors.storage.calls.deadline import ContextPool
from pipeline.writing.router import SinkOutput

_MOST_BATCHES = 2
"""Batches that may wait for a sink: enough that it never waits for the next one."""


class SinkThread:
    """Hands batches to one sink, in order, while the next ones are being read.

    Rendering and encoding let other threads run, so that sinks work beside the reading and
    beside each other. What fails there is raised here, by the next call.

    Args:
        output: The sink's output; only the sink thread touches it until it is discarded.
    """

    def __init__(self, output: SinkOutput) -> None:
        self._output = output
        self._thread = ContextPool(1, thread_name_prefix="flowtime-sink")
        self._pending: deque[Future[Any]] = deque()
        self._failed = False

    def write(self, batch: pl.DataFrame) -> None:
        """Take a batch as `SinkOutput.write` does; waits where the sink is slower.

        Raises:
            FlowtimeExportError: An earlier batch could not be written.
        """
        while len(self._pending) >= _MOST_BATCHES:
            self._pending.popleft().result()
        self._pending.append(self._thread.submit(self._run, self._output.write, batch))

    def end(self) -> None:
        """Begin to finish the files, as no batch will follow."""
        self._pending.append(self._thread.submit(self._run, self._output.finish))

    def wait(self) -> None:
        """Wait until all files are finished; call `end` first.

        Raises:
            FlowtimeExportError: A batch could not be written, or a file not finished.
        """
        while self._pending:
            self._pending.popleft().result()
        self._thread.shutdown()

    def discard(self) -> None:
        """Throw away what waits and what is staged."""
        self._failed = True
        self._thread.shutdown(cancel_futures=True)
        self._output.discard()

    def _run(self, task: Callable[..., object], *arguments: object) -> None:
        """Do a task, unless one before it has failed."""
        if self._failed:
            return
        try:
            task(*arguments)
        except BaseException:
            self._failed = True
            raise
