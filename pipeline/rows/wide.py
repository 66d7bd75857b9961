"""Lay the rows of series side by side: one column per measure."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

import numpy as np
import polars as pl

from connectors.flowtime.model.run import Run
from connectors.flowtime.scan.arrays import as_column
from pipeline.errors import SinkError

IN_MEMORY_BYTES = 64_000_000
"""A run whose matrix is larger is kept in a temporary file."""

_ROWS_AT_ONCE = 65_536
_CELL = np.dtype([("value", "<f8"), ("present", "?")])


def measures_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """Return the measures of runs in the order in which they are first met."""
    return tuple(dict.fromkeys(series.measure for run in runs for series in run.series))


@dataclass(frozen=True, slots=True)
class Group:
    """The series of one component and class: one block of wide rows.

    Attributes:
        members: Measure and place in the run of each series; run, component and class of the
            rows are taken from the first.
    """

    members: tuple[tuple[str, int], ...]


def groups_of(run: Run) -> list[Group]:
    """Return the blocks of wide rows that a run makes, in the order of the rows."""
    found: dict[tuple[str | None, str], list[tuple[str, int]]] = {}
    for place, series in enumerate(run.series):
        members = found.setdefault((series.component, series.class_name), [])
        members.append((series.measure, place))
    return [Group(tuple(members)) for members in found.values()]


class WideAssembler:
    """Turns narrow batches, in the order of the scan, into wide ones.

    The rows of a run are laid into a matrix of series by bins; when the run is over, the series
    of each component and class are read from it side by side. Memory is bounded: a large matrix
    lives in a temporary file and is read in strips.
    """

    def __init__(self, runs: Sequence[Run], measures: Sequence[str]) -> None:
        self._measures = tuple(measures)
        self._starts = np.cumsum([0, *(len(run.series) for run in runs)])
        self._runs = runs
        self._current = -1
        self._matrix: _Matrix | None = None

    def add(self, batch: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Take narrow rows; give the wide rows of the runs that they complete."""
        rows = batch["series_row"].to_numpy()
        run_rows = np.searchsorted(self._starts, rows, side="right") - 1
        cuts = np.flatnonzero(np.diff(run_rows)) + 1
        for part in np.split(np.arange(len(rows)), cuts):
            if len(part):
                yield from self._enter(int(run_rows[part[0]]))
                self._store(batch.slice(int(part[0]), len(part)))

    def finish(self) -> Iterator[pl.DataFrame]:
        """Give the wide rows of the last run."""
        if self._matrix is not None:
            yield from self._leave(self._matrix)

    def _enter(self, run_row: int) -> Iterator[pl.DataFrame]:
        if run_row == self._current:
            return
        if self._matrix is not None:
            yield from self._leave(self._matrix)
        run = self._runs[run_row]
        self._current = run_row
        self._matrix = _Matrix(len(run.series), run.grid.bins)

    def _store(self, batch: pl.DataFrame) -> None:
        assert self._matrix is not None
        first = int(self._starts[self._current])
        for part in batch.partition_by("series_row", maintain_order=True):
            place = int(part["series_row"][0]) - first
            self._matrix.store(place, part["bin_index"].to_numpy(), part["value"].to_numpy())

    def _leave(self, matrix: _Matrix) -> Iterator[pl.DataFrame]:
        with matrix:
            for group in groups_of(self._runs[self._current]):
                for start in range(0, matrix.bins, _ROWS_AT_ONCE):
                    strip = self._strip(
                        group, matrix, start, min(start + _ROWS_AT_ONCE, matrix.bins)
                    )
                    if strip.height:
                        yield strip
        self._matrix = None

    def _strip(self, group: Group, matrix: _Matrix, start: int, end: int) -> pl.DataFrame:
        count = end - start
        series_row = int(self._starts[self._current]) + group.members[0][1]
        columns = {
            "series_row": pl.Series([series_row], dtype=pl.UInt32).new_from_index(0, count),
            "bin_index": as_column(np.arange(start, end, dtype=np.uint32)),
        }
        present = np.zeros(count, dtype=bool)
        for measure, place in group.members:
            cells = matrix.load(place, start, end)
            present |= cells["present"]
            column = as_column(cells["value"], measure)
            mask = pl.Series(np.ascontiguousarray(cells["present"]))
            columns[measure] = pl.select(pl.when(mask).then(column)).to_series()
        missing = {m: pl.lit(None, pl.Float64) for m in self._measures if m not in columns}
        frame = pl.DataFrame(columns).with_columns(**missing)
        return frame.select("series_row", "bin_index", *self._measures).filter(pl.Series(present))


class _Matrix:
    """Values of a run by series and bin, with a mark where there is one."""

    def __init__(self, series: int, bins: int) -> None:
        self.bins = bins
        self._file: IO[bytes] | None = None
        self._cells: np.ndarray | None = None
        if series * bins * _CELL.itemsize <= IN_MEMORY_BYTES:
            self._cells = np.zeros((series, bins), dtype=_CELL)
        else:
            with _translated():
                self._file = tempfile.TemporaryFile(prefix="flowtime-export-")  # noqa: SIM115
                self._file.truncate(series * bins * _CELL.itemsize)

    def __enter__(self) -> _Matrix:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # what it could not write is thrown away in any case
                self._file.close()

    def store(self, place: int, bins: np.ndarray, values: np.ndarray) -> None:
        """Mark values of one series; bins are ascending."""
        low, high = int(bins[0]), int(bins[-1]) + 1
        cells = self.load(place, low, high)
        cells["value"][bins - low] = values
        cells["present"][bins - low] = True
        if self._file is not None:
            with _translated():
                self._file.seek((place * self.bins + low) * _CELL.itemsize)
                self._file.write(cells.tobytes())

    def load(self, place: int, start: int, end: int) -> np.ndarray:
        """Return cells of one series; a view where the matrix is in memory, else a copy."""
        if self._cells is not None:
            return self._cells[place, start:end]
        assert self._file is not None
        with _translated():
            self._file.seek((place * self.bins + start) * _CELL.itemsize)
            data = self._file.read((end - start) * _CELL.itemsize)
        return np.frombuffer(data, dtype=_CELL).copy()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SinkError(
            "layout wide: the temporary file of a large run could not be used: "
            f"{error.strerror or error}; set TMPDIR to a place with more room"
        ) from error
