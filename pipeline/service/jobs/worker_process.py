"""A worker process as seen from the service: orders in, events out, and its end."""

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
"""Orders after which a worker is replaced, so that no leak of a library lasts."""


class WorkerDiedError(Exception):
    """A worker ended in the middle of its work.

    Args:
        code: Its exit code; negative for a signal.
    """

    def __init__(self, code: int) -> None:
        self.code = code
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"code {code}"
        super().__init__(f"the worker process ended with {how}")


class WorkerProcess:
    """One worker; `start` makes it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._orders = 0

    @classmethod
    async def start(cls, module: str = "pipeline.service.worker.worker") -> WorkerProcess:
        """Start a process; it loads its libraries while nobody waits for it.

        Args:
            module: What it runs.
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
        """Its process id."""
        return self._process.pid

    @property
    def is_usable(self) -> bool:
        """Whether it can take another order."""
        return self._process.returncode is None and self._orders < MOST_ORDERS

    async def work(
        self, order: BaseModel, told: Callable[[dict[str, Any]], None]
    ) -> dict[str, Any]:
        """Give an order and wait for its end.

        Args:
            order: What to do, as the worker's module knows it.
            told: Called with each event on the way.

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
        # A line without its end is the last word of a worker that was killed.
        while (line := await self._process.stdout.readline()).endswith(b"\n"):
            event: dict[str, Any] = json.loads(line)
            if event["event"] in ("done", "failed"):
                return event
            told(event)
        raise WorkerDiedError(await self._process.wait())

    async def end(self, grace: float) -> None:
        """Ask it to end, and end it when it has not after `grace` seconds."""
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
