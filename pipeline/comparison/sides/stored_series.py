"""Keep values of series on local disk, to be read in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from connectors.storage.disk.scratch_file import ScratchFile
from pipeline.comparison.sides.series_reader import SeriesChunk, SeriesReader

_Array = np.ndarray[Any, Any]

_CHUNK = 65_536
_BYTES = 8


class StoredSeries:
    """A reader of series that were copied into a local file, one dense array after the other.

    Args:
        path: A fresh local file.
        reader: Where the values come from; all are copied at once.
        rows: Places of the series to copy.
        bins: Values of each.

    Raises:
        StorageError: The disk for temporary files is full, or the values could not be read.
        IntegrityError: The values are not as they should be.
    """

    order = None

    def __init__(self, path: Path, reader: SeriesReader, rows: Sequence[int], bins: int) -> None:
        self._bins = bins
        self._places = {row: place for place, row in enumerate(rows)}
        self._file = ScratchFile(path)
        self._fill(reader, rows)

    def close(self) -> None:
        """Close the file; nothing is read afterwards."""
        self._file.close()

    def _fill(self, reader: SeriesReader, rows: Sequence[int]) -> None:
        missing = np.full(min(_CHUNK, self._bins), np.nan)
        if reader.order is not None and not reader.order:
            # Chunks come as they will, and bins without a row stay NaN.
            for row in rows:
                for first in range(0, self._bins, _CHUNK):
                    self._write(row, first, missing[: self._bins - first])
        order = rows if not reader.order else [row for row in reader.order if row in self._places]
        for chunk in reader.read(order):
            self._write(chunk.row, chunk.first_bin, chunk.values)

    def _write(self, row: int, first_bin: int, values: _Array) -> None:
        place = (self._places[row] * self._bins + first_bin) * _BYTES
        self._file.write(place, np.ascontiguousarray(values, dtype="<f8").tobytes())

    def read(self, rows: Sequence[int]) -> Iterator[SeriesChunk]:
        """Read series in the order of `rows`."""
        for row in rows:
            start = self._places[row] * self._bins
            for first in range(0, self._bins, _CHUNK):
                count = min(_CHUNK, self._bins - first)
                data = self._file.read((start + first) * _BYTES, count * _BYTES)
                yield SeriesChunk(row, first, np.frombuffer(data, dtype="<f8"))
