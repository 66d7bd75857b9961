"""Values of series kept on local disk, so that they can be read in any order."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.comparison.sides.series_reader import SeriesChunk, SeriesReader
from pipeline.errors import StorageError

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
        try:
            self._file = path.open("w+b", buffering=0)
            self._fill(reader, rows)
        except OSError as error:
            raise _not_written(path, error) from error

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
        data = memoryview(np.ascontiguousarray(values, dtype="<f8").tobytes())
        while data:
            written = os.pwrite(self._file.fileno(), data, place)
            data, place = data[written:], place + written

    def read(self, rows: Sequence[int]) -> Iterator[SeriesChunk]:
        """Read series in the order of `rows`."""
        for row in rows:
            start = self._places[row] * self._bins
            for first in range(0, self._bins, _CHUNK):
                count = min(_CHUNK, self._bins - first)
                data = os.pread(self._file.fileno(), count * _BYTES, (start + first) * _BYTES)
                if len(data) < count * _BYTES:
                    raise StorageError("a temporary file is shorter than it was written")
                yield SeriesChunk(row, first, np.frombuffer(data, dtype="<f8"))


def _not_written(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the temporary file {path} could not be written ({error}): free the disk, or set TMPDIR "
        "to one with more room"
    )
