"""Orders on stdin and events on stdout, line by line: what every worker process does."""

from __future__ import annotations

import json
import os
import queue
import resource
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType
from typing import IO, Any

from pipeline.errors import FlowtimeExportError
from pipeline.service.errors import failure


class WorkerTerminated(BaseException):
    """SIGTERM arrived: what is staged is thrown away on the way out."""


class Events:
    """What the service is told.

    Args:
        stream: Where lines go.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def tell(self, kind: str, /, **values: Any) -> None:
        """Write one line."""
        self._stream.write(json.dumps({"event": kind, **values}) + "\n")
        self._stream.flush()


def serve_orders(serve: Callable[[str, Events], None]) -> None:
    """Serve orders until stdin ends; without stdin there is nobody left to work for.

    Args:
        serve: Does what one line of JSON says, and tells of it.
    """
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the server's to answer
    # What libraries print must not come between the lines.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    events = Events(stream)
    orders: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    try:
        events.tell("ready")
        while (line := orders.get()) is not None:
            serve(line, events)
    except (WorkerTerminated, BrokenPipeError):
        # Not sys.exit: a thread of the listener may still wait for a line.
        os._exit(143)
    os._exit(0)


def tell_outcome(
    events: Events,
    work: Callable[[], dict[str, Any]],
    what: str,
    failed: Callable[[FlowtimeExportError], dict[str, Any]] = failure,
) -> None:
    """Do one order's work, and tell its report or why there is none.

    Args:
        events: Told `done` or `failed`.
        work: Gives the report.
        what: What it is called in messages.
        failed: Puts an error of this project into what is told.
    """
    try:
        report = work()
    except FlowtimeExportError as error:
        events.tell("failed", **failed(error))
    except MemoryError:
        events.tell("failed", type="MemoryError", error=f"{what} needs more memory than it has")
    except Exception as error:  # a fault of ours ends one order, not the worker's answer
        events.tell(
            "failed",
            type="InternalError",
            error=f"{type(error).__name__}: {error}",
            trace=traceback.format_exc(),
        )
    else:
        events.tell("done", report=report)


def limit_memory(address_space: int) -> None:
    """Bound the address space of this process, in bytes."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = address_space if hard == resource.RLIM_INFINITY else min(address_space, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


def _listen(orders: queue.SimpleQueue[str | None]) -> None:
    """Take orders; when the server is gone, end as a cancelled worker does."""
    for line in sys.stdin:
        orders.put(line)
    orders.put(None)
    os.kill(os.getpid(), signal.SIGTERM)


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise WorkerTerminated
