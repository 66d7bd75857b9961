"""Parse single values that sinks have written as text."""

from __future__ import annotations

import polars as pl

from pipeline.rows.column import Column, ColumnType
from pipeline.rows.metadata_tables import POLARS_TYPES
from pipeline.sinks.text import MICROSECONDS, WHOLE_SECONDS

NAMED = ("NaN", "inf", "-inf")
"""Numbers that JSON does not have."""

TEXT_TYPES: dict[ColumnType, pl.DataType] = {**POLARS_TYPES, "timestamp": pl.String()}
"""What a column is read as, before its timestamps are."""


def parse_timestamps(cells: pl.Series) -> pl.Series:
    """Return the timestamps of a column, all of which are written in one way.

    Raises:
        polars.exceptions.PolarsError: A cell is written otherwise.
    """
    first = cells.drop_nulls().head(1)
    has_fractions = first.str.contains(".", literal=True).any()
    layout = MICROSECONDS if has_fractions else WHOLE_SECONDS
    return cells.str.to_datetime(layout, time_unit="us", time_zone="UTC", cache=True)


def fits(column: Column, cell: str) -> bool:
    """Return whether a cell is a value of its column's type."""
    kinds = {"number": pl.Float64(), "integer": pl.Int64()}
    cells = pl.Series([cell])
    if column.type in kinds:
        return cells.cast(kinds[column.type], strict=False).null_count() == 0
    if column.type == "boolean":
        return cell in ("true", "false")
    if column.type == "timestamp":
        layouts = (WHOLE_SECONDS, MICROSECONDS)
        parsed = [cells.str.to_datetime(one, strict=False, time_zone="UTC") for one in layouts]
        return any(one.null_count() == 0 for one in parsed)
    return True
