"""Hand out tasks ahead of time, and take their results in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

from connectors.storage import give_up
from connectors.storage.calls.deadline import check_deadline

if TYPE_CHECKING:
    from connectors.flowtime.scan.scanner import ScanProgress
    from pipeline.execution.job import ExportJob
    from pipeline.execution.message import TaskMessage
    from pipeline.execution.task import TaskResult

_POLL_SECONDS = 0.2


class Pool(Protocol):
    """Does tasks elsewhere."""

    @property
    def lead(self) -> int:
        """How many tasks are handed out before the first result is waited for."""

    def submit(self, message: TaskMessage) -> Any:
        """Hand out a task, and return its future."""

    def wait(self, future: Any, seconds: float) -> None:
        """Wait until a task is done, but not for longer."""

    def cancel(self, futures: list[Any]) -> None:
        """Have tasks that are under way end soon, and wait until they have."""


def results(
    pool: Pool, job: ExportJob, progress: ScanProgress
) -> Generator[tuple[tuple[int, ...], TaskResult]]:
    """Yield the results of a job's tasks in the order of the rows.

    Args:
        pool: Does the tasks.
        job: What is to be done.
        progress: Receives what has been read, a task at a time.
    """
    pending: deque[tuple[tuple[int, ...], Any]] = deque()

    def next_result() -> tuple[tuple[int, ...], TaskResult]:
        numbers, future = pending[0]
        while not future.done():
            check_deadline()
            pool.wait(future, _POLL_SECONDS)
        result: TaskResult = future.result()
        pending.popleft()
        progress(result.files, result.rows, result.size)
        return numbers, result

    try:
        for numbers, message in job.messages():
            pending.append((numbers, pool.submit(message)))
            if len(pending) > pool.lead:
                yield next_result()
        while pending:
            yield next_result()
    finally:
        if pending:
            give_up(job.owner)  # What a worker has staged that was killed, no result names.
            pool.cancel([future for _, future in pending])
            for numbers, future in pending:
                _discard(job, numbers, future)


def _discard(job: ExportJob, numbers: tuple[int, ...], future: Any) -> None:
    """Discard what a task has staged whose result is not wanted."""
    if not future.done() or future.cancelled() or future.exception() is not None:
        return
    for number, part in zip(numbers, future.result().parts, strict=False):
        part.discard(job.pending[number].target.storage)
