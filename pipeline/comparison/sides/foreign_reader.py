"""Read the values of a table that is no export of this project."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.comparison.sides.series_reader import SeriesChunk
from pipeline.imports.telemetry import ForeignRun

_CHUNK = 65_536


@dataclass(frozen=True)
class ForeignReader:
    """Reads the series of a foreign table, which has been read and checked whole."""

    table: ForeignRun

    @property
    def order(self) -> None:
        """Return None: the values are kept on local disk."""
        return

    def read(self, rows: Sequence[int]) -> Iterator[SeriesChunk]:
        """Read series in the order of `rows`."""
        for row in rows:
            values = self.table.values(row)
            for first in range(0, len(values), _CHUNK):
                yield SeriesChunk(row, first, values[first : first + _CHUNK])
