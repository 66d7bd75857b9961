"""One process that exports what it is told on stdin and tells of it on stdout, line by line."""

from __future__ import annotations

import json
import os
import queue
import resource
import signal
import sys
import threading
import time
from types import FrameType
from typing import IO, Any

from pipeline.config import checked_config
from pipeline.errors import FlowtimeExportError
from pipeline.export import Listener, export
from pipeline.service.job import WorkOrder

_TELL_SECONDS = 0.2


class Terminated(BaseException):
    """SIGTERM arrived: what is staged is thrown away on the way out."""


class Teller(Listener):
    """Tells how an export gets on, a few times a second.

    Args:
        stream: Where lines go.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._progress: dict[str, Any] = {}
        self._told = 0.0

    def tell(self, kind: str, **values: Any) -> None:
        """Write one line."""
        self._stream.write(json.dumps({"event": kind, **values}) + "\n")
        self._stream.flush()

    def discovered(self, runs: int) -> None:
        """The run was found."""
        self.tell("progress", phase="discovering")

    def began(self, files: int, rows: int, size: int) -> None:
        """The whole is known."""
        self._progress = {"files": 0, "rows": 0, "bytes": 0}
        self._progress |= {"files_total": files, "rows_total": rows, "bytes_total": size}
        self._show(force=True)

    def read(self, files: int, rows: int, size: int) -> None:
        """So many more have been read."""
        for name, more in (("files", files), ("rows", rows), ("bytes", size)):
            self._progress[name] = self._progress.get(name, 0) + more
        self._show()

    def publishing(self, files: int) -> None:
        """All rows are staged."""
        self.tell("progress", phase="publishing", **self._progress)

    def _show(self, *, force: bool = False) -> None:
        if force or time.monotonic() - self._told > _TELL_SECONDS:
            self._told = time.monotonic()
            self.tell("progress", phase="reading", **self._progress)


def main() -> None:
    """Serve orders until stdin ends; without stdin there is nobody left to work for."""
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the server's to answer
    # What libraries print must not come between the lines.
    stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    teller = Teller(stream)
    orders: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    try:
        teller.tell("ready")
        while (line := orders.get()) is not None:
            _serve(WorkOrder.model_validate_json(line), teller)
    except (Terminated, BrokenPipeError):
        # Not sys.exit: a thread of the listener may still wait for a line.
        os._exit(143)
    os._exit(0)


def _listen(orders: queue.SimpleQueue[str | None]) -> None:
    """Take orders; when the server is gone, end as a cancelled worker does."""
    for line in sys.stdin:
        orders.put(line)
    orders.put(None)
    os.kill(os.getpid(), signal.SIGTERM)


def _serve(order: WorkOrder, teller: Teller) -> None:
    _limit(order.address_space)
    try:
        config = checked_config(order.config, called="request")
        report = export(config, listener=teller)
    except FlowtimeExportError as error:
        teller.tell("failed", type=type(error).__name__, error=str(error))
    except MemoryError:
        teller.tell("failed", type="MemoryError", error="the export needs more memory than it has")
    except Exception as error:  # a fault of ours ends one job, not the worker's answer
        teller.tell("failed", type="InternalError", error=f"{type(error).__name__}: {error}")
    else:
        teller.tell("done", report=report.as_json())


def _limit(address_space: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = address_space if hard == resource.RLIM_INFINITY else min(address_space, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated


if __name__ == "__main__":
    main()
