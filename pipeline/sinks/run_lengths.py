"""Find runs of equal rows: where columns do not change from row to row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from pipeline.rows.numbers import unnamed

Flags = np.ndarray[Any, np.dtype[np.bool_]]
RowNumbers = np.ndarray[Any, np.dtype[np.intp]]


def changes(column: pl.Series) -> Flags:
    """Return for each row but the first whether it differs from the one before."""
    codes = unnamed(column).to_physical()
    if codes.null_count() or not codes.dtype.is_integer():
        return codes.ne_missing(codes.shift(1)).to_numpy()[1:]
    plain = codes.to_numpy()
    changed: Flags = plain[1:] != plain[:-1]
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
