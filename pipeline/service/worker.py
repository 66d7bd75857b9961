"""A process that exports what it is told."""

from __future__ import annotations

import time
from typing import Any

from pipeline.config import checked_config
from pipeline.export import Listener, export
from pipeline.service.job import WorkOrder
from pipeline.service.orders import Events, limit_memory, serve_orders, tell_outcome

_TELL_SECONDS = 0.2


class ProgressTeller(Listener):
    """Tells how an export gets on, a few times a second.

    Args:
        events: Told of it.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._progress: dict[str, Any] = {}
        self._told = 0.0

    def discovered(self, runs: int) -> None:
        """The run was found."""
        self._events.tell("progress", phase="discovering")

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
        self._events.tell("progress", phase="publishing", **self._progress)

    def _show(self, *, force: bool = False) -> None:
        if force or time.monotonic() - self._told > _TELL_SECONDS:
            self._told = time.monotonic()
            self._events.tell("progress", phase="reading", **self._progress)


def _serve(line: str, events: Events) -> None:
    order = WorkOrder.model_validate_json(line)
    limit_memory(order.address_space)
    tell_outcome(events, lambda: _exported(order, events), "the export")


def _exported(order: WorkOrder, events: Events) -> dict[str, Any]:
    config = checked_config(order.config, called="request")
    return export(config, listener=ProgressTeller(events)).as_json()


if __name__ == "__main__":
    serve_orders(_serve)
