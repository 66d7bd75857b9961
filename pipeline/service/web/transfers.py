"""Send large bodies so that short requests need not wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from functools import partial

import anyio
import anyio.to_thread

_END: bytes = b""
_SHORT_WAIT = 0.002
_LONGEST_PAUSE = 0.02


class Transfers:
    """Reads blocks of all bodies that are being sent, a few at a time.

    Threads that read compete with the event loop for the interpreter, and each block that is sent
    takes a part of the loop's time. So few blocks are read at a time, and reading pauses while
    other requests wait.

    Args:
        at_once: Blocks that are read at a time.
    """

    def __init__(self, at_once: int) -> None:
        self._threads = anyio.CapacityLimiter(at_once)
        self._turns = asyncio.Semaphore(at_once)

    async def blocks(self, blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
        """Yield blocks that are read on threads."""
        step = partial(next, blocks, _END)
        while True:
            async with self._turns:
                block = await anyio.to_thread.run_sync(step, limiter=self._threads)
                await _pause()
            if not block:
                return
            yield block


async def _pause() -> None:
    """Wait for as long as the loop takes for a turn, if that is long."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(0)
    waited = loop.time() - began
    if waited > _SHORT_WAIT:
        await asyncio.sleep(min(waited, _LONGEST_PAUSE))
