"""Stretches of rows in which columns say the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

Flags = np.ndarray[Any, np.dtype[np.bool_]]
Rows = np.ndarray[Any, np.dtype[np.intp]]


def changes(codes: pl.Series) -> Flags:
    """Of each row but the first, whether it differs from the one before.

    Args:
        codes: A column in its physical type (`to_physical`), text as the codes of an Enum.
    """
    if codes.null_count() or not codes.dtype.is_integer():
        return codes.ne_missing(codes.shift(1)).to_numpy()[1:]
    plain = codes.to_numpy()
    changed: Flags = plain[1:] != plain[:-1]
    return changed


def first_rows(rows: int, changed: list[Flags]) -> Rows:
    """The first row of each stretch in which none of the columns changes."""
    begins = np.zeros(rows, dtype=bool)
    begins[:1] = True
    for one in changed:
        begins[1:] |= one
    return np.flatnonzero(begins)


def lengths(starts: Rows, rows: int) -> Rows:
    """Rows of each stretch, given the first row of each."""
    return np.diff(starts, append=rows)
