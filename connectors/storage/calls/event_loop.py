"""Wait for work that is done on the event loop of another thread."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


def wait_for(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, _T], seconds: float) -> _T:
    """Return the result of `work` done on a loop of another thread.

    Args:
        loop: The loop.
        work: What to do on it.
        seconds: How long it may take; infinite where it sees to that itself.

    Raises:
        TimeoutError: It took longer than `seconds`, and was cancelled.
    """
    limit = None if seconds == math.inf else max(seconds, 0.001)
    future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, limit), loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
