"""Open the executor that a job is to be done by."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from pipeline.execution.executor import Executor, InProcessExecutor
from pipeline.execution.job import ExportJob
from pipeline.execution.processes import ProcessExecutor


def open_executor(job: ExportJob) -> AbstractContextManager[Executor]:
    """Return the executor of a job; it is closed by leaving the context."""
    execution = job.plan.config.execution
    if execution.engine == "processes":
        return ProcessExecutor(2)
    return nullcontext(InProcessExecutor())
