"""Compare the values of a table with those of its runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pipeline.errors import RunError, StorageError
from pipeline.readback.row_order import Placed, RowBlock, RowOrder
from pipeline.readback.series_values import writes_nulls
from pipeline.readback.tables import ExportedTable
from pipeline.rows.resample import BinGroups
from pipeline.verification.report import ValueCheck
from pipeline.verification.run_values import RunSource, RunValues, match_runs

_MOST_DIFFERENCES = 10
_Array = np.ndarray[Any, Any]


class ValueComparison:
    """The comparison of one table's values with those of its runs.

    Args:
        table: The table.
        order: The order of its rows.
        folder: Where the runs are.
    """

    def __init__(self, table: ExportedTable, order: RowOrder, folder: RunSource) -> None:
        self._table = table
        self._folder = folder
        self._order = order
        resample = order.contents.resample
        self._groups = None
        if resample is not None:
            self._groups = BinGroups.of(resample.resampling, order.exported_runs)
        matches = match_runs(folder, order.exported_runs)
        self._files = matches.files
        self.notes = list(matches.notes)
        self._problems = list(matches.problems)
        self._compared = 0
        self._different = 0
        if not order.values:
            self._problems.append("nothing can be compared: the columns of values were left out")

    def values(self, blocks: Sequence[RowBlock]) -> RunValues:
        """Return the runs' values of one partition."""
        return RunValues(self._folder, self._files, blocks, self._groups)

    def cannot(self, reason: str) -> None:
        """Note why values cannot be compared."""
        self._problems.append(f"cannot be compared: {reason}")

    def compare(
        self,
        placed: Placed,
        start: int,
        block: RowBlock,
        cells: dict[str, pl.Series],
        runs: RunValues,
    ) -> None:
        """Compare the values of consecutive rows bit for bit; NaN equals NaN."""
        try:
            expected = runs.of(block)
        except (RunError, StorageError) as error:
            # The run is at fault, not the export.
            self._problems.append(f"the run cannot be read: {error}")
            self._files = {}
            runs.give_up()
            return
        rows = dict(block.members)
        for column, found in cells.items():
            if column in expected:
                bins = placed.bins[start : start + len(found)]
                self._compare(rows[column], bins, found, expected[column][bins])

    def _compare(self, series_row: int, bins: _Array, found: pl.Series, expected: _Array) -> None:
        values = found.to_numpy()
        same = (values.view(np.uint64) == expected.view(np.uint64)) | (
            np.isnan(values) & np.isnan(expected)
        )
        compared = len(values)
        if found.null_count():
            missing = found.is_null().to_numpy()
            if writes_nulls(self._table):
                same = np.where(missing, ~np.isfinite(expected), same)
            else:  # the filter has removed it
                same |= missing
                compared -= int(missing.sum())
        self._compared += compared
        for row in np.flatnonzero(~same):
            self._different += 1
            if self._different <= _MOST_DIFFERENCES:
                there = "missing" if found[int(row)] is None else repr(float(values[row]))
                self._problems.append(
                    f"{self._order.series_name(series_row)}, bin {bins[row]}: the export has "
                    f"{there}, the run {float(expected[row])!r}"
                )

    def result(self) -> ValueCheck:
        """Return what was found."""
        return ValueCheck(self._table.label, self._compared, self._different, tuple(self._problems))
