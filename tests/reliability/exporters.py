"""A crowd of exporters of one target, each a process, let loose at the same instant."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

import pipeline.exports.run
from pipeline.config import ExportConfig
from pipeline.errors import FlowtimeExportError
from pipeline.execution import processes
from pipeline.writing.publish import Published, Publisher
from tests.forkserver import fork_server


@dataclass(frozen=True)
class ExporterResult:
    """How one exporter ended: the statuses of its targets, or its error."""

    exporter: int
    statuses: tuple[str, ...] = ()
    error: str = ""
    message: str = ""


class Crowd:
    """Exporters that live through many rounds, as starting a process takes longer than a round."""

    def __init__(self, size: int, engine: str = "local") -> None:
        context = fork_server()
        self.size = size
        self.engine = engine
        self._barrier = context.Barrier(size)
        self._jobs = [context.SimpleQueue() for _ in range(size)]
        self._answers: Any = context.Queue()
        self._processes = [
            context.Process(
                target=_work, args=(place, self._jobs[place], self._answers, self._barrier)
            )
            for place in range(size)
        ]

    def race(self, configs: list[dict[str, Any]]) -> list[ExporterResult]:
        """Export one config in each process; all are staged before the first is published."""
        for job, settings in zip(self._jobs, configs, strict=True):
            job.put(settings)
        return sorted(
            (self._answers.get(timeout=120) for _ in configs), key=lambda one: one.exporter
        )

    def __enter__(self) -> Crowd:
        for process in self._processes:
            process.start()
        return self

    def __exit__(self, *_: object) -> None:
        for job in self._jobs:
            job.put(None)
        for process in self._processes:
            process.join(20)
            if process.is_alive():
                process.kill()


def _work(place: int, jobs: Any, answers: Any, barrier: Any) -> None:
    publish = Publisher.publish

    def together(publisher: Publisher, staged: Any) -> Published:
        barrier.wait(60)
        return publish(publisher, staged)

    processes.FEWEST_BYTES = 1  # Workers send their files to a store, however small.
    Publisher.publish = together  # type: ignore[method-assign]
    while (settings := jobs.get()) is not None:
        try:
            report = pipeline.exports.run.export(ExportConfig.model_validate(settings))
            result = ExporterResult(place, tuple(target.status for target in report.targets))
        except FlowtimeExportError as error:
            result = ExporterResult(place, error=type(error).__name__, message=str(error))
        except BaseException:
            result = ExporterResult(place, error="crash", message=traceback.format_exc())
        answers.put(result)
