"""Do tasks in worker processes of this machine."""

from __future__ import annotations

import gc
import importlib
import os
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from loky import ProcessPoolExecutor
from loky.backend import resource_tracker
from loky.process_executor import BrokenProcessPool

from connectors.flowtime.discover.discovery import Discovery
from connectors.storage import discard_all, remove_abandoned, scratch_folder, staging_for
from pipeline.errors import SinkError, StorageError
from pipeline.execution.copied_process import WorkerContext, signals_held_back, take_signals
from pipeline.execution.discovery import DiscoveryMessage
from pipeline.execution.library_settings import apply_library_settings, library_settings
from pipeline.execution.ordered import results

if TYPE_CHECKING:
    from connectors.flowtime.scan.scanner import ScanProgress
    from pipeline.execution.job import ExportJob
    from pipeline.execution.message import TaskMessage
    from pipeline.execution.task import TaskResult

_Result = TypeVar("_Result")
_OF_TASKS = ("message", "task", "handover")
_WATCH_SECONDS = 0.25
_CANCEL_SECONDS = 5.0
FEWEST_BYTES = 1_000_000
"""Larger files for stores are sent by the workers. To have one copied takes two requests more."""

_WAITING = 2
"""Tasks that wait for a free worker, so that none is idle while a result is taken."""


