"""Dask as an engine: series files are read and checked by the workers of a cluster."""

from __future__ import annotations

import math
from array import array
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import polars as pl
from distributed import Client, Future, KilledWorker
from distributed.comm.core import CommClosedError

from connectors.flowtime.scan.scanner import SCHEMA, ScanOptions, ScanProgress, lazily, scan
from connectors.flowtime.scan.series_file import SeriesFile
from connectors.storage import StorageOptions, connect
from connectors.storage.deadline import check_deadline, seconds_left
from pipeline.errors import ConfigError, FlowtimeExportError, StorageError
from pipeline.reading.source import Source
from pipeline.version import VERSION

GROUP_ROWS = 1_000_000
"""Rows of a task at the most, unless one series has more; a result has 8 bytes a row."""

_CONNECT_SECONDS = 30
_RETRIES = 2
_SMALLEST_LEAD, _LARGEST_LEAD = 2, 8


@dataclass(frozen=True, slots=True)
class _Ask:
    """What every task of a scan is told.

    Attributes:
        version: The version of this package that asks.
        url: The source; each worker connects to its storage.
        storage: The options to connect with.
        options: How to read.
    """

    version: str
    url: str
    storage: StorageOptions
    options: ScanOptions


class DaskEngine:
    """Reads by the workers of a Dask cluster; used as a context manager.

    Each task is a group of runs' series files. A worker reads and checks them as a local export
    would and answers with the values; the tasks of workers that are lost are given to others.
    Results are taken in order, a bounded number ahead, so the rows are those of a local export.
    """

    def __init__(self, address: str, storage: StorageOptions) -> None:
        self._address = address
        self._storage = storage
        self._client: Client | None = None

    def __enter__(self) -> DaskEngine:
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
            self._client.close()

    def scan(
        self,
        source: Source,
        files: Collection[SeriesFile],
        options: ScanOptions,
        progress: ScanProgress | None = None,
    ) -> pl.LazyFrame:
        """The rows of the files, lazily."""
        ask = _Ask(VERSION, source.storage.url(source.roots[0].path), self._storage, options)
        return lazily(files, lambda wanted: self._frames(ask, wanted, progress))

    def _frames(
        self, ask: _Ask, files: Collection[SeriesFile], progress: ScanProgress | None
    ) -> Iterator[pl.DataFrame]:
        assert self._client is not None
        pending: deque[tuple[tuple[SeriesFile, ...], Future]] = deque()
        try:
            for group in _groups(files):
                task = self._client.submit(_values, ask, group, pure=False, retries=_RETRIES)
                pending.append((group, task))
                if len(pending) > self._lead():
                    yield from _delivered(*pending.popleft(), ask.options, progress)
            while pending:
                yield from _delivered(*pending.popleft(), ask.options, progress)
        finally:
            for _, task in pending:
                task.cancel()

    def _lead(self) -> int:
        """Tasks under way: enough for every thread of the cluster as it is now."""
        assert self._client is not None
        threads: int = sum(self._client.nthreads().values())
        return min(max(threads + 1, _SMALLEST_LEAD), _LARGEST_LEAD)


def _groups(files: Collection[SeriesFile]) -> Iterator[tuple[SeriesFile, ...]]:
    """Files in order, whole runs together as far as a task's rows allow."""
    group: list[SeriesFile] = []
    rows = 0
    for _, of_run in groupby(files, key=lambda file: file.run_url):
        members = list(of_run)
        size = sum(file.points for file in members)
        if group and rows + size > GROUP_ROWS:
            yield tuple(group)
            group, rows = [], 0
        for file in members:
            if group and rows + file.points > GROUP_ROWS:
                yield tuple(group)
                group, rows = [], 0
            group.append(file)
            rows += file.points
    if group:
        yield tuple(group)


def _values(ask: _Ask, files: tuple[SeriesFile, ...]) -> bytes:
    """The values of some series files, checked; runs on a worker.

    Raises:
        ConfigError: The worker runs another version of this package.
        RunError: A file is not as the run promises.
    """
    if ask.version != VERSION:
        raise ConfigError(
            f"a Dask worker runs flowtime-export {VERSION}, this process {ask.version}: "
            "install the same version everywhere"
        )
    storage, _ = connect(ask.url, ask.storage)
    values = array("d")
    narrow = scan(storage, files, ask.options).select("value")
    for batch in narrow.collect_batches(maintain_order=True, lazy=True, engine="streaming"):
        values.frombytes(batch["value"].to_numpy().tobytes())
    return values.tobytes()


def _delivered(
    files: tuple[SeriesFile, ...],
    task: Future,
    options: ScanOptions,
    progress: ScanProgress | None,
) -> Iterator[pl.DataFrame]:
    """The rows of a finished task."""
    frame = _laid_out(files, np.frombuffer(_result(task), dtype=np.float64))
    if progress is not None:
        progress(len(files), frame.height, sum(file.size or 0 for file in files))
    for start in range(0, frame.height, options.batch_rows):
        yield frame.slice(start, options.batch_rows)


def _result(task: Future) -> bytes:
    left = seconds_left()
    try:
        data: bytes = task.result(timeout=left if left < math.inf else None)
    except FlowtimeExportError:
        raise
    except (KilledWorker, CancelledError, CommClosedError, OSError) as error:
        check_deadline()  # a TimeoutError is an OSError
        raise StorageError(
            f"the Dask cluster lost a task and gave it up ({type(error).__name__}: {error}): "
            "see the workers' logs; a worker that runs out of memory is the usual cause"
        ) from error
    return data


def _laid_out(files: Collection[SeriesFile], values: np.ndarray) -> pl.DataFrame:
    points = np.fromiter((file.points for file in files), dtype=np.int64, count=len(files))
    rows = np.fromiter((file.row for file in files), dtype=np.uint32, count=len(files))
    ends = np.cumsum(points)
    bins = np.arange(ends[-1]) - np.repeat(ends - points, points)
    return pl.DataFrame(
        {"series_row": np.repeat(rows, points), "bin_index": bins, "value": values}, schema=SCHEMA
    )
