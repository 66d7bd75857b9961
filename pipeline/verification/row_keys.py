"""Locate rows by their keys, in tables that leave rows out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pipeline.errors import IntegrityError
from pipeline.readback.row_order import (
    Placed,
    RowBlock,
    RowOrder,
    compare_keys,
    expected_keys,
    narrow_frame,
)
from pipeline.readback.table_reader import Batch
from pipeline.readback.tables import TableFile
from pipeline.rows.catalogue import CATALOGUE
from pipeline.rows.cell_text import cell_text
from pipeline.rows.metadata_tables import BIN_WIDTH, START

_Array = np.ndarray[Any, Any]


class Keys:
    """Locations of the rows of one partition by what their columns say.

    Args:
        order: The order of the rows.
        blocks: The blocks of the partition.
        file: One of its files; all have the same columns.

    Raises:
        IntegrityError: The columns do not distinguish the rows.
    """

    def __init__(self, order: RowOrder, blocks: Sequence[RowBlock], file: TableFile) -> None:
        self._order = order
        self._bins = np.array([block.bins for block in blocks], dtype=np.int64)
        self._firsts = np.array([block.members[0][1] for block in blocks], dtype=np.int64)
        shown = {order.contents.columns[column.name]: column.name for column in file.columns}
        self._bin_column = shown.get("bin_index")
        self._time_column = shown.get("time_bin")
        if self._bin_column is None and self._time_column is None:
            raise IntegrityError(
                f"{file.url}: its rows cannot be matched with bins, as neither time_bin nor "
                "bin_index is a column"
            )
        by_series = [
            name
            for source, name in shown.items()
            if source in CATALOGUE and CATALOGUE[source].level == "series"
        ]
        keys = expected_keys(order, file, narrow_frame(self._firsts, np.zeros(len(blocks))))
        wanted = [key for key in keys if key.name in by_series]
        table = pl.DataFrame([*wanted, pl.Series("\0block", range(len(blocks)), dtype=pl.Int64)])
        self._keys = [key.name for key in wanted]
        # Two blocks of equal keys cannot be distinguished; without keys there may be only one.
        distinct = table.select(self._keys).n_unique() if self._keys else min(1, len(blocks))
        if distinct != len(blocks):
            raise IntegrityError(
                f"{file.url}: its rows cannot be matched with series, as its columns do not "
                "distinguish all of them"
            )
        self._table = table
        self._last = (-1, -1)

    def place(self, file: TableFile, batch: Batch) -> Placed:
        """Return the places of a batch, which must follow those of the batch before.

        Raises:
            IntegrityError: A row is of none of the series or bins, or out of order.
        """
        blocks = self._blocks_of(batch)
        bins = self._bins_of(batch, blocks)
        compare_keys(self._order, file, batch, self._firsts[blocks], bins)
        self._check_order(batch, blocks, bins)
        return Placed(batch, blocks, bins)

    def _blocks_of(self, batch: Batch) -> _Array:
        if not self._keys:
            return np.zeros(batch.frame.height, dtype=np.int64)
        found = batch.frame.select(self._keys).join(
            self._table, on=self._keys, how="left", nulls_equal=True, maintain_order="left"
        )["\0block"]
        if found.null_count():
            row = found.is_null().arg_max() or 0
            keys = ", ".join(f"{key}={cell_text(batch.frame[key], row)}" for key in self._keys)
            raise batch.error(row, f"the runs have no such series: {keys[:300]}")
        return found.to_numpy()

    def _bins_of(self, batch: Batch, blocks: _Array) -> _Array:
        bounds = self._bins[blocks]
        if self._bin_column is not None:
            cells = batch.frame[self._bin_column]
            bins = cells.fill_null(-1).to_numpy()
        else:
            assert self._time_column is not None
            cells = batch.frame[self._time_column]
            tables = self._order.tables
            runs = tables.places["run_row"].to_numpy()[self._firsts][blocks]
            origins = tables.of_runs[START].to_numpy()[runs]
            widths = tables.of_runs[BIN_WIDTH].to_numpy()[runs]
            times = cells.cast(pl.Int64).fill_null(-(2**62)).to_numpy()
            bins = np.floor_divide(times - origins + widths // 2, widths)
        wrong = (bins < 0) | (bins >= bounds)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise batch.error(row, f"the series has no bin at {cell_text(cells, row)}")
        return bins

    def _check_order(self, batch: Batch, blocks: _Array, bins: _Array) -> None:
        before_blocks = np.concatenate(([self._last[0]], blocks[:-1]))
        before_bins = np.concatenate(([self._last[1]], bins[:-1]))
        follows = (blocks > before_blocks) | ((blocks == before_blocks) & (bins > before_bins))
        if not follows.all():
            raise batch.error(int(np.argmin(follows)), "the row is there twice or out of order")
        if len(blocks):
            self._last = (int(blocks[-1]), int(bins[-1]))
