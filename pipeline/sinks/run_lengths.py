"""Find runs of equal rows: where columns do not change from row to row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pipeline.rows.column import Column
from pipeline.rows.numbers import unnamed

SERIES = "\0series"
"""A column of batches beside those of their table: the row's series, on which all text depends."""

Flags = np.ndarray[Any, np.dtype[np.bool_]]
RowNumbers = np.ndarray[Any, np.dtype[np.intp]]


def text_changes(rows: pl.DataFrame, texts: Sequence[Column]) -> list[Flags]:
    """Return where text columns may change, as `changes` does, of one or of several columns."""
    if texts and SERIES in rows.columns:
        return [changes(rows[SERIES])]
    return [changes(rows[text.name]) for text in texts]


def changes(column: pl.Series) -> Flags:
    """Return for each row but the first whether it differs from the one before."""
    if column.null_count() == 0 and (column.dtype.is_integer() or column.dtype == pl.Datetime):
        # Not by `to_physical`, which is a query and takes as long as comparing 60,000 numbers.
        codes = column.to_numpy()
    else:
        physical = unnamed(column).to_physical()
        if physical.null_count() or not physical.dtype.is_integer():
            return physical.ne_missing(physical.shift(1)).to_numpy()[1:]
        codes = physical.to_numpy()
    changed: Flags = codes[1:] != codes[:-1]
    return changed


def first_rows(rows: int, changed: Sequence[Flags]) -> RowNumbers:
    """Return the first row of each run of rows in which none of the columns changes."""
    begins = np.zeros(rows, dtype=bool)
    begins[:1] = True
    for one in changed:
        begins[1:] |= one
    return np.flatnonzero(begins)


def lengths(starts: RowNumbers, rows: int) -> RowNumbers:
    """Return the number of rows of each run, given the first row of each."""
    return np.diff(starts, append=rows)
