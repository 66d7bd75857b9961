"""Choose where a job is done."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.config import ExecutionBlock
from pipeline.errors import ConfigError
from pipeline.wording import counted

if TYPE_CHECKING:
    from pipeline.execution.dask_executor import DaskExecutor

_FEWEST_TASKS = 24
"""To start a worker takes as much processor time as two tasks, and this process alone uses more
than one core: with two workers so many tasks are done sooner, with three half as many."""

_FEWEST_THAT_JOIN = 3
"""To copy and hash the segments of a text file takes half as much processor time as to render
them: two workers end no sooner than this process alone, which uses more than one core."""

_OWN_BYTES = 200_000_000
_WORKER_BYTES = 150_000_000
"""What this process and a worker need beside rows, of `execution.memory_limit`."""


@dataclass(frozen=True)
class EngineChoice:
    """Where the tasks of a job are done.

    Attributes:
        engine: `local`, `processes` or `dask`.
        workers: Threads that read for `local`, worker processes, or 0 where a cluster decides.
        reason: Why, for people.
    """

    engine: Literal["local", "processes", "dask"]
    workers: int
    reason: str


def choose_engine(
    execution: ExecutionBlock,
    tasks: int,
    *,
    joins_text: bool = False,
    has_workers: bool = False,
) -> EngineChoice:
    """Return where the tasks of a job are done.

    Args:
        execution: What the export may use.
        tasks: Into how many tasks the plan cuts it.
        joins_text: Whether a text file would be joined from segments of several tasks.
        has_workers: Whether worker processes have started already.
    """
    if execution.engine == "dask":
        return EngineChoice("dask", 0, "set in the config")
    if execution.engine == "local":
        return EngineChoice("local", execution.thread_count, "set in the config")
    workers = most_workers(execution)
    if execution.engine == "processes":
        return EngineChoice("processes", max(1, min(workers, tasks)), "set in the config")
    here = execution.thread_count
    if workers < 2:
        return EngineChoice("local", here, "processors or memory_limit allow one worker")
    if joins_text and workers < _FEWEST_THAT_JOIN:
        return EngineChoice("local", here, f"a single text file; {workers} workers do not pay off")
    fewest = 2 if has_workers else max(2, _FEWEST_TASKS // (workers - 1))
    if tasks < fewest:
        return EngineChoice(
            "local", here, f"{counted(tasks, 'task')}; {workers} workers pay off from {fewest}"
        )
    return EngineChoice("processes", min(workers, tasks), counted(tasks, "task"))


def most_workers(execution: ExecutionBlock) -> int:
    """Return how many worker processes the config, the processors and the memory allow."""
    if execution.workers != "auto":
        return execution.workers
    by_memory = (execution.memory_limit - _OWN_BYTES) // _WORKER_BYTES
    return max(1, min(available_cores(), by_memory))


def available_cores() -> int:
    """Return the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def can_be_copied() -> bool:
    """Return whether worker processes may be copies of this process.

    A copy has what is loaded here, and takes a hundredth of the time of a new process with its
    imports. With one thread alone no other can hold a lock that the copy would wait for. Polars
    and Arrow have threads from the moment they are loaded: copies are made before, and load them
    themselves.
    """
    threads = "/proc/self/task"
    return sys.platform == "linux" and os.path.isdir(threads) and len(os.listdir(threads)) == 1


def connect_cluster(execution: ExecutionBlock) -> DaskExecutor:
    """Return an executor of the Dask cluster of a config; a context manager.

    Raises:
        ConfigError: Dask is not installed.
    """
    try:
        # Imported when needed, as it is an extra.
        dask = importlib.import_module("pipeline.execution.dask_executor")
    except ImportError as error:
        raise ConfigError(
            f"execution.engine is dask, but {error.name} is not installed: "
            "pip install 'flowtime-export[dask]'"
        ) from error
    cluster: DaskExecutor = dask.DaskExecutor(execution.address)
    return cluster
