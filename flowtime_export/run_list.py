"""Find runs, as a sequence and as a frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import fspath
from typing import overload

import polars as pl

from connectors.flowtime.discover.discovery import discover
from connectors.flowtime.model.run import Run
from connectors.storage import connect
from flowtime_export.storage_options import AnyPath, AnyStorageOptions, storage_options_of
from pipeline.reading.left_out import LeftOut

_INSTANT = pl.Datetime("us", "UTC")
_SCHEMA: dict[str, pl.DataType] = {
    "run_id": pl.String(),
    "run_name": pl.String(),
    "run_url": pl.String(),
    "source": pl.String(),
    "created_at": _INSTANT,
    "time_origin": _INSTANT,
    "bins": pl.Int64(),
    "bin_size_minutes": pl.Int64(),
    "series": pl.Int64(),
    "template_id": pl.String(),
    "model_title": pl.String(),
    "mode": pl.String(),
    "warnings": pl.Int64(),
}


@dataclass(frozen=True)
class RunList(Sequence[Run]):
    """The complete runs at a URL, by run id.

    Attributes:
        url: Where they were looked for.
        left_out: What looks like a run and cannot be exported, with the reason.
    """

    url: str
    left_out: tuple[LeftOut, ...]
    _runs: tuple[Run, ...]

    def __len__(self) -> int:
        return len(self._runs)

    @overload
    def __getitem__(self, index: int) -> Run: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Run]: ...

    def __getitem__(self, index: int | slice) -> Run | Sequence[Run]:
        return self._runs[index]

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __repr__(self) -> str:
        return f"<{len(self)} runs at {self.url}, {len(self.left_out)} left out>"

    def to_frame(self) -> pl.DataFrame:
        """Return a row for each run.

        Returns:
            `run_id, run_name, run_url, source, created_at, time_origin, bins, bin_size_minutes,
            series, template_id, model_title, mode, warnings`; the last one counts them.
        """
        return pl.DataFrame([_row(run) for run in self._runs], schema=_SCHEMA, orient="row")


def find_runs(url: AnyPath, *, storage_options: AnyStorageOptions = None) -> RunList:
    """Find the runs at or below a URL; their series files are not read.

    Args:
        url: A run directory, or a folder of run directories at any depth, as a path or URL.
        storage_options: fsspec's options of the storage.

    Raises:
        StorageError: The URL cannot be listed.

    >>> runs = find_runs("samples/runs")
    >>> runs[0].run_id, runs[0].grid.bins, len(runs.left_out)
    ('run_checkout_hourly', 120, 0)
    """
    storage, path = connect(fspath(url), storage_options_of(storage_options))
    found = discover(storage, path)
    left_out = tuple(LeftOut(one.url, one.error.detail, one.kind) for one in found.refusals)
    return RunList(storage.url(path), left_out, found.runs)


def _row(run: Run) -> tuple[object, ...]:
    return (
        run.run_id,
        run.name,
        run.url,
        run.source,
        run.created,
        run.time_origin,
        run.grid.bins,
        run.grid.bin_minutes,
        len(run.series),
        run.template_id,
        run.model_title,
        run.mode,
        len(run.warnings),
    )
