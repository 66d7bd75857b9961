"""Run exports, imports and comparisons in a process of their own."""

from __future__ import annotations

import time
from functools import partial
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from pipeline.config import checked_config
from pipeline.errors import DamagedDescriptorError
from pipeline.exports.progress import ProgressCallback
from pipeline.exports.run import export
from pipeline.service.jobs.compare_order import CompareOrder
from pipeline.service.jobs.import_order import ImportOrder
from pipeline.service.jobs.job import AnyOrder, ExportOrder
from pipeline.service.worker.import_work import import_failure, imported
from pipeline.service.worker.protocol import EventStream, limit_memory, send_result, serve_orders

_REPORT_SECONDS = 0.2
_ORDER: TypeAdapter[AnyOrder] = TypeAdapter(Annotated[AnyOrder, Field(discriminator="kind")])


class ProgressReporter(ProgressCallback):
    """Send the progress of an export, a few times a second.

    Args:
        events: Receives the progress.
    """

    def __init__(self, events: EventStream) -> None:
        self._events = events
        self._progress: dict[str, Any] = {}
        self._sent = 0.0

    def discovered(self, runs: int) -> None:
        """Send that the run was found."""
        self._events.send("progress", phase="discovering")

    def began(self, files: int, rows: int, size: int) -> None:
        """Send the totals."""
        self._progress = {"files": 0, "rows": 0, "bytes": 0}
        self._progress |= {"files_total": files, "rows_total": rows, "bytes_total": size}
        self._show(force=True)

    def read(self, files: int, rows: int, size: int) -> None:
        """Send what has been read since the last call."""
        for name, more in (("files", files), ("rows", rows), ("bytes", size)):
            self._progress[name] = self._progress.get(name, 0) + more
        self._show()

    def publishing(self, files: int) -> None:
        """Send that all rows are staged."""
        self._events.send("progress", phase="publishing", **self._progress)

    def _show(self, *, force: bool = False) -> None:
        if force or time.monotonic() - self._sent > _REPORT_SECONDS:
            self._sent = time.monotonic()
            self._events.send("progress", phase="reading", **self._progress)


def _serve(line: str, events: EventStream) -> None:
    order = _ORDER.validate_json(line)
    limit_memory(order.address_space)
    if isinstance(order, ImportOrder):
        _import(order, events)
    elif isinstance(order, CompareOrder):
        _compare(order, events)
    else:
        _export(order, events)


def _export(order: ExportOrder, events: EventStream) -> None:
    def work() -> dict[str, Any]:
        config = checked_config(order.config, called="request")
        progress = ProgressReporter(events)
        try:
            return export(config, progress=progress).as_json()
        except DamagedDescriptorError:
            # The service names all files in the folder itself, and was asked to write them.
            return export(config, progress=progress, full_refresh=True).as_json()

    send_result(events, work, "the export")


def _import(order: ImportOrder, events: EventStream) -> None:
    def work() -> dict[str, Any]:
        events.send("progress", phase="checking", bytes_total=order.request.bytes)
        return imported(order, lambda: events.send("progress", phase="publishing"))

    send_result(events, work, "the import", partial(import_failure, order))


def _compare(order: CompareOrder, events: EventStream) -> None:
    # Imported when needed: most workers never compare.
    from pipeline.service.worker.compare_work import compared  # noqa: PLC0415

    def report(rows: int, total: int) -> None:
        events.send("progress", phase="reading", rows=rows, rows_total=total)

    send_result(events, lambda: compared(order, report), "the comparison")


if __name__ == "__main__":
    serve_orders(_serve)
