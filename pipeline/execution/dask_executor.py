"""Do tasks on the workers of a Dask cluster."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client, KilledWorker
from distributed import wait as wait_for
from distributed.comm.core import CommClosedError

from connectors.flowtime.discover.discovery import Discovery
from connectors.flowtime.scan.scanner import ScanProgress
from connectors.storage import give_up, staging_for
from pipeline.errors import ConfigError, FlowtimeExportError, SinkError, StorageError
from pipeline.execution.discovery import DiscoveryMessage
from pipeline.execution.handover import handed_over
from pipeline.execution.job import ExportJob
from pipeline.execution.message import TaskMessage
from pipeline.execution.ordered import results
from pipeline.execution.task import TaskResult, run_task

_CONNECT_SECONDS = 30
_RETRIES = 2
_WAITING = 2
_SMALLEST_LEAD = 4
_CANCEL_SECONDS = 5.0


class DaskExecutor:
    """Does tasks on a Dask cluster; used as a context manager.

    Workers read, check, encode and stage. Files for a local path are staged there, so that this
    needs a folder that the workers and this process share. Files for a store are put there under
    hidden names, which the next export recognises: only this process publishes, under its claim,
    and has the store copy them, so that no row comes through it; segments of single files do. The
    tasks of workers that are lost are given to others.

    Args:
        address: Of the scheduler, such as `tcp://10.0.0.7:8786`.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Client | None = None
        self._job: ExportJob | None = None
        self._seen_workers: set[str] = set()

    def __enter__(self) -> DaskExecutor:
        try:
            self._client = Client(self._address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"execution.address {self._address}: no Dask scheduler answers there ({error}): "
                "start one with `dask scheduler`, or correct the address"
            ) from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._remove_of_lost_workers(self._client)
            self._client.close()

    def _remove_of_lost_workers(self, client: Client) -> None:
        """Remove what workers have staged on a disk that are gone: no result names it.

        All that results name is published or discarded by now.
        """
        if self._job is None:
            return
        # An error of this would hide that of the export.
        with suppress(CommClosedError, OSError, StorageError):
            if client.status == "running" and self._seen_workers <= self._threads(client).keys():
                return
            give_up(self._job.owner)
            self._job.remove_given_up()

    def _threads(self, client: Client) -> dict[str, int]:
        """Return the number of threads of each worker, by its address."""
        found: dict[str, int] = client.nthreads()
        self._seen_workers.update(found)
        return found

    @property
    def lead(self) -> int:
        """Two more than the cluster has threads now; it may grow and shrink."""
        assert self._client is not None
        threads = sum(self._threads(self._client).values())
        return max(threads + _WAITING, _SMALLEST_LEAD)

    def run(
        self, job: ExportJob, progress: ScanProgress
    ) -> Generator[tuple[tuple[int, ...], TaskResult]]:
        """Yield the result of each task in the order of the rows.

        Raises:
            StorageError: The cluster lost a task for good.
        """
        if self._job is not None:
            give_up(self._job.owner)  # an earlier attempt
        self._job = job
        with self.translated():
            for numbers, result in results(self, job, progress):
                yield numbers, _checked(job, numbers, result)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise a `StorageError` where the cluster lost a task for good."""
        try:
            yield
        except FlowtimeExportError:
            raise
        except (KilledWorker, CancelledError, CommClosedError, OSError) as error:
            raise StorageError(
                f"the Dask cluster lost a task and gave it up ({type(error).__name__}: {error}): "
                "see the workers' logs; a worker that runs out of memory is the usual cause"
            ) from error

    def submit(self, message: TaskMessage) -> Any:
        """Hand out a task."""
        assert self._client is not None
        return self._client.submit(_work, message, pure=False, retries=_RETRIES)

    def discover(self, message: DiscoveryMessage) -> Any:
        """Have a worker find the runs in some folders."""
        assert self._client is not None
        return self._client.submit(_discover, message, pure=False, retries=_RETRIES)

    def wait(self, future: Any, seconds: float) -> None:
        """Wait until a task is done, but not for longer."""
        assert self._client is not None
        with suppress(TimeoutError), self._client.as_current():
            wait_for([future], timeout=seconds)

    def cancel(self, futures: list[Any]) -> None:
        """Cancel what has not begun, and wait for what is under way."""
        assert self._client is not None
        with suppress(TimeoutError, CancelledError, OSError), self._client.as_current():
            wait_for(futures, timeout=_CANCEL_SECONDS)
        self._client.cancel([one for one in futures if not one.done()])


# --------------------------------------------------------------------------- on the workers


def _work(message: TaskMessage) -> TaskResult:
    """Do a task, and put what it has staged where the client finds it."""
    began = time.process_time()
    task = message.task()
    with staging_for(message.owner):
        result = handed_over(task, run_task(task))
    return result.with_seconds(time.process_time() - began)


def _discover(message: DiscoveryMessage) -> Discovery:
    """Find the runs in some folders."""
    return message.run()


# --------------------------------------------------------------------------- in the client


def _checked(job: ExportJob, numbers: tuple[int, ...], result: TaskResult) -> TaskResult:
    """Return a result whose staged files this process can publish.

    Raises:
        SinkError: A worker has written to a folder that is not seen here.
    """
    for number, part in zip(numbers, result.parts, strict=False):
        target = job.pending[number].target
        for staged, _ in (*part.files, *part.segments) if target.storage.is_local else ():
            if not staged.local.exists():
                raise SinkError(
                    f"{target.url}: a Dask worker has staged {staged.local}, which is not seen "
                    "here: write to a folder that all workers share with this process, or to a "
                    "store"
                )
    return result
