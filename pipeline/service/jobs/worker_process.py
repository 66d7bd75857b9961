"""Start a worker process, send it orders, read its events, and end it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pydantic import BaseModel

_LONGEST_LINE = 16 * 1024 * 1024
MOST_ORDERS = 50
"""Number of orders after which a worker is replaced, to bound leaks of libraries."""


class WorkerDiedError(Exception):
    """A worker process ended in the middle of its work.

    Args:
        code: Its exit code; negative for a signal.
    """

    def __init__(self, code: int) -> None:
        self.code = code
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        super().__init__(f"the worker process ended with {how}")


class WorkerProcess:
    """One worker process; `start` makes it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._orders = 0

    @classmethod
    async def start(cls, module: str = "pipeline.service.worker.worker") -> WorkerProcess:
        """Start a process, which loads its libraries in the background.

        Args:
            module: The module that it runs.
        """
        return cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LONGEST_LINE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)},
                start_new_session=True,
            )
        )

    @property
    def pid(self) -> int:
        """Id of the process."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Whether the process accepts another order."""
        return self._process.returncode is None and self._orders < MOST_ORDERS

    async def work(
        self, order: BaseModel, on_event: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Send an order and wait until it is finished.

        Args:
            order: An order that the worker's module understands.
            on_event: Called with each event before the last.

        Returns:
            The last event: `done` or `failed`.

        Raises:
            WorkerDiedError: The process ended before that.
        """
        self._orders += 1
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(ConnectionError):
            self._process.stdin.write(order.model_dump_json().encode() + b"\n")
            await self._process.stdin.drain()
        # A worker that was killed may leave a line without its end.
        while (line := await self._process.stdout.readline()).endswith(b"\n"):
            event: dict[str, Any] = json.loads(line)
            if event["event"] in ("done", "failed"):
                return event
            on_event(event)
        raise WorkerDiedError(await self._process.wait())

    async def end(self, grace: float) -> None:
        """Terminate the process, and kill it if it runs after `grace` seconds."""
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), grace)
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
