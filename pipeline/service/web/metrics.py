"""Count requests and jobs for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.service.jobs.job import Job

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class ServiceMetrics:
    """The metrics of a service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "flowtime_http_request_seconds",
            "Time to the end of a response.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._jobs = Counter("flowtime_jobs", "Finished jobs.", ("state",), registry=self.registry)
        self._rows = Counter("flowtime_exported_rows", "Rows written.", registry=self.registry)
        self._imported = Counter("flowtime_imported_rows", "Rows imported.", registry=self.registry)
        self._bytes = Counter("flowtime_exported_bytes", "Bytes written.", registry=self.registry)
        self._seconds = Histogram(
            "flowtime_job_seconds",
            "Time from the start of a job to its end.",
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
            registry=self.registry,
        )

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """Add a gauge whose value is read on each request for the metrics."""
        Gauge(name, meaning, registry=self.registry).set_function(value)

    def count_job(self, job: Job) -> None:
        """Count a finished job."""
        self._jobs.labels(job.state).inc()
        written = [file for file in job.files if file.status == "exported"]
        self._rows.inc(sum(file.rows for file in written))
        made = () if job.imported is None else job.imported.runs
        self._imported.inc(sum(run.rows for run in made if run.status in ("written", "replaced")))
        self._bytes.inc(sum(file.bytes for file in written))
        if job.started is not None and job.finished is not None:
            self._seconds.observe((job.finished - job.started).total_seconds())

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).observe(seconds)

    def text(self) -> bytes:
        """Return all metrics in the format of Prometheus."""
        return generate_latest(self.registry)


class Measured:
    """Count the requests of an application by route.

    Args:
        app: The application.
        metrics: Receives the counts.
    """

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and count it at its end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 499

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            # The route's template, never the path: a client must not make up label values.
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._metrics.count_request(method, route, status, time.monotonic() - began)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"})
