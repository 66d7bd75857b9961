"""Receive orders on stdin and send events on stdout, one JSON object per line."""

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
    """SIGTERM was received; staged files are discarded on the way out."""


class EventStream:
    """Send events to the service.

    Args:
        stream: Where the lines are written.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def send(self, kind: str, /, **values: Any) -> None:
        """Write one event as a line."""
        self._stream.write(json.dumps({"event": kind, **values}) + "\n")
        self._stream.flush()


def serve_orders(serve: Callable[[str, EventStream], None]) -> None:
    """Serve orders until stdin ends, which means that the service has ended.

    Args:
        serve: Carries out the order of one line, and sends its events.
    """
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is handled by the server
    # Output that libraries print must not mix with the lines.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    events = EventStream(stream)
    orders: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    try:
        events.send("ready")
        while (line := orders.get()) is not None:
            serve(line, events)
    except (WorkerTerminated, BrokenPipeError):
        # Not sys.exit: a thread of the listener may still wait for a line.
        os._exit(143)
    os._exit(0)


def send_result(
    events: EventStream,
    work: Callable[[], dict[str, Any]],
    what: str,
    failed: Callable[[FlowtimeExportError], dict[str, Any]] = failure,
) -> None:
    """Do the work of one order, and send its report, or why there is none.

    Args:
        events: Receives `done` or `failed`.
        work: Returns the report.
        what: Name of the work in messages.
        failed: Returns the fields of `failed` for an error of this project.
    """
    try:
        report = work()
    except FlowtimeExportError as error:
        events.send("failed", **failed(error))
    except MemoryError:
        events.send(
            "failed", type="MemoryError", code="worker-failed", error=f"{what} ran out of memory"
        )
    except Exception as error:  # a bug ends one order, not the worker
        events.send(
            "failed",
            type="InternalError",
            error=f"{type(error).__name__}: {error}",
            trace=traceback.format_exc(),
        )
    else:
        events.send("done", report=report)


def limit_memory(address_space: int) -> None:
    """Limit the address space of this process, in bytes."""
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
