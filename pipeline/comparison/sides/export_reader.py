"""Read the values of one run back from an export."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from connectors.flowtime.model.run import Run
from pipeline.comparison.sides.series_reader import SeriesChunk
from pipeline.errors import IntegrityError
from pipeline.readback.row_order import Placed, RowBlock, RowOrder
from pipeline.readback.series_values import (
    block_cells,
    checked_batches,
    obstacles,
    placed_batches,
    writes_nulls,
)
from pipeline.readback.tables import ExportedTable, TableFile
from pipeline.readback.unpacking import MAX_EXPANSION
from pipeline.sinks.formats import READING_ORDER
from pipeline.verification.row_keys import Keys


@dataclass(frozen=True)
class ExportReader:
    """Reads the series of one run of an exported table.

    Attributes:
        table: The table, for which `choose_table` has found no hindrance.
        place: Which of its runs it is.
        max_expansion: How many times its size a compressed file may unpack to.
    """

    table: ExportedTable
    place: int = 0
    max_expansion: int = MAX_EXPANSION

    @cached_property
    def _order(self) -> RowOrder:
        return RowOrder.of(self.table)

    @property
    def run(self) -> Run:
        """The run."""
        return self._order.runs[self.place]

    @property
    def _first_row(self) -> int:
        return sum(len(run.series) for run in self._order.runs[: self.place])

    @property
    def is_filtered(self) -> bool:
        """Whether a condition has left rows out."""
        return self._order.contents.filter is not None

    @cached_property
    def order(self) -> Sequence[int]:
        """Return the order of the rows; empty for a wide or a filtered table."""
        if self._order.contents.layout == "wide" or self.is_filtered:
            return ()
        columns = [name for name, _ in self.table.files[0].partition_key]
        blocks = self._order.partitioned(columns)
        first, count = self._first_row, len(self.run.series)
        found = (
            block.members[0][1] - first
            for key in self.table.partitions
            for block in blocks.get(key, ())
        )
        return [row for row in found if 0 <= row < count]

    def read(self, rows: Sequence[int]) -> Iterator[SeriesChunk]:
        """Read series; every key of every row is compared with what its place asks for."""
        first = self._first_row
        wanted = {first + row for row in rows}
        last = rows[-1] if rows and self.order else None
        may_lack = writes_nulls(self.table) or (
            self.is_filtered and self._order.contents.layout == "wide"
        )
        for blocks, placed in self._placed():
            for start, end, place in placed.run_lengths():
                block = blocks[place]
                if not wanted.intersection(row for _, row in block.members):
                    continue
                cells = block_cells(placed, start, end, block, self._order, may_lack=may_lack)
                of_column = dict(block.members)
                bins = placed.bins[start:end]
                for name, values in cells.items():
                    if of_column[name] in wanted:
                        row = of_column[name] - first
                        yield _chunk(row, bins, values.to_numpy())
                        if row == last and int(bins[-1]) + 1 == block.bins:
                            return

    def _placed(self) -> Iterator[tuple[Sequence[RowBlock], Placed]]:
        if not self.is_filtered:
            for blocks, _, placed in placed_batches(
                self.table, self._order, max_expansion=self.max_expansion
            ):
                yield blocks, placed
            return
        for key, files in self.table.partitions.items():
            blocks = self._order.partitioned([name for name, _ in key]).get(key, ())
            keys = Keys(self._order, blocks, files[0])
            for file in files:
                yield from ((blocks, keys.place(file, batch)) for batch in self._batches(file))

    def _batches(self, file: TableFile) -> Iterator[Any]:
        return checked_batches(file, self._order.contents.options, self.max_expansion)

    def notes(self) -> Iterator[str]:
        """Yield what a reader of the comparison should know of the values."""
        if self.is_filtered:
            condition = self._order.contents.filter
            yield f"{self.table.url}: rows left out by its filter ({condition}) count as NaN"
        if writes_nulls(self.table) and any(file.non_finite != 0 for file in self.table.files):
            yield f"{self.table.url}: NaN and infinities were written as null and count as NaN"


def _chunk(row: int, bins: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> SeriesChunk:
    """Return a chunk of ascending bins; NaN where a bin between them has no row."""
    first, last = int(bins[0]), int(bins[-1])
    if last - first + 1 == len(bins):
        return SeriesChunk(row, first, values)
    filled = np.full(last - first + 1, np.nan)
    filled[bins - first] = values
    return SeriesChunk(row, first, filled)


def choose_table(tables: Sequence[ExportedTable]) -> ExportedTable | None:
    """Return the table of an export to read values from; None where none describes its runs.

    Raises:
        IntegrityError: Values cannot be had from any of them; the message says why.
    """
    reasons: list[str] = []
    described = [one for one in tables if one.contents is not None and one.runs is not None]
    for table in sorted(described, key=lambda one: READING_ORDER.index(one.format)):
        found = _hindrances(table)
        if not found:
            return table
        reasons += [f"{table.url}: {reason}" for reason in found]
    if reasons:
        raise IntegrityError(f"cannot be compared: {'; '.join(reasons)}")
    return None


def _hindrances(table: ExportedTable) -> list[str]:
    """Return what keeps values from being read: series and rows that were left out do not."""
    assert table.contents is not None
    nulls = "written as null" if writes_nulls(table) else None
    return [
        reason
        for reason in obstacles(table)
        if reason not in table.contents.reasons and not (nulls and reason.endswith(nulls))
    ]
