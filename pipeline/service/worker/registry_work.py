"""List the runs of a service, or enter what is in its folders, in a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter

from pipeline.registry.artifact_reading import lower_priority
from pipeline.registry.rebuild_report import RebuildReport
from pipeline.registry.registry import Registry
from pipeline.service.catalog.locations import Locations
from pipeline.service.catalog.run_listing import list_runs
from pipeline.service.jobs.registry_worker import ListOrder, RebuildOrder, RegistryOrder
from pipeline.service.worker.protocol import EventStream, send_result, serve_orders

_REPORT_SECONDS = 0.25
_ORDER: TypeAdapter[ListOrder | RebuildOrder] = TypeAdapter(RegistryOrder)


def _serve(line: str, events: EventStream) -> None:
    order = _ORDER.validate_json(line)
    report = RebuildReport()

    def work() -> dict[str, Any]:
        with _reporting(report, events):
            if isinstance(order, ListOrder):
                done = _listed(order, report)
            else:
                done = _rebuilt(order, report)
        for problem in report.problems:
            events.send("problem", message=problem)
        return done

    send_result(events, work, "listing folders")


def _listed(order: ListOrder, report: RebuildReport) -> dict[str, Any]:
    settings = order.folders.settings()
    with Registry(settings.local_registry_url) as registry:
        return asdict(list_runs(registry, Locations.of(settings), order.damage, report))


def _rebuilt(order: RebuildOrder, report: RebuildReport) -> dict[str, Any]:
    options = Locations.of(order.folders.settings()).options
    with Registry(order.registry.get_secret_value()) as registry:
        registry.rebuild(*order.roots, storage_options=options, report=report)
    return asdict(report)


@contextmanager
def _reporting(report: RebuildReport, events: EventStream) -> Iterator[None]:
    """Send how many were found so far, a few times a second during the block."""
    is_over = threading.Event()

    def send() -> None:
        while not is_over.wait(_REPORT_SECONDS):
            events.send("progress", found=report.added + report.unchanged)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


if __name__ == "__main__":
    lower_priority()  # requests come first
    serve_orders(_serve)
