"""Filters: a SQL condition becomes typed Polars expressions, or is refused in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pipeline.rows.catalogue import CATALOGUE
from pipeline.rows.column import ColumnType
from pipeline.rows.metadata_tables import Constant, constant_type
from pipeline.rows.row_filter import RowFilter


def parse_filter(text: str, constants: Mapping[str, Constant], now: datetime) -> RowFilter:
    """Parse a SQL condition over the catalogue's columns and the constants.

    Args:
        text: What follows WHERE.
        constants: Columns with one value.
        now: The instant of functions such as `now()`, UTC.

    Raises:
        ConfigError: The text is no condition, names a column that is not there, or holds what
            filters do not support.
    """
    # Imported when needed: the SQL parser takes longer to load than most exports need it.
    from pipeline.rows.filter.sql import parse_filter_sql  # noqa: PLC0415

    types: dict[str, ColumnType] = {name: column.type for name, column in CATALOGUE.items()}
    types |= {name: constant_type(value) for name, value in constants.items()}
    return parse_filter_sql(text, types, now)
