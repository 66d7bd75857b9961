"""Values as sinks write them in text."""

from __future__ import annotations

import polars as pl

from pipeline.rows.column import Column, ColumnType
from pipeline.rows.metadata_tables import POLARS_TYPES
from pipeline.sinks.text import TIMESTAMP_FORMAT

NAMED = ("NaN", "inf", "-inf")
"""Numbers that JSON does not have."""

TEXT_TYPES: dict[ColumnType, pl.DataType] = {**POLARS_TYPES, "timestamp": pl.String()}
"""What a column is read as, before its timestamps are."""


def fits(column: Column, cell: str) -> bool:
    """Whether a cell is a value of its column's type."""
    kinds = {"number": pl.Float64(), "integer": pl.Int64()}
    cells = pl.Series([cell])
    if column.type in kinds:
        return cells.cast(kinds[column.type], strict=False).null_count() == 0
    if column.type == "boolean":
        return cell in ("true", "false")
    if column.type == "timestamp":
        parsed = cells.str.to_datetime(TIMESTAMP_FORMAT, strict=False, time_zone="UTC")
        return parsed.null_count() == 0
    return True
