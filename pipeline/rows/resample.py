"""Resample series: their bins become wider, and values are aggregated by kind of series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from connectors.flowtime.model.run import Run
from connectors.flowtime.model.series_table import SeriesShape
from connectors.flowtime.scan.arrays import as_column
from pipeline.rows.aggregation import AGGREGATIONS, Aggregation, aggregate, aggregation_of
from pipeline.rows.resampling import Resampling

_FEWEST_ROWS = 8_192
"""Fewer are held back for the next frame: each frame costs about as much as so many rows."""

_Codes = np.ndarray[Any, np.dtype[np.int8]]
_Factors = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class BinGroups:
    """How many bins of each series become one, and by which aggregation.

    Attributes:
        factors: Of each series, by its row in the table of series.
        codes: Place of its aggregation in `AGGREGATIONS`, likewise.
    """

    factors: _Factors
    codes: _Codes

    @classmethod
    def of(cls, resampling: Resampling, runs: Sequence[Run]) -> BinGroups:
        """Return the groups of runs that can be resampled."""
        of_shapes: dict[SeriesShape, _Codes] = {}
        for run in runs:
            if run.series.shape not in of_shapes:
                found = [aggregation_of(one.kind, resampling.chosen) for one in run.series]
                # Where none is known the factor is 1.
                places = [AGGREGATIONS.index(one or "last") for one in found]
                of_shapes[run.series.shape] = np.array(places, dtype=np.int8)
        factors = [resampling.minutes // run.grid.bin_minutes for run in runs]
        return cls(
            np.repeat(np.array(factors, dtype=np.int64), [len(run.series) for run in runs]),
            np.concatenate([np.zeros(0, np.int8), *(of_shapes[run.series.shape] for run in runs)]),
        )

    def of_series(self, row: int) -> tuple[int, Aggregation]:
        """Return how many bins of one series become one, and by which aggregation."""
        return int(self.factors[row]), AGGREGATIONS[self.codes[row]]


class Resampler:
    """Turns the narrow rows of series into those of wider bins.

    Rows come whole and in order, as the scan gives them. What is held back is a part of one new
    bin, and new rows until there are enough for a frame.

    Args:
        groups: How many bins of each series become one.
    """

    def __init__(self, groups: BinGroups) -> None:
        self._groups = groups
        self._open: list[pl.DataFrame] = []
        self._open_rows = 0
        self._done: list[pl.DataFrame] = []
        self._done_rows = 0

    def add(self, batch: pl.DataFrame) -> Iterator[pl.DataFrame]:
        """Take narrow rows; yield those of the bins that they complete."""
        if batch.is_empty():
            return
        self._open.append(batch)
        self._open_rows += batch.height
        factor = int(self._groups.factors[batch["series_row"][-1]])
        incomplete = (int(batch["bin_index"][-1]) + 1) % factor
        if incomplete < self._open_rows:
            rows = pl.concat(self._open, rechunk=True)
            complete = rows.head(self._open_rows - incomplete)
            self._open = [rows.tail(incomplete)] if incomplete else []
            self._open_rows = incomplete
            self._done.append(self._resampled(complete))
            self._done_rows += self._done[-1].height
        if self._done_rows >= _FEWEST_ROWS:
            yield from self.finish()

    def finish(self) -> Iterator[pl.DataFrame]:
        """Yield the rows that were held back."""
        if self._done:
            yield pl.concat(self._done)
        self._done, self._done_rows = [], 0

    def _resampled(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of the new bins of whole groups of bins."""
        series, bins = rows["series_row"].to_numpy(), rows["bin_index"].to_numpy()
        values = rows["value"].to_numpy()
        factors, codes = self._groups.factors[series], self._groups.codes[series]
        is_first = bins % factors == 0
        first_factors, first_codes = factors[is_first], codes[is_first]
        new = np.empty(len(first_factors), dtype=np.float64)
        for factor, code in _distinct(first_factors, first_codes):
            is_fine = (factors == factor) & (codes == code)
            is_coarse = (first_factors == factor) & (first_codes == code)
            new[is_coarse] = aggregate(values[is_fine], factor, AGGREGATIONS[code])
        return pl.DataFrame(
            [
                as_column(series[is_first], "series_row"),
                as_column((bins[is_first] // first_factors).astype(np.uint32), "bin_index"),
                as_column(new, "value"),
            ]
        )


def _distinct(factors: _Factors, codes: _Codes) -> list[tuple[int, int]]:
    keys = np.unique(factors * len(AGGREGATIONS) + codes)
    return [divmod(key, len(AGGREGATIONS)) for key in keys.tolist()]
