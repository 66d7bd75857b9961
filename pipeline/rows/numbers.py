"""Count what is not finite among the numbers of rows."""

from __future__ import annotations

import numpy as np
import polars as pl

from pipeline.rows.column import Table


def non_finite_in(batch: pl.DataFrame, table: Table) -> int:
    """Count NaN and infinite values among the numbers of a table's batch, nulls apart."""
    numbers = [batch[column.name] for column in table.columns if column.type == "number"]
    return sum(count_non_finite(column) for column in numbers)


def count_non_finite(numbers: pl.Series) -> int:
    """Count NaN and infinite values, nulls apart."""
    known = unnamed(numbers).drop_nulls() if numbers.null_count() else numbers
    return known.len() - int(np.count_nonzero(np.isfinite(known.to_numpy())))


def unnamed(column: pl.Series) -> pl.Series:
    """Return a column for use on its own: Polars takes a name such as `^a.*$` for a pattern."""
    return column.alias("column")