class ProcessExecutor:
    """Does tasks in worker processes; used as a context manager.

    The processes are copies of this one as long as it has one thread, else new ones, which import
    what they need and nothing of the main module. They take tasks, with the secrets in them,
    through a pipe, and end with this process, however it ends.

    Args:
        workers: How many processes.

    Attributes:
        ended: What a result raises where its worker ended before it was there.
        is_usable: Whether it can take further tasks.

    Raises:
        SinkError: This machine does not let them be prepared.
    """

    ended: ClassVar[type[Exception]] = BrokenProcessPool

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.is_usable = True
        self._job: ExportJob | None = None
        self._folder = ExitStack()
        self._stop = self._folder.enter_context(scratch_folder()) / "stop"
        threads = max(1, (os.cpu_count() or 1) // workers)
        environment = {
            "POLARS_MAX_THREADS": str(threads),
            **library_settings(),
        }
        try:
            _start_tracker()
            self._pool = ProcessPoolExecutor(
                workers,
                context=WorkerContext(),
                initializer=_begin,
                initargs=(os.getpid(), str(self._stop), environment),
                env=environment,
            )
        except OSError as error:
            self._folder.close()
            raise _not_started(error) from error

    def __enter__(self) -> ProcessExecutor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes; one that does not stop at its next batch is killed."""
        self._pool.shutdown(wait=True, kill_workers=not self.is_usable)
        if not self.is_usable:
            # An error of this, too, would hide why they were ended.
            with suppress(StorageError):
                remove_abandoned() if self._job is None else self._job.remove_given_up()
        self._folder.close()

    def start(self) -> None:
        """Start the processes.

        Raises:
            SinkError: This machine does not let them be started.
        """
        try:
            with signals_held_back():
                self._pool.submit(_ready)
        except OSError as error:
            self.is_usable = False
            raise _not_started(error) from error

    def load(self) -> None:
        """Have the processes import what tasks need, once they have nothing else to do."""
        for _ in range(self.workers):
            self._pool.submit(_load)

    @property
    def lead(self) -> int:
        """Two more than there are workers."""
        return self.workers + _WAITING

    def run(
        self, job: ExportJob, progress: ScanProgress
    ) -> Generator[tuple[tuple[int, ...], TaskResult]]:
        """Yield the result of each task in the order of the rows.

        Raises:
            SinkError: A worker ended before its task.
        """
        self._job = job
        with self.translated():
            yield from results(self, job, progress)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise a `SinkError` where a worker ended before its task."""
        try:
            yield
        except BrokenProcessPool as error:
            self.is_usable = False
            raise SinkError(
                "a worker process ended in the middle of its work, and nothing was published: "
                f"{_reason(error)}; where it was short of memory, set execution.workers to fewer, "
                "or execution.memory_limit to less"
            ) from error

    def submit(self, message: TaskMessage) -> Future[TaskResult]:
        """Hand out a task."""
        future: Future[TaskResult] = self._pool.submit(_work, message, FEWEST_BYTES)
        return future

    def wait(self, future: Future[TaskResult], seconds: float) -> None:
        """Wait until a task is done, but not for longer."""
        wait([future], timeout=seconds)

    def discover(self, message: DiscoveryMessage) -> Future[Discovery]:
        """Have a worker find the runs in some folders."""
        return self.call(message.run)

    def call(self, function: Callable[[], _Result]) -> Future[_Result]:
        """Have a worker call a method of something that can be pickled."""
        future: Future[_Result] = self._pool.submit(_called, function)
        return future

    def cancel(self, futures: list[Future[Any]]) -> None:
        """Have workers stop at their next batch."""
        for future in futures:
            future.cancel()
        self._stop.touch()
        _, still_running = wait(futures, timeout=_CANCEL_SECONDS)
        self.is_usable = not still_running
        self._stop.unlink(missing_ok=True)


def _start_tracker() -> None:
    """Start loky's process that removes the semaphores of the dead, without its warning.

    It warns of each that a killed worker leaves, after the error that says so already.
    """
    quiet = "ignore:resource_tracker"
    sys.warnoptions.append(quiet)  # It takes over the options of this process.
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(quiet)


def _not_started(error: OSError) -> SinkError:
    return SinkError(
        f"worker processes could not be started ({error.strerror or error}), and nothing was "
        "published: free memory, processes or room in /dev/shm, or set execution.engine to local"
    )


def _reason(error: BrokenProcessPool) -> str:
    lines = str(error).splitlines()
    codes = (line.strip() for line in lines if "exit codes" in line)
    return next(codes, lines[0] if lines else type(error).__name__)


# --------------------------------------------------------------------------- in the workers


class _StoppedError(Exception):
    """The export was given up."""


class _Worker:
    """What a worker process knows of its export."""

    stop = ""
    reported_seconds = 0.0


def _begin(parent: int, stop: str, environment: Mapping[str, str]) -> None:
    """Prepare a worker process."""
    take_signals()
    os.environ.update(environment)  # before the libraries are loaded that look at it
    apply_library_settings()
    # What a task holds has hardly any cycles: to look for them took a 14th of its time.
    gc.freeze()
    gc.disable()
    _Worker.stop = stop
    threading.Thread(target=_watch, args=(parent,), name="flowtime-parent", daemon=True).start()


def _watch(parent: int) -> None:
    """End this process once its parent has ended."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    with suppress(Exception):
        discard_all()
    os._exit(1)


def _ready() -> None:
    """Do nothing: the process has started when this is called."""


def _load() -> None:
    """Import what tasks need."""
    for name in _OF_TASKS:
        importlib.import_module(f"pipeline.execution.{name}")
    gc.freeze()


def _check() -> None:
    if os.path.exists(_Worker.stop):
        raise _StoppedError


def _work(message: TaskMessage, fewest_bytes: int) -> TaskResult:
    """Do a task, and send files for stores that have so many bytes."""
    # Imported when needed: runs are found without Polars and Arrow.
    from pipeline.execution.handover import handed_over  # noqa: PLC0415
    from pipeline.execution.task import run_task  # noqa: PLC0415

    with staging_for(message.owner):
        task = message.task()
        result = handed_over(task, run_task(task, check=_check), fewest_bytes)
    _collect()
    return result.with_seconds(_spent())


def _called(function: Callable[[], _Result]) -> _Result:
    result = function()
    _collect()
    return result


def _collect() -> None:
    """Collect garbage; what is left is not looked through again, which took 15 ms a task."""
    gc.collect()
    gc.freeze()


def _spent() -> float:
    """Return the processor time since the last call, or the start."""
    total = time.process_time()
    spent, _Worker.reported_seconds = total - _Worker.reported_seconds, total
    return spent
