"""Define the protocol of executors, which do the tasks of an export."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from connectors.flowtime.scan.scanner import ScanProgress
    from pipeline.execution.job import ExportJob
    from pipeline.execution.task import TaskResult


class Executor(Protocol):
    """Does the tasks of jobs, somewhere.

    What is staged does not depend on the executor: the same files, byte by byte.
    """

    def run(
        self, job: ExportJob, progress: ScanProgress
    ) -> Generator[tuple[tuple[int, ...], TaskResult]]:
        """Yield the result of each task in the order of the rows.

        Args:
            job: What is to be done.
            progress: Receives what has been read.

        Yields:
            The places in `job.pending` that the parts of the result belong to, and the result.

        Raises:
            FlowtimeExportError: A task failed; what others have staged is discarded, but for
                results that were yielded.
        """


class InProcessExecutor:
    """Does everything in this process, as one task, on threads."""

    def run(
        self, job: ExportJob, progress: ScanProgress
    ) -> Generator[tuple[tuple[int, ...], TaskResult]]:
        """Yield one result."""
        # Imported when needed: runs are found before Polars and Arrow are loaded.
        from pipeline.execution.task import run_task  # noqa: PLC0415

        yield tuple(range(len(job.pending))), run_task(job.whole(), progress)
