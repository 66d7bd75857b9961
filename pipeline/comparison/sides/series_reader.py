"""Values of series as a stream of chunks: what every kind of side is read as."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from connectors.flowtime.model.run import Run
from connectors.flowtime.scan.scanner import ScanOptions, read_files
from connectors.flowtime.scan.series_files import series_files
from connectors.storage import Storage

_Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class SeriesChunk:
    """Consecutive values of one series.

    Attributes:
        row: Place of the series in its run.
        first_bin: Bin of the first value.
        values: One double for each bin.
    """

    row: int
    first_bin: int
    values: _Array


class SeriesReader(Protocol):
    """Reads the values of a run's series, a bounded part of them at a time."""

    @property
    def order(self) -> Sequence[int] | None:
        """The only order in which series can be read; None where any order will do.

        It is empty where the chunks of several series alternate.
        """

    def read(self, rows: Sequence[int]) -> Iterator[SeriesChunk]:
        """Read series, each whole and with ascending bins, in the order of `rows`.

        Args:
            rows: Places of series in the run; a part of `order`, unless that is None. Where
                `order` is empty, the chunks come in any order.

        Raises:
            IntegrityError: The values are not as they should be.
            StorageError: They could not be read.
        """


@dataclass(frozen=True)
class RunReader:
    """Reads the series files of a run directory or a telemetry bundle."""

    storage: Storage
    run: Run
    options: ScanOptions = field(default_factory=ScanOptions)

    @property
    def order(self) -> None:
        """Return None: each series is a file of its own."""
        return

    def read(self, rows: Sequence[int]) -> Iterator[SeriesChunk]:
        """Read series files, with every check of an export."""
        files = series_files([self.run])
        chosen = [replace(files[row], row=row) for row in rows]
        for frame in read_files(self.storage, chosen, self.options):
            series_rows = frame["series_row"].to_numpy()
            values = frame["value"].to_numpy()
            bins = frame["bin_index"].to_numpy()
            # Series come one after the other: equal ends leave nothing else between them.
            is_one = len(values) and series_rows[0] == series_rows[-1]
            cuts = [] if is_one else (np.flatnonzero(np.diff(series_rows)) + 1).tolist()
            edges = [0, *cuts, len(values)]
            for first, end in pairwise(edges):
                if end > first:
                    row, first_bin = int(series_rows[first]), int(bins[first])
                    yield SeriesChunk(row, first_bin, values[first:end])
