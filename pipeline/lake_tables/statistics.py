"""Read the column statistics of a Parquet file from its footer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_LONGEST_TEXT = 128
_LAST_CHARACTER = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class ColumnBounds:
    """What readers skip a file by.

    Attributes:
        nulls: Number of nulls; None where it is not known.
        low: Smallest value, or the beginning of a long text; None where not all values are known
            to be within bounds, as of a column that holds NaN.
        high: Largest value, or a text after a long one, likewise.
    """

    nulls: int | None
    low: Any
    high: Any


def column_bounds(footer: pq.FileMetaData) -> dict[str, ColumnBounds]:
    """Return the statistics of each column that has any in all row groups.

    The writer leaves out those of row groups with NaN, which no bounds hold.

    Args:
        footer: Of a Parquet file with flat columns.
    """
    return {
        footer.schema.column(place).name: bounds
        for place in range(footer.num_columns)
        if (bounds := _bounds(footer, place)) is not None
    }


def _bounds(footer: pq.FileMetaData, place: int) -> ColumnBounds | None:
    groups = [footer.row_group(n).column(place) for n in range(footer.num_row_groups)]
    found = [group.statistics for group in groups]
    if not found or any(one is None or not one.has_null_count for one in found):
        return None
    nulls = sum(one.null_count for one in found)
    bounded = [
        one
        for one, group in zip(found, groups, strict=True)
        if one.null_count < group.num_values or one.has_min_max
    ]
    if not bounded or not all(one.has_min_max for one in bounded):
        return ColumnBounds(nulls, None, None)
    low, high = min(one.min for one in bounded), max(one.max for one in bounded)
    if isinstance(low, str):
        return ColumnBounds(nulls, low[:_LONGEST_TEXT], _text_after(high))
    if isinstance(low, float) and not (math.isfinite(low) and math.isfinite(high)):
        return ColumnBounds(nulls, None, None)
    return ColumnBounds(nulls, low, high)


def _text_after(text: str) -> str:
    """Return a text that does not come before another, with fewer characters where that is long."""
    if len(text) <= _LONGEST_TEXT or text[_LONGEST_TEXT] == _LAST_CHARACTER:
        return text
    return text[:_LONGEST_TEXT] + _LAST_CHARACTER


def with_values(bounds: dict[str, ColumnBounds]) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, smallest and largest value of the columns that have bounds."""
    for name, one in bounds.items():
        if one.low is not None:
            yield name, one.low, one.high
